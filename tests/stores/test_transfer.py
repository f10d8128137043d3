"""The small pieces of every protocol, on a disk that does less than it is asked for."""

from __future__ import annotations

import os

import pytest

from syncer.engine.model import Done
from syncer.stores.fsops import FileSystem
from tests.contract.rigs import FolderRig


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

    def no_links(method: str, arguments: tuple[object, ...]) -> None:
        if method == "link":
            raise PermissionError(1, os.strerror(1))

    rig.disk.before = no_links
    assert isinstance(rig.put("f", b"new", expected=planned), Done)
    assert rig.kept() == [b"the old content"]
