"""sd_notify(3): tells systemd that the daemon is ready, reloading, stopping or alive, and its status line.

Sends datagrams to the socket that NOTIFY_SOCKET names; without that variable it does nothing. A socket at
which nobody listens is never an error.
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
_MAX_STATUS = 240  # characters of the status line
_MAX_NAMED = 3  # jobs that are named in it


class Systemd:
    """Connection to the service manager that started the daemon. Thread-safe."""

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
        self._socket: socket.socket | None = None
        if self._address:
            with suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)  # a full queue at the other end must not block a sync
        self._period = _period(environment, self._pid)
        self._last_status = ""
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def listening(self) -> bool:
        """Whether there is a service manager."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """The daemon has started, or reloaded its config."""
        self._last_status = status or self._last_status
        self._send("READY=1", f"MAINPID={self._pid}", *_status(status))

    def status(self, status: str) -> None:
        """Set the line in `systemctl status`; an unchanged one is not sent again."""
        if status != self._last_status:
            self._last_status = status
            self._send(*_status(status))

    def reloading(self) -> None:
        """The config is being read again; `ready` ends that, also after a failure."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """The daemon is ending. The watchdog is fed until `close`: a stop that hangs must be noticed."""
        self._send("STOPPING=1", *_status("stopping"))

    def watch(self, alive: Callable[[], bool]) -> None:
        """Feed the watchdog at half its period, as long as `alive` returns True."""
        if self._socket is None or self._period is None or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._watch, args=(alive, self._period / 2), name="watchdog", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Send nothing more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(1.0)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _watch(self, alive: Callable[[], bool], pause: float) -> None:
        while True:
            try:
                if alive():
                    self._send("WATCHDOG=1")
            except Exception:  # noqa: BLE001 - counts as not alive
                _log.exception("the watchdog could not ask how the daemon is")
            if self._end.wait(pause):
                return

    def _send(self, *lines: str) -> None:
        connection = self._socket
        if connection is None or not lines:
            return
        try:
            connection.sendto("\n".join(lines).encode("utf-8"), self._address)
        except OSError as error:  # systemd restarts, or its queue is full; the next message may arrive
            _log.debug("systemd was not told %s: %s", lines[0], error)


def _address(text: str) -> str:
    """An absolute path, or a name in Linux's abstract namespace, which systemd writes with a leading "@"."""
    if text.startswith("@") and len(text) > 1:
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _period(environment: Mapping[str, str], pid: int) -> float | None:
    """Seconds within which WATCHDOG=1 is due; None without a watchdog, or if it is for another process."""
    owner = environment.get("WATCHDOG_PID", "")
    text = environment.get("WATCHDOG_USEC", "")
    if owner not in ("", str(pid)) or not (text.isascii() and text.isdigit()) or int(text) == 0:
        return None
    return int(text) / 1e6


def _status(text: str) -> tuple[str, ...]:
    """A line feed in the text would begin another variable of the protocol."""
    return (f"STATUS={printable(text)}",) if text else ()


def status_line(status: DaemonStatus) -> str:
    """The status line, such as `3 jobs: 2 in step, docs running 120/3,400 files`."""
    well = [job for job in status.jobs if _in_step(job)]
    rest = [_describe(job) for job in status.jobs if not _in_step(job)]
    parts = [f"{len(well):,} in step"] if well else []
    parts += rest[:_MAX_NAMED]
    parts += [f"{len(rest) - _MAX_NAMED:,} more"] if len(rest) > _MAX_NAMED else []
    text = f"{counted(len(status.jobs), 'job')}: {', '.join(parts)}" if parts else "no jobs"
    return text if len(text) <= _MAX_STATUS else text[: _MAX_STATUS - 1] + "…"


def _in_step(job: JobStatus) -> bool:
    return job.phase in (Phase.IDLE, Phase.GATHERING) and job.last_exit in (0, None) and not job.retries


def _describe(job: JobStatus) -> str:
    name = printable(job.job)
    match job.phase:
        case Phase.RUNNING:
            progress = job.progress
            if progress and progress.files:
                return f"{name} running {progress.files_done:,}/{progress.files:,} files"
            scanned = progress.directories if progress else 0
            return f"{name} running" + (f" ({scanned:,} directories looked at)" if scanned else "")
        case Phase.HELD:
            return f"{name} held back" + (f" ({counted(job.held, 'deletion')})" if job.held else "")
        case Phase.BACKING_OFF:
            return f"{name} tries again later" + (f" ({printable(job.message)})" if job.message else "")
        case Phase.IDLE | Phase.GATHERING:
            if job.conflicts:
                return f"{name} has {counted(job.conflicts, 'conflict')}"
            if job.problems:
                return f"{name} has {counted(job.problems, 'problem')}"
            retries = counted(len(job.retries), "path")
            return f"{name} tries {retries} again" if job.retries else f"{name} is incomplete"
        case Phase.STARTING | Phase.PAUSED | Phase.STOPPED:
            return f"{name} {job.phase.value}"
