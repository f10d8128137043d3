"""Locks on files: one run at a time for a pair of roots, one daemon, one server for a state directory.

flock(2): the kernel drops a lock when its process dies, however it dies. So there is no stale lock, and no
guess about dead owners; what a lock file contains is for messages only, and counts only while the file is
locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from syncer.errors import Busy, StateError
from syncer.state.directory import prepare
from syncer.state.sqlite import translated

NAME: Final = "lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_UNABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_MAX_CONTENT = 4096  # bytes
_PAUSE = 0.05  # seconds between two tries


class FileLock:
    """An exclusive lock on a file, which is created (0600), until `release` or the end of the process."""

    def __init__(self, path: Path, *, busy: Callable[[bytes], Busy], timeout: float = 0.0) -> None:
        """Lock the file, trying for `timeout` seconds.

        `busy` makes the error that is raised if another process has the lock, of what that process wrote into
        the file. Raises StateError if the file cannot be created, or the file system has no locks.
        """
        self.path = path
        with translated(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags, 0o600)
        try:
            deadline = time.monotonic() + timeout
            while not _try_lock(self._descriptor, path, fcntl.LOCK_EX):
                if time.monotonic() >= deadline:
                    raise busy(os.pread(self._descriptor, _MAX_CONTENT, 0))
                time.sleep(_PAUSE)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, content: bytes) -> None:
        """Replace the content of the file, for others that find it locked. Raises StateError."""
        with translated(self.path):
            os.fchmod(self._descriptor, 0o600)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, content, 0)

    def release(self) -> None:
        """Unlock the file, which stays. Releasing again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class PairLock(FileLock):
    """The lock of a pair's directory: who has it may write the state database and both roots."""

    @classmethod
    def acquire(cls, directory: Path) -> Self:
        """Take the lock of a pair's directory, without waiting.

        Raises Busy (with process and time of the other run), StateError where locks do not work.
        """

        def busy(content: bytes) -> Busy:
            text = content.decode("ascii", "replace").strip()
            holder = f" ({text})" if text.startswith("process ") and text.isprintable() else ""
            return Busy(f"another run holds this job{holder}", hint="wait for it to end, or stop it")

        prepare(directory)
        lock = cls(directory / NAME, busy=busy)
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        with suppress(StateError):  # a full disk: only the message of another run lacks it
            lock.write(f"process {os.getpid()}, since {moment}\n".encode())
        return lock


def content_if_locked(path: Path) -> bytes | None:
    """What the process that has a lock wrote into the file; None if no process has it. Creates nothing.

    The question takes a shared lock for an instant: who acquires the lock must try for longer than that.
    Raises StateError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None
    try:
        with translated(path):
            if _try_lock(descriptor, path, fcntl.LOCK_SH):
                return None
            return os.pread(descriptor, _MAX_CONTENT, 0)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path, kind: int) -> bool:
    """False if another process has the lock. Raises StateError."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        hint = "name a folder on a local disk as state_dir" if error.errno in _UNABLE else ""
        raise StateError(f"cannot lock {path}: {error.strerror}", hint=hint) from error
    return True
