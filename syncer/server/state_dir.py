"""State directory of the server: private to the user, locked by one running server.

It holds the keys, digests, attributes, block indexes, the trash, and uploads in progress.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from syncer.errors import Busy
from syncer.state.directory import private_directory
from syncer.state.lock import FileLock

KEYS = "keys.json"


def default_state(state_home: Path, folder: Path) -> Path:
    """`serve/<16 hex digits of the real path>` under the directory of all of Syncer's state."""
    real = os.path.realpath(folder)
    return state_home / "serve" / blake2b(os.fsencode(real), digest_size=8).hexdigest()


def prepare(directory: Path) -> None:
    """Make the directory and its parents, for this user only. Raises StateError.

    Another user may own it: root may serve with the directory of a user.
    """
    hint = "name another directory with --state"
    private_directory(directory, purpose="the keys", hint=hint, own=False)


class StateDirLock(FileLock):
    """An flock on the state directory; the kernel releases it when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises Busy if another server holds it, StateError."""
        busy = Busy(
            f"another server serves this folder with the state directory {directory}",
            hint="stop it first, or give this one a --state of its own and another folder",
        )
        super().__init__(directory / "lock", busy=lambda _: busy)
