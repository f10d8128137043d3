"""Disks that are full, read-only or partly unreadable: what cannot be done fails alone, and heals.

Where the tests may mount, small real file systems are mounted; the same is always told with a
disk that only claims to be full.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncer.engine.model import Failed
from syncer.stores.local.filesystem import FileSystem
from tests.simulation.machines import FastClock, Machine
from tests.world import SIDES, World, as_nobody, contents, open_to_nobody, snapshot

MEBIBYTE = 1 << 20
OTHER = {"local": "remote", "remote": "local"}


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A tmpfs at `place`; what is yielded mounts it again with other options."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)

    def again(changed: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{changed}", place], check=True, capture_output=True)

    try:
        yield again
    finally:
        subprocess.run(["umount", "-l", place], check=True, capture_output=True)


def can_mount() -> bool:
    """Root may, unless it is a container's."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    place = tempfile.mkdtemp()
    try:
        with mounted(Path(place), "size=64k"):
            return True
    except subprocess.CalledProcessError:
        return False
    finally:
        os.rmdir(place)


class SmallDisk(FileSystem):
    """A disk on which only so many more bytes can be written below a directory.

    With `honest` it also says how little room there is, as a real one does.
    """

    def __init__(self, below: Path, room: int, *, honest: bool) -> None:
        self.below = str(below)
        self.room = room
        self.honest = honest

    def free_space(self, fd: int) -> int:
        return max(0, self.room) if self.honest and self._mine(fd) else 1 << 60

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self._mine(fd):
            self.room -= len(data)
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data)

    def _mine(self, fd: int) -> bool:
        return os.readlink(f"/proc/self/fd/{fd}").startswith(self.below)


class Truthless(FileSystem):
    """A real disk that says it has room enough, as one that others fill at the same time."""

    def free_space(self, fd: int) -> int:
        return 1 << 60


def machine(home: Path, disk: FileSystem) -> Machine:
    for name in ("local", "remote", "keep", "state"):
        (home / name).mkdir(exist_ok=True)
    return Machine(disk, FastClock(), str(home), home / "state")


@contextmanager
def a_full_remote(home: Path, how: str) -> Iterator[tuple[Machine, Callable[[], None]]]:
    """A machine whose remote takes 1 MiB, and what makes room."""
    honest = how.endswith("honest")
    if how.startswith("claimed"):
        disk = SmallDisk(home / "remote", MEBIBYTE, honest=honest)

        def grow() -> None:
            disk.room = 1 << 40

        yield machine(home, disk), grow
        return
    (home / "remote").mkdir()
    with mounted(home / "remote", "size=1m") as again:
        yield machine(home, FileSystem() if honest else Truthless()), lambda: again("size=64m")


FULL = ["claimed, honest", "claimed", *(["mounted, honest", "mounted"] if can_mount() else [])]


@pytest.mark.parametrize("how", FULL)
def test_a_full_side_takes_what_fits_and_the_rest_when_there_is_room(tmp_path: Path, how: str) -> None:
    with a_full_remote(tmp_path, how) as (here, grow):
        (tmp_path / "local/old").write_bytes(b"old content")
        assert here.run().exit_code == 0
        (tmp_path / "local/big").write_bytes(b"x" * (2 * MEBIBYTE))
        (tmp_path / "local/small").write_bytes(b"fits")
        (tmp_path / "remote/from there").write_bytes(b"crosses the other way")
        end = here.run()
        assert end.exit_code == 3, str(end)
        assert {r.action.path for r in end.report.failures} <= {"big", "small"}
        assert "big" in {r.action.path for r in end.report.failures}
        assert (tmp_path / "local/from there").read_bytes() == b"crosses the other way"
        assert (tmp_path / "local/big").stat().st_size == 2 * MEBIBYTE
        assert not list((tmp_path / "remote").glob(".syncer-tmp-*")), "the failed temporary file is gone"
        grow()
        healed = here.run()
        assert healed.exit_code == 0, str(healed)
        assert contents(snapshot(tmp_path / "local")) == contents(snapshot(tmp_path / "remote"))


@pytest.mark.parametrize("how", FULL)
def test_an_overwrite_that_does_not_fit_leaves_the_old_version_at_its_name(tmp_path: Path, how: str) -> None:
    with a_full_remote(tmp_path, how) as (here, grow):
        (tmp_path / "local/f").write_bytes(b"old content")
        assert here.run().exit_code == 0
        (tmp_path / "local/f").write_bytes(b"x" * (2 * MEBIBYTE))
        end = here.run()
        assert end.exit_code == 3, str(end)
        assert all(getattr(r.outcome.error, "code", "") == "no-space" for r in end.report.failures
                   if isinstance(r.outcome, Failed))  # fmt: skip
        assert (tmp_path / "remote/f").read_bytes() == b"old content"
        grow()
        assert here.run().exit_code == 0


def test_a_side_that_refuses_again_and_again_is_left_alone(tmp_path: Path) -> None:
    """Not every one of a thousand files is tried on a disk that is full."""
    disk = SmallDisk(tmp_path / "remote", MEBIBYTE, honest=False)
    here = machine(tmp_path, disk)
    assert here.run().exit_code == 0
    disk.room = 0
    for number in range(50):
        (tmp_path / f"local/{number}").write_bytes(b"x" * 3 * MEBIBYTE)
    end = here.run()
    assert end.exit_code == 3
    assert len(end.report.failures) == 50
    assert any("full" in r.outcome.message for r in end.report.failures if not isinstance(r.outcome, Failed))


if can_mount():

    def test_a_full_state_directory_stops_the_run_and_heals(world: World) -> None:
        """What cannot be remembered is not done: exit 5, and later all is well."""
        world.path("state").mkdir()
        with mounted(world.path("state"), "size=96k,mode=700") as again:
            for number in range(3000):
                world.write(f"local/{number:04}-{'n' * 100}", f"{number}")
            ran = world.sync()
            assert ran.code == 5, ran
            assert "unexpected" not in ran.err
            assert len(world.side("local")) == 3000
            again("size=64m")
            assert world.sync().code == 0
            assert world.equal()

    @pytest.mark.parametrize("side", SIDES)
    def test_a_read_only_side_takes_nothing_loses_nothing_and_catches_up(world: World, side: str) -> None:
        with mounted(world.path(side), "size=8m") as again:
            world.write("local/anchor", "stays")
            world.write("local/f", "agreed")
            world.write("local/gone", "deleted on the other side")
            world.settle()
            again("ro")
            other = OTHER[side]
            world.write(f"{other}/f", "edited")
            world.write(f"{other}/new", "new")
            world.path(f"{other}/gone").unlink()
            before = world.side(side)
            ran = world.sync()
            assert ran.code == 3, ran
            assert world.side(side) == before
            assert world.read(f"{other}/f") == b"edited"
            again("rw")
            world.settle()
            assert world.equal()


class TestWithoutRights:
    """As another user than root, whom rights do hold back."""

    def ran(self, world: World, *expected: int) -> None:
        code = as_nobody(lambda: world.sync().code)
        assert code in expected

    @pytest.fixture
    def agreed(self, world: World) -> World:
        world.write("local/d/f", "inside")
        world.write("local/secret", "agreed")
        world.write("local/other", "agreed, too")
        world.settle()
        return world

    @pytest.mark.parametrize("side", SIDES)
    def test_a_read_only_directory_fails_alone(self, agreed: World, side: str) -> None:
        agreed.write(f"{OTHER[side]}/d/f", "edited")
        agreed.write(f"{OTHER[side]}/d/new", "new")
        agreed.write(f"{OTHER[side]}/other", "edited, too")
        open_to_nobody(agreed)
        agreed.path(f"{side}/d").chmod(0o555)
        self.ran(agreed, 3)
        assert agreed.read(f"{side}/d/f") == b"inside"
        assert agreed.read(f"{side}/other") == b"edited, too"
        assert agreed.read(f"{OTHER[side]}/d/new") == b"new"
        agreed.path(f"{side}/d").chmod(0o755)
        self.ran(agreed, 0)
        assert agreed.equal()

    @pytest.mark.parametrize("side", SIDES)
    def test_a_new_file_that_cannot_be_read_waits_and_the_others_cross(
        self, agreed: World, side: str
    ) -> None:
        agreed.write(f"{side}/unreadable", "not for everybody").chmod(0o000)
        agreed.write(f"{side}/readable", "for everybody")
        open_to_nobody(agreed)
        self.ran(agreed, 1, 3)
        assert agreed.path(f"{OTHER[side]}/readable").exists()
        assert not agreed.path(f"{OTHER[side]}/unreadable").exists()
        agreed.path(f"{side}/unreadable").chmod(0o600)
        self.ran(agreed, 0)
        assert agreed.equal()

    @pytest.mark.parametrize("side", SIDES)
    def test_an_edited_file_that_cannot_be_read_is_neither_deleted_nor_overwritten(
        self, agreed: World, side: str
    ) -> None:
        agreed.write(f"{side}/secret", "edited, and not to be read").chmod(0o000)
        agreed.path(f"{OTHER[side]}/secret").unlink()
        open_to_nobody(agreed)
        self.ran(agreed, 1, 3)
        agreed.path(f"{side}/secret").chmod(0o600)
        assert agreed.read(f"{side}/secret") == b"edited, and not to be read"
        self.ran(agreed, 0)
        assert agreed.read(f"{OTHER[side]}/secret") == b"edited, and not to be read"

    @pytest.mark.parametrize("side", SIDES)
    @pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
    def test_a_directory_that_cannot_be_read_is_unknown_and_not_empty(
        self, agreed: World, side: str, mode: int
    ) -> None:
        agreed.write(f"{OTHER[side]}/other", "goes on")
        agreed.write(f"{OTHER[side]}/d/new", "waits")
        open_to_nobody(agreed)
        agreed.path(f"{side}/d").chmod(mode)
        for _ in range(2):
            self.ran(agreed, 1, 3)
        agreed.path(f"{side}/d").chmod(0o755)
        assert agreed.read(f"{side}/d/f") == b"inside"
        assert agreed.read(f"{OTHER[side]}/d/f") == b"inside"
        assert agreed.read(f"{side}/other") == b"goes on"
        self.ran(agreed, 0)
        assert agreed.equal()

    @pytest.mark.parametrize("side", SIDES)
    def test_a_root_that_cannot_be_read_changes_nothing(self, agreed: World, side: str) -> None:
        open_to_nobody(agreed)
        agreed.write("local/other", "edited")
        before = agreed.side(OTHER[side])
        agreed.path(side).chmod(0o000)
        self.ran(agreed, 1, 3, 4, 5)
        agreed.path(side).chmod(0o755)
        assert agreed.side(OTHER[side]) == before
        open_to_nobody(agreed)
        self.ran(agreed, 0)
