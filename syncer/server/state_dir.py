"""The server's state directory: private, and of one running server at a time.

It has the keys, digests, attributes, the trash and unfinished uploads. Nothing of the served folder is
touched.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Self

from syncer.errors import Busy
from syncer.state.directory import private_directory
from syncer.state.lock import FileLock

KEYS = "keys.json"


def default_state(state_home: Path, folder: Path) -> Path:
    """`serve/<16 hex digits of the real path>` under the directory of all of Syncer's state."""
    real = os.path.realpath(folder)
    return state_home / "serve" / blake2b(os.fsencode(real), digest_size=8).hexdigest()


def prepare(directory: Path) -> None:
    """Create the directory, and missing ones above it, for this user only. Raises StateError.

    Another user may own it: a server that runs as root is given one so.
    """
    hint = "name another directory with --state"
    private_directory(directory, purpose="the keys", hint=hint, own=False)


class StateDirLock(FileLock):
    """The lock of a server's state directory."""

    @classmethod
    def acquire(cls, directory: Path) -> Self:
        """Raises Busy if another server has the lock, StateError."""
        busy = Busy(
            f"another server serves this folder with the state directory {directory}",
            hint="stop it first, or give this one a --state of its own and another folder",
        )
        return cls(directory / "lock", busy=lambda _: busy)
