"""What is kept of content that passes by: the right sketch, or none; and never a word lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.delta.index_cache import BlockIndexService
from syncer.engine.model import Entry, Kind
from syncer.errors import ChangedUnderUs
from syncer.stores.peer.download import DeltaBlocklist
from tests.contents import cuts, noise
from tests.contract.doubles import SteppingClock

MIB = 1 << 20


@pytest.fixture
def keeper(tmp_path: Path) -> BlockIndexService:
    return BlockIndexService(tmp_path / "sketches", SteppingClock())


def sketch(data: bytes) -> BlockIndex:
    return BlockIndex.of([data], size=len(data))


@pytest.mark.parametrize("old", [None, noise(1, 3 * MIB)])
def test_what_passes_is_unchanged_and_sketched(keeper: BlockIndexService, old: bytes | None) -> None:
    data = noise(1, 3 * MIB)[:MIB] + b"inserted" + noise(1, 3 * MIB)[MIB:]
    watched = keeper.watched(cuts(data, [70_000]), sketch(old) if old else None, len(data))
    assert b"".join(watched) == data
    assert watched.sketch is not None and watched.sketch.digest == blake3(data).digest()
    keeper.keep(watched.sketch, blake3(data).digest())
    assert keeper.sketch(blake3(data).digest(), len(data)) is not None


@pytest.mark.parametrize("old", [None, noise(1, 3 * MIB)])
def test_content_that_breaks_off_leaves_no_sketch(keeper: BlockIndexService, old: bytes | None) -> None:
    def broken() -> Iterator[bytes]:
        yield noise(1, 2 * MIB)
        raise ChangedUnderUs("it moved")

    watched = keeper.watched(broken(), sketch(old) if old else None, 3 * MIB)
    with pytest.raises(ChangedUnderUs):
        list(watched)
    assert watched.sketch is None


@pytest.mark.parametrize("old", [None, noise(1, 30 * MIB)])
def test_a_reader_that_stops_early_ends_the_work(keeper: BlockIndexService, old: bytes | None) -> None:
    watched = keeper.watched(cuts(noise(1, 30 * MIB), [MIB]), sketch(old) if old else None, 30 * MIB)
    pieces = iter(watched)
    assert next(pieces) == noise(1, 30 * MIB)[:MIB]
    pieces.close()  # type: ignore[attr-defined]
    assert watched.sketch is None


def test_a_small_content_is_nobody_s_business(keeper: BlockIndexService) -> None:
    watched = keeper.watched(iter([b"x"]), None, 1)
    assert list(watched) == [b"x"] and watched.sketch is None
    keeper.keep(watched.sketch, b"d" * 32)
    assert keeper.sketch(b"d" * 32, 1) is None and not keeper.folder.exists()


def test_a_sketch_of_another_content_is_not_kept_under_this_one_s_name(keeper: BlockIndexService) -> None:
    keeper.keep(sketch(noise(1, 2 * MIB)), b"d" * 32)
    assert keeper.sketch(b"d" * 32, 2 * MIB) is None


def test_what_was_agreed_before_is_dropped_unless_it_is_agreed_again(keeper: BlockIndexService) -> None:
    made = sketch(noise(1, 2 * MIB))
    keeper.keep(made, made.digest)
    keeper.drop(made.digest, unless=made.digest)
    keeper.drop(None, unless=None)
    assert keeper.sketch(made.digest, made.size) is not None
    keeper.drop(made.digest, unless=b"another")
    assert keeper.sketch(made.digest, made.size) is None


def test_where_nothing_can_be_kept_everything_passes_all_the_same() -> None:
    keeper = BlockIndexService(Path("/proc/nothing/can/be/made/here"), SteppingClock())
    made = sketch(noise(1, 2 * MIB))
    keeper.keep(made, made.digest)
    assert keeper.sketch(made.digest, made.size) is None
    distrust = DeltaBlocklist(keeper.folder)
    entry = Entry(kind=Kind.FILE, size=1, version=b"v")
    distrust.add("f", entry)
    distrust.remove("f", entry)
    assert not distrust.contains("f", entry)
