"""Walks by descriptors: deep trees, directories that go while a walk stands in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import MOST, DirectoryCursor
from tests.contract.doubles import HookedDisk

LEVELS = 300
WITH_FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from syncer.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


class Counting(FileSystem):
    """Counts the directories that are held."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.most = 0

    def open_directory(self, name: str, dir_fd: int) -> int:
        fd = super().open_directory(name, dir_fd)
        self.held.add(fd)
        self.most = max(self.most, len(self.held))
        return fd

    def close(self, fd: int) -> None:
        self.held.remove(fd)
        super().close(fd)


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def deep(levels: int) -> list[str]:
    """A directory at each level, the highest first."""
    return ["/".join(["d"] * depth) for depth in range(1, levels + 1)]


def make_all(top: int, paths: list[str]) -> None:
    for path in paths:
        os.mkdir(path, dir_fd=top)


def test_a_walk_held_a_descriptor_for_each_level_of_the_tree(tmp_path: Path, root_fd: int) -> None:
    paths = deep(100)
    make_all(root_fd, paths)
    disk = Counting()
    inodes = {path: os.stat(path, dir_fd=root_fd).st_ino for path in paths}
    with DirectoryCursor(disk, root_fd) as cursor:
        for path in [*paths, *reversed(paths), paths[3], paths[-1], "", paths[50]]:
            assert os.fstat(cursor.enter(path)).st_ino == inodes.get(path, tmp_path.stat().st_ino)
    assert disk.most <= MOST + 1 and disk.held == set()


def test_a_walk_that_failed_half_way_took_a_directory_for_the_one_above_it(
    tmp_path: Path, root_fd: int
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with DirectoryCursor(FileSystem(), root_fd) as cursor:
        cursor.enter("a")
        with pytest.raises(FileNotFoundError):
            cursor.enter("a/b/gone")
        assert os.fstat(cursor.enter("a")).st_ino == (tmp_path / "a").stat().st_ino


def test_a_directory_that_went_while_its_descriptor_was_not_held_stops_the_walk(
    tmp_path: Path, root_fd: int
) -> None:
    paths = deep(MOST + 10)
    make_all(root_fd, paths)
    with DirectoryCursor(FileSystem(), root_fd) as cursor:
        cursor.enter(paths[-1])
        (tmp_path / "d/d").rename(tmp_path / "elsewhere")
        (tmp_path / "d/d").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(NotADirectoryError):  # never through the link
            cursor.enter(paths[2])
        assert os.fstat(cursor.enter("d")).st_ino == (tmp_path / "d").stat().st_ino


def test_neighbours_in_a_shallow_tree_still_cost_one_call_each(tmp_path: Path, root_fd: int) -> None:
    for name in "xyz":
        (tmp_path / "a/b" / name).mkdir(parents=True)
    disk = HookedDisk()
    with DirectoryCursor(disk, root_fd) as cursor:  # type: ignore[arg-type]
        for name in "xyz":
            cursor.enter(f"a/b/{name}")
    assert disk.names().count("open_directory") == 5


def test_a_tree_of_hundreds_of_levels_took_a_descriptor_for_each(tmp_path: Path) -> None:
    """With 256 allowed it ended in `Too many open files`."""
    local, remote = tmp_path / "l", tmp_path / "r"
    local.mkdir()
    fd = os.open(local, os.O_RDONLY)
    make_all(fd, deep(LEVELS))
    bottom = os.open("/".join(["d"] * LEVELS), os.O_RDONLY, dir_fd=fd)
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=bottom))

    def sync(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", WITH_FEW, "sync", str(local), f"local:{remote}", *more]
        home = {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
        return subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, **home}, timeout=120
        )

    first = sync()
    assert first.returncode == 0, first.stdout + first.stderr
    os.unlink("f", dir_fd=bottom)
    os.close(os.open("g", os.O_CREAT | os.O_WRONLY, dir_fd=bottom))
    second = sync()
    assert second.returncode == 0, second.stdout + second.stderr
    there = os.open(remote, os.O_RDONLY)
    arrived = os.open("/".join(["d"] * LEVELS), os.O_RDONLY, dir_fd=there)
    assert os.listdir(arrived) == ["g"]
    for held in (arrived, there, bottom, fd):
        os.close(held)


def test_a_run_left_most_descriptors_unused_that_the_system_allows(tmp_path: Path) -> None:
    script = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, min(hard, 4096)))
from syncer.cli.main import main
code = main(sys.argv[1:])
print(code, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    (tmp_path / "l").mkdir()
    words = [sys.executable, "-c", script, "-q", "sync", str(tmp_path / "l"), f"local:{tmp_path}/r"]
    environ = {**os.environ, "HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
    told = subprocess.run(words, capture_output=True, text=True, check=True, env=environ, timeout=60).stdout
    code, soft, hard = told.split()[-3:]
    assert (code, soft) == ("0", hard)
