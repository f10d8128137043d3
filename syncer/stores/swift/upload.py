"""Uploads: look right before, copy the old object to the trash, PUT with MD5, verify right after.

Up to `WHOLE` bytes a file is read as a whole before anything is sent: then its MD5 goes with it (what
arrives in another shape is refused by Swift, 422), its digest is in its metadata from the start, and a file
that changes while it is read is never sent. Longer ones go in `upload`, or stream (see `upload`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from queue import SimpleQueue

from blake3 import blake3

from syncer.engine.interfaces import Results, WriteRequest
from syncer.engine.model import Done, Failed, Kind, Method, Outcome
from syncer.engine.paths import printable
from syncer.errors import AuthError, ChangedUnderUs, StoreError, TransientError, Unholdable
from syncer.stores.common import link_digest
from syncer.stores.http.bodies import Body
from syncer.stores.remote.upload import HashedUpload
from syncer.stores.swift import metadata
from syncer.stores.swift import objects as versions
from syncer.stores.swift.consistency import WorkerPool
from syncer.stores.swift.context import attempt
from syncer.stores.swift.listing import behind
from syncer.stores.swift.objects import ObjectHead, Objects
from syncer.stores.swift.preconditions import MANY, Before, Preconditions, meta_of, ours, taken
from syncer.stores.swift.slo.upload import Segments, put_segmented

# --------------------------------------------------------------------------------  Verification of new
# objects: by pages of the listing where they are many.  A row with the ETag that was sent proves that the
# object was stored, for thousands of objects in one request. An object that is not listed so is probed by a
# HEAD. RACE: a late listing may show our object although another client has overwritten it since; the next
# run then sees that version as a change, which it is.


FEW = 16  # objects that are asked for one by one
_WORTH = 8  # objects that a page must show, or the rest is asked for one by one


def confirmed(
    objects: Objects, worker_pool: WorkerPool, sent: Mapping[str, str]
) -> dict[str, ObjectHead | None]:
    """What is there now of the names that were sent with these ETags; None where nothing is.

    A head from the listing has no metadata. Raises AuthError, StoreError.
    """
    found: dict[str, ObjectHead | None] = dict(_listed(objects, sent)) if len(sent) >= FEW else {}
    left = [name for name in sent if name not in found]
    found.update(zip(left, worker_pool.each(lambda name: objects.head(name, newest=True), left), strict=True))
    return found


def _listed(objects: Objects, sent: Mapping[str, str]) -> Iterator[tuple[str, ObjectHead]]:
    left = sorted(sent, key=str.encode)
    while left:
        rows = objects.rows(prefix=objects.place.prefix, marker=left[0][:-1], end=behind(left[-1]))
        if not rows:
            return
        hits = [row for row in rows if not row.is_prefix and sent.get(row.name) == row.stamp.etag]
        for row in hits:
            if row.stamp.step == 1:
                yield row.name, ObjectHead(stamp=row.stamp, size=row.size, content_type=row.content_type)
        last = rows[-1].name.encode()
        before, left = len(left), [name for name in left if name.encode() > last]
        if len(hits) < _WORTH or len(left) == before:
            return


# -- One file that is too long to be held in memory, as one object --------------
#
# It is neither read twice (that costs all its bytes from the disk again, and counts them twice against a
# limit of bytes per second) nor sent without its length, which quotas go by: a source that breaks off does
# not reach that length, so Swift stores nothing. The answered ETag is compared with the MD5 of what was
# sent, and the digest is added by a POST.


def stream(preconditions: Preconditions, item: WriteRequest) -> Done:
    """Puts the item. Raises StaleError, StoreError, and what the source raises."""
    context, objects = preconditions.context, preconditions.context.objects
    most = context.cluster.limits.max_file_size
    if item.source is None or item.size > most:
        raise Unholdable(f"{printable(item.path)}: longer than the {most} bytes of an object", path=item.path)
    name, before = context.name(item.path), preconditions.before(item)
    sent = HashedUpload(item, md5=True)
    body = Body(open=sent.chunks, length=item.size)
    reply = objects.put(name, body, meta=meta_of(item, before.head, None), only_new=before.heeded)
    taken(item, reply)
    stored = versions.bare(reply.headers.get("Etag", ""))
    if stored != sent.md5:
        _take_back(preconditions, item, before, stored)
    head = preconditions.after(item, sent.md5)
    preconditions.rescue(item, head)
    objects.post(name, head, meta_of(item, before.head, sent.digest, sent.md5))
    done = context.made(item.path, preconditions.after(item, sent.md5), digest=sent.digest)
    return replace(done, method=Method.WHOLE, sent=item.size)


def _take_back(preconditions: Preconditions, item: WriteRequest, before: Before, stored: str) -> None:
    """Undo an upload whose ETag is not that of the sent content, if the object is still the uploaded one."""
    context, objects = preconditions.context, preconditions.context.objects
    name = context.name(item.path)
    head = objects.head(name, newest=True)
    if head is not None and head.etag == stored:
        if before.head is not None:
            objects.copy(before.kept, name, before.head)
        else:
            objects.delete(name)
    raise TransientError(
        f"{printable(item.path)}: checksum mismatch after upload; the object was restored", path=item.path
    )


WHOLE = 8 << 20  # bytes of a file that is held in memory
_HELD = 32 << 20  # bytes of all of them at once
_QUEUED = 4  # files for each thread that are read before it is their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """Content that was read, with its digest."""

    data: bytes
    digest: bytes
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """An object that was stored under a free name, still to be verified."""

    etag: str
    digest: bytes
    size: int
    meta: metadata.Meta
    target: str | None


class Uploader:
    """Reads sources in order, in the caller's thread; uploads what was read on the worker pool."""

    def __init__(self, preconditions: Preconditions, segments: Segments) -> None:
        self._preconditions = preconditions
        self._segments = segments
        self._context = preconditions.context

    def put(self, items: Sequence[WriteRequest]) -> Results:
        """See `engine.interfaces.Store.put`."""
        uploads, sent = _InProgress(self._context.worker_pool), dict[int, _Sent]()
        self._preconditions.many = sum(item.expected is None for item in items) >= MANY
        for index, item in enumerate(items):
            while uploads.full(item.size):
                yield from _told(uploads.next_ended(), sent)
            ready = self._prepared(index, item, sent)
            if callable(ready):
                uploads.begin(index, item, ready)
            else:
                yield index, ready
        while uploads.count:
            yield from _told(uploads.next_ended(), sent)
        yield from self._confirmed(items, sent)

    def _prepared(
        self, index: int, item: WriteRequest, sent: dict[int, _Sent]
    ) -> Outcome | Callable[[], Done]:
        """The upload of an item whose source was read, as a function; or its outcome."""
        steps: list[Callable[[], Done]] = []

        def read() -> Done:
            self._context.name(item.path)
            if self._segments.wanted(item):
                return put_segmented(self._preconditions, self._segments, item)
            if item.kind is Kind.FILE and item.size > WHOLE:
                return stream(self._preconditions, item)
            content = _read(item)
            steps.append(lambda: self._store(index, item, content, sent))
            return Done()

        ended = attempt(item.path, read)
        return steps[0] if steps else ended

    def _store(self, index: int, item: WriteRequest, content: _Content, sent: dict[int, _Sent]) -> Done:
        """Upload one item.

        A replacement is verified at once, a new object with the others of the batch (`sent`).
        """
        etag = hashlib.md5(content.data, usedforsecurity=False).hexdigest()
        before = self._preconditions.before(item)
        meta = meta_of(item, before.head, content.digest, etag)
        reply = self._context.objects.put(
            self._context.name(item.path),
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
        return self._done(item, self._preconditions.after(item, etag), stored)

    def _confirmed(self, items: Sequence[WriteRequest], sent: dict[int, _Sent]) -> Results:
        names = {self._context.place.name(items[i].path): s.etag for i, s in sent.items()}
        try:
            found = confirmed(self._context.objects, self._context.worker_pool, names)
        except AuthError:
            raise
        except StoreError as error:
            yield from ((index, Failed(error=error)) for index in sent)
            return
        for index, stored in sent.items():
            item = items[index]
            head = found[self._context.place.name(item.path)]
            yield index, attempt(item.path, lambda i=item, h=head, s=stored: self._new(i, h, s))  # type: ignore[misc]

    def _new(self, item: WriteRequest, head: ObjectHead | None, stored: _Sent) -> Done:
        head = ours(item, head, stored.etag)
        return self._done(item, head if head.meta else replace(head, meta=stored.meta), stored)

    def _done(self, item: WriteRequest, head: ObjectHead, stored: _Sent) -> Done:
        self._preconditions.rescue(item, head)
        done = self._context.made(item.path, head, digest=stored.digest, target=stored.target)
        return replace(done, method=Method.WHOLE, sent=stored.size)


def _read(item: WriteRequest) -> _Content:
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


class _InProgress:
    """Uploads in progress. More of them wait than there are threads, so that no thread ever waits."""

    def __init__(self, worker_pool: WorkerPool) -> None:
        self.count = 0
        self._held = 0
        self._worker_pool = worker_pool
        self._ended: SimpleQueue[tuple[int, int, Future[Outcome]]] = SimpleQueue()

    def full(self, size: int) -> bool:
        """Whether an item of so many bytes has to wait."""
        return bool(self.count) and (
            self.count >= self._worker_pool.size * _QUEUED or self._held + size > _HELD
        )

    def begin(self, index: int, item: WriteRequest, ready: Callable[[], Done]) -> None:
        self.count, self._held = self.count + 1, self._held + item.size
        future = self._worker_pool.pool.submit(attempt, item.path, ready)
        future.add_done_callback(lambda ended: self._ended.put((index, item.size, ended)))

    def next_ended(self) -> tuple[int, Outcome]:
        """The next upload that ended; waits for it. Raises AuthError."""
        index, size, future = self._ended.get()
        self.count, self._held = self.count - 1, self._held - size
        return index, future.result()


def _told(ended: tuple[int, Outcome], sent: Mapping[int, _Sent]) -> Results:
    """What is in `sent` still has to be confirmed."""
    if ended[0] not in sent:
        yield ended
