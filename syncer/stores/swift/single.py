"""Single directories, each by a listing of its own that shows what stands right in it.

Asked for where a few directories of many are meant. What is known of a directory is laid beside its listing
just as it is for a whole root: absence is concluded from the objects themselves (see `overlay`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncer.engine.model import Listing, Obstacle, RelPath, Trouble
from syncer.stores.swift.cutting import DIRECTORY, Cutter, too_many
from syncer.stores.swift.learning import Crew, Learner
from syncer.stores.swift.listing import pages
from syncer.stores.swift.names import wrong
from syncer.stores.swift.objects import Objects, Row
from syncer.stores.swift.overlay import Overlay, Shown, strange

MOST = 50  # directories that are asked for one by one
_PAGE = 10_000  # rows of a listing that come at once, nearly everywhere
_MOST_ROWS = 300_000  # of one directory
_ROWS = 500  # of them take as long as another request


@dataclass(frozen=True, slots=True)
class Singles:
    """`overlay` makes a fresh `Overlay` for each look."""

    learner: Learner
    crew: Crew
    overlay: Callable[[], Overlay]

    def cheaper(self, paths: Sequence[RelPath]) -> bool:
        """Whether to ask for each takes less than a listing of all that is known."""
        known = self.learner.known
        total = known.count()
        requests = total / _PAGE + 1 - 2 * len(paths)  # that it saves; the last page of each is an empty one
        room = int(requests * _ROWS) + total  # rows that they may have
        if len(paths) > MOST or room <= 0:
            return False
        for path in paths:
            room -= known.heads(self._prefix(path), room + 1)
            if room < 0:
                return False
        return True

    def look(self, paths: Sequence[RelPath]) -> Mapping[RelPath, Listing | None]:
        """What stands in each, None where there is no such directory; a second look where one raised doubts.

        Raises NotFound where there is no container, StoreError.
        """
        found: dict[RelPath, Listing | None] = {}
        doubted: list[RelPath] = [path for path in paths if not wrong(path)]
        for last in (False, True):
            overlay, unsure = self.overlay(), []
            for path, rows in zip(doubted, self.crew.each(self._rows, doubted), strict=True):
                before = len(overlay.unsure)
                found[path] = self._judged(path, rows, overlay)
                if len(overlay.unsure) > before:
                    unsure.append(path)
            doubted = unsure
            if last or not doubted:
                break
            overlay.clock.sleep(overlay.grace())
        return {path: found.get(path) for path in paths}

    def _rows(self, path: RelPath) -> list[Row]:
        found: list[Row] = []
        for page in pages(self._objects, self._prefix(path), delimiter="/"):
            found += page
            if len(found) > _MOST_ROWS:
                raise too_many(path)
        return found

    def _judged(self, path: RelPath, rows: Sequence[Row], overlay: Overlay) -> Listing | None:
        """Laid beside what is known; an empty directory is there by its marker."""
        prefix, place = self._prefix(path), self._objects.place
        below = {row.name for row in rows if row.is_prefix and row.name != place.private}
        files = [row for row in rows if not row.is_prefix]
        cutter, root = Cutter(), place.path(prefix)
        # Of directories below only those that are not listed are in doubt.
        shown = overlay.page(files, self.learner.known.below(prefix, but=below))
        for name, seen in sorted([*shown, *self._implied(below)], key=lambda one: one[0].encode()):
            for _ in cutter.add((name.removeprefix(root), seen)):
                pass
        listing = [found for _, found in cutter.end()][-1]
        if path and not listing.entries and not self.learner.stands(place.name(path)):
            return None
        return listing

    def _implied(self, below: set[str]) -> Iterator[Shown]:
        """Directories that are there by what is below them."""
        for name in below:
            path = self._objects.place.path(name)
            why = strange(path.removesuffix("/"))
            yield (path, Obstacle(Trouble.UNSAFE_NAME, why)) if why else (path, DIRECTORY)

    def _prefix(self, path: RelPath) -> str:
        return self._objects.place.name(path) + "/" if path else self._objects.place.prefix

    @property
    def _objects(self) -> Objects:
        return self.learner.objects
