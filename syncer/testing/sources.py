"""Test doubles for stores: a clock that is never waited for, and sources that misbehave on demand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Kind, Method
from syncer.errors import ChangedUnderUs, TransientError


class SteppingClock:
    """The real time plus what was slept: sleeping takes no time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return time.time_ns() + int(sum(self.slept) * 1e9)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@dataclass
class BytesSource:
    """Content for a put. `during` is called when half of it was handed out."""

    data: bytes
    during: Callable[[], None] = lambda: None
    error: Exception | None = None

    @property
    def traffic(self) -> None:
        return None

    def chunks(self, basis: object = None) -> Iterator[bytes]:
        half = len(self.data) // 2
        if half:
            yield self.data[:half]
        self.during()
        if self.error is not None:
            raise self.error
        if self.data:
            yield self.data[half:]

    @property
    def entry(self) -> Entry:
        digest = blake3(self.data).digest()
        return Entry(kind=Kind.FILE, size=len(self.data), version=b"source", digest=digest)


@dataclass
class FarSource:
    """Content from afar: goes on from what the reader has, and verifies the whole before the last piece.

    After `breaks` bytes of the content it raises `error`, once. The first `alike` bytes are those of an older
    version: they are taken from there if the reader has one.
    """

    data: bytes
    breaks: int | None = None
    error: BaseException = field(default_factory=lambda: TransientError("the line broke"))
    alike: int = 0
    piece: int = 16 << 10
    starts: list[int] = field(default_factory=list)
    sent: int = 0
    during: Callable[[int], None] = lambda place: None

    @property
    def traffic(self) -> TransferStats:
        return TransferStats(method=Method.WHOLE, received=self.sent)

    @property
    def entry(self) -> Entry:
        return BytesSource(self.data).entry

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        start = basis.start if basis is not None else 0
        self.starts.append(start)
        hasher = blake3()
        for place in range(0, start, self.piece):
            assert basis is not None
            hasher.update(basis.read(place, min(self.piece, start - place)))
        for place in range(start, len(self.data), self.piece):
            self.during(place)
            self._may_break(place)
            piece = self._piece(place, basis if not start else None)
            hasher.update(piece)
            if place + self.piece >= len(self.data) and hasher.digest() != blake3(self.data).digest():
                raise ChangedUnderUs("not what was sent")
            yield piece

    def _may_break(self, place: int) -> None:
        if self.breaks is not None and place >= self.breaks:
            self.breaks = None
            raise self.error

    def _piece(self, place: int, basis: LocalBasis | None) -> bytes:
        piece = self.data[place : place + self.piece]
        if basis is not None and place + len(piece) <= self.alike:
            return basis.read(place, len(piece))
        self.sent += len(piece)
        return piece
