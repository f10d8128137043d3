"""The shelf: what is kept comes back, what is damaged does not, and it never grows beyond its bound."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.delta.index_cache import BlockIndexCache
from tests.contract.doubles import SteppingClock

DAY = 24 * 3600


def sketch_of(number: int, size: int = 64 << 10) -> BlockIndex:
    return BlockIndex.of([blake3(b"%d" % number).digest(size)], size=size)


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
def shelf(tmp_path, clock):
    return BlockIndexCache(tmp_path / "a" / "sketches", clock=clock)


def files(tmp_path):
    return sorted((tmp_path / "a" / "sketches").iterdir())


def test_a_sketch_comes_back_by_the_digest_of_its_content(shelf):
    kept = sketch_of(1)
    assert shelf.get(kept.digest) is None
    shelf.put(kept)
    assert shelf.get(kept.digest) == kept
    assert shelf.has(kept.digest)
    shelf.discard(kept.digest)
    assert shelf.get(kept.digest) is None
    shelf.discard(kept.digest)


def test_sums_of_content_are_nobody_elses_business(shelf, tmp_path):
    shelf.put(sketch_of(1))
    [file] = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "another's"])
def test_a_damaged_sketch_counts_as_absent_and_goes(shelf, tmp_path, damage):
    kept = sketch_of(1)
    shelf.put(kept)
    [file] = files(tmp_path)
    data = bytearray(file.read_bytes())
    match damage:
        case "cut":
            del data[-1]
        case "flip":
            data[len(data) // 2] ^= 1
        case "empty":
            data.clear()
        case "another's":
            data = bytearray(b"".join(sketch_of(2).chunks()))
    file.write_bytes(data)
    assert shelf.get(kept.digest) is None
    assert not file.exists()


def test_the_least_recently_used_go_first(tmp_path, clock):
    size = sum(map(len, sketch_of(0).chunks()))
    shelf = BlockIndexCache(tmp_path / "a" / "sketches", clock=clock, most=10 * size)
    kept = [sketch_of(number) for number in range(30)]
    for sketch in kept:
        clock.sleep(1)
        shelf.put(sketch)
        clock.sleep(1)
        assert shelf.get(kept[0].digest) is not None
        assert sum(f.stat().st_size for f in files(tmp_path)) <= 11 * size
    assert shelf.get(kept[-1].digest) is not None
    assert shelf.get(kept[1].digest) is None


def test_what_is_of_no_use_for_long_goes(tmp_path, clock):
    shelf = BlockIndexCache(tmp_path / "a" / "sketches", clock=clock, oldest=30 * DAY)
    old, used = sketch_of(1), sketch_of(2)
    shelf.put(old)
    shelf.put(used)
    clock.sleep(20 * DAY)
    assert shelf.get(used.digest) is not None
    clock.sleep(20 * DAY)
    shelf.prune()
    assert not shelf.has(old.digest)
    assert shelf.has(used.digest)


def test_what_a_killed_process_left_unfinished_goes_and_other_files_stay(shelf, tmp_path, clock):
    shelf.put(sketch_of(1))
    folder = tmp_path / "a" / "sketches"
    (folder / (".new-" + "0" * 16)).write_bytes(b"half")
    (folder / "notes.txt").write_bytes(b"mine")
    now = clock.now_ns()
    os.utime(folder / (".new-" + "0" * 16), ns=(now, now))
    shelf.prune()
    assert (folder / (".new-" + "0" * 16)).exists()
    clock.sleep(2 * 3600)
    shelf.prune()
    assert not (folder / (".new-" + "0" * 16)).exists()
    assert (folder / "notes.txt").exists()


def test_a_sketch_too_large_for_the_shelf_is_not_kept(tmp_path, clock):
    shelf = BlockIndexCache(tmp_path / "a" / "sketches", clock=clock, most=100)
    shelf.put(sketch_of(1))
    assert files(tmp_path) == []


def test_a_shelf_that_cannot_be_written_costs_nothing_but_the_sketch(tmp_path, clock):
    (tmp_path / "file").write_bytes(b"")
    shelf = BlockIndexCache(tmp_path / "file" / "sketches", clock=clock)
    shelf.put(sketch_of(1))
    assert shelf.get(sketch_of(1).digest) is None
    shelf.prune()


def test_threads_and_other_shelves_of_the_same_folder_do_not_disturb_each_other(tmp_path, clock):
    kept = [sketch_of(number) for number in range(8)]
    size = sum(map(len, kept[0].chunks()))
    wrong = []

    def use(start: int) -> None:
        shelf = BlockIndexCache(tmp_path / "a" / "sketches", clock=clock, most=6 * size)
        for turn in range(40):
            sketch = kept[(start + turn) % len(kept)]
            shelf.put(sketch)
            found = shelf.get(sketch.digest)
            if found is not None and found != sketch:
                wrong.append(found)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(f.name.endswith(".sketch") for f in files(tmp_path))
