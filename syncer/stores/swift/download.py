"""Downloads from Swift: whole objects, or of a large one only the bytes that changed.

`SwiftSource` reads one version of an object from the first byte to the last. `RangedSource` reads a large
object against an older version that is here. Two manifests show which bytes changed: that of the object, and
the cached one of the older content. What both take from the same bytes of the same segment is the same, since
segments are never overwritten; inline bytes came with the manifest; the rest is fetched by ranges of the
object, each only if the object still is the version that is meant. The digest of the whole is compared before
the last piece is handed out, so a wrong or outdated manifest costs a transfer and never yields a wrong file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from blake3 import blake3

from syncer.engine.interfaces import LocalBasis, Source, TransferStats
from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.errors import AuthError, ChangedUnderUs, NotFound, StoreError, TransientError, Unreadable
from syncer.stores.common import beyond
from syncer.stores.remote.download import RemoteSource, hold_last, read_prefix, resumed
from syncer.stores.retry_policy import Attempts
from syncer.stores.swift import objects
from syncer.stores.swift.client import PIECE
from syncer.stores.swift.context import SwiftContext
from syncer.stores.swift.objects import ObjectHead, etag_in, head_in
from syncer.stores.swift.slo.manifest import Inline, Manifest, Segment
from syncer.stores.swift.slo.upload import Segments
from syncer.stores.swift.upload import confirmed

if TYPE_CHECKING:
    from syncer.delta.block_index import BlockIndex
    from syncer.delta.index_cache import IndexingReader


# --------------------------------------------------------------------------------
#
# The content of one object: the planned version or an error, resumed after a broken connection, verified.
#
# Swift hands out one version from the first byte to the last; a second request says by If-Match which one
# it goes on with. The whole is checked against our digest where there is one, and against the MD5 where the
# ETag is that, before the last piece is handed out.


SMALL = 1 << 20  # bytes; such a file is fetched ahead of its turn
_QUEUED = 4  # small files for each thread
_HELD = 24 << 20  # bytes of small files that are on their way


class SwiftSource(RemoteSource):
    """The content of one object. `ahead` has the content of small files that were fetched early."""

    def __init__(
        self,
        context: SwiftContext,
        path: RelPath,
        expected: Entry,
        ahead: Ahead | None = None,
        position: int = 0,
    ) -> None:
        super().__init__(path, expected)
        self._context = context
        self._ahead = ahead
        self._position = position
        self._received = 0

    @property
    def traffic(self) -> TransferStats | None:
        return TransferStats(method=Method.WHOLE, received=self._received)

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """See `engine.interfaces.Source.chunks`."""
        self._entry, self._received = None, 0
        if self._ahead is not None and (basis is None or not basis.start):
            data, self._entry, self._received = self._ahead.take(self._position)
            yield from (data[i : i + PIECE] for i in range(0, len(data), PIECE))
            return
        yield from self._verified(basis)

    def whole(self) -> tuple[bytes, Entry, int]:
        """All of it, verified; with the entry, and how many bytes came."""
        return b"".join(self._verified(None)), self.entry, self._received

    def _verified(self, basis: LocalBasis | None) -> Iterator[bytes]:
        self._entry, self._received = None, 0
        start = basis.start if basis is not None else 0
        sums, reading = _Sums(), _Reading(self._context, self._path, self._expected, start)
        for piece in read_prefix(basis, start):
            sums.add(piece)
        count = 0

        def summed() -> Iterator[bytes]:
            nonlocal count
            for piece in reading.pieces():
                sums.add(piece)
                self._received += len(piece)
                count += 1
                yield piece

        def verify() -> None:
            if count != 1:  # a single piece came with the headers that name its version
                reading.still_the_same()
            digest = sums.checked(self._path, self._expected, reading.head)
            self._entry = replace(self._expected, digest=digest)

        yield from hold_last(summed(), verify)


class _Sums:
    """Both hashes of the content so far."""

    def __init__(self) -> None:
        self._blake3 = blake3()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, piece: bytes) -> None:
        self._blake3.update(piece)
        self._md5.update(piece)

    def checked(self, path: RelPath, expected: Entry, head: ObjectHead | None) -> bytes:
        """BLAKE3-256 of the whole. Raises TransientError for other content than was promised."""
        digest = self._blake3.digest()
        plain = head is not None and head.plain and not head.linked and len(head.etag) == 32
        if expected.digest not in (None, digest) or (plain and head and self._md5.hexdigest() != head.etag):
            raise TransientError(f"{printable(path)}: other bytes came than were stored", path=path)
        return digest


class _Reading:
    """One pass over the bytes from `start` on, by as many requests as it takes."""

    def __init__(self, context: SwiftContext, path: RelPath, expected: Entry, start: int) -> None:
        self._context = context
        self._path = path
        self._expected = expected
        self._place = start
        self.head: ObjectHead | None = None

    def pieces(self) -> Iterator[bytes]:
        failures, tries = 0, Attempts()
        while self._place < self._expected.size or self.head is None:
            if self._place and self._place >= self._expected.size:
                return self.still_the_same()
            before = self._place
            try:
                yield from self._request(tries)
            except TransientError as error:
                if self._place > before:
                    failures = 0
                    tries.progress()
                failures += 1
                tries.wait(error, self._context.clock.sleep, failures)

    def _request(self, tries: Attempts) -> Iterator[bytes]:
        name = self._context.place.name(self._path)
        # Ceph compares with the MD5 of nothing where the object is a large one: what its ETag is would never
        # match. Time and ETag of each answer are compared below, here and there.
        hides = self._context.cluster.limits.hides_manifests
        etag = self.head.etag if self.head is not None and (self.head.plain or not hides) else ""
        try:
            with tries.shared():
                begun = self._context.objects.get(name, start=self._place, if_match=etag)
        except NotFound as error:
            raise lost(self._context, self._path, self._expected) or error from None
        with begun as answer:
            if answer.status in (412, 416):
                raise self._changed()
            head = head_in(answer.headers, size=self._expected.size)
            if head.version != self._expected.version or (self._place and answer.status != 206):
                raise self._changed()
            self.head = head
            for piece in answer.pieces():
                self._place += len(piece)
                if self._place > self._expected.size:
                    raise self._changed()
                yield piece
        if self._place < self._expected.size:
            raise TransientError(
                f"{printable(self._path)}: fewer bytes came than it is long", path=self._path
            )

    def still_the_same(self) -> None:
        """Raises ChangedUnderUs where somebody wrote since."""
        head = self._context.objects.head(self._context.place.name(self._path), newest=True)
        if head is None or head.version != self._expected.version:
            raise self._changed()
        self.head = head

    def _changed(self) -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)} changed since it was planned on", path=self._path)


def lost(context: SwiftContext, path: RelPath, expected: Entry) -> StoreError | None:
    """The error for a 404 to a GET where the object still is the version that is meant; None where it is not.

    Ceph answers so for the part of a large object whose segment is missing. Raises what a HEAD does.
    """
    name = context.place.name(path)
    head = context.objects.head(name, newest=True)
    return context.objects.broken(name) if head is not None and head.version == expected.version else None


class Ahead:
    """Read-ahead: small files of a batch, fetched by many threads while one reader takes them in order."""

    def __init__(self, context: SwiftContext, wanted: Sequence[tuple[RelPath, Entry]]) -> None:
        self._context = context
        self._wanted = wanted
        self._lock = Lock()
        self._running: dict[int, Future[tuple[bytes, Entry, int]]] = {}
        self._begun = 0
        self._held = 0  # bytes of those that are running
        self._same: frozenset[str] | None = None  # objects that are what came early

    def take(self, position: int) -> tuple[bytes, Entry, int]:
        """The content, the entry, and how many bytes came. Raises what reading does."""
        with self._lock:
            if self._same is None:
                self._same = self._still_the_same()
            self._begun = max(self._begun, position)
            # More tasks wait than there are threads, so that no thread ever waits; but only so many bytes.
            near = position + self._context.worker_pool.size * _QUEUED
            while self._begun < min(len(self._wanted), near) and (
                self._begun == position or self._held < _HELD
            ):
                self._begin(self._begun)
                self._begun += 1
            future = self._running.pop(position, None)
            if future is not None:
                self._held -= self._wanted[position][1].size
        return future.result() if future is not None else self._fetch(position)

    def _begin(self, position: int) -> None:
        path, entry = self._wanted[position]
        if entry.size <= SMALL and self._name(path) not in (self._same or ()):
            self._running[position] = self._context.worker_pool.pool.submit(self._fetch, position)
            self._held += entry.size

    def _fetch(self, position: int) -> tuple[bytes, Entry, int]:
        path, entry = self._wanted[position]
        if self._name(path) in (self._same or ()):
            data = self._context.prober.early.take(self._name(path), entry.version)
            digest = blake3(data).digest() if data is not None else None
            if data is not None and entry.digest in (None, digest):
                return data, replace(entry, digest=digest), len(data)
        return SwiftSource(self._context, path, entry).whole()

    def _still_the_same(self) -> frozenset[str]:
        """Names of prefetched objects that did not change since."""
        early = self._context.prober.early
        held = {self._name(path): entry.version for path, entry in self._wanted}
        held = {name: version for name, version in held.items() if early.has(name, version)}
        try:
            etags = {name: etag_in(version) for name, version in held.items()}
            now = confirmed(self._context.objects, self._context.worker_pool, etags)
        except AuthError:
            raise
        except StoreError:
            return frozenset()  # each is asked for again
        heads = ((name, now[name]) for name in held)
        return frozenset(name for name, head in heads if head is not None and head.version == held[name])

    def _name(self, path: RelPath) -> str:
        return self._context.place.name(path)


def opened(context: SwiftContext, wanted: Sequence[tuple[RelPath, Entry]]) -> list[Source]:
    """Sources for many files, the small ones fetched ahead as they are read."""
    ahead = Ahead(context, wanted) if len(wanted) > 1 else None
    return [
        SwiftSource(context, path, entry, ahead if entry.size <= SMALL else None, position)
        for position, (path, entry) in enumerate(wanted)
    ]


_NEAR = 32 << 10  # bytes that are here, but cost less to fetch than another request does
_MOST = 0.9  # share of the content beyond which it is fetched whole


@dataclass(frozen=True, slots=True)
class Here:
    """`size` bytes of the older version from `offset`."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class There:
    """`size` bytes of the object from `start`."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Told:
    """Bytes of the manifest."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


Run: TypeAlias = Here | There | Told


def runs(new: Manifest, old: Manifest) -> list[Run]:
    """Where each byte of the new content comes from, in order.

    The older version, the object, the manifest.
    """
    return list(_joined(_runs(new, old)))


def _runs(new: Manifest, old: Manifest) -> Iterator[Run]:
    known = _known(old)
    at = 0
    for part in new.parts:
        if isinstance(part, Inline):
            yield Told(part.data)
        else:
            yield from _within(part, at, known.get((part.path, part.etag), ()))
        at += part.length


def _known(old: Manifest) -> dict[tuple[str, str], list[tuple[int, int, int]]]:
    """For each segment which of its bytes stand where in the old content: (start, end, offset), sorted."""
    found: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    at = 0
    for part in old.parts:
        if isinstance(part, Segment):
            found.setdefault((part.path, part.etag), []).append((part.start, part.end, at))
        at += part.length
    for places in found.values():
        places.sort()
    return found


def _within(part: Segment, at: int, known: Sequence[tuple[int, int, int]]) -> Iterator[Run]:
    place = part.start
    for start, end, offset in known:
        low, high = max(start, place), min(end, part.end)
        if low >= high:
            continue
        if low > place:
            yield There(at + place - part.start, low - place)
        yield Here(offset + low - start, high - low)
        place = high
    if place < part.end:
        yield There(at + place - part.start, part.end - place)


def _joined(found: Iterator[Run]) -> Iterator[Run]:
    """Join neighbours; a short run that is here, between two that are fetched, is fetched along."""
    held: list[Run] = []
    for run in found:
        match held, run:
            case [*_, Here() as last], Here() if last.offset + last.size == run.offset:
                held[-1] = Here(last.offset, last.size + run.size)
            case [There() as first, Here() as gap], There() if gap.size < _NEAR:
                held = [There(first.start, first.size + gap.size + run.size)]
            case [There() as last], There():
                held = [There(last.start, last.size + run.size)]
            case [There()], Here():
                held.append(run)
            case _:
                yield from held
                held = [run]
    yield from held


class RangedSource(RemoteSource):
    """Implements `engine.interfaces.Source` for objects that may be large ones."""

    def __init__(self, segments: Segments, path: RelPath, expected: Entry) -> None:
        super().__init__(path, expected)
        self._segments = segments
        self._context = segments.context

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """See `engine.interfaces.Source.chunks`."""
        self._entry, self._traffic = None, TransferStats()
        older = basis.older if basis is not None and basis.start else basis
        old = self._segments.manifests.get(older.digest) if older is not None else None
        if basis is None or older is None or old is None or old.size != older.size:
            yield from self._whole(basis)
            return
        new = self._manifest()
        found = runs(new, old) if new is not None and new.size == self._expected.size else None
        far = sum(run.size for run in found if isinstance(run, There)) if found is not None else 0
        if new is None or found is None or far > self._expected.size * _MOST:
            yield from self._whole(basis)
            return
        yield from self._by_ranges(basis, older, new, found)

    # -- all of it ---------------------------------------------------------------------

    def _whole(self, basis: LocalBasis | None) -> Iterator[bytes]:
        inner = SwiftSource(self._context, self._path, self._expected)
        watched = self._watched(inner.chunks(basis), basis)
        for piece in watched:
            yield piece
            self._traffic = inner.traffic or TransferStats()
        self._entry, self._traffic = inner.entry, inner.traffic or TransferStats()
        self._keep(watched, basis, None)

    # -- what changed ------------------------------------------------------------------

    def _by_ranges(
        self, basis: LocalBasis, older: LocalBasis, new: Manifest, found: Sequence[Run]
    ) -> Iterator[bytes]:
        hasher = blake3()
        for piece in read_prefix(basis, basis.start):
            hasher.update(piece)
        watched = self._watched(beyond(self._pieces(found, older), basis.start), basis)

        def hashed() -> Iterator[bytes]:
            for piece in watched:
                hasher.update(piece)
                yield piece

        def verify() -> None:
            self._still_the_same()
            digest = hasher.digest()
            if self._expected.digest not in (None, digest):
                assert older.digest is not None
                self._segments.manifests.discard(older.digest)
                raise TransientError(
                    f"{printable(self._path)}: the changed parts and the older version do not make the "
                    "expected content; it is fetched whole next time",
                    path=self._path,
                )
            self._entry = replace(self._expected, digest=digest)
            self._keep(watched, basis, new)

        yield from hold_last(hashed(), verify)

    def _pieces(self, found: Sequence[Run], older: LocalBasis) -> Iterator[bytes]:
        at = 0
        for run in found:
            match run:
                case Told():
                    yield from (run.data[i : i + PIECE] for i in range(0, run.size, PIECE))
                case There():
                    yield from self._fetched(run.start, run.start + run.size)
                case Here():
                    yield from self._read(older, run, at)
            at += run.size

    def _read(self, older: LocalBasis, run: Here, at: int) -> Iterator[bytes]:
        """A run of the older version; what the disk cannot read is fetched from the object."""
        for place in range(0, run.size, PIECE):
            size = min(PIECE, run.size - place)
            try:
                data = older.read(run.offset + place, size)
            except Unreadable:
                yield from self._fetched(at + place, at + run.size)
                return
            yield data

    def _fetched(self, start: int, end: int) -> Iterator[bytes]:
        return resumed(
            lambda position, attempts: self._request(position, end, attempts),
            start,
            end,
            path=self._path,
            sleep=self._context.clock.sleep,
        )

    def _request(self, start: int, end: int, tries: Attempts) -> Iterator[bytes]:
        name, left = self._context.place.name(self._path), end - start
        hides = self._context.cluster.limits.hides_manifests  # see `download`: then it would never match
        etag = "" if hides else objects.etag_in(self._expected.version)
        try:
            with tries.shared():
                begun = self._context.objects.get(name, start=start, end=end, if_match=etag)
        except NotFound as error:
            raise lost(self._context, self._path, self._expected) or error from None
        with begun as answer:
            if answer.status != 206:
                raise self._changed()
            if head_in(answer.headers, size=self._expected.size).version != self._expected.version:
                raise self._changed()
            for piece in answer.pieces():
                left -= len(piece)
                if left < 0:
                    raise self._changed()
                self._count(len(piece))
                yield piece

    # -- what is remembered ----------------------------------------------------------------

    def _manifest(self) -> Manifest | None:
        found = self._segments.layout(self._path, self._expected.version)
        if found is None:
            return None
        self._count(found[1])
        return found[0]

    def _watched(self, pieces: Iterator[bytes], basis: LocalBasis | None) -> _Pieces | IndexingReader:
        keeper = self._segments.keeper
        if keeper is None or (basis is not None and basis.start):  # a block index needs the whole content
            return _Pieces(pieces)
        old = keeper.sketch(basis.digest, basis.size) if basis is not None else None
        return keeper.watched(pieces, old, self._expected.size)

    def _keep(
        self, watched: _Pieces | IndexingReader, basis: LocalBasis | None, manifest: Manifest | None
    ) -> None:
        """Store manifest and block index for the next delta, in either direction."""
        digest = self.entry.digest
        older = basis.digest if basis is not None and not basis.start else None
        if manifest is None and self._segments.keeper is not None:
            manifest = self._manifest()
        if digest is None:
            return
        if manifest is not None:
            self._segments.manifests.keep(digest, manifest, instead=older)
        if self._segments.keeper is not None:
            self._segments.keeper.keep(watched.sketch, digest)
            self._segments.keeper.drop(older, unless=digest)

    # -- small things ------------------------------------------------------------------------

    def _count(self, received: int) -> None:
        now = self._traffic
        method = now.method if now.method is Method.WHOLE else Method.SEGMENTS
        self._traffic = replace(now, method=method, received=now.received + received)

    def _still_the_same(self) -> None:
        head = self._context.objects.head(self._context.place.name(self._path), newest=True)
        if head is None or head.version != self._expected.version:
            raise self._changed()


class _Pieces:
    """Pieces of which no block index is made."""

    sketch: BlockIndex | None = None

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def source(segments: Segments, path: RelPath, expected: Entry) -> Source | None:
    """The source for an object that may be a large one; None for one that is too small for that."""
    if expected.size < segments.thresholds.worth:
        return None
    return RangedSource(segments, path, expected)
