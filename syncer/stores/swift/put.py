"""Content takes a name: looked at right before, kept in the trash, sent with its MD5, looked at right after.

Up to `WHOLE` bytes a file is read as a whole before anything is sent: then its MD5 goes with it (what
arrives in another shape is refused by Swift, 422), its digest is in its metadata from the start, and a file
that changes while it is read is never sent. Longer ones go in `segments`, or stream (see `streaming`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue

from blake3 import blake3

from syncer.engine.model import Done, Failed, Kind, Method, Outcome
from syncer.engine.paths import printable
from syncer.engine.ports import Put, Results
from syncer.errors import AuthError, ChangedUnderUs, StoreError, Unholdable
from syncer.stores.staging import link_digest
from syncer.stores.swift import metadata
from syncer.stores.swift.confirming import confirmed
from syncer.stores.swift.ground import attempt
from syncer.stores.swift.learning import Crew
from syncer.stores.swift.objects import Head
from syncer.stores.swift.placing import MANY, Placing, meta_of, ours, taken
from syncer.stores.swift.segments import Segments, put_segmented
from syncer.stores.swift.streaming import stream

WHOLE = 8 << 20  # bytes of a file that is held in memory
_HELD = 32 << 20  # bytes of all of them at once
_QUEUED = 4  # files for each thread that are read before it is their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What is to be stored, its hashes known."""

    data: bytes
    digest: bytes
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What was stored under a name that was free, still to be confirmed."""

    etag: str
    digest: bytes
    size: int
    meta: metadata.Meta
    target: str | None


class Putting:
    """Sources are read in order, by the caller's thread; what was read is sent by many."""

    def __init__(self, placing: Placing, segments: Segments) -> None:
        self._placing = placing
        self._segments = segments
        self._ground = placing.ground

    def put(self, items: Sequence[Put]) -> Results:
        """See `engine.ports.Store.put`."""
        flight, sent = _Flight(self._ground.crew), dict[int, _Sent]()
        self._placing.many = sum(item.expected is None for item in items) >= MANY
        for index, item in enumerate(items):
            while flight.full(item.size):
                yield from _told(flight.landed(), sent)
            ready = self._prepared(index, item, sent)
            if callable(ready):
                flight.begin(index, item, ready)
            else:
                yield index, ready
        while flight.count:
            yield from _told(flight.landed(), sent)
        yield from self._confirmed(items, sent)

    def _prepared(self, index: int, item: Put, sent: dict[int, _Sent]) -> Outcome | Callable[[], Done]:
        """What is left to do once the source was read; or how the item ended already."""
        steps: list[Callable[[], Done]] = []

        def read() -> Done:
            self._ground.name(item.path)
            if self._segments.wanted(item):
                return put_segmented(self._placing, self._segments, item)
            if item.kind is Kind.FILE and item.size > WHOLE:
                return stream(self._placing, item)
            content = _read(item)
            steps.append(lambda: self._store(index, item, content, sent))
            return Done()

        ended = attempt(item.path, read)
        return steps[0] if steps else ended

    def _store(self, index: int, item: Put, content: _Content, sent: dict[int, _Sent]) -> Done:
        """What replaces something is confirmed at once; what is new with all others of the batch (`sent`)."""
        etag = hashlib.md5(content.data, usedforsecurity=False).hexdigest()
        before = self._placing.before(item)
        meta = meta_of(item, before.head, content.digest, etag)
        reply = self._ground.objects.put(
            self._ground.name(item.path),
            content.data,
            meta=meta,
            etag=etag,
            content_type=metadata.SYMLINK if item.kind is Kind.SYMLINK else "",
            only_new=before.heeded,
        )
        taken(item, reply)
        stored = _Sent(
            etag=etag, digest=content.digest, size=len(content.data), meta=meta, target=content.target
        )
        if item.expected is None:
            sent[index] = stored
            return Done()
        return self._done(item, self._placing.after(item, etag), stored)

    def _confirmed(self, items: Sequence[Put], sent: dict[int, _Sent]) -> Results:
        names = {self._ground.place.name(items[i].path): s.etag for i, s in sent.items()}
        try:
            found = confirmed(self._ground.objects, self._ground.crew, names)
        except AuthError:
            raise
        except StoreError as error:
            yield from ((index, Failed(error=error)) for index in sent)
            return
        for index, stored in sent.items():
            item = items[index]
            head = found[self._ground.place.name(item.path)]
            yield index, attempt(item.path, lambda i=item, h=head, s=stored: self._new(i, h, s))  # type: ignore[misc]

    def _new(self, item: Put, head: Head | None, stored: _Sent) -> Done:
        head = ours(item, head, stored.etag)
        return self._done(item, head if head.meta else replace(head, meta=stored.meta), stored)

    def _done(self, item: Put, head: Head, stored: _Sent) -> Done:
        self._placing.rescue(item, head)
        done = self._ground.made(item.path, head, digest=stored.digest, target=stored.target)
        return replace(done, method=Method.WHOLE, sent=stored.size)


def _read(item: Put) -> _Content:
    """All of the source. Raises ChangedUnderUs for another length than was planned on, and what it raises."""
    if item.kind is Kind.SYMLINK:
        target = item.target or ""
        return _Content(data=os.fsencode(target), digest=link_digest(target), target=target)
    if item.kind is not Kind.FILE or item.source is None:
        raise Unholdable(f"{printable(item.path)}: no content", path=item.path)
    held = bytearray()
    for chunk in item.source.chunks():
        held += chunk
        if len(held) > item.size:
            break
    if len(held) != item.size:
        raise ChangedUnderUs(f"{printable(item.path)}: another length than planned on", path=item.path)
    return _Content(data=bytes(held), digest=blake3(held).digest())


class _Flight:
    """What was read and is being sent. More waits than there are threads, so that none of them ever does."""

    def __init__(self, crew: Crew) -> None:
        self.count = 0
        self._held = 0
        self._crew = crew
        self._ended: SimpleQueue[tuple[int, int, Future[Outcome]]] = SimpleQueue()

    def full(self, size: int) -> bool:
        """Whether so many bytes more have to wait."""
        return bool(self.count) and (self.count >= self._crew.size * _QUEUED or self._held + size > _HELD)

    def begin(self, index: int, item: Put, ready: Callable[[], Done]) -> None:
        self.count, self._held = self.count + 1, self._held + item.size
        future = self._crew.pool.submit(attempt, item.path, ready)
        future.add_done_callback(lambda ended: self._ended.put((index, item.size, ended)))

    def landed(self) -> tuple[int, Outcome]:
        """The next one that is at its end; waits for it. Raises AuthError."""
        index, size, future = self._ended.get()
        self.count, self._held = self.count - 1, self._held - size
        return index, future.result()


def _told(ended: tuple[int, Outcome], sent: Mapping[int, _Sent]) -> Results:
    """What is in `sent` still has to be confirmed."""
    if ended[0] not in sent:
        yield ended
