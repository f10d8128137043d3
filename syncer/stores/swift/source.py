"""The content of one object: what was planned on or nothing, gone on with after a broken line, verified.

Swift hands out one version from the first byte to the last; a second request says by If-Match which one it
goes on with. The whole is checked against our digest where there is one, and against the MD5 where the ETag
is that, before the last piece is handed out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Lock

from blake3 import blake3

from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Basis, Source, Traffic
from syncer.errors import AuthError, ChangedUnderUs, NotFound, StoreError, TransientError
from syncer.stores.retry_policy import Attempts
from syncer.stores.swift.confirming import confirmed
from syncer.stores.swift.connection import PIECE
from syncer.stores.swift.ground import Ground
from syncer.stores.swift.objects import Head, head_in
from syncer.stores.swift.versions import etag_in

SMALL = 1 << 20  # bytes; such a file is fetched ahead of its turn
_QUEUED = 4  # small files for each thread
_HELD = 24 << 20  # bytes of small files that are on their way


class SwiftSource:
    """`ahead` hands out what was fetched before it was asked for."""

    def __init__(
        self, ground: Ground, path: RelPath, expected: Entry, ahead: Ahead | None = None, position: int = 0
    ) -> None:
        self._ground = ground
        self._path = path
        self._expected = expected
        self._ahead = ahead
        self._position = position
        self._entry: Entry | None = None
        self._received = 0

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> Traffic | None:
        return Traffic(method=Method.WHOLE, received=self._received)

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        """See `engine.ports.Source.chunks`."""
        self._entry, self._received = None, 0
        if self._ahead is not None and (basis is None or not basis.start):
            data, self._entry, self._received = self._ahead.take(self._position)
            yield from (data[i : i + PIECE] for i in range(0, len(data), PIECE))
            return
        yield from self._verified(basis)

    def whole(self) -> tuple[bytes, Entry, int]:
        """All of it, verified; with the entry, and how many bytes came."""
        return b"".join(self._verified(None)), self.entry, self._received

    def _verified(self, basis: Basis | None) -> Iterator[bytes]:
        self._entry, self._received = None, 0
        start = basis.start if basis is not None else 0
        sums = _Sums()
        for place in range(0, start, PIECE):
            assert basis is not None
            sums.add(basis.read(place, min(PIECE, start - place)))
        held, count, reading = b"", 0, _Reading(self._ground, self._path, self._expected, start)
        for piece in reading.pieces():
            sums.add(piece)
            self._received += len(piece)
            if held:
                yield held
            held, count = piece, count + 1
        if count != 1:
            reading.still_the_same()
        digest = sums.checked(self._path, self._expected, reading.head)
        self._entry = replace(self._expected, digest=digest)
        if held:
            yield held


class _Sums:
    """Both hashes of what came so far."""

    def __init__(self) -> None:
        self._blake3 = blake3()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, piece: bytes) -> None:
        self._blake3.update(piece)
        self._md5.update(piece)

    def checked(self, path: RelPath, expected: Entry, head: Head | None) -> bytes:
        """BLAKE3-256 of the whole. Raises TransientError for other content than was promised."""
        digest = self._blake3.digest()
        plain = head is not None and head.plain and not head.linked and len(head.etag) == 32
        if expected.digest not in (None, digest) or (plain and head and self._md5.hexdigest() != head.etag):
            raise TransientError(f"{printable(path)}: other bytes came than were stored", path=path)
        return digest


class _Reading:
    """One pass over the bytes from `start` on, by as many requests as it takes."""

    def __init__(self, ground: Ground, path: RelPath, expected: Entry, start: int) -> None:
        self._ground = ground
        self._path = path
        self._expected = expected
        self._place = start
        self.head: Head | None = None

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
                tries.wait(error, self._ground.clock.sleep, failures)

    def _request(self, tries: Attempts) -> Iterator[bytes]:
        name = self._ground.place.name(self._path)
        # Ceph compares with the MD5 of nothing where the object is a large one: what its ETag is would never
        # match. Time and ETag of each answer are compared below, here and there.
        hides = self._ground.offered.limits.hides_manifests
        etag = self.head.etag if self.head is not None and (self.head.plain or not hides) else ""
        try:
            with tries.shared():
                begun = self._ground.objects.get(name, start=self._place, if_match=etag)
        except NotFound as error:
            raise lost(self._ground, self._path, self._expected) or error from None
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
        head = self._ground.objects.head(self._ground.place.name(self._path), newest=True)
        if head is None or head.version != self._expected.version:
            raise self._changed()
        self.head = head

    def _changed(self) -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)} changed since it was planned on", path=self._path)


def lost(ground: Ground, path: RelPath, expected: Entry) -> StoreError | None:
    """The error for a 404 to a GET where the object still is the version that is meant; None where it is not.

    Ceph answers so for the part of a large object whose segment is missing. Raises what a HEAD does.
    """
    name = ground.place.name(path)
    head = ground.objects.head(name, newest=True)
    return ground.objects.broken(name) if head is not None and head.version == expected.version else None


class Ahead:
    """Small files of a batch, fetched by many threads ahead of the one who reads them in order."""

    def __init__(self, ground: Ground, wanted: Sequence[tuple[RelPath, Entry]]) -> None:
        self._ground = ground
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
            while self._begun < len(self._wanted) and self._room(position):
                self._begin(self._begun)
                self._begun += 1
            future = self._running.pop(position, None)
            if future is not None:
                self._held -= self._wanted[position][1].size
        return future.result() if future is not None else self._fetch(position)

    def _room(self, position: int) -> bool:
        """More wait than there are threads, so that none of them ever does."""
        near = self._begun < position + self._ground.crew.size * _QUEUED
        return near and (self._begun == position or self._held < _HELD)

    def _begin(self, position: int) -> None:
        path, entry = self._wanted[position]
        if entry.size <= SMALL and self._name(path) not in (self._same or ()):
            self._running[position] = self._ground.crew.pool.submit(self._fetch, position)
            self._held += entry.size

    def _fetch(self, position: int) -> tuple[bytes, Entry, int]:
        path, entry = self._wanted[position]
        if self._name(path) in (self._same or ()):
            data = self._ground.learner.early.take(self._name(path), entry.version)
            digest = blake3(data).digest() if data is not None else None
            if data is not None and entry.digest in (None, digest):
                return data, replace(entry, digest=digest), len(data)
        return SwiftSource(self._ground, path, entry).whole()

    def _still_the_same(self) -> frozenset[str]:
        """Of the objects whose content came early, those that did not change since."""
        early = self._ground.learner.early
        held = {self._name(path): entry.version for path, entry in self._wanted}
        held = {name: version for name, version in held.items() if early.has(name, version)}
        try:
            etags = {name: etag_in(version) for name, version in held.items()}
            now = confirmed(self._ground.objects, self._ground.crew, etags)
        except AuthError:
            raise
        except StoreError:
            return frozenset()  # each is asked for again
        heads = ((name, now[name]) for name in held)
        return frozenset(name for name, head in heads if head is not None and head.version == held[name])

    def _name(self, path: RelPath) -> str:
        return self._ground.place.name(path)


def opened(ground: Ground, wanted: Sequence[tuple[RelPath, Entry]]) -> list[Source]:
    """Sources for many files, the small ones fetched ahead as they are read."""
    ahead = Ahead(ground, wanted) if len(wanted) > 1 else None
    return [
        SwiftSource(ground, path, entry, ahead if entry.size <= SMALL else None, position)
        for position, (path, entry) in enumerate(wanted)
    ]
