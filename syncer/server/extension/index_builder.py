"""Background block indexes of served files, so that the next delta needs no signature.

One thread of the lowest priority makes them after the response: it reads the file again, and keeps the index
if the digest is still the same. Without an index a client is asked for a signature.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from syncer.delta.block_index import BlockIndex
from syncer.delta.index_cache import WORTH, BlockIndexCache
from syncer.delta.indexed_delta import difference
from syncer.engine.model import Entry, RelPath
from syncer.errors import SyncerError, TransientError
from syncer.server.folder import Key, ServedFolder

_WAITING = 1024  # files; the oldest are dropped
_OLDEST = (
    30 * 24 * 3600.0
)  # seconds since an index was used: a client may be away as long with an old version
_FORMER = 8  # indexes of one file's former contents, for clients that lag behind
_IDLE = 5.0  # seconds after which the thread ends


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRequest:
    """A file below the root `below`, whose entry has its digest; `old` is the digest before, if known."""

    below: RelPath
    path: RelPath
    entry: Entry
    old: bytes | None = None


class BackgroundIndexer:
    """The cache of block indexes, and the thread that fills it. Thread-safe."""

    def __init__(self, served: ServedFolder) -> None:
        self._served = served
        self._cache = BlockIndexCache(served.state / "sketches", clock=served.clock, oldest=_OLDEST)
        self._requests: OrderedDict[tuple[RelPath, bytes], IndexRequest] = OrderedDict()
        self._former: OrderedDict[tuple[RelPath, RelPath], list[bytes]] = OrderedDict()  # the oldest first
        self._changed = threading.Condition()
        self._running = False
        self._closed = False

    def get(self, below: RelPath, digest: bytes) -> BlockIndex | None:
        """The index of the content with this digest in the root `below`, if there is one."""
        return self._cache.get(digest, _label(below))

    def keep(self, below: RelPath, index: BlockIndex) -> None:
        """Store an index that was made together with a delta."""
        if index.size >= WORTH:
            self._cache.put(index, _label(below))

    def forget(self, below: RelPath, digest: bytes) -> None:
        """Drop the index of a deleted file. If another file has the same content, it is made again."""
        self._cache.discard(digest, _label(below))

    def want(self, *requests: IndexRequest) -> None:
        """Have the indexes made in the background. Small files get none."""
        large = [r for r in requests if r.entry.size >= WORTH]
        missing = [r for r in large if not self._cache.has(_digest(r), _label(r.below))]
        if not large:
            return
        with self._changed:
            for request in large:
                self._supersede(request)
            if not missing or self._closed:
                return
            self._requests.update((_key(request), request) for request in missing)
            while len(self._requests) > _WAITING:
                self._requests.popitem(last=False)
            self._changed.notify_all()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="syncer-indexes", daemon=True).start()

    def _supersede(self, request: IndexRequest) -> None:
        """Drop the indexes of a file's contents of long ago: one that changed every minute left 2 MB a
        minute.

        The list of former contents is in memory only; after a restart their indexes go by their age.
        """
        file = request.below, request.path
        former = self._former.pop(file, [])
        former = [digest for digest in former if digest not in (request.old, _digest(request))]
        if request.old is not None and request.old != _digest(request):
            former.append(request.old)
        while len(former) > _FORMER:
            self._cache.discard(former.pop(0), _label(request.below))
        if former:
            self._former[file] = former
            if len(self._former) > _WAITING:
                self._former.popitem(last=False)

    def settle(self, seconds: float) -> bool:
        """Wait until no request is left; False if that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._requests, seconds)

    def close(self) -> None:
        """End the thread; return when it has closed the folder."""
        with self._changed:
            self._closed = True
            self._requests.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)

    def _run(self) -> None:
        if os.uname().sysname == "Linux":
            # setpriority(2) of a thread; on other systems this would be the priority of the whole process.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while (request := self._next()) is not None:
            try:
                self._make(request)
            except (SyncerError, OSError):
                pass  # the file changed or is gone; the server is closing
            with self._changed:
                if self._requests.get(_key(request)) is request:
                    del self._requests[_key(request)]
                self._changed.notify_all()

    def _next(self) -> IndexRequest | None:
        """The oldest request, which stays in the queue; None when the thread has to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._closed, _IDLE)
            if not self._requests:
                self._running = False
                self._changed.notify_all()
                return None
            return next(iter(self._requests.values()))

    def _make(self, request: IndexRequest) -> None:
        """Read the file and store its index. Raises SyncerError, OSError."""

        def until_closed(chunks: Iterator[bytes]) -> Iterator[bytes]:
            for chunk in chunks:
                if self._closed:
                    raise TransientError("the server stops")
                yield chunk

        with self._served.store(Key(name="", under=request.below)) as store:
            chunks = until_closed(store.open(request.path, request.entry).chunks())
            old = self._cache.get(request.old, _label(request.below)) if request.old is not None else None
            if old is None or old.outgrown:
                index = BlockIndex.of(chunks, size=request.entry.size)
            else:
                # Carried forward from the old index: only what changed is summed anew.
                delta = difference(old, chunks)
                for _ in delta:
                    pass
                index = delta.sketch
        if index.digest == request.entry.digest:
            self._cache.put(index, _label(request.below))


def _label(below: RelPath) -> str:
    """Each root has indexes of its own: whether another root holds a content must not be told by its
    digest.
    """
    return blake2b(os.fsencode(below), digest_size=8).hexdigest()


def _key(request: IndexRequest) -> tuple[RelPath, bytes]:
    return request.below, _digest(request)


def _digest(request: IndexRequest) -> bytes:
    """Known in every request: it is made after the file was read."""
    return request.entry.digest or b""
