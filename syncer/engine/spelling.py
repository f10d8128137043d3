"""Paths during renames that change only case or Unicode form: as they will be, and as each side has them.

A rename that changed nothing but case or Unicode form is followed before anything else is done
(`engine.name_matching` finds it). What is decided below such a directory has the paths that hold
afterwards; until then a side that tells names apart, and the memory, have it by the old ones.
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
    """A `Snapshots` that is asked by the paths that will be."""

    def __init__(self, sight: Snapshots) -> None:
        self._sight = sight
        self._known: Paths = {}  # by the path that will be: how the memory has it
        self._renamed: Paths = {}  # the same the other way round
        self._there: dict[Side, Paths] = {side: {} for side in SIDES}  # how a side has it

    def note(
        self, directory: RelPath, name: str, *, known: str = "", behind: Side | None, spelling: str
    ) -> None:
        """The name is spelt otherwise in the memory (`known`), and on the side that is `behind`."""
        path = paths.join(directory, name)
        if known:
            old = paths.join(_before(self._known, directory), known)
            self._known[path] = old
            self._renamed[old] = path
        if behind is not None:
            self._there[behind][path] = paths.join(self.at(behind, directory), spelling)

    def spelt(self, path: RelPath) -> RelPath:
        """How a path that the memory has will be spelt."""
        return _before(self._renamed, path)

    def at(self, side: Side, path: RelPath) -> RelPath:
        """How the side still has the path."""
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
