"""Removing directories in which nothing is left but content that never arrived, or only parts of it.

Around `directories.remove`: what a broken-off put left in a directory must not keep that from going.
A directory with anything else in it stays as it is, partials included.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncer.engine.model import Outcome, RelPath, Stale
from syncer.engine.ports import Results
from syncer.stores import directories, partial
from syncer.stores.ground import Ground
from syncer.stores.transfer import is_same


def remove(ground: Ground, paths: Sequence[RelPath]) -> Results:
    """See `engine.ports.Store.remove_directories`."""
    stale: dict[int, Outcome] = {}
    for index, outcome in directories.remove(ground, paths):
        if isinstance(outcome, Stale):
            stale[index] = outcome
        else:
            yield index, outcome
    for index, outcome in sorted(stale.items()):  # children first: one that goes may empty its parent
        yield index, _again(ground, paths[index]) or outcome


def _again(ground: Ground, path: RelPath) -> Outcome | None:
    """How the second try ended; None if there is no use in one."""
    if not _clear(ground, path):
        return None
    return dict(directories.remove(ground, [path]))[0]


def _clear(ground: Ground, path: RelPath) -> bool:
    """Takes what is nobody's out of a directory that holds nothing else; whether it is empty now."""
    try:
        with ground.cursor() as cursor:
            fd = cursor.enter(path)
            names = [name for name, _ in ground.fs.scan(fd)]
            if not all(ground.is_partial(name) or _is_abandoned(ground, name, fd) for name in names):
                return False
            return all(_discard(ground, name, fd) for name in names)
    except OSError:
        return False


def _is_abandoned(ground: Ground, name: str, dir_fd: int) -> bool:
    """Whether it is what a put made, and left when the directory was moved under it."""
    made = ground.abandoned.get(name)
    return made is not None and is_same(ground.fs, name, dir_fd, made)


def _discard(ground: Ground, name: str, dir_fd: int) -> bool:
    if ground.is_partial(name):
        return partial.discard(ground, name, dir_fd)
    ground.fs.unlink(name, dir_fd)
    ground.abandoned.pop(name, None)
    return True
