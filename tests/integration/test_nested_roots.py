"""A root within another root: the private directory of the inner one belongs to the inner one alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.world import World, call


class Inner:
    """A second job, with a config and a state directory of its own, from `local/work` to `inner`."""

    def __init__(self, world: World) -> None:
        self.config = world.path("inner.toml")
        self.local = world.path("local/work")
        self.local.mkdir(exist_ok=True)
        self.config.write_text(
            f'state_dir = "{world.home}/inner-state"\n[jobs.inner]\nlocal = "{self.local}"\n'
            f'remote = "local:{world.home}/inner"\n'
        )

    def sync(self) -> int:
        return call("--config", str(self.config), "sync", "--json").code


@pytest.fixture
def inner(world: World) -> Inner:
    return Inner(world)


def test_the_marker_of_a_root_inside_a_root_is_never_synced(world: World, inner: Inner) -> None:
    world.write("local/work/y", "2")
    assert inner.sync() == 0
    world.settle()
    assert inner.sync() == 0
    world.settle()
    assert world.read("remote/work/y") == b"2"
    assert not world.path("remote/work/.syncer").exists()


def test_a_folder_that_becomes_a_root_later_keeps_its_marker_to_itself(world: World, inner: Inner) -> None:
    world.write("local/work/y", "2")
    world.settle()
    assert inner.sync() == 0
    world.write("local/work/z", "3")
    world.settle()
    assert not world.path("remote/work/.syncer").exists()


def test_deleted_files_in_the_trash_of_a_former_root_do_not_come_back(world: World) -> None:
    old = world.path("old")
    world.write("old/.syncer/root-id", "00" * 16)
    world.write("old/.syncer/trash/20260101-000000-1/secret", "deleted long ago")
    world.write("old/f", "x")
    shutil.move(old, world.path("local/old"))
    world.settle()
    assert world.read("remote/old/f") == b"x"
    assert not world.path("remote/old/.syncer").exists()


def test_a_trash_without_a_marker_is_left_alone_as_well(world: World) -> None:
    world.write("local/old/.syncer/trash/20260101-000000-1/secret", "deleted long ago")
    world.settle()
    assert not world.path("remote/old/.syncer").exists()


def test_a_users_own_folder_of_that_name_is_synced_below_the_root(world: World) -> None:
    world.write("local/d/.syncer/notes", "mine")
    world.settle()
    assert world.read("remote/d/.syncer/notes") == b"mine"


def test_markers_and_trash_that_were_synced_before_are_left_where_they_are(world: World) -> None:
    """As an earlier version did: both sides have them, and the memory knows them."""
    world.write("local/d/.syncer/notes/deep/n", "1")
    world.settle()
    before = world.path("remote/d/.syncer")
    world.write("local/d/.syncer/root-id", "00" * 16)
    world.write("local/d/.syncer/notes/deep/n", "changed")
    world.settle()
    assert before.is_dir() and not (before / "root-id").exists()
    assert world.read("remote/d/.syncer/notes/deep/n") == b"1"
    shutil.rmtree(world.path("local/d/.syncer"))
    assert world.sync().code == 0
    assert world.path("local/d/.syncer/notes/deep/n").read_bytes() == b"1"


def test_a_deletion_around_an_inner_root_takes_everything_but_the_inner_root(
    world: World, inner: Inner
) -> None:
    world.write("local/work/y", "2")
    world.settle()
    assert inner.sync() == 0
    world.settle()
    shutil.rmtree(world.path("remote/work"))
    assert world.sync().code == 0
    assert not world.path("local/work/y").exists()
    assert world.path("local/work/.syncer/root-id").is_file()
    assert world.sync().actions == []


def test_a_copy_made_by_the_outer_job_is_not_taken_for_the_inner_root(world: World, inner: Inner) -> None:
    world.write("local/work/y", "2")
    assert inner.sync() == 0
    world.settle()
    world.write("local/work/only-here", "new")
    assert inner.sync() == 0
    shutil.move(inner.local, world.path("saved"))
    shutil.copytree(world.path("remote/work"), inner.local)
    assert inner.sync() == 4
    assert world.path("inner/only-here").is_file()


def test_renaming_around_an_inner_root_moves_no_marker(world: World, inner: Inner, tmp_path: Path) -> None:
    world.write("local/work/y", "2" * 1000)
    assert inner.sync() == 0
    world.settle()
    world.path("local/work").rename(world.path("local/job"))
    world.settle()
    assert world.read("remote/job/y") == b"2" * 1000
    assert not world.path("remote/job/.syncer").exists() and not world.path("remote/work").exists()
