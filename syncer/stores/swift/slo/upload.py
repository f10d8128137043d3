"""Segmented uploads: large files as segments and a manifest; of a changed file only the new bytes.

Segments are named by what they hold, so that none is ever overwritten with something else, and an upload that
broke off finds those that it sent. No object uses them until the manifest is put, which is the one moment in
which the object changes; `upload` sees to what stood there before. What no manifest names any more, `gc`
removes after a grace time; so an old segment that a manifest does not name yet is not relied on.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from syncer.delta.chunking import available_cpus
from syncer.delta.index_cache import BlockIndexService
from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Entry, Kind, Method, RelPath, Version
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs, NotFound, PermanentError, TransientError, Unholdable
from syncer.stores.http.bodies import Body
from syncer.stores.remote.object_names import quoted
from syncer.stores.remote.upload import HashedUpload
from syncer.stores.retry_policy import Attempts
from syncer.stores.swift import metadata, objects
from syncer.stores.swift.capabilities import container
from syncer.stores.swift.client import PIECE, READ_SECONDS, Call, SwiftReply
from syncer.stores.swift.context import SwiftContext
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.objects import NEWEST, OVERTAKEN, Objects
from syncer.stores.swift.preconditions import Preconditions, meta_of, taken
from syncer.stores.swift.slo.companions import Companions, reference
from syncer.stores.swift.slo.layout import (
    InlineBytes,
    LayoutLimits,
    SloFeatures,
    Step,
    fresh,
    gathered,
    planned,
    suited,
)
from syncer.stores.swift.slo.manifest import Inline, Manifest, Manifests, Part, Segment, current, fits

if TYPE_CHECKING:
    from syncer.delta.block_index import BlockIndex


# --------------------------------------------------------------------------------
#
# The upload of segments: the content is read once in order, cut, and sent by several threads.
#
# A segment that is there already is not sent again. Where it may be so old that `gc` has its eye on it, the
# same bytes go up under another name. Ours are apart from those of other tools, which list, and may delete,
# what begins with an object's name; a dynamic large object would even take them for its own.


SUFFIX = "_segments"
OURS = ".syncer/"  # what the names of our segments begin with: what other tools list and delete does not
GRACE_SECONDS = 7 * 24 * 3600.0  # for which a segment that no manifest names is left alone
_FLYING = 64 << 20  # bytes of segments on their way at once, where there is more than one
_IN_MEMORY = 32 << 20  # bytes of one segment; longer ones wait in a temporary file


def segment_name(name: str, digest: bytes, *, longest: int) -> str:
    """The object for a segment of the object `name`: by what it holds. `longest`: bytes of a name."""
    end = f"/{digest.hex()}"
    room = longest - len(OURS) - len(end) - 9  # for another one with the same content
    if len(name.encode()) > room:
        name = blake2b(name.encode(), digest_size=16).hexdigest()
    return OURS + name + end


class SegmentUpload:
    """Uploads the segments of one file. `sent` counts the bytes that were transferred."""

    def __init__(self, context: SwiftContext, path: RelPath) -> None:
        self._context = context
        self._path = path
        self._container = context.place.container + SUFFIX
        self._lock = threading.Lock()
        self._made: dict[bytes, Future[Segment]] = {}
        self._flying: deque[tuple[Future[Segment], int]] = deque()
        self.sent = 0

    def parts(self, steps: Sequence[Step], chunks: Iterator[bytes]) -> list[Part]:
        """The manifest's parts, once all segments are stored. Raises what reading and sending raise."""
        stream = _Stream(chunks, self._path)
        parts: list[Part | Future[Segment]] = []
        try:
            for step in steps:
                if isinstance(step, Segment):
                    stream.skip(step.length)
                    parts.append(step)
                elif isinstance(step, InlineBytes):
                    parts.append(Inline(data=b"".join(stream.take(step.size))))
                else:
                    parts.append(self._begun(_Held.of(stream.take(step.size))))
            stream.end()
            return [part.result() if isinstance(part, Future) else part for part in parts]
        finally:
            while self._flying:
                self._flying.popleft()[0].exception()  # nothing goes on behind the back of who gave up

    def _begun(self, held: _Held) -> Future[Segment]:
        found = self._made.get(held.digest)
        if found is not None:
            held.close()
            return found
        while self._flying and sum(size for _, size in self._flying) + held.size > _FLYING:
            self._flying.popleft()[0].result()
        future = self._context.worker_pool.pool.submit(self._stored, held)
        self._flying.append((future, held.size))
        self._made[held.digest] = future
        return future

    # -- by one of the threads -------------------------------------------------------

    def _stored(self, held: _Held) -> Segment:
        failures = 0
        with held, Attempts().shared() as tries:
            while True:
                try:
                    return self._one(held)
                except TransientError as error:
                    failures += 1
                    tries.wait(error, self._context.clock.sleep, failures)

    def _one(self, held: _Held) -> Segment:
        place, limits = self._context.place, self._context.cluster.limits
        name = segment_name(place.name(self._path), held.digest, longest=limits.max_name)
        there = self._asked(name)
        if there is not None:
            if held.is_in(there) and not is_old(there):
                return self._segment(name, held)
            name = f"{name}-{secrets.token_hex(4)}"
        self._put(name, held)
        return self._segment(name, held)

    def _asked(self, name: str) -> Mapping[str, str] | None:
        call = Call(method="HEAD", path=self._url(name), headers=NEWEST, accept=(404,), about=self._path)
        reply = self._context.objects.connection.ask(call)
        return None if reply.status == 404 else reply.headers

    def _put(self, name: str, held: _Held) -> None:
        call = Call(
            method="PUT",
            path=self._url(name),
            headers={"ETag": held.etag, "Content-Type": "application/octet-stream"},
            body=Body(open=held.chunks, length=held.size),
            about=self._path,
        )
        reply = self._context.objects.connection.ask(call)
        if reply.status == OVERTAKEN or objects.bare(reply.headers.get("Etag", "")) != held.etag:
            raise TransientError(f"{printable(self._path)}: a segment of it was not stored", path=self._path)
        with self._lock:
            self.sent += held.size

    def _url(self, name: str) -> str:
        return quoted(f"{self._container}/{name}")

    def _segment(self, name: str, held: _Held) -> Segment:
        return Segment.whole(f"{self._container}/{name}", etag=held.etag, size=held.size)


def is_old(headers: Mapping[str, str]) -> bool:
    """Whether an object was written long ago, by the cluster's own clock; unknown counts as long."""
    try:
        now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        ticks = objects.by_timestamp(headers.get("X-Timestamp", ""))
    except (ValueError, TypeError, OverflowError, IndexError):
        return True
    return now - ticks / objects.TICKS > GRACE_SECONDS / 2


class _Held:
    """The bytes of one segment, and their hashes."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake3 = blake3()
        self.size = 0

    @classmethod
    def of(cls, pieces: Iterator[bytes]) -> _Held:
        """All of the pieces. What they raise comes out unchanged."""
        held = cls()
        try:
            for piece in pieces:
                held._file.write(piece)
                held._md5.update(piece)
                held._blake3.update(piece)
                held.size += len(piece)
        except BaseException:
            held.close()
            raise
        return held

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    @property
    def digest(self) -> bytes:
        return self._blake3.digest()

    def chunks(self) -> Iterator[bytes]:
        """From the start each time."""
        self._file.seek(0)
        return iter(lambda: self._file.read(PIECE), b"")

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether an object with these headers holds the same."""
        same = objects.bare(headers.get("Etag", "")) == self.etag
        return same and headers.get("Content-Length") == str(self.size)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> _Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream:
    """A stream of chunks, read by number of bytes."""

    def __init__(self, chunks: Iterator[bytes], path: RelPath) -> None:
        self._chunks = chunks
        self._path = path
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes. Raises ChangedUnderUs where there are less."""
        while size:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise self._changed()
                self._rest = memoryview(chunk)
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield bytes(piece)

    def skip(self, size: int) -> None:
        """Skip the next `size` bytes."""
        for _ in self.take(size):
            pass

    def end(self) -> None:
        """Nothing may follow; the source says at its end whether all was well."""
        if self._rest or any(self._chunks):
            raise self._changed()

    def _changed(self) -> ChangedUnderUs:
        return ChangedUnderUs(f"{printable(self._path)}: another length than planned on", path=self._path)


_PER_SEGMENT = 0.5  # seconds in which a slow cluster looks at one segment of a manifest
_NOT_FOUND = 404
MISSING = frozenset({400, _NOT_FOUND, 409, 422})
"""To a manifest: a segment is not there, or is another. Ceph says 404, as where there is no container."""


def put_segmented(preconditions: Preconditions, segments: Segments, item: WriteRequest) -> Done:
    """Puts the item. Raises StaleError, StoreError, and what the source raises."""
    context = preconditions.context
    ready = segments.upload(item)
    before = preconditions.before(item)
    meta = meta_of(item, before.head, ready.digest, ready.etag)
    if context.cluster.limits.hides_manifests:
        sent = segments.companions.put(ready.manifest, about=item.path)
        meta |= metadata.referring(reference(ready.manifest), ready.etag)
        ready = replace(ready, sent=ready.sent + sent)
    reply = segments.publish(context.name(item.path), ready, meta=meta, only_new=before.heeded)
    if reply.status == _NOT_FOUND and container(context.objects.connection, context.place) is None:
        raise NotFound(f"the container {context.place.container} is not there", path=item.path)
    if reply.status in MISSING:
        segments.forget(item)
        raise TransientError(f"{printable(item.path)}: a segment of it is gone or another", path=item.path)
    taken(item, reply)
    head = preconditions.after(item, ready.etag)
    preconditions.rescue(item, head)
    segments.agreed(item, ready)
    done = context.made(item.path, head, digest=ready.digest)
    return replace(done, method=ready.method, sent=ready.sent, received=ready.received)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A content whose segments are all stored; no manifest names them yet."""

    manifest: Manifest
    digest: bytes
    sketch: BlockIndex | None
    method: Method
    sent: int
    received: int

    @property
    def etag(self) -> str:
        return self.manifest.etag


class Segments:
    """Uploads for one root. `cache`: a private folder for sketches and manifests; None: nothing is kept."""

    def __init__(
        self, context: SwiftContext, *, cache: Path | None, thresholds: LayoutLimits | None = None
    ) -> None:
        self.context = context
        self.thresholds = thresholds or LayoutLimits()
        self.keeper = BlockIndexService(cache / "sketches", context.clock) if cache is not None else None
        self.companions = Companions(context.objects.connection, self.container)
        self._lock = threading.Lock()
        self._stands: bool | None = None
        self.manifests = Manifests(cache / "manifests" if cache is not None else None)

    @property
    def container(self) -> str:
        """Where the segments are."""
        return self.context.place.container + SUFFIX

    def wanted(self, item: WriteRequest) -> bool:
        """Whether this file is put as segments. Raises what asking for limits does."""
        large = item.kind is Kind.FILE and item.size >= self.thresholds.worth
        if not large or self.context.cluster.limits.features is None:
            return False
        with self._lock:
            if self._stands is None:
                self._stands = self._made()
            return self._stands

    def _made(self) -> bool:
        """The segments' container is there by now; or we may not make it, and files go as single objects."""
        connection, place = self.context.objects.connection, ContainerPath(container=self.container)
        try:
            if container(connection, place) is None:
                connection.ask(Call(method="PUT", path=place.url(), body=b""))
        except PermanentError:
            return False
        return True

    def upload(self, item: WriteRequest) -> Ready:
        """Upload everything but the manifest. Raises ChangedUnderUs, StoreError."""
        if item.source is None:
            raise Unholdable(f"{printable(item.path)}: no content", path=item.path)
        features = self.context.cluster.limits.features
        assert features is not None
        found = self._old(item)
        return self._whole(item, features) if found is None else self._changed(item, features, *found)

    def publish(self, name: str, ready: Ready, *, meta: metadata.Meta, only_new: bool) -> SwiftReply:
        """The manifest takes the name. Statuses as of `Objects.put`, and `MISSING`."""
        place, body = self.context.place, ready.manifest.encoded()
        headers = {**metadata.headers_of(meta), "Accept": "application/json"}
        headers |= {"If-None-Match": "*"} if only_new else {}
        features = self.context.cluster.limits.features
        if features is not None and features.ranges:
            headers["ETag"] = ready.etag
        call = Call(
            method="PUT",
            path=place.url(name),
            query="multipart-manifest=put",
            headers=headers,
            body=body,
            accept=(412, *MISSING),
            about=place.path(name),
            seconds=READ_SECONDS + _PER_SEGMENT * len(ready.manifest.parts),
        )
        return self.context.objects.connection.ask(call)

    def forget(self, item: WriteRequest) -> None:
        """Forget the block index of the old content.

        Its segments are gone, so the next attempt sends everything.
        """
        if self.keeper is not None and item.expected is not None:
            self.keeper.drop(item.expected.digest, unless=None)

    def agreed(self, item: WriteRequest, ready: Ready) -> None:
        """Store the manifest and the block index for the next delta."""
        before = item.expected.digest if item.expected is not None else None
        self.manifests.keep(ready.digest, ready.manifest, instead=before)
        if self.keeper is not None:
            self.keeper.keep(ready.sketch, ready.digest)
            self.keeper.drop(before, unless=ready.digest)

    def _whole(self, item: WriteRequest, features: SloFeatures) -> Ready:
        content = HashedUpload(item)
        chunks = content.chunks()
        watched = self.keeper.watched(chunks, None, item.size) if self.keeper is not None else None
        steps = fresh(item.size, features, suited(self.thresholds, features))
        manifest, sent = self._uploaded(item, steps, chunks if watched is None else iter(watched))
        return Ready(
            manifest=manifest,
            digest=content.digest,
            sketch=watched.sketch if watched is not None else None,
            method=Method.WHOLE,
            sent=sent,
            received=0,
        )

    def _changed(
        self, item: WriteRequest, features: SloFeatures, sketch: BlockIndex, old: Manifest, received: int
    ) -> Ready:
        """Upload the changed parts. The file is read twice: to find what is new, and to send it."""
        from syncer.delta.indexed_delta import difference

        made = difference(sketch, HashedUpload(item).chunks(), workers=available_cpus())
        changes = gathered(made)
        steps = planned(old, changes, features=features, thresholds=suited(self.thresholds, features))
        again = HashedUpload(item)
        manifest, sent = self._uploaded(item, steps, again.chunks())
        if again.digest != made.digest:
            raise ChangedUnderUs(f"{printable(item.path)} changed while it was sent", path=item.path)
        kept = any(isinstance(step, Segment) for step in steps)
        return Ready(
            manifest=manifest,
            digest=made.digest,
            sketch=made.sketch,
            method=Method.SEGMENTS if kept else Method.WHOLE,
            sent=sent,
            received=received,
        )

    def _uploaded(
        self, item: WriteRequest, steps: Sequence[Step], chunks: Iterator[bytes]
    ) -> tuple[Manifest, int]:
        uploading = SegmentUpload(self.context, item.path)
        manifest = Manifest(parts=tuple(uploading.parts(steps, chunks)))
        return manifest, uploading.sent + len(manifest.encoded())

    def _old(self, item: WriteRequest) -> tuple[BlockIndex, Manifest, int] | None:
        """Block index and manifest of the replaced content, and the bytes received for them.

        None if unknown.
        """
        old = item.expected
        if self.keeper is None or old is None or old.kind is not Kind.FILE:
            return None
        sketch = self.keeper.sketch(old.digest, old.size)
        if sketch is None or sketch.size != old.size:
            return None
        manifest, received = self.manifests.get(old.digest), 0
        if manifest is None or not fits(manifest, old.version):
            found = self.layout(item.path, old.version)
            manifest, received = found if found is not None else (None, 0)
        if manifest is None or manifest.size != old.size:
            return None
        # Only segments of our own making are reused: other tools overwrite and delete theirs.
        start = f"{self.container}/{OURS}"
        if not all(one.path.startswith(start) for one in manifest.segments):
            return None
        return sketch, manifest, received

    def layout(self, path: RelPath, version: Version) -> tuple[Manifest, int] | None:
        """What the object of this version is made of, and how many bytes came for it; None where that is not
        known, or it is another by now. Raises StoreError.
        """
        objects, name = self.context.objects, self.context.place.name(path)
        if self.context.cluster.limits.hides_manifests:
            head = objects.head(name, newest=True)
            if head is None or head.version != version or not head.static:
                return None
            if found := self.companions.of(head, about=path):
                return found
        return current(objects.connection, self.context.place.url(name), version, about=path)

    def is_broken(self, path: RelPath, entry: Entry) -> bool:
        """Whether the object surely lacks a segment: on Ceph, whose listings are never late and where a HEAD
        fails only for the first one. A page of the listing tells of some hundred. Raises StoreError.
        """
        if entry.size < self.thresholds.worth or not self.context.cluster.limits.is_ceph:
            return False
        found = self.layout(path, entry.version)
        wanted = {one.path.partition("/")[2]: one for one in found[0].segments} if found is not None else {}
        objects = Objects(self.context.objects.connection, ContainerPath(container=self.container))
        for folder in {name.rpartition("/")[0] + "/" for name in wanted}:
            marker = ""
            while rows := objects.rows(prefix=folder, marker=marker):
                for row in rows:
                    one = wanted.get(row.name)
                    if one is not None and (row.stamp.etag, row.size) == (one.etag, one.size):
                        del wanted[row.name]
                marker = rows[-1].name
        return bool(wanted)
