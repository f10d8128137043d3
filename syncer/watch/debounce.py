"""When a run is due after something happened, and where it has to look: news gathered until there is quiet.

Pure: the caller says what time it is. Both sides are gathered apart, each with its own quiet. What is
gathered stays small: where too much happens, single directories become the trees they stand in.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from syncer.engine.model import RelPath
from syncer.engine.paths import depth, upwards
from syncer.engine.scope import EVERYWHERE, NOWHERE, Places, Scope

QUIET = 0.2  # seconds without news after which a run begins
MOST = 5.0  # seconds after the first news at which it begins in any case
CALM = 2.0  # times the quiet: a place that was quiet for so long does not wait for others that are not
_TOGETHER = 4  # places told at once, up to which one is not looked at without the others
_MANY = 10_000  # places of one side


class Debouncer:
    """What happened since the last run. Times are monotonic seconds, going up."""

    def __init__(self, quiet: float = QUIET, most: float = MOST, many: int = _MANY) -> None:
        self._quiet = quiet
        self._most = most
        self._local, self._remote = _Side(many), _Side(many)

    def add(self, scope: Scope, now: float, *, settled: bool = False) -> None:
        """Something happened. `settled`: who says so has gathered already, there is nothing to wait for."""
        for side, places in ((self._local, scope.local), (self._remote, scope.remote)):
            if places:
                side.add(places, now)
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
    """Places in the order of their last news: who is quiet for long enough need not wait for who is not."""

    def __init__(self, many: int) -> None:
        self._many = many
        self._directories: dict[RelPath, _News] = {}
        self._trees: dict[RelPath, _News] = {}
        self._together: dict[RelPath, set[RelPath]] = {}  # told at once: perhaps the two ends of a rename
        self._quiet = self._most = 0.0
        self._first: float | None = None
        self._due: float | None = None

    def __len__(self) -> int:
        return len(self._directories) + len(self._trees)

    @property
    def due(self) -> float | None:
        """When all of it is, or a place of it was quiet for so long that it need not wait for others."""
        if self._due is None or self._first is None:
            return self._due
        calm = [
            news.last for places in (self._directories, self._trees) for news in islice(places.values(), 1)
        ]
        return min(self._due, min(calm) + CALM * self._quiet)

    def wait(self, now: float, quiet: float, most: float) -> None:
        """Until there was quiet for so long, but never beyond `most`, nor longer than was settled already."""
        settled = self._due is not None and self._first is None
        if quiet <= 0 or settled:
            self._due, self._first = now if self._due is None else min(now, self._due), None
            return
        self._first = now if self._first is None else self._first
        self._quiet, self._most = quiet, most
        self._due = min(now + quiet, self._first + most)

    def add(self, places: Places, now: float) -> None:
        """Where; what a tree holds already, adds nothing but that the tree is not quiet."""
        noted: set[RelPath] = set()
        for path in places.trees:
            holder = _holder(path, self._trees)
            noted.add(_touch(self._trees, path if holder is None else holder, now))
        for path in places.directories:
            holder = _holder(path, self._trees)
            kept = self._directories if holder is None else self._trees
            noted.add(_touch(kept, path if holder is None else holder, now))
        if 1 < len(noted) <= _TOGETHER:
            for path in noted:
                self._together.setdefault(path, set()).update(noted)
        if len(self) > self._many:
            self._thin()
            if len(self) > self._many:
                self._collapse(now)

    def take(self, now: float | None) -> Places:
        """All of it, if it is due; else what is quiet."""
        if self.due is None or (now is not None and self.due > now):
            return NOWHERE
        self._thin()
        if now is None or self._due is None or self._due <= now:
            places = Places(directories=frozenset(self._directories), trees=frozenset(self._trees))
            self._directories, self._trees, self._together = {}, {}, {}
            self._first = self._due = None
        else:
            places = self._take_quiet(now - self._quiet)
        return EVERYWHERE if places.everywhere else places

    def _take_quiet(self, until: float) -> Places:
        """What had no news since then, and what was told together with that."""
        both = (self._directories, self._trees)
        quiet = {path for places in both for path, news in places.items() if news.last <= until}
        quiet |= {other for path in quiet for other in self._together.pop(path, ())}
        taken = [frozenset(path for path in places if path in quiet) for places in both]
        for places in both:
            for path in quiet & places.keys():
                del places[path]
        left = (*self._directories.values(), *self._trees.values())
        self._first = min((news.first for news in left), default=None)
        if self._first is None:
            self._due = None
        else:
            self._due = min(max(news.last for news in left) + self._quiet, self._first + self._most)
        return Places(directories=taken[0], trees=taken[1])

    def _thin(self) -> None:
        """Leaves out what lies in a tree that came later."""
        self._trees = {
            t: n
            for t, n in self._trees.items()
            if not t or _holder(t.rpartition("/")[0], self._trees) is None
        }
        self._directories = {d: n for d, n in self._directories.items() if _holder(d, self._trees) is None}

    def _collapse(self, now: float) -> None:
        """Trees in place of the deepest directories, of the deepest common parents that are few enough."""
        deepest = max(map(depth, (*self._directories, *self._trees)))
        for level in reversed(range(deepest)):
            trees = {_cut(t, level) for t in self._trees} | {
                _cut(d, level) for d in self._directories if depth(d) > level
            }
            first = self._first if self._first is not None else now
            self._trees = {t: _News(first, now) for t in trees}
            self._thin()
            if len(self) <= self._many // 2:
                return


class _News(NamedTuple):
    """When something happened at a place, for the first time and the last."""

    first: float
    last: float


def _touch(places: dict[RelPath, _News], path: RelPath, now: float) -> RelPath:
    """Something happened there: it moves behind all others."""
    before = places.pop(path, None)
    places[path] = _News(now if before is None else before.first, now)
    return path


def _cut(path: RelPath, level: int) -> RelPath:
    return "/".join(path.split("/")[:level])


def _holder(path: RelPath, trees: Mapping[RelPath, object]) -> RelPath | None:
    """The tree that is the path, or holds it."""
    return next((up for up in upwards(path) if up in trees), None) if trees else None
