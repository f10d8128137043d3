"""The states of all pairs of roots, for `syncer pairs`: list them with their sizes, and forget one.

Forgetting a pair loses no file: its next run merges both sides as a first run does. Its trash, which has
files of the user, is kept unless that is asked for as well.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syncer.config import Settings
from syncer.engine.model import Side
from syncer.errors import StateError
from syncer.jobs import relocation
from syncer.jobs.state_dir import PairDirectory
from syncer.state import NAME, PairLock

_TRASH = "trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairState:
    """One pair. `jobs` are those of the config that have it; the roots are "" where a version before this one
    wrote last. Sizes in bytes; `trash` is part of `size`. `used`: seconds since 1970.
    """

    place: PairDirectory
    local: str
    remote: str
    jobs: tuple[str, ...]
    used: float
    size: int
    trash: int


def all_of(settings: Settings) -> list[PairState]:
    """All pairs, the most recently used first. Raises StateError."""
    return list(_all_of(settings))


def _all_of(settings: Settings) -> Iterator[PairState]:
    named: dict[Path, list[str]] = {}
    for job in settings.jobs.values():
        place = relocation.seen_from_here(settings, job)
        named.setdefault(place.directory, []).append(job.name)
    for one in relocation.known(settings.state_dir):
        directory = one.place.directory
        yield PairState(
            place=one.place,
            local=one.texts[Side.LOCAL],
            remote=one.texts[Side.REMOTE],
            jobs=tuple(named.get(directory, ())),
            used=one.used_ns / 1e9,
            size=_size(directory),
            trash=sum(_size(place) for place in _trashes(directory)),
        )


def forget(memory: PairState, *, trash: bool) -> None:
    """Remove what is known of a pair, and its trash if that is wanted. Raises Busy, StateError."""
    directory = memory.place.directory
    with PairLock.acquire(directory):
        try:
            (directory / NAME).unlink(missing_ok=True)  # first: without it the rest says nothing
            for entry in list(directory.iterdir()):
                _remove(entry, trash=trash)
        except OSError as error:
            raise StateError(f"{directory}: cannot be removed: {error.strerror}") from error
    if trash:
        shutil.rmtree(directory, ignore_errors=True)


def _remove(entry: Path, *, trash: bool) -> None:
    if entry.name in {side.value for side in Side}:
        if trash:
            shutil.rmtree(entry)
    elif entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    elif entry.name.startswith(NAME):
        entry.unlink(missing_ok=True)


def _trashes(directory: Path) -> list[Path]:
    return [directory / side.value / _TRASH for side in Side]


def _size(directory: Path) -> int:
    """Bytes of all files below, as far as they can be seen."""
    found = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                found += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return found
