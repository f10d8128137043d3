"""State directory of the server: private to the user, locked by one running server.

It holds the keys, digests, attributes, block indexes, the trash, and uploads in progress.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import blake2b
from pathlib import Path

from syncer.errors import Busy, StateError

KEYS = "keys.json"


def default_state(state_home: Path, folder: Path) -> Path:
    """`serve/<16 hex digits of the real path>` under the directory of all of Syncer's state."""
    real = os.path.realpath(folder)
    return state_home / "serve" / blake2b(os.fsencode(real), digest_size=8).hexdigest()


def prepare(directory: Path) -> None:
    """Make the directory and its parents, for this user only. Raises StateError."""
    try:
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise StateError(f"{directory} cannot be used as state directory: {error.strerror}") from error


class StateDirLock:
    """An flock on the state directory; the kernel releases it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises Busy if another server holds it, StateError."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(directory / "lock", flags, 0o600)
        except OSError as error:
            raise StateError(f"{directory / 'lock'}: {error.strerror}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise Busy(
                f"another server serves this folder with the state directory {directory}",
                hint="stop it first, or give this one a --state of its own and another folder",
            ) from None

    def release(self) -> None:
        """Let another server take the directory."""
        os.close(self._fd)
