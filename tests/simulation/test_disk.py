"""The simulated disk answers every call as the real one does, and its power cuts are what they say."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.stores.local.filesystem import UNSUPPORTED, FileSystem
from tests.simulation.disk import Disk
from tests.simulation.powercut import Choice, cut

DIRECTORIES = ("", "a", "b", "a/c")
NAMES = ("a", "b", "c", "f")
Step = tuple[str, str, str, str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("create", "write", "link", "symlink", "rename", "noreplace", "exchange", "unlink", "mkdir",
             "rmdir", "read", "append", "lock", "readlink", "mode", "times")
        ),
        st.sampled_from(DIRECTORIES),
        st.sampled_from(NAMES),
        st.sampled_from(DIRECTORIES),
        st.sampled_from(NAMES),
    ),
    max_size=25,
)  # fmt: skip


def enter(fs: FileSystem, root: str, path: str) -> int:
    fd = fs.open_root(root)
    for name in path.split("/") if path else []:
        try:
            deeper = fs.open_directory(name, fd)
        finally:
            fs.close(fd)
        fd = deeper
    return fd


def take(fs: FileSystem, root: str, step: Step) -> Any:
    """What one call answers: a value, or the name of an errno."""
    call, directory, name, other, new = step
    opened = []
    try:
        opened.append(here := enter(fs, root, directory))
        opened.append(there := enter(fs, root, other))
        return act(fs, call, here, name, there, new, opened)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        for fd in opened:
            fs.close(fd)


def act(fs: FileSystem, call: str, here: int, name: str, there: int, new: str, opened: list[int]) -> Any:
    match call:
        case "create" | "write":
            opened.append(fd := fs.create(name, here))
            return fs.write(fd, b"12345") + fs.write(fd, b"67") if call == "write" else None
        case "read" | "mode" | "times":
            opened.append(fd := fs.open_read(name, here))
            return use(fs, call, fd)
        case "append" | "lock":
            opened += (fd := fs.open_append(name, here), other := fs.open_append(new, there))
            return locks(fs, fd, other) if call == "lock" else ends(fs, fd)
        case "symlink":
            return fs.symlink(new, name, here)
        case "readlink":
            return fs.readlink(name, here)
        case "mkdir":
            return fs.mkdir(name, here, 0o700)
        case "unlink":
            return fs.unlink(name, here)
        case "rmdir":
            return fs.rmdir(name, here)
        case "link":
            return fs.link(name, here, new, there)
        case "rename":
            return fs.rename(name, here, new, there)
        case "noreplace":
            return fs.rename_noreplace(name, here, new, there)
        case _:
            return fs.exchange(name, here, new, there)


def use(fs: FileSystem, call: str, fd: int) -> bytes | None:
    if call == "read":
        return fs.read(fd, 4) + fs.read(fd, 4)
    return fs.set_mode(fd, 0o750) if call == "mode" else fs.set_times(fd, 77)


def locks(fs: FileSystem, fd: int, other: int) -> tuple[bool, ...]:
    return fs.try_lock(fd), fs.try_lock(fd), fs.try_lock(other)


def ends(fs: FileSystem, fd: int) -> tuple[int, bytes, bytes]:
    """Fill up, write at the end, read there and beyond, cut off."""
    fs.truncate(fd, 9)
    found = fs.write(fd, b"89"), fs.read_at(fd, 6, 4), fs.read_at(fd, 1, 100)
    fs.truncate(fd, 3)
    return found


def shape(fs: FileSystem, root: str, path: str = "") -> list[tuple[Any, ...]]:
    """Every name with kind, mode, size, link count, and which names share an inode."""
    found: list[tuple[Any, ...]] = []
    fd = enter(fs, root, path)
    for name, stat in sorted(fs.scan(fd)):
        below = f"{path}/{name}" if path else name
        size = 0 if stat.st_mode & 0o040000 else stat.st_size
        links = 0 if stat.st_mode & 0o040000 else stat.st_nlink
        found.append((below, oct(stat.st_mode), size, links, stat.st_ino))
        if stat.st_mode & 0o170000 == 0o040000:
            found += shape(fs, root, below)
    fs.close(fd)
    return found


def canonical(found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Inode numbers replaced by the order in which they are first seen."""
    seen: dict[int, int] = {}
    return [(*row[:-1], seen.setdefault(row[-1], len(seen))) for row in found]


@given(script=steps)
@settings(max_examples=150)
def test_the_simulated_disk_is_like_the_real_one(
    tmp_path_factory: pytest.TempPathFactory, script: list[Step]
) -> None:
    home = tmp_path_factory.mktemp("real")
    real, disk = FileSystem(), Disk()
    start: list[Step] = [
        ("mkdir", d.rpartition("/")[0], d.rpartition("/")[2], "", "a") for d in DIRECTORIES[1:]
    ]
    try:
        for step in [*start, *script]:
            wanted, got = take(real, str(home), step), take(disk, "/", step)
            if wanted in {errno.errorcode[code] for code in UNSUPPORTED} and got != wanted:
                return  # a file system without these flags has nothing to compare with
            assert got == wanted, step
        assert canonical(shape(disk, "/")) == canonical(shape(real, str(home)))
    finally:
        shutil.rmtree(home)


def test_stamps_move_with_every_change() -> None:
    disk = Disk()
    root = disk.open_root("/")
    fd = disk.create("f", root)
    before = disk.fstat(fd)
    disk.write(fd, b"x")
    written = disk.fstat(fd)
    disk.link("f", root, "g", root)
    linked = disk.fstat(fd)
    assert before.st_mtime_ns < written.st_mtime_ns == linked.st_mtime_ns
    assert before.st_ctime_ns < written.st_ctime_ns < linked.st_ctime_ns


def after_cut(do: Any, how: str, *, at: int | None = None) -> dict[str, bytes]:
    """Names and contents at "/" once the power is back, from a disk with an old file `f`."""
    disk = Disk()
    fd = disk.create("f", root := disk.open_root("/"))
    disk.write(fd, b"old")
    start = disk.copy()
    disk.log.clear()
    do(disk, root)
    after = cut(start, disk.log, len(disk.log) if at is None else at, Choice.plain(how))
    fd = after.open_root("/")
    return {name: after.inodes[stat.st_ino].data for name, stat in after.scan(fd)}


def replace(disk: Disk, root: int, *, sync: bool = False, sync_names: bool = False) -> None:
    fd = disk.create("t", root)
    disk.write(fd, b"new")
    if sync:
        disk.sync(fd)
    disk.rename("t", root, "f", root)
    if sync_names:
        disk.sync(root)


def test_unsynced_effects_are_lost_or_kept() -> None:
    assert after_cut(replace, "lost") == {"f": b"old"}
    assert after_cut(replace, "kept") == {"f": b"new"}


def test_an_unsynced_file_may_be_named_before_it_has_content() -> None:
    assert after_cut(replace, "names only") == {"f": b""}


def test_what_was_synced_is_there() -> None:
    both = lambda disk, root: replace(disk, root, sync=True, sync_names=True)  # noqa: E731
    for how in ("lost", "kept", "names only", "data only"):
        assert after_cut(both, how) == {"f": b"new"}


def test_a_sync_that_failed_makes_nothing_durable_and_a_later_one_does_not_either() -> None:
    def failing(disk: Disk, root: int) -> None:
        fd = disk.create("g", root)
        disk.write(fd, b"new")
        disk.sync_failed(fd)
        disk.sync(fd)
        disk.sync(root)

    assert after_cut(failing, "lost") == {"f": b"old", "g": b""}


def test_a_real_folder_can_be_used_to_compare(tmp_path: Path) -> None:
    """The comparison above would be empty if the real disk refused everything."""
    assert take(FileSystem(), str(tmp_path), ("mkdir", "", "a", "", "a")) is None
    assert os.listdir(tmp_path) == ["a"]
