"""Large files on the real Swift: a machine with a cache of its own, and what crossed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from syncer.engine.interfaces import TransferStats, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Outcome
from syncer.stores.swift.auth import TokenProvider
from syncer.stores.swift.client import Connection
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.slo.manifest import Manifest, parsed
from syncer.stores.swift.store import SwiftStore
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import in_order

SMALL = LayoutLimits(
    worth=64 << 10,
    segment=128 << 10,
    shortest=8 << 10,
    inline=512,
    most_inline=2 << 10,
    min_kept_gap=64,
    least_parts=32,
    least_dead=256 << 10,
)
"""The usual proportions at 1/128 of the size: a file of 4 MiB stands for one of 512 MiB."""


@dataclass
class Content:
    """Bytes that are read in pieces, as a folder gives them; as often as one likes."""

    data: bytes
    reads: int = 0
    piece: int = 1 << 20
    traffic: None = None

    def chunks(self, basis: object = None) -> Iterator[bytes]:
        self.reads += 1
        return (self.data[i : i + self.piece] for i in range(0, len(self.data), self.piece))

    @property
    def entry(self) -> Entry:
        return Entry(kind=Kind.FILE, size=len(self.data), version=b"here", digest=blake3(self.data).digest())


@dataclass
class Here:
    """An older content at hand; `reads` are the ranges that were asked for."""

    data: bytes
    start: int = 0
    older: Here | None = None
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def digest(self) -> bytes | None:
        return blake3(self.data).digest() if not self.start else None

    def read(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return self.data[offset : offset + size]


class Machine:
    """One of several that work on the same container."""

    def __init__(
        self,
        door: TokenProvider,
        container: str,
        cache: Path,
        *,
        thresholds: LayoutLimits | None = SMALL,
        prefix: str = "",
    ) -> None:
        self.clock = SteppingClock()
        self.connection = Connection(door, clock=self.clock)
        self.place = ContainerPath(container=container, prefix=prefix)
        self.store = SwiftStore(
            self.connection,
            self.place,
            whereabouts="here",
            clock=self.clock,
            cache=cache,
            tag="0123abcd",
            thresholds=thresholds,
        )
        self.store.create_root()
        if not getattr(self.store.root(), "marker", ""):
            self.store.write_root_id("ab" * 16)
        self.traffic = TransferStats()

    def entry(self, path: str) -> Entry:
        seen = self.store.stat(path)
        assert isinstance(seen, Entry), seen
        return seen

    def outcome(self, path: str, data: bytes, *, expected: Entry | None = None) -> Outcome:
        item = WriteRequest(
            path=path,
            kind=Kind.FILE,
            source=Content(data),
            size=len(data),
            expected=expected,
            mtime_ns=1_700_000_000_123_456_789,
            executable=False,
        )
        return in_order(self.store.put([item]), 1)[0]

    def put(self, path: str, data: bytes, *, over: Entry | None = None) -> Done:
        done = self.outcome(path, data, expected=over)
        assert isinstance(done, Done), done
        assert done.entry is not None and done.entry.digest == blake3(data).digest()
        return done

    def get(self, path: str, basis: Here | None = None) -> bytes:
        """The content from `basis.start` on; `traffic` says how it came."""
        source = self.store.open(path, self.entry(path))
        pieces = list(source.chunks(basis))
        assert all(len(piece) <= 1 << 20 for piece in pieces)
        assert source.traffic is not None and source.entry.digest is not None
        self.traffic = source.traffic
        return b"".join(pieces)

    def manifest_or_none(self, path: str) -> Manifest | None:
        """As it is stored; None of a plain object."""
        found = self.store._segments.layout(path, self.entry(path).version)
        return None if found is None else found[0]

    def manifest(self, path: str) -> Manifest:
        """Of a large object."""
        found = self.manifest_or_none(path)
        assert found is not None and parsed(found.encoded()) == found
        return found

    def close(self) -> None:
        self.store.close()
