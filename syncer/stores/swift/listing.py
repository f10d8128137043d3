"""Listings of a Swift root.

Pages to their end, cut into directories, verified, spooled until they are asked for.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from syncer.engine.fingerprint import fingerprint
from syncer.engine.interfaces import KnownDirectories
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    Listing,
    RelPath,
)
from syncer.engine.paths import join, printable
from syncer.errors import NotFound, TransientError, Unreadable
from syncer.stores.base import ScanBase, with_fingerprint
from syncer.stores.remote.object_names import wrong
from syncer.stores.swift.consistency import (
    ListingVerifier,
    ObjectProber,
    Shown,
    WorkerPool,
    split_at_strange,
    strange,
)
from syncer.stores.swift.names import LAST
from syncer.stores.swift.objects import ListingRow, Objects


def pages(objects: Objects, prefix: str, *, delimiter: str = "") -> Iterator[list[ListingRow]]:
    """All pages of a listing, until an empty one: a short page is not the end on every cluster.

    The engine concludes absence from a listing, so one that breaks off must be an error: names have to ascend
    from the marker and begin with the prefix, which a repeated or truncated page does not. Our own objects
    are skipped. Raises NotFound where there is no container, TransientError for what cannot be a listing.
    """
    place = objects.place
    marker = ""
    while rows := objects.rows(prefix=prefix, marker=marker, delimiter=delimiter):
        before = marker.encode()
        for row in rows:
            key = row.name.encode()
            if key <= before or not row.name.startswith(prefix):
                raise TransientError("Swift's listing is out of order")
            before = key
        last = rows[-1].name
        yield [row for row in rows if row.name != prefix]
        # The next page begins behind all of our own names: the trash may hold more than the tree does.
        marker = place.behind_private if last.startswith(place.private) and not delimiter else last


def behind(prefix: str) -> str:
    """A name that sorts behind all names that begin with the prefix."""
    return prefix + LAST


# --------------------------------------------------------------------------------  From a sorted stream of
# names to directories, with the memory of one branch of the tree. Pure.  Names are sorted by bytes, so all
# names below `a/` come together, but after `a.txt`: a directory is complete when the first name outside of it
# comes, and its parent is still open then. A directory exists by its marker, or by any object below it. An
# object beside a directory of the same name blocks that name: which of the two is meant cannot be known.


DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
CLASH = BlockedEntry(BlockReason.CLASH, "an object and a directory have this name")

_MOST, _ENTRY = 128 << 20, 360  # bytes that the entries of one directory may take, and about what one takes
Cut = tuple[RelPath, Listing]


@dataclass(slots=True)
class _Branch:
    path: RelPath
    entries: dict[str, Entry | BlockedEntry] = field(default_factory=dict)
    unopened: set[str] = field(default_factory=set)  # directories of which only a marker came so far
    size: int = 0  # bytes of the entries, about


class DirectoryBuilder:
    """Takes names in order, and yields each directory once it is complete, subdirectories first."""

    def __init__(self) -> None:
        self._open = [_Branch("")]

    def add(self, shown: Shown) -> Iterator[Cut]:
        """Add one object; a path that ends in a slash is a marker. Raises Unreadable for too many entries."""
        path, seen = shown
        if isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.UNSAFE_NAME:
            parts, leaf = split_at_strange(path)
        elif path.endswith("/"):
            yield from self._turn_to(path.removesuffix("/").split("/"))
            if isinstance(seen, BlockedEntry):
                self._open[-1].entries["/"] = seen
            return
        else:
            *parts, leaf = path.split("/")
        yield from self._turn_to(parts)
        branch = self._open[-1]
        branch.entries[leaf] = CLASH if leaf in branch.entries else seen
        branch.size += _ENTRY + len(leaf)
        if branch.size > _MOST:
            raise too_many(branch.path)
        if isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY:
            branch.unopened.add(leaf)

    def end(self) -> Iterator[Cut]:
        """The directories that are still open, the root last."""
        while self._open:
            yield from self._close()

    def _turn_to(self, parts: list[str]) -> Iterator[Cut]:
        common = 0
        here = self._open[-1].path.split("/") if self._open[-1].path else []
        while common < min(len(parts), len(here)) and parts[common] == here[common]:
            common += 1
        while len(self._open) > common + 1:
            yield from self._close()
        for name in parts[common:]:
            branch = self._open[-1]
            there = branch.entries.setdefault(name, DIRECTORY)
            if there != DIRECTORY:
                branch.entries[name] = CLASH
            branch.unopened.discard(name)
            branch.size += _ENTRY + len(name)
            if branch.size > _MOST:
                raise too_many(branch.path)
            self._open.append(_Branch(join(branch.path, name)))

    def _close(self) -> Iterator[Cut]:
        branch = self._open.pop()
        for name in sorted(branch.unopened):
            yield join(branch.path, name), listing_of({})
        yield branch.path, listing_of(branch.entries)


def listing_of(entries: dict[str, Entry | BlockedEntry]) -> Listing:
    """A listing with its fingerprint; without one if an entry is blocked, so that it is listed again."""
    sound = [(name, e.version) for name, e in entries.items() if isinstance(e, Entry)]
    whole = len(sound) == len(entries)
    return Listing(entries=entries, fingerprint=fingerprint(sound) if whole else None)


def too_many(path: RelPath) -> Unreadable:
    """The error for a directory that is too large for the memory."""
    return Unreadable(
        f"{printable(path) or 'the root'}: the service lists more in one directory than can be held "
        f"in memory ({_MOST >> 20} MiB)",
        hint="spread the files over several directories, or leave this one out with `ignore`",
        path=path,
    )


# --------------------------------------------------------------------------------  Single directories, each
# by a listing of its own (with a delimiter).  Cheaper than a listing of the whole root if only a few
# directories of many are wanted. Their rows are verified like those of a whole root
# (`consistency.ListingVerifier`): absence is concluded from the objects themselves.


MOST = 50  # directories that are asked for one by one
_PAGE = 10_000  # rows of a listing that come at once, nearly everywhere
_MOST_ROWS = 300_000  # of one directory
_ROWS = 500  # of them take as long as another request


@dataclass(frozen=True, slots=True)
class SingleDirectoryLister:
    """`overlay` makes a new `ListingVerifier` for each scan."""

    prober: ObjectProber
    worker_pool: WorkerPool
    overlay: Callable[[], ListingVerifier]

    def cheaper(self, paths: Sequence[RelPath]) -> bool:
        """Whether listing these takes less time than listing the whole root, judged by the cache."""
        known = self.prober.known
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
        """The listing of each directory, None where there is none.

        A second scan of those with doubtful names.

        Raises NotFound where there is no container, StoreError.
        """
        found: dict[RelPath, Listing | None] = {}
        doubted: list[RelPath] = [path for path in paths if not wrong(path)]
        for last in (False, True):
            overlay, unsure = self.overlay(), []
            for path, rows in zip(doubted, self.worker_pool.each(self._rows, doubted), strict=True):
                before = len(overlay.unsure)
                found[path] = self._judged(path, rows, overlay)
                if len(overlay.unsure) > before:
                    unsure.append(path)
            doubted = unsure
            if last or not doubted:
                break
            overlay.clock.sleep(overlay.grace())
        return {path: found.get(path) for path in paths}

    def _rows(self, path: RelPath) -> list[ListingRow]:
        found: list[ListingRow] = []
        for page in pages(self._objects, self._prefix(path), delimiter="/"):
            found += page
            if len(found) > _MOST_ROWS:
                raise too_many(path)
        return found

    def _judged(self, path: RelPath, rows: Sequence[ListingRow], overlay: ListingVerifier) -> Listing | None:
        """The verified listing of one directory; an empty one exists only by its marker."""
        prefix, place = self._prefix(path), self._objects.place
        below = {row.name for row in rows if row.is_prefix and row.name != place.private}
        files = [row for row in rows if not row.is_prefix]
        cutter, root = DirectoryBuilder(), place.path(prefix)
        # Of directories below only those that are not listed are in doubt.
        shown = overlay.page(files, self.prober.known.below(prefix, but=below))
        for name in below:  # subdirectories exist by the objects below them
            sub = place.path(name)
            reason = strange(sub.removesuffix("/"))
            shown.append((sub, BlockedEntry(BlockReason.UNSAFE_NAME, reason) if reason else DIRECTORY))
        for name, seen in sorted(shown, key=lambda one: one[0].encode()):
            for _ in cutter.add((name.removeprefix(root), seen)):
                pass
        listing = [found for _, found in cutter.end()][-1]
        if path and not listing.entries and not self.prober.stands(place.name(path)):
            return None
        return listing

    def _prefix(self, path: RelPath) -> str:
        return self._objects.place.name(path) + "/" if path else self._objects.place.prefix

    @property
    def _objects(self) -> Objects:
        return self.prober.objects


# --------------------------------------------------------------------------------
#
# Listings of one scan, kept in a temporary file until each is asked for once.


_IN_MEMORY = 8 << 20  # bytes of listings before they go to a file


class ListingSpool:
    """For one thread at a time."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._places: dict[RelPath, tuple[int, int]] = {}

    def add(self, path: RelPath, listing: Listing) -> None:
        """Append a listing. All are added before the first is taken."""
        start = self._file.tell()
        pickle.dump((dict(listing.entries), listing.fingerprint), self._file)
        self._places[path] = start, self._file.tell() - start

    def take(self, path: RelPath) -> Listing | None:
        """The listing of a directory, once."""
        place = self._places.pop(path, None)
        if place is None:
            return None
        self._file.seek(place[0])
        entries, print_ = pickle.loads(self._file.read(place[1]))
        return Listing(entries=entries, fingerprint=print_)

    def close(self) -> None:
        self._file.close()


# --------------------------------------------------------------------------------
#
# The scan of a root: one listing of everything, or one for each of a few directories.
#
# One listing serves a scan: its directories stream by, and those whose fingerprint differs from the known one
# are spooled until they are asked for, once. A few directories of many are listed on their own, and so is
# one that is asked for without a look at all before; after some of these in a row a whole listing is cheaper.


FEW = 16  # directories that are asked for one by one before all are looked at


def listed(singles: SingleDirectoryLister, path: RelPath, stands: Callable[[], bool]) -> Listing:
    """One directory, by a listing of its own; `stands` tells whether the root does. Raises NotFound."""
    return _sound(singles.look([path])[path], path, stands)


def _sound(listing: Listing | None, path: RelPath, stands: Callable[[], bool]) -> Listing:
    if listing is None:
        raise NotFound(f"{printable(path)} is not a directory there", path=path)
    if not path and not listing.entries and not stands():
        raise NotFound("the root is not there")
    return listing


class SwiftScan(ScanBase):
    """Implements `engine.interfaces.Scan`."""

    def __init__(
        self, singles: SingleDirectoryLister, known: KnownDirectories, stands: Callable[[], bool]
    ) -> None:
        self._singles = singles
        self._wanted = dict(with_fingerprint(known))
        self._prober = singles.prober
        self._objects = singles.prober.objects
        self._place = singles.prober.objects.place
        self._overlay = singles.overlay
        self._stands = stands
        self._prober.early.forget()  # contents that were fetched beside an earlier scan's listings
        self._aside: ListingSpool | None = None
        self._unchanged: dict[RelPath, bytes] = {}  # directories that the listing showed as they were known
        self._whole = False  # whether that look was at everything
        self._alone = 0  # directories asked for since, one by one

    def changed(self) -> Sequence[RelPath]:
        wanted = self._wanted
        if not wanted:
            return ()
        if self._singles.cheaper(list(wanted)):
            return self._sorted_out(wanted, self._singles.look(list(wanted)).items())
        return self._take(wanted)

    def list(self, path: RelPath) -> Listing:
        listing = self._set_aside(path)
        if listing is None and not self._whole:
            self._alone += 1
            # So many were listed one by one, or so little is known, that a whole scan is cheaper by now.
            if self._alone > FEW or not self._singles.cheaper([path]):
                self._take({})
                listing = self._set_aside(path)
        if listing is None:
            return listed(self._singles, path, self._stands)
        return _sound(listing, path, self._stands)

    def close(self) -> None:
        if self._aside is not None:
            self._aside.close()
        self._aside, self._unchanged = None, {}

    def _set_aside(self, path: RelPath) -> Listing | None:
        """What the last scan found of a directory, once."""
        found = self._aside.take(path) if self._aside is not None else None
        print_ = self._unchanged.pop(path, None)
        return self._remembered(path, print_) if found is None and print_ is not None else found

    # -- the whole root ------------------------------------------------------------

    def _take(self, wanted: Mapping[RelPath, bytes]) -> Sequence[RelPath]:
        """Scan the whole root: spool what differs, and return which of the wanted directories do.

        A second scan, after the grace time, if the first one had objects that were not found: so that a
        deletion is seen by this run, and not only by the next one.
        """
        for last in (False, True):
            overlay = self._overlay()
            changed = self._sorted_out(wanted, self._directories(overlay))
            if not overlay.unsure or last:
                break
            overlay.clock.sleep(overlay.grace())
        self._whole = True
        return changed

    def _sorted_out(
        self, wanted: Mapping[RelPath, bytes], seen: Iterable[tuple[RelPath, Listing | None]]
    ) -> Sequence[RelPath]:
        """Which of the wanted directories differ from their fingerprints, or are gone.

        Spools what was found.
        """
        aside, left, changed, same = ListingSpool(), dict(wanted), [], {}
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
        self.close()
        self._aside, self._unchanged, self._alone = aside, same, 0
        return [*changed, *left]

    def _directories(self, overlay: ListingVerifier) -> Iterator[Cut]:
        """Every directory of the root, by one listing.

        Each page is verified with the cached names of its range.
        """
        builder, known = DirectoryBuilder(), self._prober.known
        prefix = before = self._place.prefix
        for rows in pages(self._objects, prefix):
            if rows:
                for shown in overlay.page(rows, known.between(before, rows[-1].name)):
                    yield from builder.add(shown)
                before = rows[-1].name
        # Cached names behind the last row: all of them are missing from the listing.
        for shown in overlay.page((), known.between(before, behind(prefix))):
            yield from builder.add(shown)
        yield from builder.end()

    def _remembered(self, path: RelPath, print_: bytes) -> Listing | None:
        """The listing of a directory that was unchanged, made from the cache.

        None if the cache changed since.
        """
        prefix = self._place.name(path) + "/" if path else self._place.prefix
        cutter = DirectoryBuilder()
        for name, entry in self._prober.known.children(prefix):
            for _ in cutter.add((name, entry)):
                pass
        found = [listing for _, listing in cutter.end()][-1]
        return found if found.fingerprint == print_ else None
