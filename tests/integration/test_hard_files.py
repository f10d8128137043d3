"""Files, links and directories that are hard: stamps that lie, kinds that change, odd kinds, big numbers."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from tests.world import SIDES, World, every_content

YEAR_2200_NS = 7_258_118_400 * 10**9
YEAR_3000_NS = 32_503_680_000 * 10**9
OTHER = {"local": "remote", "remote": "local"}


class TestStamps:
    @pytest.mark.parametrize("stamp", [0, -1, -(10**18), YEAR_2200_NS, 1_700_000_000_999_999_999])
    @pytest.mark.parametrize("side", SIDES)
    def test_any_mtime_crosses_and_the_file_comes_to_rest(self, world: World, side: str, stamp: int) -> None:
        world.write(f"{side}/f", "content", mtime_ns=stamp)
        world.settle()
        assert world.path(f"{OTHER[side]}/f").stat().st_mtime_ns == stamp
        world.write(f"{side}/f", "edited", mtime_ns=stamp)
        world.settle()
        assert world.read(f"{OTHER[side]}/f") == b"edited"

    def test_an_mtime_beyond_64_bits_of_nanoseconds_is_held_at_their_end(self, world: World) -> None:
        """The year 2262 is as far as versions and databases reach."""
        world.write("local/f", "content", mtime_ns=YEAR_3000_NS)
        world.settle()
        assert world.path("remote/f").stat().st_mtime_ns == 2**63 - 1
        world.write("local/f", "edited!", mtime_ns=YEAR_3000_NS + 1)
        world.settle()
        assert world.read("remote/f") == b"edited!"

    def test_the_same_size_and_mtime_with_other_content_is_noticed(self, world: World) -> None:
        place = world.write("local/f", "before", mtime_ns=10**18)
        world.settle()
        world.write("local/f", "after.", mtime_ns=10**18)
        assert place.stat().st_size == 6
        world.settle()
        assert world.read("remote/f") == b"after."

    def test_another_inode_with_the_same_size_and_mtime_is_noticed(self, world: World) -> None:
        world.write("local/f", "before", mtime_ns=10**18)
        world.settle()
        world.write("local/g", "after.", mtime_ns=10**18)
        world.path("local/g").rename(world.path("local/f"))
        world.settle()
        assert world.read("remote/f") == b"after."

    def test_an_older_mtime_is_a_change_like_any_other(self, world: World) -> None:
        """A file that comes back from a backup is older than what was synced."""
        world.write("local/f", "new", mtime_ns=10**18)
        world.settle()
        world.write("local/f", "old", mtime_ns=10**17)
        assert world.settle().actions == [("upload", "f")]
        assert world.read("remote/f") == b"old"

    def test_a_touched_file_sends_no_content(self, world: World) -> None:
        world.write("local/f", "content")
        world.settle()
        os.utime(world.path("local/f"), ns=(10**18, 10**18))
        ran = world.settle()
        assert ran.job["totals"]["bytes_sent"] == 0
        assert world.path("remote/f").stat().st_mtime_ns == 10**18

    def test_all_stamps_shifted_by_an_hour_are_no_conflict(self, world: World) -> None:
        """A time zone that moves file times about, on both sides."""
        names = world.fill("local", 12)
        world.settle()
        for side in SIDES:
            for name in names:
                place = world.path(f"{side}/{name}")
                moment = place.stat().st_mtime_ns + 3600 * 10**9
                os.utime(place, ns=(moment, moment))
        ran = world.settle()
        assert ran.job["conflicts"] == []
        assert ran.job["totals"]["bytes_sent"] + ran.job["totals"]["bytes_received"] == 0

    def test_a_restored_image_with_all_new_inodes_is_only_read_again(self, world: World) -> None:
        names = world.fill("local", 12)
        world.settle()
        for name in names:
            place, data = world.path(f"local/{name}"), world.read(f"local/{name}")
            moment = place.stat().st_mtime_ns
            place.unlink()
            world.write(f"local/{name}", data, mtime_ns=moment)
        ran = world.settle()
        assert ran.job["totals"]["bytes_sent"] + ran.job["totals"]["bytes_received"] == 0
        assert ran.job["conflicts"] == []


class TestKinds:
    @pytest.mark.parametrize("side", SIDES)
    def test_a_file_becomes_a_directory_and_a_file_again(self, world: World, side: str) -> None:
        world.write("local/anchor", "stays")
        world.write(f"{side}/x", "a file")
        world.settle()
        world.path(f"{side}/x").unlink()
        world.write(f"{side}/x/inside", "in a directory")
        world.settle()
        assert world.read(f"{OTHER[side]}/x/inside") == b"in a directory"
        world.path(f"{side}/x/inside").unlink()
        world.path(f"{side}/x").rmdir()
        world.write(f"{side}/x", "a file again")
        world.settle()
        assert world.read(f"{OTHER[side]}/x") == b"a file again"
        assert {b"a file", b"in a directory"} <= world.everything(), "what went is in the trash"

    def test_a_file_here_and_a_directory_there_are_both_kept(self, world: World) -> None:
        world.write("local/x", "a file")
        world.write("remote/x/inside", "in a directory")
        ran = world.sync()
        assert ran.code == 0, ran
        assert world.equal()
        assert world.read("local/x/inside") == b"in a directory"
        assert b"a file" in {node.data for node in world.side("remote").values()}

    @pytest.mark.parametrize("kind", ["fifo", "socket"])
    @pytest.mark.parametrize("side", SIDES)
    def test_a_fifo_or_socket_is_reported_once_and_never_opened(
        self, world: World, kind: str, side: str
    ) -> None:
        world.write("local/f", "content")
        make_special(world.path(f"{side}/odd"), kind)
        first, second = world.sync(), world.sync()
        assert (first.code, first.codes) == (0, {"unsupported"})
        assert (second.code, second.codes) == (0, set())
        assert not os.path.lexists(world.path(f"{OTHER[side]}/odd"))

    @pytest.mark.parametrize("side", SIDES)
    def test_a_synced_name_that_became_a_fifo_is_not_deleted(self, world: World, side: str) -> None:
        world.write("local/anchor", "stays")
        world.write("local/odd", "was a file")
        world.settle()
        world.path(f"{side}/odd").unlink()
        make_special(world.path(f"{side}/odd"), "fifo")
        for _ in range(2):
            ran = world.sync()
            assert (ran.code, ran.codes) == (1, {"unsupported"})
            assert world.read(f"{OTHER[side]}/odd") == b"was a file"
        world.path(f"{side}/odd").unlink()
        world.write(f"{side}/odd", "a file again")
        world.settle()
        assert world.read(f"{OTHER[side]}/odd") == b"a file again"

    def test_a_fifo_in_a_directory_that_was_deleted_there_keeps_the_directory(self, world: World) -> None:
        world.write("local/anchor", "stays")
        world.write("local/d/f", "content")
        world.settle()
        make_special(world.path("local/d/odd"), "fifo")
        world.path("remote/d/f").unlink()
        world.path("remote/d").rmdir()
        for _ in range(3):
            world.sync()
        assert stat.S_ISFIFO(world.path("local/d/odd").stat().st_mode)


def make_special(place: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(place)
        return
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(place.parent, os.O_RDONLY)
    try:
        listener.bind(f"/proc/self/fd/{here}/{place.name}")  # a socket's path must be short
    finally:
        listener.close()
        os.close(here)


class TestSymlinks:
    TARGETS = ("f", "missing", ".", "..", "loop", "/", "/etc/hostname", "../../outside", "d/../f", "x" * 1000)

    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize("side", SIDES)
    def test_a_link_crosses_as_a_link_and_is_never_followed(
        self, world: World, side: str, target: str
    ) -> None:
        world.write("local/f", "content")
        world.path(f"{side}/loop").symlink_to(target)
        world.settle()
        assert os.readlink(world.path(f"{OTHER[side]}/loop")) == target
        world.path(f"{OTHER[side]}/loop").unlink()
        world.path(f"{OTHER[side]}/loop").symlink_to("changed there")
        world.settle()
        assert os.readlink(world.path(f"{side}/loop")) == "changed there"

    def test_two_links_in_conflict_are_both_kept(self, world: World) -> None:
        world.path("local/l").symlink_to("here")
        world.path("remote/l").symlink_to("there")
        assert world.sync().code == 0
        assert world.equal()
        assert {node.data for node in world.side("local").values()} == {b"here", b"there"}

    @pytest.mark.parametrize("side", SIDES)
    def test_a_directory_that_becomes_a_link_to_the_outside_is_a_change_of_type(
        self, world: World, side: str
    ) -> None:
        """The link crosses; nothing behind it is read, written or deleted."""
        world.write("outside/f", "outside")
        world.write("outside/own", "not ours")
        world.write("local/anchor", "stays")
        world.write("local/d/f", "inside")
        world.settle()
        world.path(f"{side}/d").rename(world.path("away"))
        world.path(f"{side}/d").symlink_to(world.path("outside"))
        world.write(f"{OTHER[side]}/d/new", "new beside it")
        for _ in range(3):
            world.sync()
        assert {p.name: p.read_bytes() for p in world.path("outside").iterdir()} == {
            "f": b"outside",
            "own": b"not ours",
        }
        assert {b"inside", b"new beside it"} <= world.everything()
        assert world.equal()

    @pytest.mark.parametrize("side", SIDES)
    def test_a_link_in_the_place_of_a_file_is_never_written_through(self, world: World, side: str) -> None:
        world.write("outside", "not ours")
        world.write("local/f", "agreed")
        world.settle()
        world.path(f"{side}/f").unlink()
        world.path(f"{side}/f").symlink_to(world.path("outside"))
        world.write(f"{OTHER[side]}/f", "edited on the other side")
        world.settle()
        assert world.read("outside") == b"not ours"
        assert b"edited on the other side" in world.everything()

    def test_a_root_behind_a_link_is_the_folder_itself(self, world: World) -> None:
        world.path("local").rename(world.path("real"))
        world.path("local").symlink_to(world.path("real"))
        world.write("real/f", "content")
        world.settle()
        assert world.read("remote/f") == b"content"
        assert world.path("local").is_symlink()


class TestShapes:
    def test_hard_links_are_two_files_and_replacing_one_never_changes_the_other(self, world: World) -> None:
        world.write("local/one", "content")
        os.link(world.path("local/one"), world.path("local/two"))
        world.settle()
        passing = world.write("remote/passing", "edited there")
        passing.rename(world.path("remote/one"))
        world.settle()
        assert world.read("local/one") == b"edited there"
        assert world.read("local/two") == b"content"

    def test_a_sparse_file_of_100_mb_arrives_whole(self, world: World) -> None:
        size = 100 << 20
        with world.path("local/sparse").open("wb") as file:
            file.truncate(size)
            file.seek(size // 2)
            file.write(b"in the middle")
        assert world.sync().code == 0
        there = world.path("remote/sparse")
        assert there.stat().st_size == size
        with there.open("rb") as file:
            file.seek(size // 2)
            assert file.read(13) == b"in the middle"
        assert world.check().code == 0

    def test_empty_files_and_empty_directories_cross(self, world: World) -> None:
        world.write("local/empty", "")
        world.path("remote/d/deep").mkdir(parents=True)
        world.settle()
        assert world.path("remote/empty").stat().st_size == 0
        assert world.path("local/d/deep").is_dir()
        world.path("local/d/deep").rmdir()
        world.settle()
        assert world.path("remote/d").is_dir()
        assert not world.path("remote/d/deep").exists()

    def test_only_the_executable_bit_of_a_mode_crosses(self, world: World) -> None:
        world.write("local/tool", "#!/bin/sh\n").chmod(0o6755)
        world.write("local/secret", "private").chmod(0o600)
        world.settle()
        mode = world.path("remote/tool").stat().st_mode
        assert mode & 0o111
        assert not mode & (stat.S_ISUID | stat.S_ISGID)
        assert not world.path("remote/secret").stat().st_mode & 0o111
        world.path("remote/tool").chmod(0o644)
        world.settle()
        assert not world.path("local/tool").stat().st_mode & 0o111

    def test_a_tree_of_200_levels(self, world: World) -> None:
        deep = "/".join(f"level-{number}" for number in range(200))
        world.write(f"local/{deep}/leaf", "at the end")
        world.settle()
        assert world.read(f"remote/{deep}/leaf") == b"at the end"
        world.write(f"remote/{deep}/leaf", "edited")
        world.settle()
        assert world.read(f"local/{deep}/leaf") == b"edited"

    def test_a_path_longer_than_the_system_takes_in_one_call(self, world: World) -> None:
        """40 levels of 200 bytes: beyond PATH_MAX, so only names relative to a directory reach it."""
        fd = os.open(world.path("local"), os.O_RDONLY)
        for _ in range(40):
            os.mkdir("n" * 200, dir_fd=fd)
            below = os.open("n" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        leaf = os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        os.write(leaf, b"at the end")
        os.close(leaf)
        os.close(fd)
        assert world.sync().code == 0
        fd = os.open(world.path("remote"), os.O_RDONLY)
        for _ in range(40):
            below = os.open("n" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        leaf = os.open("leaf", os.O_RDONLY, dir_fd=fd)
        assert os.read(leaf, 100) == b"at the end"
        os.close(leaf)
        os.close(fd)
        assert world.sync().actions == []

    def test_ten_thousand_files_in_one_directory(self, world: World) -> None:
        for number in range(10_000):
            world.path(f"local/{number}").write_bytes(b"%d" % number)
        ran = world.sync()
        assert (ran.code, ran.job["totals"]["uploaded"]) == (0, 10_000)
        assert len(os.listdir(world.path("remote"))) == 10_001
        assert world.sync().actions == []


class TestMovingTargets:
    """Files that are written while they are read: whole versions only, and the run ends."""

    def test_a_log_that_never_rests_is_synced_in_whole_lines_or_not_at_all(self, world: World) -> None:
        line = b"a line of the log that is long enough to see a cut in it\n"
        log = world.path("local/log")
        log.write_bytes(line * 20_000)
        world.write("local/other", "is synced whatever the log does")
        stop = threading.Event()

        def append() -> None:
            with log.open("ab", buffering=0) as file:
                while not stop.is_set():
                    file.write(line)

        writer = threading.Thread(target=append)
        writer.start()
        try:
            for _ in range(3):
                ran = world.sync()
                assert ran.code in (0, 1, 3), ran
                assert world.read("remote/other") == b"is synced whatever the log does"
                there = world.path("remote/log")
                if there.exists():
                    assert there.stat().st_size % len(line) == 0
                    assert set(there.read_bytes().split(b"\n")) == {line[:-1], b""}
        finally:
            stop.set()
            writer.join()
        world.settle()
        assert world.read("remote/log") == log.read_bytes()

    def test_a_file_rewritten_all_the_time_is_never_torn(self, world: World) -> None:
        size = 2 << 20
        place = world.path("local/f")
        place.write_bytes(b"\0" * size)
        stop = threading.Event()

        def rewrite() -> None:
            number = 0
            while not stop.is_set():
                number = (number + 1) % 256
                place.with_name(".#f").write_bytes(bytes([number]) * size)
                place.with_name(".#f").rename(place)

        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            for _ in range(5):
                assert world.sync().code in (0, 1, 3)
                for data in every_content(world.path("remote")):
                    assert len(set(data)) <= 1
        finally:
            stop.set()
            writer.join()
        for _ in range(2):
            assert world.sync().code == 0
        assert world.read("remote/f") == world.read("local/f")
