"""Large files go up as segments and a manifest that names them; of a changed one only what is new.

Segments are named by what they hold, so that none is ever overwritten with something else, and an upload that
broke off finds those that it sent. They are nobody's until the manifest is put, which is the one moment in
which the object changes; `put` sees to what stood there before. What no manifest names any more, `gc`
removes after a grace time; so an old segment that a manifest does not name yet is not relied on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from syncer.engine.model import Done, Entry, Kind, Method, RelPath, Version
from syncer.engine.paths import printable
from syncer.engine.ports import Put
from syncer.errors import ChangedUnderUs, NotFound, PermanentError, TransientError, Unholdable
from syncer.stores.peer.keeping import Keeper, workers
from syncer.stores.swift import metadata
from syncer.stores.swift.companions import Companions, reference
from syncer.stores.swift.connection import READ_SECONDS, Call, Reply
from syncer.stores.swift.ground import Ground
from syncer.stores.swift.manifest import Manifest, Segment
from syncer.stores.swift.manifests import Manifests, current, fits
from syncer.stores.swift.names import Place
from syncer.stores.swift.objects import Objects
from syncer.stores.swift.offered import container
from syncer.stores.swift.placing import Placing, meta_of, taken
from syncer.stores.swift.planning import Dialect, Step, Thresholds, fresh, gathered, planned, suited
from syncer.stores.swift.uploading import OURS, SUFFIX, Uploading

if TYPE_CHECKING:
    from syncer.engine.sketch import Sketch

_PER_SEGMENT = 0.5  # seconds in which a slow cluster looks at one segment of a manifest
_NOT_FOUND = 404
MISSING = frozenset({400, _NOT_FOUND, 409, 422})
"""To a manifest: a segment is not there, or is another. Ceph says 404, as where there is no container."""


def put_segmented(placing: Placing, segments: Segments, item: Put) -> Done:
    """Puts the item. Raises Unexpected, StoreError, and what the source raises."""
    ground = placing.ground
    ready = segments.upload(item)
    before = placing.before(item)
    meta = meta_of(item, before.head, ready.digest, ready.etag)
    if ground.offered.limits.hides_manifests:
        sent = segments.companions.put(ready.manifest, about=item.path)
        meta |= metadata.referring(reference(ready.manifest), ready.etag)
        ready = replace(ready, sent=ready.sent + sent)
    reply = segments.publish(ground.name(item.path), ready, meta=meta, only_new=before.heeded)
    if reply.status == _NOT_FOUND and container(ground.objects.connection, ground.place) is None:
        raise NotFound(f"the container {ground.place.container} is not there", path=item.path)
    if reply.status in MISSING:
        segments.forget(item)
        raise TransientError(f"{printable(item.path)}: a segment of it is gone or another", path=item.path)
    taken(item, reply)
    head = placing.after(item, ready.etag)
    placing.rescue(item, head)
    segments.agreed(item, ready)
    done = ground.made(item.path, head, digest=ready.digest)
    return replace(done, method=ready.method, sent=ready.sent, received=ready.received)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A content of which every part is in the cluster; nothing names it yet."""

    manifest: Manifest
    digest: bytes
    sketch: Sketch | None
    method: Method
    sent: int
    received: int

    @property
    def etag(self) -> str:
        return self.manifest.etag


class Segments:
    """Uploads for one root. `cache`: a private folder for sketches and manifests; None: nothing is kept."""

    def __init__(self, ground: Ground, *, cache: Path | None, thresholds: Thresholds | None = None) -> None:
        self.ground = ground
        self.thresholds = thresholds or Thresholds()
        self.keeper = Keeper(cache / "sketches", ground.clock) if cache is not None else None
        self.companions = Companions(ground.objects.connection, self.container)
        self._lock = threading.Lock()
        self._stands: bool | None = None
        self.manifests = Manifests(cache / "manifests" if cache is not None else None)

    @property
    def container(self) -> str:
        """Where the segments are."""
        return self.ground.place.container + SUFFIX

    def wanted(self, item: Put) -> bool:
        """Whether this file is put as segments. Raises what asking for limits does."""
        large = item.kind is Kind.FILE and item.size >= self.thresholds.worth
        if not large or self.ground.offered.limits.dialect is None:
            return False
        with self._lock:
            if self._stands is None:
                self._stands = self._made()
            return self._stands

    def _made(self) -> bool:
        """The segments' container is there by now; or we may not make it, and files go as single objects."""
        connection, place = self.ground.objects.connection, Place(container=self.container)
        try:
            if container(connection, place) is None:
                connection.ask(Call(method="PUT", path=place.url(), body=b""))
        except PermanentError:
            return False
        return True

    def upload(self, item: Put) -> Ready:
        """Everything but the manifest. Raises ChangedUnderUs, StoreError."""
        if item.source is None:
            raise Unholdable(f"{printable(item.path)}: no content", path=item.path)
        dialect = self.ground.offered.limits.dialect
        assert dialect is not None
        found = self._old(item)
        return self._whole(item, dialect) if found is None else self._changed(item, dialect, *found)

    def publish(self, name: str, ready: Ready, *, meta: metadata.Meta, only_new: bool) -> Reply:
        """The manifest takes the name. Statuses as of `Objects.put`, and `MISSING`."""
        place, body = self.ground.place, ready.manifest.encoded()
        headers = {**metadata.headers_of(meta), "Accept": "application/json"}
        headers |= {"If-None-Match": "*"} if only_new else {}
        dialect = self.ground.offered.limits.dialect
        if dialect is not None and dialect.ranges:
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
        return self.ground.objects.connection.ask(call)

    def forget(self, item: Put) -> None:
        """The old content is not in the cluster as it was: the next try sends the file whole."""
        if self.keeper is not None and item.expected is not None:
            self.keeper.drop(item.expected.digest, unless=None)

    def agreed(self, item: Put, ready: Ready) -> None:
        """What the next delta needs is kept."""
        before = item.expected.digest if item.expected is not None else None
        self.manifests.keep(ready.digest, ready.manifest, instead=before)
        if self.keeper is not None:
            self.keeper.keep(ready.sketch, ready.digest)
            self.keeper.drop(before, unless=ready.digest)

    def _whole(self, item: Put, dialect: Dialect) -> Ready:
        read = _Read(item)
        chunks = iter(read)
        watched = self.keeper.watched(chunks, None, item.size) if self.keeper is not None else None
        steps = fresh(item.size, dialect, suited(self.thresholds, dialect))
        manifest, sent = self._uploaded(item, steps, chunks if watched is None else iter(watched))
        return Ready(
            manifest=manifest,
            digest=read.digest,
            sketch=watched.sketch if watched is not None else None,
            method=Method.WHOLE,
            sent=sent,
            received=0,
        )

    def _changed(self, item: Put, dialect: Dialect, sketch: Sketch, old: Manifest, received: int) -> Ready:
        """The file is read twice: to find out what is new, and to send that."""
        from syncer.engine.difference import difference

        made = difference(sketch, iter(_Read(item)), workers=workers())
        changes = gathered(made)
        steps = planned(old, changes, dialect=dialect, thresholds=suited(self.thresholds, dialect))
        again = _Read(item)
        manifest, sent = self._uploaded(item, steps, iter(again))
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

    def _uploaded(self, item: Put, steps: Sequence[Step], chunks: Iterator[bytes]) -> tuple[Manifest, int]:
        uploading = Uploading(self.ground, item.path)
        manifest = Manifest(parts=tuple(uploading.parts(steps, chunks)))
        return manifest, uploading.sent + len(manifest.encoded())

    def _old(self, item: Put) -> tuple[Sketch, Manifest, int] | None:
        """What is kept of the content that is replaced, how it is laid out, and what asking for that cost."""
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
        if manifest is None or manifest.size != old.size or not self._ours(manifest):
            return None
        return sketch, manifest, received

    def layout(self, path: RelPath, version: Version) -> tuple[Manifest, int] | None:
        """What the object of this version is made of, and how many bytes came for it; None where that is not
        known, or it is another by now. Raises StoreError.
        """
        objects, name = self.ground.objects, self.ground.place.name(path)
        if self.ground.offered.limits.hides_manifests:
            head = objects.head(name, newest=True)
            if head is None or head.version != version or not head.static:
                return None
            if found := self.companions.of(head, about=path):
                return found
        return current(objects.connection, self.ground.place.url(name), version, about=path)

    def is_broken(self, path: RelPath, entry: Entry) -> bool:
        """Whether the object surely lacks a segment: on Ceph, whose listings are never late and where a HEAD
        fails only for the first one. A page of the listing tells of some hundred. Raises StoreError.
        """
        if entry.size < self.thresholds.worth or not self.ground.offered.limits.is_ceph:
            return False
        found = self.layout(path, entry.version)
        wanted = {one.path.partition("/")[2]: one for one in found[0].segments} if found is not None else {}
        objects = Objects(self.ground.objects.connection, Place(container=self.container))
        for folder in {name.rpartition("/")[0] + "/" for name in wanted}:
            marker = ""
            while rows := objects.rows(prefix=folder, marker=marker):
                for row in rows:
                    one = wanted.get(row.name)
                    if one is not None and (row.stamp.etag, row.size) == (one.etag, one.size):
                        del wanted[row.name]
                marker = rows[-1].name
        return bool(wanted)

    def _ours(self, manifest: Manifest) -> bool:
        """Whether all segments are of our making: other tools overwrite and delete theirs."""
        start = f"{self.container}/{OURS}"
        return all(one.path.startswith(start) for one in manifest.segments)


class _Read:
    """A source read to its end, of the length that was planned on; `digest` is known then."""

    def __init__(self, item: Put) -> None:
        self._item = item
        self._hasher = blake3()

    @property
    def digest(self) -> bytes:
        return self._hasher.digest()

    def __iter__(self) -> Iterator[bytes]:
        assert self._item.source is not None
        left = self._item.size
        for chunk in self._item.source.chunks():
            left -= len(chunk)
            if left < 0:
                break
            self._hasher.update(chunk)
            yield chunk
        if left:
            path = self._item.path
            raise ChangedUnderUs(f"{printable(path)}: another length than planned on", path=path)
