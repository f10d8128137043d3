"""Looking at a whole root by one listing, and at single directories: what changed, and what stands there.

One listing serves a run: it streams by, and what differs from the fingerprints that are known is set aside on
disk until it is asked for, once. A directory that is asked for otherwise is listed on its own.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO

from syncer.engine.model import Listing, Obstacle, RelPath, Trouble
from syncer.engine.paths import printable
from syncer.errors import NotFound
from syncer.stores.swift.cutting import DIRECTORY, Cut, Cutter
from syncer.stores.swift.known import Fact
from syncer.stores.swift.learning import Learner
from syncer.stores.swift.listing import behind, pages
from syncer.stores.swift.names import wrong
from syncer.stores.swift.overlay import Overlay, Shown, strange

_IN_MEMORY = 8 << 20  # bytes of listings that are set aside before they go to a file


class Survey:
    """Several threads may ask. `overlay` makes a fresh `Overlay` for each look."""

    def __init__(self, learner: Learner, overlay: Callable[[], Overlay], stands: Callable[[], bool]) -> None:
        self._learner = learner
        self._objects = learner.objects
        self._place = learner.objects.place
        self._overlay = overlay
        self._stands = stands
        self._lock = threading.RLock()
        self._aside: _Aside | None = None
        self._unchanged: dict[RelPath, bytes] = {}  # directories that the listing showed as they were known

    def changed(self, known: Iterable[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        """See `engine.ports.Store.changed`."""
        wanted = dict(known)
        with self._lock:
            self.forget()
            return iter(self._take(wanted) if wanted else ())

    def list(self, path: RelPath) -> Listing:
        """See `engine.ports.Store.list`."""
        with self._lock:
            if self._aside is None and not path:
                self._take({})
            found = self._aside.take(path) if self._aside is not None else None
            print_ = self._unchanged.pop(path, None)
            if found is None and print_ is not None:
                found = self._remembered(path, print_)
        listing = found if found is not None else self._single(path)
        if not path and not listing.entries and not self._stands():
            raise NotFound("the root is not there")
        return listing

    def forget(self) -> None:
        """What was set aside is of another time."""
        with self._lock:
            if self._aside is not None:
                self._aside.close()
            self._aside, self._unchanged = None, {}

    # -- the whole root ------------------------------------------------------------

    def _take(self, wanted: Mapping[RelPath, bytes]) -> Sequence[RelPath]:
        """Sets aside what differs, and says which of the wanted do. A second look where one raised doubts."""
        for last in (False, True):
            overlay = self._overlay()
            aside, left, changed, same = _Aside(), dict(wanted), [], {}
            try:
                for path, listing in self._cut(overlay):
                    was = left.pop(path, None)
                    if was is not None and was == listing.fingerprint:
                        same[path] = was
                    else:
                        aside.add(path, listing)
                        if was is not None:
                            changed.append(path)
            except BaseException:
                aside.close()
                raise
            if not overlay.unsure or last:
                break
            aside.close()
            overlay.clock.sleep(overlay.grace())
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

    # -- one directory ---------------------------------------------------------------

    def _single(self, path: RelPath) -> Listing:
        if wrong(path):
            raise NotFound(f"{printable(path)} is not there", path=path)
        prefix = self._place.name(path) + "/" if path else self._place.prefix
        overlay = self._overlay()
        listing = self._one(prefix, overlay)
        if overlay.unsure:
            overlay.clock.sleep(overlay.grace())
            listing = self._one(prefix, self._overlay())
        if path and not listing.entries and not self._is_directory(path):
            raise NotFound(f"{printable(path)} is not a directory there", path=path)
        return listing

    def _one(self, prefix: str, overlay: Overlay) -> Listing:
        rows = [row for page in pages(self._objects, prefix, delimiter="/") for row in page]
        below = {row.name for row in rows if row.is_prefix and row.name != self._place.private}
        files = [row for row in rows if not row.is_prefix]
        cutter, root = Cutter(), self._place.path(prefix)
        shown = overlay.page(files, self._facts(prefix, below))
        for name, seen in sorted([*((s[0], s[1]) for s in shown), *self._implied(below)], key=_by_name):
            for _ in cutter.add((name.removeprefix(root), seen)):
                pass
        return [listing for _, listing in cutter.end()][-1]

    def _facts(self, prefix: str, below: set[str]) -> Sequence[Fact]:
        """What is known of the directory itself, and of directories below it that are not listed."""
        known = self._learner.known
        facts = []
        for name in known.names_below(prefix):
            head, slash, _ = name[len(prefix) :].partition("/")
            if not slash or prefix + head + slash not in below:
                facts.append(known.fact(name))
        return [fact for fact in facts if fact is not None]

    def _implied(self, below: set[str]) -> Iterator[Shown]:
        """Directories that are there by what is below them."""
        for name in below:
            path = self._place.path(name)
            why = strange(path.removesuffix("/"))
            yield (path, Obstacle(Trouble.UNSAFE_NAME, why)) if why else (path, DIRECTORY)

    def _is_directory(self, path: RelPath) -> bool:
        return self._learner.stands(self._place.name(path))


def _by_name(shown: Shown) -> bytes:
    return shown[0].encode()


class _Aside:
    """Listings set aside by path, each taken once; on disk where they are many."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._places: dict[RelPath, tuple[int, int]] = {}

    def add(self, path: RelPath, listing: Listing) -> None:
        """Listings come one after the other, before any is taken."""
        start = self._file.tell()
        pickle.dump((dict(listing.entries), listing.fingerprint), self._file)
        self._places[path] = start, self._file.tell() - start

    def take(self, path: RelPath) -> Listing | None:
        place = self._places.pop(path, None)
        if place is None:
            return None
        self._file.seek(place[0])
        entries, print_ = pickle.loads(self._file.read(place[1]))
        return Listing(entries=entries, fingerprint=print_)

    def close(self) -> None:
        self._file.close()
