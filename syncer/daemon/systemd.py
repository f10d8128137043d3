"""What systemd hears of the daemon: ready, reloading, stopping, alive, and a line of status.

The protocol is sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Without one nothing is
said; that nobody listens is never an error. No library is needed for it.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from syncer.clock import SystemClock
from syncer.daemon.status import DaemonStatus, JobStatus, Phase
from syncer.engine.interfaces import Clock
from syncer.engine.paths import printable
from syncer.formatting import counted

_log = logging.getLogger(__name__)
_LONGEST = 240  # characters of status
_NAMED = 3  # jobs that are named in it


class Systemd:
    """The connection to whoever started us. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
        pid: int | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._pid = os.getpid() if pid is None else pid
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket = _opened() if self._address else None
        self._period = _period(environment, self._pid)
        self._said = ""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def listening(self) -> bool:
        """Whether anybody is told."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Started, or reloaded, and at work."""
        self._said = status or self._said
        self._send("READY=1", f"MAINPID={self._pid}", *_status(status))

    def status(self, status: str) -> None:
        """One line for `systemctl status`; the same one is not sent again."""
        if status != self._said:
            self._said = status
            self._send(*_status(status))

    def reloading(self) -> None:
        """The config is being read again; `ready` says when that is done, also if it failed."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """On the way out. The watchdog goes on until `close`: a stop that hangs has to be noticed."""
        self._send("STOPPING=1", *_status("stopping"))

    def watch(self, alive: Callable[[], bool]) -> None:
        """Tell the watchdog at half its time that we are well, as long as `alive` says so."""
        if self._socket is None or self._period is None or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._watch, args=(alive, self._period / 2), name="watchdog", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Say nothing more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(1.0)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _watch(self, alive: Callable[[], bool], pause: float) -> None:
        while True:
            if _answers(alive):
                self._send("WATCHDOG=1")
            if self._end.wait(pause):
                return

    def _send(self, *lines: str) -> None:
        connection = self._socket
        if connection is None or not lines:
            return
        try:
            connection.sendto("\n".join(lines).encode("utf-8"), self._address)
        except OSError as error:  # it restarts, or its queue is full: it asks nobody, and we tell again
            _log.debug("systemd was not told %s: %s", lines[0], error)


def _answers(alive: Callable[[], bool]) -> bool:
    try:
        return alive()
    except Exception:  # noqa: BLE001 - whatever it is, it is not well
        _log.exception("the watchdog could not ask how the daemon is")
        return False


def _address(text: str) -> str:
    """An absolute path, or a name in Linux's abstract space, which systemd writes with an "@"."""
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _opened() -> socket.socket | None:
    with suppress(OSError):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.setblocking(False)  # a full queue at the other end must not hold up a sync
        return made
    return None


def _period(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds within which a sign of life is due; None where none is, or another process owes it."""
    owner = environment.get("WATCHDOG_PID", "")
    text = environment.get("WATCHDOG_USEC", "")
    if owner not in ("", str(pid)) or not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    return int(text) / 1e6


def _status(text: str) -> tuple[str, ...]:
    """A line end in it would begin another word of the protocol."""
    return (f"STATUS={printable(text)}",) if text else ()


def status_line(standing: DaemonStatus) -> str:
    """`3 jobs: 2 in step, docs running 120/3,400 files`."""
    well = [job for job in standing.jobs if _in_step(job)]
    rest = [_how(job) for job in standing.jobs if not _in_step(job)]
    said = [f"{len(well):,} in step"] if well else []
    said += rest[:_NAMED]
    said += [f"{len(rest) - _NAMED:,} more"] if len(rest) > _NAMED else []
    text = f"{counted(len(standing.jobs), 'job')}: {', '.join(said)}" if said else "no jobs"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _in_step(job: JobStatus) -> bool:
    return job.phase in (Phase.IDLE, Phase.GATHERING) and job.last_exit in (0, None) and not job.retries


def _how(job: JobStatus) -> str:
    name = printable(job.job)
    match job.phase:
        case Phase.RUNNING:
            return f"{name} running{_progress(job)}"
        case Phase.HELD:
            return f"{name} held back" + (f" ({counted(job.held, 'deletion')})" if job.held else "")
        case Phase.BACKING_OFF:
            return f"{name} tries again later" + (f" ({printable(job.message)})" if job.message else "")
        case Phase.IDLE | Phase.GATHERING:
            return f"{name} {_waits(job)}"
        case Phase.STARTING | Phase.PAUSED | Phase.STOPPED:
            return f"{name} {job.phase.value}"


def _waits(job: JobStatus) -> str:
    if job.conflicts:
        return f"has {counted(job.conflicts, 'conflict')}"
    if job.problems:
        return f"has {counted(job.problems, 'problem')}"
    return f"tries {counted(len(job.retries), 'path')} again" if job.retries else "is incomplete"


def _progress(job: JobStatus) -> str:
    if job.progress is None:
        return ""
    if job.progress.files:
        return f" {job.progress.files_done:,}/{job.progress.files:,} files"
    return f" ({job.progress.directories:,} directories looked at)" if job.progress.directories else ""
