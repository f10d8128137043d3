"""The trash: what it holds, getting it back, emptying it by age."""

from __future__ import annotations

import errno
import os

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done, Failed, Kind, Stale
from syncer.stores.local.trash import Kept, Trash
from tests.contract.doubles import SteppingClock, failing
from tests.contract.rigs import FolderRig, in_order

DAY = 24 * 3600


def throw_away(rig: FolderRig, path: str, data: bytes = b"old") -> None:
    rig.write(path, data)
    (outcome,) = in_order(rig.store.delete([DeleteRequest(path=path, expected=rig.entry(path))]), 1)
    assert isinstance(outcome, Done)


def paths(rig: FolderRig) -> list[str]:
    return [thing.path for thing in rig.store.trashed()]


def test_an_unused_trash_is_empty(rig: FolderRig) -> None:
    assert paths(rig) == [] and rig.store.empty_trash(older_than_ns=2**62) == (0, 0)


def test_the_trash_shows_what_was_taken_from_where_and_when(rig: FolderRig) -> None:
    throw_away(rig, "a/b/f", b"12345")
    (thing,) = rig.store.trashed()
    assert (thing.path, thing.kind, thing.size, thing.run) == ("a/b/f", Kind.FILE, 5, "run")
    assert abs(thing.taken_ns - rig.clock.now_ns()) < 10 * 10**9


def test_the_same_path_twice_is_there_twice(rig: FolderRig) -> None:
    for data in (b"1", b"2", b"3"):
        throw_away(rig, "f", data)
    assert paths(rig) == ["f", "f", "f"] and sorted(rig.kept()) == [b"1", b"2", b"3"]
    batches = sorted(os.listdir(rig.root / ".syncer" / "trash"))
    assert [b.partition("~")[2] for b in batches] == ["", "2", "3"]


def test_a_file_and_then_a_directory_of_one_name_are_both_kept(rig: FolderRig) -> None:
    throw_away(rig, "x", b"file")
    throw_away(rig, "x/y", b"below")
    rig.remove("x")
    throw_away(rig, "x", b"file again")
    assert sorted(rig.kept()) == [b"below", b"file", b"file again"]


def test_a_name_of_255_bytes_is_kept_twice(rig: FolderRig) -> None:
    for _ in range(2):
        throw_away(rig, "n" * 255)
    assert paths(rig) == ["n" * 255] * 2


def test_a_thing_is_restored_to_its_place_and_leaves_the_trash(rig: FolderRig) -> None:
    throw_away(rig, "a/b/f", b"precious")
    rig.remove("a")
    (thing,) = rig.store.trashed()
    assert isinstance(rig.store.restore(thing.kept), Done)
    assert rig.read("a/b/f") == b"precious" and paths(rig) == []


def test_a_symlink_is_restored_as_a_link(rig: FolderRig) -> None:
    rig.link("l", "nowhere")
    in_order(rig.store.delete([DeleteRequest(path="l", expected=rig.entry("l"))]), 1)
    (thing,) = rig.store.trashed()
    assert isinstance(rig.store.restore(thing.kept), Done)
    assert os.readlink(rig.root / "l") == "nowhere"


def test_restoring_never_clobbers(rig: FolderRig) -> None:
    throw_away(rig, "f", b"old")
    rig.write("f", b"newer")
    (thing,) = rig.store.trashed()
    assert isinstance(rig.store.restore(thing.kept), Stale)
    assert rig.read("f") == b"newer" and paths(rig) == ["f"]
    assert isinstance(rig.store.restore(thing.kept, "g"), Done) and rig.read("g") == b"old"


def test_restoring_writes_through_no_symlink_and_to_no_name_of_ours(rig: FolderRig) -> None:
    throw_away(rig, "d/f")
    rig.remove("d")
    rig.mkdir("real")
    rig.link("d", "real")
    (thing,) = rig.store.trashed()
    assert isinstance(rig.store.restore(thing.kept), Stale)
    assert isinstance(rig.store.restore(thing.kept, ".syncer/root-id"), Failed)
    assert not list((rig.root / "real").iterdir())


def test_what_is_not_in_the_trash_cannot_be_restored(rig: FolderRig) -> None:
    throw_away(rig, "f")
    assert isinstance(rig.store.restore(Kept("20200101-000000-1", "f")), Stale)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_where_linking_is_impossible_a_copy_is_restored(rig: FolderRig, code: int) -> None:
    throw_away(rig, "f", b"precious")
    (thing,) = rig.store.trashed()
    rig.disk.before = failing("link", code)
    assert isinstance(rig.store.restore(thing.kept), Done)
    assert rig.read("f") == b"precious" and paths(rig) == []


def test_a_restored_file_is_durable_before_it_leaves_the_trash(rig: FolderRig) -> None:
    throw_away(rig, "f")
    (thing,) = rig.store.trashed()
    rig.disk.calls.clear()
    rig.store.restore(thing.kept)
    steps = [name for name in rig.disk.names() if name in ("link", "sync", "unlink")]
    assert steps == ["link", "sync", "unlink", "sync"]


def test_emptying_takes_only_what_is_old_enough(rig: FolderRig) -> None:
    throw_away(rig, "a/f", b"12345")
    began = rig.clock.now_ns()
    assert rig.store.empty_trash(older_than_ns=began - DAY * 10**9) == (0, 0)
    assert paths(rig) == ["a/f"]
    assert rig.store.empty_trash(older_than_ns=began + DAY * 10**9) == (1, 5)
    assert paths(rig) == [] and os.listdir(rig.root / ".syncer" / "trash") == []


def test_emptying_follows_no_symlink_and_touches_nothing_strange(rig: FolderRig) -> None:
    rig.write("real/f", b"x")
    rig.link("l", "real")
    in_order(rig.store.delete([DeleteRequest(path="l", expected=rig.entry("l"))]), 1)
    (rig.root / ".syncer" / "trash" / "not-ours").mkdir()
    rig.store.empty_trash(older_than_ns=rig.clock.now_ns() + DAY * 10**9)
    assert rig.read("real/f") == b"x"
    assert os.listdir(rig.root / ".syncer" / "trash") == ["not-ours"]


class StoppedClock(SteppingClock):
    """All runs begin in one second."""

    def now_ns(self) -> int:
        return 1_800_000_000 * 10**9


def version(rig: FolderRig, trash: Trash, content: bytes) -> int:
    """Puts another version of one path into the trash; how many calls that takes."""
    rig.write("f", content)
    fd = os.open(rig.root, os.O_RDONLY)
    before = len(rig.disk.calls)
    with trash.session() as session:
        session.keep("f", fd, "d/f", os.stat(rig.root / "f"))
        session.sync()
    os.close(fd)
    rig.remove("f")
    return len(rig.disk.calls) - before


def test_one_more_version_of_a_path_costs_the_same_however_many_there_are(rig: FolderRig) -> None:
    trash = Trash.inside(str(rig.root), fs=rig.disk, clock=StoppedClock())
    costs = [version(rig, trash, b"%d" % number) for number in range(120)]
    assert max(costs[-50:]) <= max(costs[1:4])
    assert len(rig.kept()) == 120


def test_a_trash_opened_again_finds_room_for_another_version_in_few_tries(rig: FolderRig) -> None:
    for number in range(120):
        again = Trash.inside(str(rig.root), fs=rig.disk, clock=StoppedClock())
        cost = version(rig, again, b"%d" % number)
    assert cost < 12 * 20 and len(rig.kept()) == 120
