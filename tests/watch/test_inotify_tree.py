"""Recursive inotify while directories come, go and are renamed, with the reader as late as possible.

The tree is read only when the test says so: every race between a change and the reader is one order of calls.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from syncer.watch.problems import Break
from tests.watch.manual_queue import Grown, places, read
from tests.watch.random_changes import RandomChanges
from tests.watch.recorder import Follower
from tests.world import as_nobody

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux'")


@pytest.fixture
def root(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    return made


def test_a_file_that_is_written_renamed_or_removed_is_news_of_its_directory(root, grown):
    (root / "d").mkdir()
    tree = grown(root)
    (root / "d" / "f").write_bytes(b"1")
    assert read(tree) == places("d")
    (root / "d" / "f").chmod(0o600)
    assert read(tree) == places("d")
    os.utime(root / "d" / "f", ns=(1, 1))
    assert read(tree) == places("d")
    os.rename(root / "d" / "f", root / "g")
    assert read(tree) == places("", "d")
    (root / "g").unlink()
    assert read(tree) == places("")


def test_looking_is_no_news(root, grown, queue):
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"1")
    tree = grown(root)
    assert (root / "d" / "f").read_bytes() == b"1"
    assert os.listdir(root / "d") == ["f"]
    (root / "d" / "f").stat()
    assert not tree.read().places
    assert queue._instance.read(0) == []


def test_our_own_names_are_no_news_until_they_become_others(root, grown):
    (root / ".syncer" / "trash").mkdir(parents=True)
    tree = grown(root)
    (root / ".syncer" / "trash" / "x").write_bytes(b"1")
    (root / ".syncer" / "y").write_bytes(b"1")
    (root / ".syncer-tmp-1").write_bytes(b"1")
    (root / ".syncer-tmp-2").mkdir()
    (root / ".syncer-tmp-2" / "x").write_bytes(b"1")
    assert not read(tree)
    os.rename(root / ".syncer-tmp-1", root / "f")
    assert read(tree) == places("")
    os.rename(root / ".syncer-tmp-2", root / "d")
    assert read(tree) == places("", trees=["d"])
    (root / "d" / "y").write_bytes(b"1")
    assert read(tree) == places("d")


def test_a_directory_that_is_made_and_filled_before_anybody_reads_is_told_as_a_whole(root, grown):
    tree = grown(root)
    (root / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "b" / "c" / "f").write_bytes(b"1")
    assert read(tree) == places("", trees=["a"])
    (root / "a" / "b" / "c" / "g").write_bytes(b"1")
    assert read(tree) == places("a/b/c")


def test_a_directory_from_elsewhere_is_told_and_watched_with_all_below(root, outside, grown):
    (outside / "x" / "y" / "z").mkdir(parents=True)
    tree = grown(root)
    os.rename(outside / "x", root / "x")
    assert read(tree) == places("", trees=["x"])
    (root / "x" / "y" / "z" / "f").write_bytes(b"1")
    assert read(tree) == places("x/y/z")


def test_a_directory_made_right_before_the_one_around_it_is_renamed_is_watched(root, grown):
    (root / "x").mkdir()
    tree = grown(root)
    (root / "x" / "new").mkdir()
    os.rename(root / "x", root / "y")
    assert "y" in read(tree).trees
    (root / "y" / "new" / "f").write_bytes(b"1")
    assert read(tree) == places("y/new")


def test_a_directory_that_moves_into_a_new_one_is_known_by_its_new_name_only(root, grown):
    (root / "x" / "deep").mkdir(parents=True)
    tree = grown(root)
    (root / "new").mkdir()
    os.rename(root / "x", root / "new" / "x")
    told = read(tree)
    assert told.trees == {"new"}
    assert told.directories >= {"", "x"}
    (root / "new" / "x" / "deep" / "f").write_bytes(b"1")
    assert read(tree) == places("new/x/deep")


def test_names_that_two_directories_exchange_stay_told_apart(root, grown):
    (root / "x" / "in-x").mkdir(parents=True)
    (root / "y" / "in-y").mkdir(parents=True)
    tree = grown(root)
    os.rename(root / "x", root / "tmp")
    os.rename(root / "y", root / "x")
    os.rename(root / "tmp", root / "y")
    assert read(tree).trees >= {"x", "y"}
    (root / "x" / "in-y" / "f").write_bytes(b"1")
    assert read(tree) == places("x/in-y")
    (root / "y" / "in-x" / "f").write_bytes(b"1")
    assert read(tree) == places("y/in-x")


def test_what_happens_in_a_directory_that_left_is_not_told(root, outside, grown):
    (root / "x" / "y").mkdir(parents=True)
    tree = grown(root)
    os.rename(root / "x", outside / "x")
    assert read(tree) == places("", "x")
    (outside / "x" / "f").write_bytes(b"1")
    (outside / "x" / "y" / "f").write_bytes(b"1")
    (root / "x").mkdir()
    assert read(tree) == places("", trees=["x"])
    (outside / "x" / "y" / "f").write_bytes(b"2")
    assert not read(tree)


def test_a_directory_that_comes_over_an_empty_one_is_the_one_that_is_watched(root, grown):
    (root / "old").mkdir()
    (root / "new" / "deep").mkdir(parents=True)
    tree = grown(root)
    os.rename(root / "new", root / "old")
    assert "old" in read(tree).trees
    (root / "old" / "deep" / "f").write_bytes(b"1")
    assert read(tree) == places("old/deep")


def test_a_link_to_a_directory_is_a_name_and_nothing_more(root, outside, grown):
    (outside / "x").mkdir()
    (root / "before").symlink_to(outside / "x")
    tree = grown(root)
    (root / "after").symlink_to(outside / "x")
    assert read(tree) == places("")
    (outside / "x" / "f").write_bytes(b"1")
    (root / "before" / "g").write_bytes(b"1")
    assert not read(tree)


def test_any_name_is_told_as_it_is(root, grown):
    names = ["line\nbreak", os.fsdecode(b"\xff\xfe"), "ä", " "]
    tree = grown(root)
    for name in names:
        (root / name).mkdir()
    assert read(tree) == places("", trees=names)
    for name in names:
        (root / name / "f").write_bytes(b"1")
    assert read(tree) == places(*names)


def test_a_directory_that_cannot_be_read_is_watched_once_it_can(root, grown):
    def act() -> int:
        tree = grown(root)
        (root / "closed").chmod(0o700)
        opened = read(tree) == places("", trees=["closed"])
        (root / "closed" / "d" / "f").write_bytes(b"1")
        return 0 if opened and read(tree) == places("closed/d") else 1

    (root / "closed" / "d").mkdir(parents=True)
    for above in root.parents[:-1]:
        if above.stat().st_uid == os.geteuid():
            above.chmod(above.stat().st_mode | 0o011)
    if os.geteuid() == 0:
        for path in (root, root / "closed", root / "closed" / "d"):
            os.chown(path, 65534, 65534)
    (root / "closed").chmod(0)
    try:
        assert as_nobody(act) == 0
    finally:
        (root / "closed").chmod(0o700)


@pytest.mark.parametrize("end", [shutil.rmtree, lambda r: os.rename(r, r.with_name("moved"))])
def test_the_end_of_the_root_is_told(root, grown, end):
    tree = grown(root)
    end(root)
    assert Break.UPROOTED in tree.read().breaks


def test_there_is_no_tree_without_a_root(tmp_path, grown):
    with pytest.raises(FileNotFoundError):
        grown(tmp_path / "none")


def follow(root: Path, outside: Path, tree: Grown, seed: int, *, turns: int) -> None:
    """Random changes, readings in between: in the end everything is known, every directory watched."""
    follower = Follower(root)
    stirrer = RandomChanges(root, outside, seed)
    for turn in range(turns):
        stirrer.stir(1 + (seed + turn) % 7)
        if (seed + turn) % 3:
            follower.changed(tree.read().places)
        else:
            follower.changed(read(tree))
            assert follower.wrong() == []
    read(tree)
    for directory in stirrer.directories():
        (root / directory / "probe").write_bytes(b"1")
        assert read(tree) == places("" if directory == "." else directory)
    for left in outside.rglob("*"):
        if left.is_dir():
            (left / "probe").write_bytes(b"1")
    assert not read(tree)


@pytest.mark.parametrize("seed", range(40))
def test_who_looks_where_he_is_told_to_knows_everything(root, outside, grown, seed):
    follow(root, outside, grown(root), seed, turns=25)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_who_looks_where_he_is_told_to_knows_everything_long(root, outside, grown, seed):
    follow(root, outside, grown(root), seed, turns=60)


def test_a_snapshot_inside_the_root_was_watched_although_nothing_in_it_is_synced(root, queue):
    """With everything below; each snapshot took as many watches as the whole tree."""
    (root / ".snapshots" / "1" / "snapshot" / "deep").mkdir(parents=True)

    def select(directory, names):
        return [name for name in names if name != "snapshot"]

    tree = Grown(root, queue, select)
    assert len(tree.subscription.watches) == 3
    (root / ".snapshots" / "1" / "snapshot" / "deep" / "f").write_bytes(b"1")
    (root / "d" / "snapshot").mkdir(parents=True)
    assert read(tree).trees >= {"d"}, "a new one is reported, and the scan says what it is"
    assert len(tree.subscription.watches) == 4
    (root / "d" / "sub").mkdir()
    read(tree)
    assert len(tree.subscription.watches) == 5
    tree.close()
