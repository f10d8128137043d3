"""The state directory of a pair of roots, named by a hash of both identities.

The state belongs to the pair, not to the name of the job: a renamed job finds it again, a job with other
roots finds none. A pair whose roots were moved or whose account was changed is found by its markers: see
`relocation`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from syncer.config import JobSettings, Settings
from syncer.engine.model import Side
from syncer.errors import StateError

ID = "id"  # the file that has a pair's id where its directory has another name
CACHE = "cache"  # what a store keeps between runs, and may lose
_ID = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDirectory:
    """A pair's directory below the state directory.

    `id` is 16 hex digits: the directory's name, or what it was called when the pair was new.
    """

    id: str
    directory: Path

    @property
    def known(self) -> bool:
        """Whether a run was ever started for this pair."""
        return os.path.lexists(self.directory / "state.db")

    def keeping(self, side: Side) -> Path:
        """The trash directory of a side that is on the same file system."""
        return self.directory / str(side.value)


def place_of(settings: Settings, job: JobSettings) -> PairDirectory:
    """The state directory of the pair of a job; it may not exist yet."""
    key = f"{local_identity(job)}\0{remote_identity(settings, job)}"
    name = blake2b(os.fsencode(key), digest_size=8).hexdigest()
    return place_at(settings.state_dir / "pairs" / name)


def place_at(directory: Path) -> PairDirectory:
    """The pair whose state is in this directory. Raises StateError."""
    try:
        named = (directory / ID).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        named = ""
    except OSError as error:
        raise StateError(f"{directory / ID}: cannot be read: {error.strerror}") from error
    return PairDirectory(id=named if _ID.fullmatch(named) else directory.name, directory=directory)


def local_identity(job: JobSettings) -> str:
    """The local root with its symlinks resolved."""
    return f"local:{os.path.realpath(job.local)}"


def remote_identity(settings: Settings, job: JobSettings) -> str:
    """The remote root without secrets; of a service by what its account points at, not by its name."""
    if job.remote.folder:
        return f"local:{os.path.realpath(job.remote.folder)}"
    account = settings.accounts[job.remote.account]
    return f"{account.identity}/{job.remote.path}"
