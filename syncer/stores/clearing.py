"""Removing directories in which nothing is left but parts of content that never arrived.

Around `directories.remove`: what a broken-off put left in a directory must not keep that from going.
A directory with anything else in it stays as it is, partials included.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncer.engine.model import Outcome, RelPath, Stale
from syncer.engine.ports import Results
from syncer.stores import directories, partial
from syncer.stores.ground import Ground


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
    """Takes our partials out of a directory that holds nothing else; whether it is empty now."""
    try:
        with ground.cursor() as cursor:
            fd = cursor.enter(path)
            names = [name for name, _ in ground.fs.scan(fd)]
            if not all(map(ground.is_partial, names)):
                return False
            return all(partial.discard(ground, name, fd) for name in names)
    except OSError:
        return False
