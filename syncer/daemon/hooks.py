"""The commands that a person wants run when something happens in a job: `on_conflict` and its like.

A hook gets one JSON document on stdin and, in its environment, SYNCER_EVENT and SYNCER_JOB beside the usual
variables of a session (PATH, HOME, LANG, …) and those that `pass_env` names; no others, since the daemon's
may hold passwords:

    {"schema": 1, "event": "conflict", "job": "docs", "at": 1763740800.25,
     "paths": ["a/b.txt"], "more": 0, "message": "changed on both sides; …", "hint": "choose with: …"}

`event` is conflict, error, guard or stale; `at` is in seconds since 1970; `more` counts paths beyond the
first 1,000. The document is ASCII: a name that is not UTF-8 comes as \\udcXX, which reads back to its bytes.

Hooks run in the background and never hold up a sync. Of one job and event one runs at a time; what happens
meanwhile is put together and told by one call more. A hook that fails, hangs or floods costs one line of the
log. What is worth telling is settled in `events`, not here.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from syncer.clock import SystemClock
from syncer.daemon.events import Event, EventKind
from syncer.engine.interfaces import Clock
from syncer.engine.paths import printable

# --------------------------------------------------------------------------------
#
# A foreign command run to its end, whatever it does: bounded in time and in what is kept of its output.
#
# What it is told stands in an unlinked file, not in a pipe: a command that never reads holds nobody up. It
# gets a process group of its own, and when its time is over, or ours is, the group goes with it. What it
# leaves in the background when it ends by itself is its own affair, and is not waited for.


KEPT = 4096  # bytes of its output
_NAP = 0.05  # seconds between two looks whether it ended, or whether we have to
_CHUNK = 1 << 16
_FLOOD = 4 << 20  # bytes of output from which on they are taken slowly: reading on must not cost a core
# What a program of the user's session needs. The daemon's environment holds more than it should hand on: the
# passwords of accounts, and the socket that speaks to systemd in its name.
_USUAL = (
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: `why` is "" if it did so by itself with status 0."""

    why: str = ""
    output: str = ""  # the first KEPT bytes of stdout and stderr
    dropped: int = 0  # bytes of output beyond these


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Seconds: how long it may take, and how long between the polite end and the other."""

    time: float = 60.0
    grace: float = 1.0


class Child:
    """One command. `run` is called once, from a thread of its own."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        clock: Clock,
        bounds: Bounds,
        stop: threading.Event,
        pass_env: Collection[str] = (),
    ) -> None:
        """`pass_env`: variables of ours that it gets beside the usual ones."""
        self._pass_env = pass_env
        self._words = list(words)
        self._clock = clock
        self._bounds = bounds
        self._stop = stop
        self._kept = bytearray()
        self._dropped = 0

    def run(self, told: bytes, environment: Mapping[str, str]) -> Ended:
        """Start it, wait for its end or make one. Never raises for anything that the command does."""
        try:
            process = self._started(told, environment)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return Ended(why=f"cannot be started: {reason}")
        assert process.stdout is not None
        with process.stdout as pipe, selectors.DefaultSelector() as selector:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
            late = self._attend(process, selector)
            if late:
                self._end(process, selector)
            self._read(selector, 0)
        return self._ended(late, process.returncode)

    def _started(self, told: bytes, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as file:
            file.write(told)
            file.seek(0)
            return subprocess.Popen(
                self._words,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**_inherited(self._pass_env), **environment},
                start_new_session=True,
                bufsize=0,
            )

    def _attend(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> str:
        """Read along until it ends; else why it must not go on."""
        deadline = self._clock.monotonic() + self._bounds.time
        while process.poll() is None:
            if self._stop.is_set():
                return "was ended: the daemon stops"
            if self._clock.monotonic() >= deadline:
                return f"was ended: it took longer than {self._bounds.time:g} s"
            self._read(selector, _NAP)
        return ""

    def _end(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        """TERM, then KILL to the whole group.

        In between nobody asks how the leader ended: until it is reaped its number is not given to
        another process, so the second signal reaches this group or none.
        """
        self._signal(process, signal.SIGTERM)
        deadline = self._clock.monotonic() + self._bounds.grace
        while selector.get_map() and self._clock.monotonic() < deadline:
            self._read(selector, _NAP)
        self._signal(process, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing more can be done
            process.wait(self._bounds.grace)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], signum: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # gone, or another user's by now (sudo)
            os.killpg(process.pid, signum)

    def _read(self, selector: selectors.BaseSelector, wait: float) -> None:
        """What it said within `wait` seconds. Once all its ends are closed, only time passes."""
        if not selector.get_map():
            self._clock.sleep(wait)
            return
        for key, _ in selector.select(wait):
            data = self._chunk(key.fd)
            if data == b"":
                selector.unregister(key.fileobj)
            elif data:
                room = KEPT - len(self._kept)
                self._kept += data[:room]
                self._dropped += len(data[room:])
                if self._dropped > _FLOOD:
                    self._clock.sleep(_NAP)

    @staticmethod
    def _chunk(fd: int) -> bytes | None:
        try:
            return os.read(fd, _CHUNK)
        except BlockingIOError:
            return None

    def _ended(self, late: str, status: int | None) -> Ended:
        if late or status == 0:
            why = late
        elif status is not None and status < 0:
            why = f"was ended by signal {-status}"
        else:
            why = f"ended with status {status}"
        output = self._kept.decode("utf-8", "backslashreplace").strip()
        return Ended(why=why, output=output, dropped=self._dropped)


def _inherited(pass_env: Collection[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _USUAL or name.startswith("LC_") or name in pass_env
    }


PATHS = 1000  # named in one document
_log = logging.getLogger(__name__)
_STOP_WITHIN = 2.0  # seconds
_PLENTY = 400  # characters of output in the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one run of a hook is told."""

    job: str
    event: EventKind
    at: float
    paths: tuple[str, ...] = ()
    more: int = 0
    message: str = ""
    hint: str = ""

    def joined(self, later: Call) -> Call:
        """Both in one: all paths, the later words."""
        return _bounded(later, dict.fromkeys((*self.paths, *later.paths)), self.more + later.more)

    def document(self) -> bytes:
        """As the hook reads it."""
        words = {
            "schema": 1,
            "event": self.event.value,
            "job": self.job,
            "at": self.at,
            "paths": self.paths,
            "more": self.more,
            "message": self.message,
            "hint": self.hint,
        }
        return json.dumps(words).encode("ascii") + b"\n"


def calls(job: str, happenings: Sequence[Event], *, at: float) -> list[Call]:
    """One call for each event among the happenings; of several the first one speaks."""
    made = []
    for event in dict.fromkeys(one.event for one in happenings):
        all_of_it = [one for one in happenings if one.event is event]
        first = all_of_it[0]
        others = f" (the first of {len(all_of_it):,})" if len(all_of_it) > 1 else ""
        call = Call(job=job, event=event, at=at, message=first.message + others, hint=first.hint)
        made.append(_bounded(call, dict.fromkeys(path for one in all_of_it for path in one.paths), 0))
    return made


def _bounded(call: Call, paths: dict[str, None], more: int) -> Call:
    every = tuple(paths)
    return replace(call, paths=every[:PATHS], more=more + len(every[PATHS:]))


@dataclass(slots=True)
class _Lane:
    """What runs for one job and event, and the one call that waits behind it."""

    pending: tuple[tuple[str, ...], Call, frozenset[str]] | None = None
    thread: threading.Thread | None = None


class Hooks:
    """Runs hooks in the background. Every method may be called from any thread."""

    def __init__(self, *, clock: Clock | None = None, bounds: Bounds | None = None) -> None:
        self._clock = clock or SystemClock()
        self._bounds = bounds or Bounds()
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._stop = threading.Event()

    def tell(
        self, command: Sequence[str], call: Call, *, lane: str = "", pass_env: Collection[str] = ()
    ) -> None:
        """Run the command with the call; returns at once. `lane`: what it waits for, its event by default.

        `pass_env`: variables that it gets beside the usual ones.
        """
        key = (call.job, lane or call.event.key)
        with self._lock:
            if self._stop.is_set() or not command:
                return
            mine = self._lanes.setdefault(key, _Lane())
            earlier = mine.pending
            joined = earlier[1].joined(call) if earlier else call
            mine.pending = (tuple(command), joined, frozenset(pass_env))
            if mine.thread is None:
                mine.thread = threading.Thread(
                    target=self._work, args=(key,), name=f"hook {key}", daemon=True
                )
                mine.thread.start()

    def stop(self) -> None:
        """End what runs, forget what waits; within two seconds. Nothing is begun afterwards."""
        with self._lock:
            self._stop.set()
            threads = [lane.thread for lane in self._lanes.values() if lane.thread is not None]
        deadline = self._clock.monotonic() + _STOP_WITHIN
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _work(self, key: tuple[str, str]) -> None:
        """One lane, until nothing waits in it."""
        while (taken := self._next(key)) is not None:
            command, call, pass_env = taken
            try:
                self._run(key, command, call, pass_env)
            except Exception:  # noqa: BLE001 - one bad call must not end the lane
                _log.exception("the hook %s of %s could not be run", key[1], key[0])

    def _next(self, key: tuple[str, str]) -> tuple[tuple[str, ...], Call, frozenset[str]] | None:
        with self._lock:
            lane = self._lanes[key]
            taken, lane.pending = lane.pending, None
            if taken is None or self._stop.is_set():
                del self._lanes[key]
                return None
            return taken

    def _run(
        self, key: tuple[str, str], command: tuple[str, ...], call: Call, pass_env: frozenset[str]
    ) -> None:
        child = Child(command, clock=self._clock, bounds=self._bounds, stop=self._stop, pass_env=pass_env)
        environment = {"SYNCER_EVENT": call.event.value, "SYNCER_JOB": call.job}
        ended = child.run(call.document(), environment)
        level = logging.WARNING if ended.why else logging.INFO
        _log.log(level, "%s: %s %s%s", call.job, key[1], _how(command, ended), _said(ended))


def _how(command: Sequence[str], ended: Ended) -> str:
    return f"({printable(command[0])}) {ended.why or 'done'}"


def _said(ended: Ended) -> str:
    """The beginning of its output in one line."""
    if not ended.output:
        return ""
    text = " | ".join(line.strip() for line in ended.output.splitlines() if line.strip())
    cut = len(text) > _PLENTY or ended.dropped > 0
    return f"; it said: {text[:_PLENTY]}{' …' if cut else ''}"
