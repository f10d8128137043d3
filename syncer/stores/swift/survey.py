"""Looking at a whole root by one listing, or at a few directories by one each: what changed, what is there.

One listing serves a run: it streams by, and what differs from the fingerprints that are known is set aside on
disk until it is asked for, once. A few directories of many are listed on their own, and so is one that is
asked for without a look at all before; after some of these in a row a look at all is cheaper.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from syncer.engine.model import Listing, RelPath
from syncer.engine.paths import printable
from syncer.errors import NotFound
from syncer.stores.swift.aside import Aside
from syncer.stores.swift.cutting import Cut, Cutter
from syncer.stores.swift.learning import Crew, Learner
from syncer.stores.swift.listing import behind, pages
from syncer.stores.swift.overlay import Overlay, Shown
from syncer.stores.swift.single import Singles

FEW = 16  # directories that are asked for one by one before all are looked at


class Survey:
    """Several threads may ask. `overlay` makes a fresh `Overlay` for each look."""

    def __init__(
        self, learner: Learner, crew: Crew, overlay: Callable[[], Overlay], stands: Callable[[], bool]
    ) -> None:
        self._learner = learner
        self._singles = Singles(learner, crew, overlay)
        self._objects = learner.objects
        self._place = learner.objects.place
        self._overlay = overlay
        self._stands = stands
        self._lock = threading.RLock()
        self._aside: Aside | None = None
        self._unchanged: dict[RelPath, bytes] = {}  # directories that the listing showed as they were known
        self._whole = False  # whether that look was at everything
        self._alone = 0  # directories asked for since, one by one

    def changed(self, known: Iterable[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        """See `engine.ports.Store.changed`. A run begins with it: what a former look showed is forgotten."""
        wanted = dict(known)
        with self._lock:
            self.begin()
            if wanted and self._singles.cheaper(list(wanted)):
                return iter(self._sorted_out(wanted, self._singles.look(list(wanted)).items()))
            return iter(self._take(wanted) if wanted else ())

    def list(self, path: RelPath) -> Listing:
        """See `engine.ports.Store.list`."""
        with self._lock:
            listing = self._set_aside(path)
            if listing is None and not self._whole and self._many(path):
                self._take({})
                listing = self._set_aside(path)
        if listing is None:
            listing = self._singles.look([path])[path]
        if listing is None:
            raise NotFound(f"{printable(path)} is not a directory there", path=path)
        if not path and not listing.entries and not self._stands():
            raise NotFound("the root is not there")
        return listing

    def begin(self) -> None:
        """A new look: nothing that an earlier one showed counts any more."""
        with self._lock:
            self.forget()
            self._learner.early.forget()

    def forget(self) -> None:
        """What was set aside is of another time."""
        with self._lock:
            if self._aside is not None:
                self._aside.close()
            self._aside, self._unchanged, self._whole, self._alone = None, {}, False, 0

    def _set_aside(self, path: RelPath) -> Listing | None:
        """What the last look showed of a directory, once."""
        found = self._aside.take(path) if self._aside is not None else None
        print_ = self._unchanged.pop(path, None)
        return self._remembered(path, print_) if found is None and print_ is not None else found

    def _many(self, path: RelPath) -> bool:
        """Whether so many were asked for one by one, or so little is known, that a look at all is due."""
        self._alone += 1
        return self._alone > FEW or not self._singles.cheaper([path])

    # -- the whole root ------------------------------------------------------------

    def _take(self, wanted: Mapping[RelPath, bytes]) -> Sequence[RelPath]:
        """Sets aside what differs, and says which of the wanted do. A second look where one raised doubts."""
        for last in (False, True):
            overlay = self._overlay()
            changed = self._sorted_out(wanted, self._cut(overlay))
            if not overlay.unsure or last:
                break
            overlay.clock.sleep(overlay.grace())
        self._whole = True
        return changed

    def _sorted_out(
        self, wanted: Mapping[RelPath, bytes], seen: Iterable[tuple[RelPath, Listing | None]]
    ) -> Sequence[RelPath]:
        """Which of the wanted are not as they were known; what is seen otherwise is set aside."""
        aside, left, changed, same = Aside(), dict(wanted), [], {}
        try:
            for path, listing in seen:
                was = left.pop(path, None)
                if was is not None and listing is not None and was == listing.fingerprint:
                    same[path] = was
                    continue
                if listing is not None:
                    aside.add(path, listing)
                if was is not None:
                    changed.append(path)
        except BaseException:
            aside.close()
            raise
        self.forget()
        self._aside, self._unchanged = aside, same
        return [*changed, *left]

    def _cut(self, overlay: Overlay) -> Iterator[Cut]:
        cutter = Cutter()
        for shown in self._all(overlay):
            yield from cutter.add(shown)
        yield from cutter.end()

    def _all(self, overlay: Overlay) -> Iterator[Shown]:
        prefix, before = self._place.prefix, self._place.prefix
        known = self._learner.known
        for rows in pages(self._objects, prefix):
            if rows:
                yield from overlay.page(rows, known.between(before, rows[-1].name))
                before = rows[-1].name
        yield from overlay.page((), known.between(before, behind(prefix)))

    def _remembered(self, path: RelPath, print_: bytes) -> Listing | None:
        """A directory that the listing showed unchanged, from what is known; None where that differs."""
        prefix = self._place.name(path) + "/" if path else self._place.prefix
        cutter = Cutter()
        for name, entry in self._learner.known.children(prefix):
            for _ in cutter.add((name, entry)):
                pass
        found = [listing for _, listing in cutter.end()][-1]
        return found if found.fingerprint == print_ else None
