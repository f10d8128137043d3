"""Detects read-only snapshots (btrfs) inside a root: they are the file system's, and never synced.

snapper keeps one in `.snapshots/1/snapshot` (btrfs), ZFS has `.zfs`, an NFS server `.snapshot`. Each holds
the whole tree again, with a copy of the root's own `.syncer` (marker, trash). They are never synced: all that
would be sent once for each, and what the other side changes in it could not be written. A snapshot that can
be written to is a folder like any other, and so is what is only mounted read-only.
"""

from __future__ import annotations

from os import stat_result

from syncer.engine.model import BlockedEntry, BlockReason, RelPath
from syncer.engine.paths import PRIVATE, ROOT_ID, join, parts
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import DirectoryCursor

KEPT_BY = frozenset(
    {".snapshot", ".snapshots", ".snap", "~snapshot", ".zfs"}
)  # NetApp, GPFS, Ceph, QNAP, ZFS
_ZFS, _ZFS_INODE = ".zfs", 0xFFFF_FFFF_FFFF  # ZFSCTL_INO_ROOT
OBSTACLE = BlockedEntry(
    BlockReason.UNSUPPORTED, "a read-only snapshot, which the file system keeps: never synced"
)


def is_snapshot(fs: FileSystem, name: str, dir_fd: int, st: stat_result) -> bool:
    """Whether a directory in an open one, with that `lstat`, is a snapshot. Raises OSError.

    Nearly always the answer costs one look: what is on the same device is none.
    """
    if name == _ZFS and st.st_ino == _ZFS_INODE:
        return True
    if name not in KEPT_BY and st.st_dev == fs.fstat(dir_fd).st_dev:
        return False
    fd = fs.open_directory(name, dir_fd)
    try:
        if not fs.is_read_only(fd) or fs.is_read_only(dir_fd):
            return False
        return name in KEPT_BY or fs.is_subvolume_snapshot(fd) or _was_a_root(fs, fd)
    finally:
        fs.close(fd)


def _was_a_root(fs: FileSystem, fd: int) -> bool:
    try:
        own = fs.open_directory(PRIVATE, fd)
    except OSError:
        return False
    try:
        fs.stat(ROOT_ID, own)
        return True
    except OSError:
        return False
    finally:
        fs.close(own)


def without_snapshots(directory: str, names: list[str], fs: FileSystem | None = None) -> list[str]:
    """The subdirectories of a directory that a watch has to look into: snapshots never change."""
    fs = fs or FileSystem()
    try:
        fd = fs.open_root(directory)
    except OSError:
        return names
    kept = []
    try:
        for name in names:
            try:
                if not is_snapshot(fs, name, fd, fs.stat(name, fd)):
                    kept.append(name)
            except OSError:  # gone, or not readable
                kept.append(name)
    finally:
        fs.close(fd)
    return kept


def snapshot_above(fs: FileSystem, root_fd: int, path: RelPath) -> RelPath:
    """The snapshot that a directory is in (or is); "" if it is in none. Raises OSError."""
    above = ""
    with DirectoryCursor(fs, root_fd) as cursor:
        for name in parts(path):
            fd = cursor.enter(above)
            if is_snapshot(fs, name, fd, fs.stat(name, fd)):
                return join(above, name)
            above = join(above, name)
    return ""
