"""A foreign command run to its end, whatever it does: bounded in time and in what is kept of its output.

What it is told stands in an unlinked file, not in a pipe: a command that never reads holds nobody up.
It gets a process group of its own, and when its time is over, or ours is, the group goes with it.
What it leaves in the background when it ends by itself is its own affair, and is not waited for.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from syncer.engine.ports import Clock

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
