"""Content out of the trash over what stands at its name: at every moment the name has one of both, whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done, Failed, Outcome, Stale
from syncer.errors import ChangedUnderUs
from syncer.stores.local.trash import Kept
from tests.contract.doubles import failing, let_the_disk_tick, once_before
from tests.contract.rigs import FolderRig, in_order


class Killed(BaseException):
    """The process is dead."""


def calm(method: str, arguments: tuple[object, ...]) -> None:
    """A disk to which nothing happens."""


def overwritten(rig: FolderRig) -> Kept:
    """`d/f` holds "new content", and the trash what it held before."""
    rig.write("d/f", b"old")
    assert isinstance(rig.put("d/f", b"new content", expected=rig.entry("d/f")), Done)
    [thing] = rig.store.trashed()
    return thing.kept


def put_back(rig: FolderRig, kept: Kept) -> Outcome:
    return in_order(rig.store.put_back([(kept, rig.entry(kept.path))]), 1)[0]


def test_both_contents_change_places(rig: FolderRig) -> None:
    kept = overwritten(rig)
    before = os.stat(rig.root / ".syncer/trash" / kept.batch / "d/f").st_mtime_ns
    outcome = put_back(rig, kept)
    assert isinstance(outcome, Done)
    assert outcome.entry is not None
    assert outcome.entry.size == 3
    assert rig.read("d/f") == b"old"
    assert (rig.root / "d/f").stat().st_mtime_ns == before
    assert sorted(rig.kept()) == [b"new content", b"old"]


def test_a_symlink_and_a_file_change_places(rig: FolderRig) -> None:
    rig.link("f", "somewhere")
    assert isinstance(rig.put("f", b"new", expected=rig.entry("f")), Done)
    [thing] = rig.store.trashed()
    assert isinstance(put_back(rig, thing.kept), Done)
    assert os.readlink(rig.root / "f") == "somewhere"
    assert sorted(rig.kept()) == [b"new", b"somewhere"]


def test_killed_at_any_call_the_name_has_a_whole_content_and_both_are_there(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        (tmp_path / str(at)).mkdir()
        rig = FolderRig(tmp_path / str(at))
        kept = overwritten(rig)
        expected = rig.entry("d/f")
        left = [at]

        def before(method: str, arguments: tuple[object, ...], left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        rig.disk.before = before
        try:
            list(rig.store.put_back([(kept, expected)]))
        except Killed:
            rig.disk.before = calm
            assert rig.read("d/f") in (b"old", b"new content")
            assert {rig.read("d/f"), *rig.kept()} == {b"old", b"new content"}
        else:
            break
    assert at > 20


def test_an_edit_right_before_keeps_its_name(rig: FolderRig) -> None:
    kept = overwritten(rig)
    rig.disk.before = once_before("exchange", lambda: rig.write("d/f", b"edited since"))
    assert isinstance(put_back(rig, kept), Stale)
    assert rig.read("d/f") == b"edited since"
    assert b"old" in rig.kept()


@pytest.mark.parametrize("data", [b"old, and more", b"OLD"])
def test_a_late_writer_to_the_trash_is_noticed(rig: FolderRig, data: bytes) -> None:
    """The file was open when it was replaced: bytes that its writer still sends land in the trash."""
    kept = overwritten(rig)
    place = rig.root / ".syncer/trash" / kept.batch / "d/f"
    let_the_disk_tick(place)
    rig.during_read(lambda: place.write_bytes(data))
    outcome = put_back(rig, kept)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ChangedUnderUs)
    assert rig.read("d/f") == b"new content"


def test_what_left_the_trash_is_an_outcome_and_the_others_go_on(rig: FolderRig) -> None:
    kept = overwritten(rig)
    gone = Kept(kept.batch, "d/gone")
    rig.write("d/gone", b"stands")
    wanted = [(gone, rig.entry("d/gone")), (kept, rig.entry("d/f"))]
    lost, back = in_order(rig.store.put_back(wanted), 2)
    assert not isinstance(lost, Done)
    assert isinstance(back, Done)
    assert rig.read("d/gone") == b"stands"


@pytest.mark.parametrize("method", ["open_read", "create", "write", "link"])
def test_a_disk_that_says_no_leaves_all_as_it_was(rig: FolderRig, method: str) -> None:
    kept = overwritten(rig)
    rig.disk.before = failing(method, errno.EIO)
    assert isinstance(put_back(rig, kept), Failed)
    rig.disk.before = calm
    assert (rig.read("d/f"), rig.kept()) == (b"new content", [b"old"])


def test_no_descriptor_stays_open(rig: FolderRig) -> None:
    kept = overwritten(rig)
    put_back(rig, kept)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        put_back(rig, kept)
        list(rig.store.put_back([(Kept("20260101-000000-1", "no/thing"), rig.entry("d/f"))]))
    assert len(os.listdir("/proc/self/fd")) == before


def test_removed_and_put_back_again(rig: FolderRig) -> None:
    kept = overwritten(rig)
    assert isinstance(
        in_order(rig.store.delete([DeleteRequest(path="d/f", expected=rig.entry("d/f"))]), 1)[0], Done
    )
    assert isinstance(rig.store.restore(kept), Done)
    assert (rig.read("d/f"), rig.kept()) == (b"old", [b"new content"])
