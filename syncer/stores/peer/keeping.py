"""What is kept of large content that both sides agree on, made while it passes by.

A sketch (`engine.sketch`) of each file of 1 MiB and more that crossed, on a shelf of this pair of
roots: the next delta then asks the other side for no sums. Losing it, or failing to make it,
costs the next transfer some bytes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING

from syncer.engine.ports import Clock
from syncer.errors import SyncerError

if TYPE_CHECKING:
    from pathlib import Path

    from syncer.engine.sketch import Sketch
    from syncer.stores.shelf import Shelf

WORTH = 1 << 20  # bytes from which on a sketch is kept
_AHEAD = 8  # pieces that may wait for the sketch


def workers() -> int:
    """Threads that sums are worth: one for each processor that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class Keeper:
    """The shelf of one store; made when it is first needed."""

    folder: Path
    clock: Clock
    _shelf: Shelf | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def shelf(self) -> Shelf:
        """Where the sketches are; made with the first question."""
        from syncer.stores.shelf import Shelf

        with self._lock:
            if self._shelf is None:
                self._shelf = Shelf(self.folder, clock=self.clock)
            return self._shelf

    def sketch(self, digest: bytes | None, size: int) -> Sketch | None:
        """The kept sketch of the content with this digest, if there is one."""
        if digest is None or size < WORTH:
            return None
        return self.shelf.get(digest)

    def keep(self, sketch: Sketch | None, digest: bytes) -> None:
        """Puts the sketch of a content away."""
        if sketch is not None and sketch.digest == digest:
            self.shelf.put(sketch)

    def drop(self, digest: bytes | None, *, unless: bytes | None) -> None:
        """Takes away the sketch of what was agreed before, `unless` that is what is agreed now."""
        if digest is not None and digest != unless:
            self.shelf.discard(digest)

    def watched(
        self,
        chunks: Iterator[bytes],
        old: Sketch | None,
        size: int,
        digest: Callable[[], bytes] | None = None,
    ) -> Watched:
        """The chunks again, while their sketch is made: carried forward from `old` where there is one.

        `digest` tells their BLAKE3-256 after the last one, where somebody makes it anyway.
        """
        return Watched(chunks, old, size, digest)


class Watched:
    """Chunks on their way, and their sketch (None before the end, or if it could not be made).

    With an old sketch the work is little and done as they pass; without one a thread of its own sums
    them, held back only if it falls far behind.
    """

    def __init__(
        self, chunks: Iterator[bytes], old: Sketch | None, size: int, digest: Callable[[], bytes] | None
    ) -> None:
        self._chunks = chunks
        self._digest = digest
        self._old = old
        self._size = size
        self.sketch: Sketch | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self._size < WORTH:
            return self._chunks
        return self._summed() if self._old is None else self._followed(self._old)

    def _followed(self, old: Sketch) -> Iterator[bytes]:
        from syncer.engine.difference import difference

        passed: deque[bytes] = deque()

        def tapped() -> Iterator[bytes]:
            for chunk in self._chunks:
                passed.append(chunk)
                yield chunk

        made = difference(old, tapped(), workers=workers(), digest=self._digest)
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
        from syncer.engine.sketch import Sketch

        chunks = iter(queue.get, None)
        try:
            self.sketch = Sketch.of(chunks, size=self._size, workers=workers())
        except (SyncerError, MemoryError, ValueError):
            self.sketch = None
        finally:
            for _ in chunks:
                pass  # whoever sends must not wait for a reader that is gone
