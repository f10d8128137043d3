"""A large object read against an older version that is here: only the bytes that changed come over the wire.

Two manifests tell which those are: that of the object, and that remembered of the older content. What both
take from the same bytes of the same segment is the same (segments are never overwritten); what stands in
the manifest came with it; the rest is fetched by ranges of the object, each only if it still is the version
that is meant. The digest of the whole is compared before the last piece is handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from blake3 import blake3

from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Basis, Source, Traffic
from syncer.errors import ChangedUnderUs, NotFound, TransientError, Unreadable
from syncer.stores.reading import beyond
from syncer.stores.retry_policy import Attempts
from syncer.stores.swift import versions
from syncer.stores.swift.connection import PIECE
from syncer.stores.swift.manifest import Inline, Manifest, Segment
from syncer.stores.swift.objects import head_in
from syncer.stores.swift.segments import Segments
from syncer.stores.swift.source import SwiftSource, lost

if TYPE_CHECKING:
    from syncer.engine.sketch import Sketch
    from syncer.stores.peer.keeping import Watched

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
    """Where each byte of the new content comes from, in order."""
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
    """Neighbours as one; and a little that is here between two fetches is fetched along."""
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


class RangedSource:
    """Implements `engine.ports.Source` for objects that may be large ones."""

    def __init__(self, segments: Segments, path: RelPath, expected: Entry) -> None:
        self._segments = segments
        self._ground = segments.ground
        self._path = path
        self._expected = expected
        self._entry: Entry | None = None
        self._traffic = Traffic()

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> Traffic | None:
        return self._traffic

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        """See `engine.ports.Source.chunks`."""
        self._entry, self._traffic = None, Traffic()
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

    def _whole(self, basis: Basis | None) -> Iterator[bytes]:
        inner = SwiftSource(self._ground, self._path, self._expected)
        watched = self._watched(inner.chunks(basis), basis)
        for piece in watched:
            yield piece
            self._traffic = inner.traffic or Traffic()
        self._entry, self._traffic = inner.entry, inner.traffic or Traffic()
        self._keep(watched, basis, None)

    # -- what changed ------------------------------------------------------------------

    def _by_ranges(self, basis: Basis, older: Basis, new: Manifest, found: Sequence[Run]) -> Iterator[bytes]:
        hasher, held = blake3(), b""
        for place in range(0, basis.start, PIECE):
            hasher.update(basis.read(place, min(PIECE, basis.start - place)))
        watched = self._watched(beyond(self._pieces(found, older), basis.start), basis)
        for piece in watched:
            hasher.update(piece)
            if held:
                yield held
            held = piece
        self._still_the_same()
        digest = hasher.digest()
        if self._expected.digest not in (None, digest):
            assert older.digest is not None
            self._segments.manifests.discard(older.digest)
            raise TransientError(
                f"{printable(self._path)}: what changed and what is here make another content; "
                "it is fetched whole next time",
                path=self._path,
            )
        self._entry = replace(self._expected, digest=digest)
        self._keep(watched, basis, new)
        if held:
            yield held

    def _pieces(self, found: Sequence[Run], older: Basis) -> Iterator[bytes]:
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

    def _read(self, older: Basis, run: Here, at: int) -> Iterator[bytes]:
        """From here; what the disk does not give back is fetched after all."""
        for place in range(0, run.size, PIECE):
            size = min(PIECE, run.size - place)
            try:
                data = older.read(run.offset + place, size)
            except Unreadable:
                yield from self._fetched(at + place, at + run.size)
                return
            yield data

    def _fetched(self, start: int, end: int) -> Iterator[bytes]:
        failures, tries = 0, Attempts()
        while start < end:
            before = start
            try:
                for piece in self._request(start, end, tries):
                    start += len(piece)
                    yield piece
            except TransientError as error:
                if start > before:
                    failures = 0
                    tries.progress()
                failures += 1
                tries.wait(error, self._ground.clock.sleep, failures)

    def _request(self, start: int, end: int, tries: Attempts) -> Iterator[bytes]:
        name, left = self._ground.place.name(self._path), end - start
        hides = self._ground.offered.limits.hides_manifests  # see `source`: then it would never match
        etag = "" if hides else versions.etag_in(self._expected.version)
        try:
            with tries.shared():
                begun = self._ground.objects.get(name, start=start, end=end, if_match=etag)
        except NotFound as error:
            raise lost(self._ground, self._path, self._expected) or error from None
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
        if left:
            raise TransientError(f"{printable(self._path)}: fewer bytes came than asked for", path=self._path)

    # -- what is remembered ----------------------------------------------------------------

    def _manifest(self) -> Manifest | None:
        found = self._segments.layout(self._path, self._expected.version)
        if found is None:
            return None
        self._count(found[1])
        return found[0]

    def _watched(self, pieces: Iterator[bytes], basis: Basis | None) -> _Pieces | Watched:
        keeper = self._segments.keeper
        if keeper is None or (basis is not None and basis.start):  # half a content has no sketch
            return _Pieces(pieces)
        old = keeper.sketch(basis.digest, basis.size) if basis is not None else None
        return keeper.watched(pieces, old, self._expected.size)

    def _keep(self, watched: _Pieces | Watched, basis: Basis | None, manifest: Manifest | None) -> None:
        """For the next time, in either direction."""
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
        head = self._ground.objects.head(self._ground.place.name(self._path), newest=True)
        if head is None or head.version != self._expected.version:
            raise self._changed()

    def _changed(self) -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)} changed since it was planned on", path=self._path)


class _Pieces:
    """Pieces of which no sketch is made."""

    sketch: Sketch | None = None

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def source(segments: Segments, path: RelPath, expected: Entry) -> Source | None:
    """The source for an object that may be a large one; None for one that is too small for that."""
    if expected.size < segments.thresholds.worth:
        return None
    return RangedSource(segments, path, expected)
