"""Read-only snapshots inside a root, on a disk that says it has some. Real ones: `tests/integration`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from syncer.engine.model import BlockedEntry, BlockReason, Kind
from syncer.errors import Unreadable
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.snapshots import without_snapshots
from tests.contract.rigs import FolderRig
from tests.simulation.machines import FastClock, Machine


class Snapshots(FileSystem):
    """A disk on which what is at and below some directories is on a device of its own, perhaps read-only."""

    def __init__(self) -> None:
        self.subvolumes: dict[str, int] = {}
        self.read_only: set[str] = set()
        self.snapshots: set[str] = set()

    def _place(self, fd: int, name: str = "") -> str:
        return os.path.join(os.readlink(f"/proc/self/fd/{fd}"), name).rstrip("/")

    def _stamp(self, found: os.stat_result, place: str) -> os.stat_result:
        device = next((n for top, n in self.subvolumes.items() if _within(place, top)), found.st_dev)
        times = {name: getattr(found, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")}
        return os.stat_result((*found[:2], device, *found[3:10]), times)

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        return self._stamp(super().stat(name, dir_fd), self._place(dir_fd, name))

    def fstat(self, fd: int) -> os.stat_result:
        return self._stamp(super().fstat(fd), self._place(fd))

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        for name, st in super().scan(fd):
            yield name, self._stamp(st, self._place(fd, name))

    def is_read_only(self, fd: int) -> bool:
        return any(_within(self._place(fd), top) for top in self.read_only)

    def is_subvolume_snapshot(self, fd: int) -> bool:
        return any(_within(self._place(fd), top) for top in self.snapshots)

    def freeze(self, place: Path) -> None:
        """It is a read-only snapshot from now on."""
        self.subvolumes[str(place)] = 1000 + len(self.subvolumes)
        self.read_only.add(str(place))
        self.snapshots.add(str(place))

    def thaw(self) -> None:
        for known in (self.subvolumes, self.read_only, self.snapshots):
            known.clear()


def _within(place: str, top: str) -> bool:
    return place == top or place.startswith(top + "/")


@pytest.fixture
def disk() -> Snapshots:
    return Snapshots()


@pytest.fixture
def rig(tmp_path: Path, disk: Snapshots) -> FolderRig:
    made = FolderRig(tmp_path, disk)
    made.write(".snapshots/1/info.xml", b"<snapshot/>")
    made.write(".snapshots/1/snapshot/f", b"as it was")
    return made


def shown(rig: FolderRig, directory: str, name: str) -> object:
    return rig.store.list(directory).entries[name]


def is_plain(seen: object) -> bool:
    return getattr(seen, "kind", None) is Kind.DIRECTORY


def test_a_read_only_snapshot_was_sent_whole_with_its_marker_and_trash(
    rig: FolderRig, disk: Snapshots
) -> None:
    disk.freeze(rig.root / ".snapshots/1/snapshot")
    seen = shown(rig, ".snapshots/1", "snapshot")
    assert isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.UNSUPPORTED
    assert "read-only snapshot" in seen.message
    assert rig.store.stat(".snapshots/1/snapshot") == seen
    assert rig.store.list(".snapshots/1").fingerprint is None
    for inside in ("", "/deep"):
        (rig.root / ".snapshots/1/snapshot/deep").mkdir(exist_ok=True)
        with pytest.raises(Unreadable, match="read-only snapshot"):
            rig.store.list(f".snapshots/1/snapshot{inside}")


def test_a_watch_looks_into_no_snapshot(rig: FolderRig, disk: Snapshots) -> None:
    directory = str(rig.root / ".snapshots/1")
    assert without_snapshots(directory, ["snapshot"], disk) == ["snapshot"]
    disk.freeze(rig.root / ".snapshots/1/snapshot")
    assert without_snapshots(directory, ["snapshot", "gone"], disk) == ["gone"]
    assert without_snapshots(str(rig.root / "gone"), ["snapshot"], disk) == ["snapshot"]


def test_a_copy_of_the_root_on_another_file_system_that_is_read_only_is_one(
    rig: FolderRig, disk: Snapshots
) -> None:
    """LVM, NILFS, ZFS: mounted inside the root, with a marker in it; btrfs is not asked."""
    disk.freeze(rig.root / ".snapshots/1/snapshot")
    disk.snapshots.clear()
    assert is_plain(shown(rig, ".snapshots/1", "snapshot"))
    rig.write(".snapshots/1/snapshot/.syncer/root-id", b"ab" * 16)
    assert isinstance(shown(rig, ".snapshots/1", "snapshot"), BlockedEntry)


def test_what_can_be_written_to_is_a_folder_like_any_other(rig: FolderRig, disk: Snapshots) -> None:
    """A writable snapshot, a subvolume, a copied root, a folder that happens to be called so."""
    rig.write(".snapshots/1/snapshot/.syncer/root-id", b"ab" * 16)
    disk.freeze(rig.root / ".snapshots/1/snapshot")
    disk.read_only.clear()
    assert is_plain(shown(rig, ".snapshots/1", "snapshot")) and is_plain(shown(rig, "", ".snapshots"))
    assert "f" in rig.store.list(".snapshots/1/snapshot").entries


def test_what_is_only_mounted_read_only_is_synced(rig: FolderRig, disk: Snapshots) -> None:
    """A disk with photographs, say."""
    rig.write("photos/p", b"p")
    disk.freeze(rig.root / "photos")
    disk.snapshots.clear()
    assert is_plain(shown(rig, "", "photos")) and "p" in rig.store.list("photos").entries


def test_a_read_only_directory_with_the_name_that_servers_give_it_is_one(
    rig: FolderRig, disk: Snapshots
) -> None:
    """NetApp shows `.snapshot` on the device of the folder itself."""
    rig.write(".snapshot/hourly/f", b"x")
    assert is_plain(shown(rig, "", ".snapshot"))
    disk.read_only.add(str(rig.root / ".snapshot"))
    assert isinstance(shown(rig, "", ".snapshot"), BlockedEntry)


def test_a_root_that_is_a_snapshot_itself_can_be_read(rig: FolderRig, disk: Snapshots) -> None:
    """`pull` from it."""
    disk.freeze(rig.root)
    rig.write("d/e/f", b"x")
    assert is_plain(shown(rig, "", "d")) and is_plain(shown(rig, "", ".snapshots"))
    assert "f" in rig.store.list("d/e").entries


def test_a_snapshot_that_was_synced_before_is_neither_deleted_nor_written_to(
    tmp_path: Path, disk: Snapshots
) -> None:
    """An earlier version sent it. It waits, and goes with what it is a copy of when it is removed."""
    for name in ("local/s/d", "remote", "keep", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "local/s/d/f").write_text("as it was")
    (tmp_path / "local/beside").write_text("x")
    machine = Machine(disk, FastClock(), str(tmp_path), tmp_path / "state")
    assert machine.run().exit_code == 0
    disk.freeze(tmp_path / "local/s")
    (tmp_path / "remote/s/d/f").write_text("edited on the other side")
    (tmp_path / "local/beside").write_text("flows")
    for _ in range(3):
        end = machine.run()
        assert end.exit_code == 1 and end.report is not None, str(end)
        assert {p.path for p in end.report.problems} <= {"s", "s/d"}
        assert all("read-only snapshot" in p.message for p in end.report.problems)
        assert (tmp_path / "local/s/d/f").read_text() == "as it was"
        assert (tmp_path / "remote/s/d/f").read_text() == "edited on the other side"
        assert (tmp_path / "remote/beside").read_text() == "flows"
    disk.thaw()
    assert machine.run().exit_code == 0
    assert (tmp_path / "local/s/d/f").read_text() == "edited on the other side"


def test_a_new_snapshot_is_told_of_and_everything_is_in_sync(tmp_path: Path, disk: Snapshots) -> None:
    for name in ("local/s", "remote", "keep", "state"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "local/s/f").write_text("x")
    (tmp_path / "local/beside").write_text("x")
    disk.freeze(tmp_path / "local/s")
    machine = Machine(disk, FastClock(), str(tmp_path), tmp_path / "state")
    for _ in range(2):
        end = machine.run()
        assert end.exit_code == 0 and end.report is not None, str(end)
        assert [(p.path, p.code, p.waits) for p in end.report.problems] == [("s", "unsupported", False)]
    assert sorted(os.listdir(tmp_path / "remote")) == [".syncer", "beside"]
    assert machine.differences() == []
