"""What the calls to the disk make of answers that say nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from syncer.stores.local.filesystem import FileSystem


class Answers(FileSystem):
    """A disk whose file system has no statfs, which is libfuse's default."""

    def statvfs(self, fd: int) -> os.statvfs_result:
        return os.statvfs_result((512, 512, 0, 0, 0, 0, 0, 0, 0, 255, 0))


def test_a_statfs_of_zeros_was_taken_for_a_full_disk(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert Answers().free_space(fd) is None
    assert (FileSystem().free_space(fd) or 0) > 0
    assert Answers().file_system_id(fd) == ""
    os.close(fd)


def test_a_kind_is_known_where_the_system_tells_it_and_refreshing_never_fails(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    assert FileSystem().kind(fd) == FileSystem().kind(fd)
    FileSystem().refresh("none", fd)
    os.close(fd)
    assert FileSystem().kind(fd) == 0
    with pytest.raises(OSError) as caught:
        FileSystem().fstat(fd)
    assert caught.value.errno == errno.EBADF
