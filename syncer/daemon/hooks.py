"""Hooks: the commands of the config that run when a job has a conflict, an error, a guard or becomes stale.

A hook gets one JSON document on stdin and, in its environment, SYNCER_EVENT and SYNCER_JOB beside the usual
variables of a session (PATH, HOME, LANG, …) and those that `pass_env` names. No others: the environment of
the daemon may hold passwords.

    {"schema": 1, "event": "conflict", "job": "docs", "at": 1763740800.25,
     "paths": ["a/b.txt"], "more": 0, "message": "changed on both sides; …", "hint": "choose with: …"}

`event` is conflict, error, guard or stale; `at` is in seconds since 1970; `more` counts paths beyond the
first 1,000. The document is ASCII: a name that is not UTF-8 comes as \\udcXX, which decodes to its bytes.

Hooks run in background threads and never delay a sync. One hook per job and event runs at a time; events that
come meanwhile are merged into one further call. A hook that fails, hangs or writes too much costs one line in
the log. Which events are new is decided in `events`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic, sleep
from typing import IO

from syncer.daemon.events import Event, EventKind
from syncer.engine.paths import printable

MAX_OUTPUT = 4096  # bytes of output that are kept
MAX_PATHS = 1000  # paths in one document
_POLL = 0.05  # seconds between two looks at a running command
_READ_SIZE = 1 << 20  # bytes of output read at each of them: more would let a flood of output cost a core
_STOP_TIMEOUT = 2.0  # seconds
_LOGGED_OUTPUT = 400  # characters
_log = logging.getLogger(__name__)
# What a program in the user's session needs. The environment of the daemon holds more than it may pass on:
# passwords of accounts, and NOTIFY_SOCKET, through which a hook could speak to systemd in the daemon's name.
_USUAL_VARIABLES = (
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
class CommandResult:
    """How a command ended: `failure` is "" if it exited with status 0."""

    failure: str = ""
    output: str = ""  # the first MAX_OUTPUT bytes of stdout and stderr
    dropped: int = 0  # bytes of output beyond these


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that a command may run, and that it gets between SIGTERM and SIGKILL."""

    run: float = 60.0
    grace: float = 1.0


def run_command(
    command: Sequence[str],
    stdin: bytes,
    *,
    timeouts: Timeouts,
    stop: threading.Event,
    environment: Mapping[str, str] | None = None,
    pass_env: Collection[str] = (),
) -> CommandResult:
    """Run a command to its end, bounded in time and output; never raises for anything that the command does.

    The command leads a process group of its own, which is ended as a whole after `timeouts.run` or once
    `stop` is set. stdin is an unlinked file and not a pipe, so a command that never reads blocks nothing.
    Background processes that the command leaves when it exits by itself go on, and are not waited for.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _USUAL_VARIABLES or name.startswith("LC_") or name in pass_env
    }
    try:
        with tempfile.TemporaryFile() as file:
            file.write(stdin)
            file.seek(0)
            process = subprocess.Popen(
                list(command),
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**inherited, **(environment or {})},
                start_new_session=True,
                bufsize=0,
            )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return CommandResult(failure=f"cannot be started: {reason}")
    assert process.stdout is not None
    # Not a file: what the command leaves running would fill the disk with it.
    with process.stdout as pipe:
        output = _Output(pipe)
        deadline, failure = monotonic() + timeouts.run, ""
        while not failure and process.poll() is None:
            output.read()
            if stop.wait(_POLL):
                failure = "was ended: the daemon stops"
            elif monotonic() >= deadline:
                failure = f"was ended: it took longer than {timeouts.run:g} s"
        if failure:
            _end_group(process, output, timeouts.grace)
        elif process.returncode:
            status = process.returncode
            failure = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        output.read()
    text = output.kept.decode("utf-8", "backslashreplace").strip()
    return CommandResult(failure=failure, output=text, dropped=output.dropped)


def _end_group(process: subprocess.Popen[bytes], output: _Output, grace: float) -> None:
    """SIGTERM, then SIGKILL to the whole process group.

    The leader is not reaped in between: until then the kernel gives its number to no other process, so the
    second signal reaches this group or nothing.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):  # gone, or another user's by now (sudo)
            os.killpg(process.pid, number)
        deadline = monotonic() + grace
        while number == signal.SIGTERM and output.read() and monotonic() < deadline:
            sleep(_POLL)
    with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing more can be done
        process.wait(grace)


class _Output:
    """Reads the pipe of a command without blocking, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self.kept = bytearray()
        self.dropped = 0

    def read(self) -> bool:
        """Take what is there, up to _READ_SIZE bytes; False once all writers have closed the pipe."""
        left = _READ_SIZE
        with suppress(BlockingIOError):
            while left > 0:
                data = os.read(self._pipe.fileno(), 1 << 16)
                if not data:
                    return False
                left -= len(data)
                room = MAX_OUTPUT - len(self.kept)
                self.kept += data[:room]
                self.dropped += len(data[room:])
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The content of one call of a hook."""

    job: str
    event: EventKind
    at: float
    paths: tuple[str, ...] = ()
    more: int = 0
    message: str = ""
    hint: str = ""

    def joined(self, later: Call) -> Call:
        """Both calls as one: the paths of both, the text of the later one."""
        return _bounded(later, dict.fromkeys((*self.paths, *later.paths)), self.more + later.more)

    def document(self) -> bytes:
        """The JSON document that the hook reads."""
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


def calls(job: str, events: Sequence[Event], *, at: float) -> list[Call]:
    """One call for each kind of event, with the text of the first event and the paths of all."""
    created = []
    for kind in dict.fromkeys(event.event for event in events):
        same = [event for event in events if event.event is kind]
        others = f" (the first of {len(same):,})" if len(same) > 1 else ""
        call = Call(job=job, event=kind, at=at, message=same[0].message + others, hint=same[0].hint)
        created.append(_bounded(call, dict.fromkeys(path for event in same for path in event.paths), 0))
    return created


def _bounded(call: Call, paths: dict[str, None], more: int) -> Call:
    every = tuple(paths)
    return replace(call, paths=every[:MAX_PATHS], more=more + len(every[MAX_PATHS:]))


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call that waits, and the command to run with it."""

    command: tuple[str, ...]
    call: Call
    pass_env: frozenset[str]


@dataclass(slots=True)
class _Lane:
    """The thread of one job and event, and the call that waits for it."""

    pending: _Pending | None = None
    thread: threading.Thread | None = None


class Hooks:
    """Runs hooks in the background. Every method may be called from any thread."""

    def __init__(self, *, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._stop = threading.Event()

    def call(
        self, command: Sequence[str], call: Call, *, lane: str = "", pass_env: Collection[str] = ()
    ) -> None:
        """Run the command with the call; returns at once.

        Calls of one job and `lane` (by default their event) run one after the other. `pass_env`: variables
        that the command gets beside the usual ones.
        """
        key = (call.job, lane or call.event.key)
        with self._lock:
            if self._stop.is_set() or not command:
                return
            mine = self._lanes.setdefault(key, _Lane())
            joined = mine.pending.call.joined(call) if mine.pending else call
            mine.pending = _Pending(tuple(command), joined, frozenset(pass_env))
            if mine.thread is None:
                mine.thread = threading.Thread(
                    target=self._work, args=(key,), name=f"hook {key}", daemon=True
                )
                mine.thread.start()

    def stop(self) -> None:
        """End what runs and drop what waits, within two seconds. No hook starts afterwards."""
        with self._lock:
            self._stop.set()
            threads = [lane.thread for lane in self._lanes.values() if lane.thread is not None]
        deadline = monotonic() + _STOP_TIMEOUT
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self, key: tuple[str, str]) -> None:
        """Run the calls of one lane until none waits."""
        while True:
            with self._lock:
                lane = self._lanes[key]
                pending, lane.pending = lane.pending, None
                if pending is None or self._stop.is_set():
                    del self._lanes[key]
                    return
            try:
                self._run(key[1], pending)
            except Exception:  # noqa: BLE001 - one bad call must not end the lane
                _log.exception("the hook %s of %s could not be run", key[1], key[0])

    def _run(self, name: str, pending: _Pending) -> None:
        call = pending.call
        result = run_command(
            pending.command,
            call.document(),
            timeouts=self._timeouts,
            stop=self._stop,
            environment={"SYNCER_EVENT": call.event.value, "SYNCER_JOB": call.job},
            pass_env=pending.pass_env,
        )
        text = " | ".join(line.strip() for line in result.output.splitlines() if line.strip())
        more = " …" if len(text) > _LOGGED_OUTPUT or result.dropped else ""
        _log.log(
            logging.WARNING if result.failure else logging.INFO,
            "%s: %s (%s) %s%s",
            call.job,
            name,
            printable(pending.command[0]),
            result.failure or "done",
            f"; it said: {text[:_LOGGED_OUTPUT]}{more}" if text else "",
        )
