"""The sketches a server keeps of what it received and sent, so that the next delta needs no sums on the wire.

Made after the answer, by one thread of the lowest priority, which reads the file again and believes only
its digest. What is not made is no loss: a client is then asked for a signature.
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

_WAITING = 1024  # files; the oldest are forgotten
_OLDEST = 30 * 24 * 3600.0  # seconds since one was of use: a client may be away as long with an old version
_FORMER = 8  # sketches of one file's former contents, for clients that lag behind
_IDLE = 5.0  # seconds after which the thread ends


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRequest:
    """A file below the root `below`, with its digest; `old` is that of the content before, if known."""

    below: RelPath
    path: RelPath
    entry: Entry
    old: bytes | None = None


class BackgroundIndexer:
    """A shelf, and the thread that fills it."""

    def __init__(self, served: ServedFolder) -> None:
        self._served = served
        self._shelf = BlockIndexCache(served.state / "sketches", clock=served.clock, oldest=_OLDEST)
        self._wishes: OrderedDict[tuple[RelPath, bytes], IndexRequest] = OrderedDict()
        self._former: OrderedDict[tuple[RelPath, RelPath], list[bytes]] = OrderedDict()  # the oldest first
        self._changed = threading.Condition()
        self._running = False
        self._closed = False

    def get(self, below: RelPath, digest: bytes) -> BlockIndex | None:
        """The sketch of the content with this digest in the root `below`, if there is one."""
        return self._shelf.get(digest, _label(below))

    def keep(self, below: RelPath, sketch: BlockIndex) -> None:
        """One that fell off while a delta was made."""
        if sketch.size >= WORTH:
            self._shelf.put(sketch, _label(below))

    def forget(self, below: RelPath, digest: bytes) -> None:
        """That of a file which was deleted; if there is another one with its content it is made again."""
        self._shelf.discard(digest, _label(below))

    def want(self, *wishes: IndexRequest) -> None:
        """Has them made, when there is nothing better to do. Small files are left aside."""
        large = [w for w in wishes if w.entry.size >= WORTH]
        worth = [w for w in large if not self._shelf.has(_digest(w), _label(w.below))]
        if not large:
            return
        with self._changed:
            for wish in large:
                self._supersede(wish)
            if not worth or self._closed:
                return
            self._wishes.update((_place(wish), wish) for wish in worth)
            while len(self._wishes) > _WAITING:
                self._wishes.popitem(last=False)
            self._changed.notify_all()
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="syncer-sketches", daemon=True).start()

    def _supersede(self, wish: IndexRequest) -> None:
        """Of a file that changes again and again the sketches of long ago go: each minute left 2 MB of them.

        What is remembered of former contents is little, and lost with the process: then a sketch goes by
        its age.
        """
        place = wish.below, wish.path
        former = self._former.pop(place, [])
        former = [digest for digest in former if digest not in (wish.old, _digest(wish))]
        if wish.old is not None and wish.old != _digest(wish):
            former.append(wish.old)
        while len(former) > _FORMER:
            self._shelf.discard(former.pop(0), _label(wish.below))
        if former:
            self._former[place] = former
            if len(self._former) > _WAITING:
                self._former.popitem(last=False)

    def settle(self, seconds: float) -> bool:
        """Waits until nothing is wished for; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wishes, seconds)

    def close(self) -> None:
        """Nothing is made any more; returns when the thread has let go of the folder."""
        with self._changed:
            self._closed = True
            self._wishes.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)

    def _run(self) -> None:
        _yield_to_others()
        while (wish := self._next()) is not None:
            try:
                self._make(wish)
            except (SyncerError, OSError):
                pass  # the file changed or is gone; the server is closing
            with self._changed:
                if self._wishes.get(_place(wish)) is wish:
                    del self._wishes[_place(wish)]
                self._changed.notify_all()

    def _next(self) -> IndexRequest | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wishes or self._closed, _IDLE)
            if not self._wishes:
                self._running = False
                self._changed.notify_all()
                return None
            return next(iter(self._wishes.values()))

    def _while_open(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._closed:
                raise TransientError("the server stops")
            yield chunk

    def _make(self, wish: IndexRequest) -> None:
        with self._served.store(Key(name="", under=wish.below)) as store:
            chunks = self._while_open(store.open(wish.path, wish.entry).chunks())
            old = self._shelf.get(wish.old, _label(wish.below)) if wish.old is not None else None
            if old is None or old.outgrown:
                sketch = BlockIndex.of(chunks, size=wish.entry.size)
            else:
                changes = difference(old, chunks)
                for _ in changes:
                    pass
                sketch = changes.sketch
        if sketch.digest == wish.entry.digest:
            self._shelf.put(sketch, _label(wish.below))


def _label(below: RelPath) -> str:
    """Each root has sketches of its own: what another one holds is not to be guessed by a digest."""
    return blake2b(os.fsencode(below), digest_size=8).hexdigest()


def _place(wish: IndexRequest) -> tuple[RelPath, bytes]:
    return wish.below, _digest(wish)


def _digest(wish: IndexRequest) -> bytes:
    """Whoever wishes has read the file, so it is known."""
    return wish.entry.digest or b""


def _yield_to_others() -> None:
    """Linux knows a priority for each thread (setpriority(2)); elsewhere this would be the whole process'."""
    if os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
