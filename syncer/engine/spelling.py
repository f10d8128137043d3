"""Paths during renames that change only case or Unicode form: as they will be, and as each side has them.

A rename that changed nothing but case or Unicode form is followed before anything else is done
(`engine.name_matching` finds it). What is decided below such a directory has the paths that hold
afterwards; until then a side that tells names apart, and the base, have it by the old ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncer.engine import paths
from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    SIDES,
    BaseEntry,
    BlockedEntry,
    Entry,
    Listing,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.reconciliation import Snapshots
from syncer.engine.refusals import Refusal

Paths = dict[RelPath, RelPath]


class Respelt:
    """Wraps `Snapshots`: asked by new paths, it asks each side and the base by the paths they have now."""

    def __init__(self, sight: Snapshots) -> None:
        self._sight = sight
        self._known: Paths = {}  # new path -> path in the base
        self._renamed: Paths = {}  # path in the base -> new path
        self._there: dict[Side, Paths] = {side: {} for side in SIDES}  # by side: new path -> path there now

    def note(
        self, directory: RelPath, name: str, *, known: str = "", behind: Side | None, spelling: str
    ) -> None:
        """Note a name that is spelt otherwise in the base (`known`), and on the side that is `behind`."""
        path = paths.join(directory, name)
        if known:
            old = paths.join(_before(self._known, directory), known)
            self._known[path] = old
            self._renamed[old] = path
        if behind is not None:
            self._there[behind][path] = paths.join(self.at(behind, directory), spelling)

    def spelt(self, path: RelPath) -> RelPath:
        """The path that a path of the base will have after the renames."""
        return _before(self._renamed, path)

    def at(self, side: Side, path: RelPath) -> RelPath:
        """The path that the side still has for a new path."""
        return _before(self._there[side], path)

    @property
    def capabilities(self) -> Mapping[Side, Capabilities]:
        return self._sight.capabilities

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        return self._sight.rows(_before(self._known, directory))

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        return self._sight.list(side, self.at(side, directory))

    def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return self._sight.left_out(side, [self.at(side, path) for path in paths])

    def digests(self, side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        return self._sight.digests(side, [(self.at(side, path), entry) for path, entry in wanted])

    def refusal(self, side: Side, path: RelPath) -> Refusal | None:
        return self._sight.refusal(side, path)

    def is_mount(self, side: Side, path: RelPath) -> bool:
        return self._sight.is_mount(side, self.at(side, path))


def _before(renamed: Paths, path: RelPath) -> RelPath:
    """The path with the part of it that was renamed replaced; mostly nothing is."""
    if not renamed:
        return path
    top = next((up for up in paths.upwards(path) if up in renamed), None)
    return path if top is None else renamed[top] + path[len(top) :]
