"""Deltas on a real Swift by segments: bytes that cross, what many edits leave, how fast that reads.

    python -m benchmarks.segments [MIB] [EDITS] [GIB]    512 MiB, 200 further edits, a sparse file of 5 GiB

One machine edits, another one fetches; the bytes are those of bodies that a proxy counted, both ways. Swift
comes from the tests: one process on loopback, its data in memory where there is room.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

from blake3 import blake3

from benchmarks.trees import big_file
from syncer.clock import SystemClock
from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Entry, Kind
from syncer.stores.swift.auth.session import RenewingTokenProvider
from syncer.stores.swift.auth.v1 import V1Login
from syncer.stores.swift.client import Connection
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.slo.layout import Fragmentation, LayoutLimits, SloFeatures, fragmentation_of, limits
from syncer.stores.swift.slo.manifest import Inline, Manifest, asked
from syncer.stores.swift.store import SwiftStore
from tests.doubles.proxy import Proxy
from tests.swift.server import Swift

EDITS, EDIT, INSERT = 20, 4096, 1024  # number; bytes; bytes at the first MiB
_MIB, _ROUNDS = 1 << 20, 3
_SPOTS = 16  # MiB in the sparse file that are no holes


@dataclass(frozen=True, slots=True)
class Local:
    """A file here: content to be sent, or an older version at hand."""

    path: Path
    digest: bytes
    start: int = 0
    older: None = None
    traffic: None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def entry(self) -> Entry:
        return Entry(kind=Kind.FILE, size=self.size, version=b"here", digest=self.digest)

    def chunks(self, basis: object = None) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            yield from iter(lambda: file.read(_MIB), b"")

    def read(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    @classmethod
    def of(cls, path: Path) -> Local:
        """With its digest."""
        hasher = blake3()
        hasher.update_mmap(path)
        return cls(path, hasher.digest())


class Machine:
    """A store with a cache of its own, behind the proxy."""

    def __init__(self, swift: Swift, port: int, cache: Path) -> None:
        clock = SystemClock()
        address = f"http://127.0.0.1:{port}/auth/v1.0"
        login = V1Login(auth_url=address, user=swift.user, key=lambda: swift.key, clock=clock)
        self.connection = Connection(RenewingTokenProvider(login, clock=clock), clock=clock)
        self.place = ContainerPath(container="c")
        self.store = SwiftStore(
            self.connection, self.place, whereabouts="here", clock=clock, cache=cache, tag="0123abcd"
        )
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    def entry(self, name: str) -> Entry:
        found = self.store.stat(name)
        assert isinstance(found, Entry), found
        return found

    def put(self, name: str, new: Local, *, over: bool = True) -> None:
        """Sends it, and fails if that did not work."""
        expected = self.entry(name) if over else None
        item = WriteRequest(path=name, kind=Kind.FILE, source=new, size=new.size, expected=expected)
        [(_, outcome)] = self.store.put([item])
        assert isinstance(outcome, Done), outcome

    def get(self, name: str, basis: Local | None, target: Path) -> None:
        """Fetches it; the store has verified it then."""
        with target.open("wb") as file:
            for piece in self.store.open(name, self.entry(name)).chunks(basis):
                file.write(piece)

    def manifest(self, name: str) -> Manifest:
        found = asked(self.connection, self.place.url(name))
        assert found is not None
        return found[0]

    def drained(self, name: str) -> float:
        """Seconds to read the object as any client does; the median of a few."""
        took = []
        for _ in range(_ROUNDS):
            began = time.monotonic()
            with self.store._context.objects.get(name) as answer:
                for _piece in answer.pieces():
                    pass
            took.append(time.monotonic() - began)
        return median(took)


class Bench:
    """Two machines, and what crossed."""

    def __init__(self, swift: Swift, proxy: Proxy, folder: Path) -> None:
        self.proxy, self.folder = proxy, folder
        self.here, self.there = (Machine(swift, proxy.port, folder / name) for name in "ab")
        self.good = True

    def counted(
        self, what: str, act: Callable[[], None], *, up: int | None = None, down: int | None = None
    ) -> None:
        """Does it, tells bytes and time, and whether they are within what is wanted."""
        self.proxy.zero()
        began = time.monotonic()
        act()
        took = time.monotonic() - began
        crossed = (self.proxy.up.body, self.proxy.down.body)
        fine = all(most is None or found <= most for found, most in zip(crossed, (up, down), strict=True))
        self.say(f"{what:<44} up {crossed[0]:>12,}  down {crossed[1]:>12,}  {took:6.2f} s", fine=fine)

    def say(self, line: str, *, fine: bool = True) -> None:
        """A line, marked where it is not as wanted."""
        self.good = self.good and fine
        print(line if fine else f"{line}   BEYOND", flush=True)


def edited(path: Path, random: Random, edits: int) -> None:
    """So many places of the file made others."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        for _ in range(edits):
            file.seek(random.randrange(size - EDIT))
            file.write(random.randbytes(EDIT))


def inserted(path: Path, at: int, data: bytes) -> None:
    """The same with more bytes at a place; what was sparse stays so."""
    old = path.with_suffix(".old")
    path.rename(old)
    with old.open("rb") as source, path.open("wb") as target:
        target.write(source.read(at) + data)
        for chunk in iter(lambda: source.read(_MIB), b""):
            if chunk.count(0) == len(chunk):
                target.seek(len(chunk), 1)
            else:
                target.write(chunk)
        target.truncate(at + len(data) + old.stat().st_size - at)
    old.unlink()


def one_file(bench: Bench, mebibytes: int, further: int) -> None:
    """Edits, then many more, then the time to read."""
    file, kept, got, random = *(bench.folder / name for name in ("new", "old", "got")), Random(1)
    big_file(file, mebibytes << 20)
    bench.counted("first upload", lambda: bench.here.put("big", Local.of(file), over=False))
    bench.counted("first download", lambda: bench.there.get("big", None, kept))
    fresh = bench.here.drained("big")
    edited(file, random, EDITS)
    inserted(file, _MIB, random.randbytes(INSERT))
    most = 2 * _MIB
    bench.counted(
        f"{EDITS} edits of {EDIT} and an insert, up", lambda: bench.here.put("big", Local.of(file)), up=most
    )
    basis = Local.of(kept)
    bench.counted("the same, down", lambda: bench.there.get("big", basis, got), down=most)
    bench.say("what came is what was sent", fine=Local.of(got).digest == Local.of(file).digest)
    sent, worst = 0, 0
    for _ in range(further):
        edited(file, random, 1)
        bench.proxy.zero()
        bench.here.put("big", Local.of(file))
        sent, worst = sent + bench.proxy.up.body, max(worst, bench.proxy.up.body)
    if further:
        bench.say(f"{further} further edits, one a time: {sent // further:,} bytes each, at most {worst:,}")
    frayed(bench, "big", file.stat().st_size, fresh)
    bench.there.get("big", None, got)
    bench.say("what came is what was sent", fine=Local.of(got).digest == Local.of(file).digest)


def frayed(bench: Bench, name: str, size: int, fresh: float) -> None:
    """How the object reads, and what it costs."""
    took = bench.here.drained(name)
    bench.say(
        f"reads in {took:.2f} s, fresh {fresh:.2f} s: {took / fresh:.2f} times", fine=took <= 1.5 * fresh
    )
    manifest = bench.here.manifest(name)
    now = worn(manifest)
    allowed = limits(size, SloFeatures(), LayoutLimits())
    bench.say(f"{now} of {allowed}", fine=now.within(allowed))


def worn(manifest: Manifest) -> Fragmentation:
    """Of an object as it is stored."""
    plain = fragmentation_of(list(manifest.segments), LayoutLimits())
    inline = sum(part.length for part in manifest.parts if isinstance(part, Inline))
    return Fragmentation(parts=plain.parts, short=plain.short, inline=inline, dead=plain.dead)


def sparse(bench: Bench, gibibytes: int) -> None:
    """A MiB at the start of a file that is mostly holes."""
    file, random = bench.folder / "sparse", Random(2)
    with file.open("wb") as target:
        target.truncate(gibibytes << 30)
        for _ in range(_SPOTS):
            target.seek(random.randrange((gibibytes << 30) - _MIB))
            target.write(random.randbytes(_MIB))
    bench.counted(
        f"sparse, {gibibytes} GiB, first upload", lambda: bench.here.put("s", Local.of(file), over=False)
    )
    inserted(file, 0, random.randbytes(_MIB))
    bench.counted("a MiB at its start", lambda: bench.here.put("s", Local.of(file)), up=4 * _MIB)


def main(words: list[str]) -> int:
    """0 if all is as wanted."""
    mebibytes, further, gibibytes = [*map(int, words), *(512, 200, 5)[len(words) :]]
    folder = Path(tempfile.mkdtemp(prefix="syncer-segments-"))
    swift = Swift()
    try:
        with Proxy("127.0.0.1", swift.ports["proxy"]) as proxy:
            bench = Bench(swift, proxy, folder)
            if mebibytes:
                one_file(bench, mebibytes, further)
            if gibibytes:
                sparse(bench, gibibytes)
            for machine in (bench.here, bench.there):
                machine.store.close()
    finally:
        swift.stop()
        shutil.rmtree(folder)
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
