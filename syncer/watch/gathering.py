"""When a run is due after something happened, and where it has to look: news gathered until there is quiet.

Pure: the caller says what time it is. Both sides are gathered apart, each with its own quiet. What is
gathered stays small: where too much happens, single directories become the trees they stand in.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncer.engine.model import RelPath
from syncer.engine.paths import depth
from syncer.engine.scope import EVERYWHERE, NOWHERE, Places, Scope

QUIET = 0.2  # seconds without news after which a run begins
MOST = 5.0  # seconds after the first news at which it begins in any case
_MANY = 10_000  # places of one side


class Gathering:
    """What happened since the last run. Times are monotonic seconds, going up."""

    def __init__(self, quiet: float = QUIET, most: float = MOST, many: int = _MANY) -> None:
        self._quiet = quiet
        self._most = most
        self._local, self._remote = _Side(many), _Side(many)

    def add(self, scope: Scope, now: float, *, settled: bool = False) -> None:
        """Something happened. `settled`: who says so has gathered already, there is nothing to wait for."""
        for side, places in ((self._local, scope.local), (self._remote, scope.remote)):
            if places:
                side.add(places)
                side.wait(now, 0.0 if settled else self._quiet, self._most)

    @property
    def due(self) -> float | None:
        """When to run; None if nothing happened."""
        times = [side.due for side in (self._local, self._remote) if side.due is not None]
        return min(times, default=None)

    @property
    def waiting(self) -> int:
        """How many places will be looked at."""
        return len(self._local) + len(self._remote)

    def take(self, now: float | None = None) -> Scope:
        """What was gathered, or of it only the sides that are due at that time; then it is no longer here."""
        return Scope(local=self._local.take(now), remote=self._remote.take(now))


class _Side:
    def __init__(self, many: int) -> None:
        self._many = many
        self._directories: set[RelPath] = set()
        self._trees: set[RelPath] = set()
        self._first: float | None = None
        self.due: float | None = None

    def __len__(self) -> int:
        return len(self._directories) + len(self._trees)

    def wait(self, now: float, quiet: float, most: float) -> None:
        """Until there was quiet for so long, but never beyond `most`, nor longer than was settled already."""
        settled = self.due is not None and self._first is None
        if quiet <= 0 or settled:
            self.due, self._first = now if self.due is None else min(now, self.due), None
            return
        self._first = now if self._first is None else self._first
        self.due = min(now + quiet, self._first + most)

    def add(self, places: Places) -> None:
        """Where; what a tree holds already, adds nothing."""
        self._trees.update(t for t in places.trees if not _within(t, self._trees))
        self._directories.update(d for d in places.directories if not _within(d, self._trees))
        if len(self) > self._many:
            self._thin()
            if len(self) > self._many:
                self._collapse()

    def take(self, now: float | None) -> Places:
        """All of it, if it is due."""
        if self.due is None or (now is not None and self.due > now):
            return NOWHERE
        self._thin()
        places = Places(directories=frozenset(self._directories), trees=frozenset(self._trees))
        self._directories, self._trees = set(), set()
        self._first = self.due = None
        return EVERYWHERE if places.everywhere else places

    def _thin(self) -> None:
        """Leaves out what lies in a tree that came later."""
        self._trees = {t for t in self._trees if not _within(t.rpartition("/")[0], self._trees) or not t}
        self._directories = {d for d in self._directories if not _within(d, self._trees)}

    def _collapse(self) -> None:
        """Trees in place of the deepest directories, of the deepest common parents that are few enough."""
        deepest = max(map(depth, (*self._directories, *self._trees)))
        for level in reversed(range(deepest)):
            self._trees = {_cut(t, level) for t in self._trees} | {
                _cut(d, level) for d in self._directories if depth(d) > level
            }
            self._thin()
            if len(self) <= self._many // 2:
                return


def _cut(path: RelPath, level: int) -> RelPath:
    return "/".join(path.split("/")[:level])


def _within(path: RelPath, trees: Iterable[RelPath] | set[RelPath]) -> bool:
    """Whether the path is one of the trees, or below one."""
    if not trees:
        return False
    while path:
        if path in trees:
            return True
        path = path.rpartition("/")[0]
    return "" in trees
