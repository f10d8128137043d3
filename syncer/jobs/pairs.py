"""The identity of a pair of roots, and where its state lives.

The memory belongs to the pair, not to the job's name: a renamed job finds it again, a
job that is pointed elsewhere finds none. Nothing is opened or made here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from syncer.config import JobSettings, Settings
from syncer.engine.model import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A pair's directory below the state directory. `id` is 16 hex digits."""

    id: str
    directory: Path

    @property
    def known(self) -> bool:
        """Whether a run was ever begun for this pair."""
        return os.path.lexists(self.directory / "state.db")

    def keeping(self, side: Side) -> Path:
        """Where a side on the same file system has its trash."""
        return self.directory / str(side.value)


def place_of(settings: Settings, job: JobSettings) -> Place:
    """Where the state of a job's pair is, or will be."""
    key = f"{local_identity(job)}\0{remote_identity(settings, job)}"
    name = blake2b(os.fsencode(key), digest_size=8).hexdigest()
    return Place(id=name, directory=settings.state_dir / "pairs" / name)


def local_identity(job: JobSettings) -> str:
    """The local root with its symlinks resolved."""
    return f"local:{os.path.realpath(job.local)}"


def remote_identity(settings: Settings, job: JobSettings) -> str:
    """The remote without secrets; a service is known by what its account points at, not by its name."""
    if job.remote.folder:
        return f"local:{os.path.realpath(job.remote.folder)}"
    account = settings.accounts[job.remote.account]
    return f"{account.identity}/{job.remote.path}"
