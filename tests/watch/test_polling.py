"""Polling by stamps: changes found, symlinks not followed, young entries reported twice."""

from __future__ import annotations

import os

import pytest

from syncer.watch.polling import Looks


class Later:
    """`engine.interfaces.Clock`: an hour after whatever was written just now."""

    def __init__(self):
        self.offset_ns = 3600 * 10**9

    def now_ns(self):
        import time

        return time.time_ns() + self.offset_ns

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise NotImplementedError


@pytest.fixture
def clock():
    return Later()


@pytest.fixture
def looks(tmp_path, clock):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "f").write_bytes(b"1")
    made = Looks(str(tmp_path), clock)
    assert sorted(made.differing()) == ["", "d", "d/e"]
    assert made.differing() == []
    return made


def test_only_the_directory_itself_looks_otherwise(tmp_path, looks):
    (tmp_path / "d" / "e" / "g").write_bytes(b"1")
    assert looks.differing() == ["d/e"]
    os.utime(tmp_path / "d" / "f", ns=(1, 1))
    assert looks.differing() == ["d"]
    (tmp_path / "d" / "f").chmod(0o600)
    assert looks.differing() == ["d"]
    assert looks.differing() == []


def test_an_edit_that_restores_size_and_time_shows_in_the_time_of_change(tmp_path, looks):
    before = (tmp_path / "d" / "f").stat()
    (tmp_path / "d" / "f").write_bytes(b"2")
    os.utime(tmp_path / "d" / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert looks.differing() == ["d"]


def test_directories_that_come_and_go_are_told_with_their_parents(tmp_path, looks):
    (tmp_path / "new" / "deep").mkdir(parents=True)
    assert sorted(looks.differing()) == ["", "new", "new/deep"]
    (tmp_path / "d" / "e").rmdir()
    assert sorted(looks.differing()) == ["d", "d/e"]


def test_one_directory_in_place_of_another_shows(tmp_path, looks):
    os.rename(tmp_path / "d" / "e", tmp_path / "d" / "old")
    (tmp_path / "d" / "e").mkdir()
    looks.differing()
    os.rename(tmp_path / "d" / "e", tmp_path / "d" / "x")
    os.rename(tmp_path / "d" / "old", tmp_path / "d" / "e")
    os.rename(tmp_path / "d" / "x", tmp_path / "d" / "old")
    assert looks.differing() == ["d"]


def test_our_own_names_and_what_links_lead_to_are_not_looked_at(tmp_path, looks):
    (tmp_path / ".syncer").mkdir()
    (tmp_path / "d" / ".syncer-tmp-1").write_bytes(b"1")
    assert looks.differing() == []
    (tmp_path / "link").symlink_to("d")
    assert looks.differing() == [""]
    (tmp_path / "d" / "g").write_bytes(b"1")
    assert looks.differing() == ["d"]


def test_what_changed_a_moment_before_a_look_is_told_again(tmp_path, looks, clock):
    clock.offset_ns = 0
    (tmp_path / "d" / "g").write_bytes(b"1")
    assert looks.differing() == ["d"]
    assert looks.differing() == ["d"]
    clock.offset_ns = 3600 * 10**9
    assert looks.differing() == ["d"]
    assert looks.differing() == []


def test_a_folder_that_is_not_there_looks_like_nothing(tmp_path, clock):
    looks = Looks(str(tmp_path / "none"), clock)
    assert looks.differing() == [""]
    assert looks.differing() == []
