"""A running `ssh`: bytes in, bytes out, its stderr kept for errors, ended with this process.

`ssh` ends by itself when its stdin is closed, which the kernel does when this process dies, even by
SIGKILL: the remote program reads its own stdin and ends at EOF. `ServerAliveInterval` ends it when the
network is dead. What is left for this module is a peer that is alive and silent: each read and write has a
time limit.
"""

from __future__ import annotations

import io
import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from syncer.errors import ConfigError, StoreError, TransientError
from syncer.stores.ssh.errors import SshEnd, missing_error, ssh_error

_log = logging.getLogger(__name__)

_KEPT = 4096  # bytes of stderr for messages
_LAST_WORDS = 2.0  # seconds for stderr to end after the process
_NOISY = 0.3  # seconds for a process to end that sent text: nothing else of it is worth waiting for
_GRACE = 2.0  # seconds between closing stdin, SIGTERM and SIGKILL
_PIPE = 1 << 20  # bytes that the kernel holds of a pipe, where it may


class SshProcess:
    """`arguments` is a command line of `command`. `host` and `program` are names for messages.

    One thread may read while others write; writers keep apart by themselves. Every failure is raised as the
    error that `errors.ssh_error` makes of the process's end.
    """

    def __init__(
        self, arguments: Sequence[str], *, host: str, program: str, own_session: bool, timeout: float
    ) -> None:
        """Start it. `own_session`: away from the terminal's Ctrl-C, for a daemon; prompts need the terminal.

        `timeout`: seconds for one read or write. Raises ConfigError where the program cannot be started.
        """
        self.host = host
        self.established = False  # set by the protocol once its first bytes arrived
        self._program = program
        self._timeout = timeout
        self._noise = b""
        self._stderr = bytearray()
        self._closed = False
        self._ending = threading.Lock()
        try:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                bufsize=0, start_new_session=own_session,
            )  # fmt: skip
        except OSError as error:
            raise missing_error(arguments[0]) from error
        # No thread may use a descriptor that another one has closed: its number may belong to another file by
        # then. So each pipe has a lock, which is taken for one system call, and for closing.
        self._reading, self._writing = threading.Lock(), threading.Lock()
        assert isinstance(self._process.stdin, io.FileIO) and isinstance(self._process.stdout, io.FileIO)
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for pipe in (self._stdin, self._stdout):
            _enlarge(pipe.fileno())
        os.set_blocking(self._stdin.fileno(), False)
        self._listener = threading.Thread(target=self._listen, name=f"ssh-stderr-{host}", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, size: int, timeout: float | None = None) -> bytes:
        """Between 1 and `size` bytes, b"" at the end. Waits `timeout` seconds (None: for ever)."""
        with self._reading:
            if self._stdout.closed:
                return b""
            if timeout is not None and not _ready(self._stdout, select.POLLIN, timeout):
                raise self._silent(timeout)
            return self._stdout.read(size) or b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """All of `data`. The caller sees to it that writes do not overlap."""
        rest = memoryview(data)
        try:
            while rest:
                with self._writing:
                    count = self._stdin.write(rest)  # None: the pipe is full
                if count is None and not _ready(self._stdin, select.POLLOUT, self._timeout):
                    raise self._silent(self._timeout)
                rest = rest[count or 0 :]
        except (OSError, ValueError) as error:  # ssh ended, or `close` in another thread
            raise self.failure() from error

    def failure(self, noise: bytes = b"") -> StoreError | ConfigError:
        """Why the process ended; it is ended if it still runs. `noise`: bytes instead of the protocol."""
        self._noise = self._noise or noise
        status: int | None = None
        try:
            status = self._process.wait(_NOISY if noise else _LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._end()
        self._listener.join(_LAST_WORDS)
        return ssh_error(
            SshEnd(
                host=self.host,
                status=status,
                stderr=bytes(self._stderr).decode("utf-8", "replace"),
                noise=self._noise,
                established=self.established,
                program=self._program,
            )
        )

    def kill(self) -> None:
        """End it at once; every read and write under way fails."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Close stdin, so that both ends finish, then make sure of it. May be called again."""
        with self._ending:
            if self._closed:
                return
            self._closed = True
        self._end()
        self._listener.join(_LAST_WORDS)
        # With ssh gone a read under way ends, unless a process that ssh left holds the pipe (it stays open).
        if self._reading.acquire(timeout=_LAST_WORDS):
            self._stdout.close()
            self._reading.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> None:
        try:
            with self._writing:
                self._stdin.close()
        except OSError:
            pass
        for step in (None, signal.SIGTERM, signal.SIGKILL):
            if step is not None:
                self._signal(step)
            try:
                self._process.wait(_GRACE)
                return
            except subprocess.TimeoutExpired:
                continue

    def _signal(self, signum: int) -> None:
        """To the process alone: its group may hold the user's ControlMaster, which serves others too."""
        self._process.send_signal(signum)

    def _silent(self, seconds: float) -> TransientError:
        self.kill()
        return TransientError(
            f"{self.host} did not answer for {seconds:g} s", hint="the connection was ended; run again"
        )

    def _listen(self) -> None:
        """Read stderr to its end: a full pipe would stop ssh (a thread of its own)."""
        assert self._process.stderr
        # Closed here, not by `close`: a process that ssh left (a ControlMaster) may hold the other end.
        with self._process.stderr as stream:
            while data := stream.read(_KEPT):
                self._stderr += data
                # The first bytes hold the texts that are looked for, the last ones are shown to a person.
                if len(self._stderr) > 4 * _KEPT:
                    del self._stderr[_KEPT : -2 * _KEPT]
                for line in data.decode("utf-8", "replace").splitlines():
                    _log.debug("ssh %s: %s", self.host, line.strip())


def _ready(pipe: io.FileIO, event: int, seconds: float) -> bool:
    """Whether the pipe can be read or written (or failed) within this time. Raises ValueError if closed."""
    poll = select.poll()
    poll.register(pipe.fileno(), event)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            return True
    return False


def _enlarge(descriptor: int) -> None:
    """Fewer changes between the processes where Linux gives a larger pipe."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
    except (AttributeError, OSError):  # another system, or the user's share of pipe memory is used up
        pass
