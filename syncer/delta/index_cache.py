"""The cache of block indexes: made while content passes by, and used for later deltas.

The cache has an index (`delta.block_index`) of each file of 1 MiB and more that was transferred between a
pair of roots: the next delta then needs no sums from the other side. If an index is lost, or cannot be made,
the next transfer costs some bytes more.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

from syncer.delta.block_index import BlockIndex
from syncer.delta.chunking import available_cpus
from syncer.engine.interfaces import Clock
from syncer.errors import SyncerError

if TYPE_CHECKING:
    from pathlib import Path

    from syncer.delta.block_index import BlockIndex


_AHEAD = 8  # chunks that may wait for the thread that makes the index


@dataclass(slots=True)
class BlockIndexService:
    """The block indexes of one pair of roots; the cache directory is opened when it is first needed."""

    folder: Path
    clock: Clock
    _shelf: BlockIndexCache | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def shelf(self) -> BlockIndexCache:
        """The cache directory, opened by the first call."""

        with self._lock:
            if self._shelf is None:
                self._shelf = BlockIndexCache(self.folder, clock=self.clock)
            return self._shelf

    def sketch(self, digest: bytes | None, size: int) -> BlockIndex | None:
        """The stored index of the content with this BLAKE3-256 digest, None if there is none."""
        if digest is None or size < WORTH:
            return None
        return self.shelf.get(digest)

    def keep(self, sketch: BlockIndex | None, digest: bytes) -> None:
        """Store the index of a content."""
        if sketch is not None and sketch.digest == digest:
            self.shelf.put(sketch)

    def drop(self, digest: bytes | None, *, unless: bytes | None) -> None:
        """Remove the index of the content agreed on before, `unless` that is the content agreed on now."""
        if digest is not None and digest != unless:
            self.shelf.discard(digest)

    def watched(
        self,
        chunks: Iterator[bytes],
        old: BlockIndex | None,
        size: int,
        digest: Callable[[], bytes] | None = None,
    ) -> IndexingReader:
        """The chunks again, while their index is made; from the index `old`, if there is one.

        `digest` tells their BLAKE3-256 after the last one, where somebody makes it anyway.
        """
        return IndexingReader(chunks, old, size, digest)


class IndexingReader:
    """Chunks that pass by, and their index (None before the end, or if it could not be made).

    With an old sketch the work is little and done as they pass; without one a thread of its own sums
    them, held back only if it falls far behind.
    """

    def __init__(
        self, chunks: Iterator[bytes], old: BlockIndex | None, size: int, digest: Callable[[], bytes] | None
    ) -> None:
        self._chunks = chunks
        self._digest = digest
        self._old = old
        self._size = size
        self.sketch: BlockIndex | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self._size < WORTH:
            return self._chunks
        return self._summed() if self._old is None else self._followed(self._old)

    def _followed(self, old: BlockIndex) -> Iterator[bytes]:
        from syncer.delta.indexed_delta import difference

        passed: deque[bytes] = deque()

        def tapped() -> Iterator[bytes]:
            for chunk in self._chunks:
                passed.append(chunk)
                yield chunk

        made = difference(old, tapped(), workers=available_cpus(), digest=self._digest)
        for _ in made:
            while passed:
                yield passed.popleft()
        while passed:
            yield passed.popleft()
        self.sketch = made.sketch

    def _summed(self) -> Iterator[bytes]:
        queue: Queue[bytes | None] = Queue(_AHEAD)
        thread = threading.Thread(target=self._make, args=(queue,), name="sketch", daemon=True)
        thread.start()
        whole = False
        try:
            for chunk in self._chunks:
                queue.put(chunk)
                yield chunk
            whole = True
        finally:
            queue.put(None)
            thread.join()
            if not whole:
                self.sketch = None

    def _make(self, queue: Queue[bytes | None]) -> None:
        from syncer.delta.block_index import BlockIndex

        chunks = iter(queue.get, None)
        try:
            self.sketch = BlockIndex.of(chunks, size=self._size, workers=available_cpus())
        except (SyncerError, MemoryError, ValueError):
            self.sketch = None
        finally:
            for _ in chunks:
                pass  # the sender must not wait for a reader that is gone


# --------------------------------------------------------------------------------
#
# A directory of block indexes of contents that both sides agreed on: the next delta asks for no sums.
#
# Files are named by the digest of the content. Any of them may be lost at any time: that costs time, never
# content. The cache is bounded in bytes and in age, and shared by threads and processes without a lock, since
# every file gets its name when it is complete, and is never written again.


WORTH = 1 << 20  # bytes of content from which on an index is stored
LARGEST = 512 << 20  # bytes of all indexes together
OLDEST = 180 * 24 * 3600  # seconds since an index was last used
_ABANDONED = 3600  # seconds after which an unfinished file of a process that died is removed
_NAME = re.compile(r"[0-9a-f]{64}(?:-[0-9a-f]{16})?\.sketch|\.new-[0-9a-f]{16}")
_PIECE = 1 << 20  # bytes read or written at once
_SLACK = 16  # the directory is pruned each time that 1/16 of its bound was added


class BlockIndexCache:
    """Block indexes by digest. `folder` is made (0700) with the first one; losing it costs time only."""

    def __init__(self, folder: Path, *, clock: Clock, most: int = LARGEST, oldest: float = OLDEST) -> None:
        self._folder = folder
        self._clock = clock
        self._most = most
        self._oldest_ns = int(oldest * 1e9)
        self._lock = threading.Lock()
        self._added: int | None = None  # bytes since the last `prune`; None: never pruned

    def get(self, digest: bytes, label: str = "") -> BlockIndex | None:
        """The index of the content with this BLAKE3-256 digest; a damaged one is removed. Never raises.

        `label` keeps the sketches of several owners apart: each finds only its own.
        """
        place = self._place(digest, label)
        try:
            with place.open("rb") as file:
                found = BlockIndex.load(iter(lambda: file.read(_PIECE), b""))
        except OSError:
            return None
        if found is None or found.digest != digest:
            _drop(place)
            return None
        now = self._clock.now_ns()
        try:
            os.utime(place, ns=(now, now))  # used just now: `prune` removes the others first
        except OSError:
            pass  # pruned meanwhile; what was read is good
        return found

    def has(self, digest: bytes, label: str = "") -> bool:
        """True if there is an index, sound or not; it is not read."""
        return self._place(digest, label).exists()

    def put(self, sketch: BlockIndex, label: str = "") -> None:
        """Store an index. Never raises: on a full disk the next delta needs some sums from the other side."""
        temporary = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            size = self._write(temporary, sketch)
            if size > self._most // 2:
                return _drop(temporary)
            now = self._clock.now_ns()
            os.utime(temporary, ns=(now, now))
            os.replace(temporary, self._place(sketch.digest, label))
        except OSError:
            return _drop(temporary)
        self._bound(size)

    def _write(self, place: Path, sketch: BlockIndex) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=_PIECE) as file:
            return sum(file.write(chunk) for chunk in sketch.chunks())

    def discard(self, digest: bytes, label: str = "") -> None:
        """Remove an index, if it exists."""
        _drop(self._place(digest, label))

    def prune(self) -> None:
        """Remove indexes that were not used for too long, and the least recently used beyond the bound."""
        now, total = self._clock.now_ns(), 0
        for mtime, size, place in sorted(self._all(), reverse=True):
            total += size
            unfinished = place.name.startswith(".")
            oldest = _ABANDONED * 10**9 if unfinished else self._oldest_ns
            if now - mtime > oldest or (total > self._most and not unfinished):
                _drop(place)
                total -= size

    def _bound(self, size: int) -> None:
        with self._lock:
            due = self._added is None or self._added + size > self._most // _SLACK
            self._added = 0 if due else (self._added or 0) + size
        if due:
            self.prune()

    def _all(self) -> Iterator[tuple[int, int, Path]]:
        """(mtime in ns, bytes, path) of each file of the cache."""
        try:
            with os.scandir(self._folder) as found:
                for item in found:
                    if not _NAME.fullmatch(item.name):
                        continue
                    try:
                        st = item.stat(follow_symlinks=False)
                    except OSError:
                        continue  # another process removed it
                    yield st.st_mtime_ns, st.st_size, Path(item.path)
        except OSError:
            return

    def _place(self, digest: bytes, label: str = "") -> Path:
        return self._folder / f"{digest.hex()}{'-' if label else ''}{label}.sketch"


def _drop(place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError:
        return  # `prune` meets it again
