"""The small pieces of every protocol, on a disk that does less than it is asked for."""

from __future__ import annotations

import errno

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest
from syncer.engine.model import Done, Stale
from syncer.stores.local.filesystem import FileSystem
from tests.contract.doubles import failing
from tests.contract.rigs import FolderRig, in_order


class Sluggish(FileSystem):
    """A disk that takes at most three bytes at a time."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return super().write(fd, memoryview(data)[:3])


@pytest.mark.parametrize("data", [b"", b"abc", b"abcdefgh"], ids=["nothing", "as much as it takes", "more"])
def test_a_disk_that_takes_a_part_of_a_write_is_given_the_rest(rig: FolderRig, data: bytes) -> None:
    rig.disk.real = Sluggish()
    outcome = rig.put("f", data)
    assert isinstance(outcome, Done) and rig.read("f") == data


def test_a_copy_into_the_trash_is_whole_as_well(rig: FolderRig) -> None:
    rig.write("f", b"the old content")
    planned = rig.entry("f")
    rig.disk.real = Sluggish()
    rig.disk.before = failing("link", errno.EPERM)
    assert isinstance(rig.put("f", b"new", expected=planned), Done)
    assert rig.kept() == [b"the old content"]


def test_a_copy_into_the_trash_is_durable_before_the_file_leaves_its_name(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")
    rig.disk.before = failing("link", errno.EXDEV)
    rig.disk.calls.clear()
    in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)
    steps = [name for name in rig.disk.names() if name in ("set_times", "sync", "rename_noreplace", "rename")]
    whole = steps.index("set_times")
    assert steps[whole : whole + 3] == ["set_times", "sync", "rename_noreplace"]
    assert steps.index("rename") > whole + 3, "the name of the copy is durable as well"


def test_a_file_that_changes_while_it_is_copied_into_the_trash_stays(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")

    def before(method: str, arguments: tuple[object, ...]) -> None:
        failing("link", errno.EXDEV)(method, arguments)
        if method == "read":
            rig.write("f", b"edited")

    rig.disk.before = before
    outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("f") == b"edited"
    assert not list((rig.root / ".syncer" / "trash").rglob("f")), "nothing torn passes for the file"


def test_without_noreplace_a_moved_file_has_its_new_name_durably_before_it_loses_the_old(
    rig: FolderRig,
) -> None:
    rig.write("a/f", b"x")
    rig.mkdir("b")
    planned = rig.entry("a/f")
    rig.disk.before = failing("rename_noreplace", errno.EINVAL)
    rig.disk.calls.clear()
    in_order(rig.store.rename([RenameRequest(origin="a/f", path="b/f", expected=planned)]), 1)
    steps = [name for name in rig.disk.names() if name in ("link", "sync", "unlink")]
    assert steps[:3] == ["link", "sync", "unlink"] and rig.read("b/f") == b"x"
