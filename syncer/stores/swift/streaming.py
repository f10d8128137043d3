"""One file that is too long to be held in memory, as one object.

It is neither read twice (that costs all its bytes from the disk again, and counts them twice against a limit
of bytes per second) nor sent without its length, which quotas go by: a source that breaks off does not reach
that length, so Swift stores nothing. The answered ETag is compared with the MD5 of what was sent, and the
digest is added by a POST.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from blake3 import blake3

from syncer.engine.model import Done, Method
from syncer.engine.paths import printable
from syncer.engine.ports import Put, Source
from syncer.errors import ChangedUnderUs, TransientError, Unholdable
from syncer.stores.swift import versions
from syncer.stores.swift.exchange import Body
from syncer.stores.swift.placing import Before, Placing, meta_of, taken


def stream(placing: Placing, item: Put) -> Done:
    """Puts the item. Raises Unexpected, StoreError, and what the source raises."""
    ground, objects = placing.ground, placing.ground.objects
    most = ground.offered.limits.max_file_size
    if item.source is None or item.size > most:
        raise Unholdable(f"{printable(item.path)}: longer than the {most} bytes of an object", path=item.path)
    name, before = ground.name(item.path), placing.before(item)
    sent = _Hashed(item.source, item)
    body = Body(open=sent.chunks, length=item.size)
    reply = objects.put(name, body, meta=meta_of(item, before.head, None), only_new=before.heeded)
    taken(item, reply)
    stored = versions.bare(reply.headers.get("Etag", ""))
    if stored != sent.etag:
        _take_back(placing, item, before, stored)
    head = placing.after(item, sent.etag)
    placing.rescue(item, head)
    objects.post(name, head, meta_of(item, before.head, sent.digest, sent.etag))
    done = ground.made(item.path, placing.after(item, sent.etag), digest=sent.digest)
    return replace(done, method=Method.WHOLE, sent=item.size)


def _take_back(placing: Placing, item: Put, before: Before, stored: str) -> None:
    """What arrived in another shape than it was sent in goes again, if it is still there."""
    ground, objects = placing.ground, placing.ground.objects
    name = ground.name(item.path)
    head = objects.head(name, newest=True)
    if head is not None and head.etag == stored:
        if before.head is not None:
            objects.copy(before.kept, name, before.head)
        else:
            objects.delete(name)
    raise TransientError(f"{printable(item.path)}: it arrived in another shape than it was sent in")


class _Hashed:
    """A source on its way out: counted and hashed; one of another length than planned breaks off."""

    def __init__(self, source: Source, item: Put) -> None:
        self._source = source
        self._item = item
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blake3 = blake3()

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    @property
    def digest(self) -> bytes:
        return self._blake3.digest()

    def chunks(self) -> Iterator[bytes]:
        """From the start each time: after a refused token all of it is sent again."""
        self._md5, self._blake3, left = hashlib.md5(usedforsecurity=False), blake3(), self._item.size
        for chunk in self._source.chunks():
            left -= len(chunk)
            if left < 0:
                break
            self._md5.update(chunk)
            self._blake3.update(chunk)
            yield chunk
        if left:
            path = self._item.path
            raise ChangedUnderUs(f"{printable(path)}: another length than planned on", path=path)
