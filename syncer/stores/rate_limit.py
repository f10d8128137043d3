"""Rate limits: a store decorator that transfers at most so many bytes per second.

A token bucket per direction, on the clock handed in: a second's worth may go at once,
then the pace holds. Listings and other small talk are free.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from syncer.engine.interfaces import (
    Clock,
    LocalBasis,
    Results,
    Source,
    Store,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import Entry, RelPath
from syncer.stores.base import StoreWrapper

_PIECE = 64 << 10  # paid at a time, so that a slow line moves steadily


class Bucket:
    """`rate` in bytes per second, shared by all threads."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock.monotonic() - 1.0

    def take(self, size: int) -> None:
        """Wait until `size` bytes may be transferred."""
        with self._lock:
            now = self._clock.monotonic()
            start = max(self._free_at, now - 1.0)
            self._free_at = start + size / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._clock.sleep(wait)


class LimitedStore(StoreWrapper):
    """`write_limit` and `read_limit` in bytes per second, None for no limit."""

    def __init__(
        self, inner: Store, *, clock: Clock, write_limit: float | None = None, read_limit: float | None = None
    ) -> None:
        super().__init__(inner)
        self._writes = Bucket(write_limit, clock) if write_limit else None
        self._reads = Bucket(read_limit, clock) if read_limit else None

    def open(self, path: RelPath, expected: Entry) -> Source:
        return _paced(self.inner.open(path, expected), self._reads)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [_paced(source, self._reads) for source in self.inner.open_many(wanted)]

    def put(self, items: Sequence[WriteRequest]) -> Results:
        if self._writes is None:
            return self.inner.put(items)
        paced = [replace(i, source=_paced(i.source, self._writes)) if i.source else i for i in items]
        return self.inner.put(paced)


def _paced(source: Source, bucket: Bucket | None) -> Source:
    return source if bucket is None else _PacedSource(source, bucket)


class _PacedSource:
    """A source that waits for its bytes in a bucket before it hands them out."""

    def __init__(self, inner: Source, bucket: Bucket) -> None:
        self._inner = inner
        self._bucket = bucket

    @property
    def entry(self) -> Entry:
        return self._inner.entry

    @property
    def traffic(self) -> TransferStats | None:
        return self._inner.traffic

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        for chunk in self._inner.chunks(basis):
            for start in range(0, len(chunk), _PIECE):
                self._bucket.take(min(_PIECE, len(chunk) - start))
            yield chunk
