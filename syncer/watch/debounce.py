"""Debounce: gathers reported changes until they settle, and says when a run is due and what it has to scan.

Pure: the caller passes the time. The two sides are debounced separately. Memory is bounded: where too much
changes, single directories are replaced by the trees that contain them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from syncer.engine.model import RelPath
from syncer.engine.paths import depth, upwards
from syncer.engine.scope import EVERYWHERE, NOWHERE, Places, Scope

QUIET = 0.2  # seconds without changes after which a run is due
MOST = 5.0  # seconds after the first change at which it is due in any case
CALM = 2.0  # multiple of QUIET after which a settled place does not wait for others that still change
_TOGETHER = 4  # up to so many places reported at once are scanned together: perhaps a rename
_MANY = 10_000  # places of one side


class Debouncer:
    """The changes since the last run. Times are monotonic seconds."""

    def __init__(self, quiet: float = QUIET, most: float = MOST, many: int = _MANY) -> None:
        self._quiet = quiet
        self._most = most
        self._local, self._remote = _Side(many), _Side(many)

    def add(self, scope: Scope, now: float, *, settled: bool = False) -> None:
        """Changes were reported. `settled`: the reporter has debounced them already."""
        for side, places in ((self._local, scope.local), (self._remote, scope.remote)):
            if places:
                side.add(places, now)
                side.wait(now, 0.0 if settled else self._quiet, self._most)

    @property
    def due(self) -> float | None:
        """When a run is due; None without changes."""
        times = [side.due for side in (self._local, self._remote) if side.due is not None]
        return min(times, default=None)

    @property
    def waiting(self) -> int:
        """Number of directories and trees that will be scanned."""
        return len(self._local) + len(self._remote)

    def take(self, now: float | None = None) -> Scope:
        """Remove and return what was gathered: all, or with `now` only what is due by then."""
        return Scope(local=self._local.take(now), remote=self._remote.take(now))


class _Side:
    """The places of one side, in the order of their last change, so that the most settled one is first."""

    def __init__(self, many: int) -> None:
        self._many = many
        self._directories: dict[RelPath, _Times] = {}
        self._trees: dict[RelPath, _Times] = {}
        self._together: dict[RelPath, set[RelPath]] = {}  # reported at once: perhaps both ends of a rename
        self._quiet = self._most = 0.0
        self._first: float | None = None
        self._due: float | None = None

    def __len__(self) -> int:
        return len(self._directories) + len(self._trees)

    @property
    def due(self) -> float | None:
        """When everything is due, or before that the first place that settled CALM times as long."""
        if self._due is None or self._first is None:
            return self._due
        calm = [
            news.last for places in (self._directories, self._trees) for news in islice(places.values(), 1)
        ]
        return min(self._due, min(calm) + CALM * self._quiet)

    def wait(self, now: float, quiet: float, most: float) -> None:
        """Set the due time: after `quiet` seconds, at most `most` after the first change."""
        # `_first` None with a due time: something settled is due already, and may not be postponed again.
        settled = self._due is not None and self._first is None
        if quiet <= 0 or settled:
            self._due, self._first = now if self._due is None else min(now, self._due), None
            return
        self._first = now if self._first is None else self._first
        self._quiet, self._most = quiet, most
        self._due = min(now + quiet, self._first + most)

    def add(self, places: Places, now: float) -> None:
        """Record places. One inside a recorded tree only postpones the tree."""
        noted: set[RelPath] = set()
        for path in places.trees:
            holder = _holder(path, self._trees)
            noted.add(_touch(self._trees, path if holder is None else holder, now))
        for path in places.directories:
            holder = _holder(path, self._trees)
            kept = self._directories if holder is None else self._trees
            noted.add(_touch(kept, path if holder is None else holder, now))
        # A few places in one report may be both ends of a rename; more of them are an unrelated batch.
        if 1 < len(noted) <= _TOGETHER:
            for path in noted:
                self._together.setdefault(path, set()).update(noted)
        if len(self) > self._many:
            self._thin()
            if len(self) > self._many:
                self._collapse(now)

    def take(self, now: float | None) -> Places:
        """Everything if it is due, else only the places that have settled."""
        if self.due is None or (now is not None and self.due > now):
            return NOWHERE
        self._thin()
        if now is None or self._due is None or self._due <= now:
            places = Places(directories=frozenset(self._directories), trees=frozenset(self._trees))
            self._directories, self._trees, self._together = {}, {}, {}
            self._first = self._due = None
        else:
            # Only what has settled, together with what was reported at the same time: a run over one end of a
            # rename alone would see a deletion or a new file.
            places = self._take_quiet(now - self._quiet)
        return EVERYWHERE if places.everywhere else places

    def _take_quiet(self, until: float) -> Places:
        """The places without a change since then, and those reported together with them."""
        both = (self._directories, self._trees)
        quiet = {path for places in both for path, news in places.items() if news.last <= until}
        quiet |= {other for path in quiet for other in self._together.pop(path, ())}
        taken = [frozenset(path for path in places if path in quiet) for places in both]
        for places in both:
            for path in quiet & places.keys():
                del places[path]
        # What remains keeps its deadline: a writer that never pauses is scanned `most` after its first
        # change.
        left = (*self._directories.values(), *self._trees.values())
        self._first = min((news.first for news in left), default=None)
        if self._first is None:
            self._due = None
        else:
            self._due = min(max(news.last for news in left) + self._quiet, self._first + self._most)
        return Places(directories=taken[0], trees=taken[1])

    def _thin(self) -> None:
        """Drop places inside a tree that was recorded later."""
        self._trees = {
            t: n
            for t, n in self._trees.items()
            if not t or _holder(t.rpartition("/")[0], self._trees) is None
        }
        self._directories = {d: n for d, n in self._directories.items() if _holder(d, self._trees) is None}

    def _collapse(self, now: float) -> None:
        """Replace the deepest places by trees, level by level, until they are few enough."""
        # A tree covers everything below it, so that replacing places by trees never loses one: it only widens
        # the scan. Half of the bound is left free, so that the next reports do not collapse it again.
        deepest = max(map(depth, (*self._directories, *self._trees)))
        for level in reversed(range(deepest)):
            trees = {_cut(t, level) for t in self._trees} | {
                _cut(d, level) for d in self._directories if depth(d) > level
            }
            first = self._first if self._first is not None else now
            self._trees = {t: _Times(first, now) for t in trees}
            self._thin()
            if len(self) <= self._many // 2:
                return


class _Times(NamedTuple):
    """Times of the first and the last change of a place."""

    first: float
    last: float


def _touch(places: dict[RelPath, _Times], path: RelPath, now: float) -> RelPath:
    """Record a change of a place, which moves it to the end."""
    before = places.pop(path, None)
    places[path] = _Times(now if before is None else before.first, now)
    return path


def _cut(path: RelPath, level: int) -> RelPath:
    return "/".join(path.split("/")[:level])


def _holder(path: RelPath, trees: Mapping[RelPath, object]) -> RelPath | None:
    """The tree that is the path or contains it, or None."""
    return next((up for up in upwards(path) if up in trees), None) if trees else None
