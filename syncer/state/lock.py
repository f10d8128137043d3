"""One run at a time per pair of roots: an flock on a file beside the database.

The kernel drops it when the process dies, however it dies, so there is no stale lock and no
guess about dead owners (flock(2)). What the file says is for the message only.
"""

from __future__ import annotations

import errno
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncer.errors import Busy, StateError
from syncer.state.directory import prepare
from syncer.state.sqlite import translated

NAME: Final = "lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_UNABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class PairLock:
    """Held from `acquire` to `release` (or the end of the process)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> PairLock:
        """Take the lock of a pair's directory, without waiting.

        Raises Busy (saying who holds it), StateError where locks do not work.
        """
        prepare(directory)
        path = directory / NAME
        with translated(path):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
        try:
            _lock(descriptor, path)
            _sign(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let the next one in. Releasing again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> PairLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise Busy(
                f"another run holds this job{_holder(descriptor)}", hint="wait for it to end, or stop it"
            ) from error
        hint = "name a folder on a local disk as state_dir" if error.errno in _UNABLE else ""
        raise StateError(f"cannot lock {path}: {error.strerror}", hint=hint) from error


def _sign(descriptor: int) -> None:
    """Who we are, for the message of the one who comes second; a full disk must not stop a run here."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    try:
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, since {moment}\n".encode(), 0)
    except OSError:
        return


def _holder(descriptor: int) -> str:
    """What the holder wrote, if it is what we would have written."""
    text = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip()
    return f" ({text})" if text.startswith("process ") and text.isprintable() else ""
