"""A large object that Ceph answers 404 for, since a segment of it is missing, is a problem, not an absence.

Of an object that lacks its first segment a HEAD says 404, as if it were not there; of one that lacks another
segment only the bytes of that one are 404. Nothing may be deleted, replaced or made smaller for either.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest
from syncer.engine.model import BlockedEntry, Entry, Failed, Stale
from syncer.errors import Unreadable
from tests.contents import noise
from tests.contract.rigs import in_order
from tests.stores.swift.bench import MIB, Bench
from tests.stores.swift.cloud import PREFIX, CloudWorld
from tests.swift.rgw import Rgw

SIZE = 9 << 20  # more than what is sent whole


@pytest.fixture
def world(rgw: Rgw, tmp_path: Path) -> Iterator[CloudWorld]:
    made = CloudWorld(tmp_path / "w", rgw)
    yield made
    made.close()


def synced(world: CloudWorld, path: str = "d/big") -> bytes:
    """A large file that both sides know, with a small one beside it."""
    data = noise(1, SIZE)
    world.write(f"local/{path}", data)
    world.write("local/d/small", b"small")
    world.settle()
    return data


def parts(world: CloudWorld, path: str = "d/big") -> list[str]:
    """The segments of a file, in the order of its content."""
    data = world.read(f"local/{path}")
    names = [name for name in world.segments.names() if name.startswith(".syncer/")]
    found = [(data.index(world.segments.ask("GET", name).content), name) for name in names]
    return [name for _, name in sorted(found)]


def test_a_listed_object_that_answers_404_is_not_deleted_on_the_other_side(world: CloudWorld) -> None:
    data = synced(world)
    world.segments.ask("DELETE", parts(world)[0])
    world.hands.ask("POST", f"{PREFIX}d/big", fine=False)  # its row changes, so that it is asked for
    assert world.hands.ask("HEAD", f"{PREFIX}d/big", fine=False).status_code == 404
    for _ in range(3):
        ran = world.sync()
        assert ran.actions == [] and ran.code == 1, ran
        [problem] = ran.job["problems"]
        assert problem["path"] == "d/big" and "segment missing" in problem["message"]
        assert world.read("local/d/big") == data
    checked = world.check()
    assert checked.code == 1 and "segment missing" in checked.out


def test_check_names_a_file_that_lacks_any_of_its_segments(world: CloudWorld) -> None:
    """Of one that lacks another than the first a HEAD says nothing."""
    data = synced(world)
    assert world.check().code == 0
    world.segments.ask("DELETE", parts(world)[5])
    assert world.hands.ask("HEAD", f"{PREFIX}d/big").ok
    checked = world.check()
    assert checked.code == 1 and "segment missing" in checked.out and "small" not in checked.out, checked
    assert world.sync().actions == [] and world.read("local/d/big") == data


def test_a_machine_that_comes_new_reports_it_and_gets_the_rest(world: CloudWorld, tmp_path: Path) -> None:
    synced(world)
    world.segments.ask("DELETE", parts(world)[0])
    other = CloudWorld(tmp_path / "other", world.swift)
    other.configure(f"{world.container}/{PREFIX}")
    ran = other.sync()
    assert ran.code == 1 and ("download", "d/small") in ran.actions, ran
    assert [p["path"] for p in ran.job["problems"]] == ["d/big"]
    other.close()


def test_a_directory_that_holds_nothing_but_a_broken_object_stands(world: CloudWorld) -> None:
    data = noise(1, SIZE)
    world.write("local/only/big", data)
    world.settle()
    world.hands.ask("DELETE", f"{PREFIX}only", fine=False)  # its marker, if there is one
    world.segments.ask("DELETE", parts(world, "only/big")[0])
    world.hands.ask("POST", f"{PREFIX}only/big", fine=False)
    ran = world.sync()
    assert ran.actions == [] and world.read("local/only/big") == data, ran


def broken(bench: Bench) -> tuple[object, Entry, str]:
    """A machine, what it knew of an object, and that object's first segment, which is gone."""
    machine, data = bench.machine(), noise(1, MIB)
    entry = machine.put("big", data).entry
    assert entry is not None
    names = bench.segments.names(".syncer/big/")
    [first] = [name for name in names if data.startswith(bench.segments.ask("GET", name).content)]
    bench.segments.ask("DELETE", first)
    return machine, entry, first


def test_nothing_is_put_in_the_place_of_a_broken_object(bench: Bench) -> None:
    machine, entry, _ = broken(bench)
    for expected in (None, entry):
        outcome = machine.outcome("big", b"new", expected=expected)  # type: ignore[attr-defined]
        assert isinstance(outcome, Failed | Stale), outcome
    assert bench.hands.ask("HEAD", "big", query="multipart-manifest=get").status_code == 200


def test_nothing_is_renamed_onto_a_broken_object_nor_is_it_deleted(bench: Bench) -> None:
    machine, entry, _ = broken(bench)
    store = machine.store  # type: ignore[attr-defined]
    other = machine.put("other", b"other").entry  # type: ignore[attr-defined]
    outcomes = [
        in_order(store.rename([RenameRequest(origin="other", path="big", expected=other)]), 1)[0],
        in_order(store.delete([DeleteRequest(path="big", expected=entry)]), 1)[0],
    ]
    assert all(isinstance(outcome, Failed | Stale) for outcome in outcomes), outcomes
    assert bench.read("other") == b"other"
    assert bench.hands.ask("HEAD", "big", query="multipart-manifest=get").status_code == 200


def test_a_look_at_a_broken_object_says_what_is_wrong(bench: Bench) -> None:
    machine, _, _ = broken(bench)
    seen = machine.store.stat("big")  # type: ignore[attr-defined]
    assert isinstance(seen, BlockedEntry) and "segment missing" in seen.message


def test_an_object_that_is_really_gone_is_gone(bench: Bench) -> None:
    machine = bench.machine()
    machine.put("big", noise(1, MIB))
    bench.hands.ask("DELETE", "big")
    assert machine.store.stat("big") is None and machine.store.stat("never") is None


def test_a_download_that_meets_a_missing_segment_says_so(bench: Bench) -> None:
    """Of the whole content Ceph sends what is before it, and then waits; of that part alone it says 404."""
    data = noise(1, MIB)
    bench.machine("a").put("big", data)
    names = bench.segments.names(".syncer/big/")
    places = {data.index(bench.segments.ask("GET", name).content): name for name in names}
    at = sorted(places)[len(places) // 2]
    bench.segments.ask("DELETE", places[at])
    bench.swift.rule("cut", method="GET", path=f"{bench.container}/big", bytes=at)
    reader = bench.machine("b")
    with pytest.raises(Unreadable, match="segment missing"):
        reader.get("big")


def test_a_dynamic_large_object_that_lost_its_segments_is_not_an_empty_file(world: CloudWorld) -> None:
    world.write("local/small", b"small")
    world.settle()
    world.segments.ask("PUT")
    pieces = [noise(n, 1000) for n in range(3)]
    for index, piece in enumerate(pieces):
        world.segments.put(f"dlo/1700000000.000000/3000/1000/{index:08}", piece)
    manifest = f"{world.container}_segments/dlo/1700000000.000000/3000/1000/"
    world.hands.put(f"{PREFIX}dlo", X_Object_Manifest=manifest)
    assert world.sync().code == 0 and world.read("local/dlo") == b"".join(pieces)
    names = world.segments.names("dlo/")
    for gone in (names[-1:], names):  # one of three, then all
        for name in gone:
            world.segments.ask("DELETE", name, fine=False)
        ran = world.sync()
        assert ran.code == 1 and ran.actions == [], ran
        assert ["segment missing" in p["message"] for p in ran.job["problems"]] == [True]
        assert world.read("local/dlo") == b"".join(pieces)


def test_an_object_that_is_written_between_two_looks_is_not_broken(bench: Bench) -> None:
    machine = bench.machine()
    name = f"{bench.container}/new"
    rule = bench.swift.rule("hold", method="HEAD", path=name, query="multipart-manifest=get")
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(machine.store.stat("new")))
    thread.start()
    rule.hits(at_least=1)
    bench.hands.put("new", b"written")
    rule.release()
    thread.join()
    [seen] = found
    assert isinstance(seen, Entry) and seen.size == len(b"written")
