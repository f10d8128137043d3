"""Shared parts of the folder's batch protocols: order, outcomes per item, durability, the version to record.

`write` (put), `delete` (delete, directories) and `rename` (rename, attributes) are built on it.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from os import stat_result
from types import TracebackType
from typing import TypeVar

from syncer.engine.interfaces import Results
from syncer.engine.model import Done, Entry, Failed, Outcome, RelPath
from syncer.engine.paths import directory_key, printable, split, tree_key
from syncer.errors import AuthError, LocalError, StoreError, Unholdable
from syncer.stores.common import is_private_path
from syncer.stores.local import stat
from syncer.stores.local.errors import GONE, outcome
from syncer.stores.local.filesystem import UNSUPPORTED, FileSystem
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.stat import identity
from syncer.stores.stale import StaleError

# --------------------------------------------------------------------------------
#
# Small steps that all protocols on a folder use: write all bytes, rename without replacing, copy, unlink.
#
# Each says what it does on file systems without RENAME_NOREPLACE. They raise OSError only.


NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES}) | UNSUPPORTED
"""Another file system, one without hard links, too many of them, or not our file (protected_hardlinks)."""
MEBIBYTE = 1 << 20


def write_all(fs: FileSystem, fd: int, chunks: Iterable[bytes]) -> int:
    """Write every byte; returns how many there were."""
    total = 0
    for chunk in chunks:
        done = fs.write(fd, chunk)
        while done < len(chunk):
            done += fs.write(fd, memoryview(chunk)[done:])
        total += done
    return total


def read_all(fs: FileSystem, fd: int) -> Iterable[bytes]:
    """The rest of an open file, in pieces of 1 MiB."""
    while chunk := fs.read(fd, MEBIBYTE):
        yield chunk


def rename_noreplace(
    fs: FileSystem, name: str, dir_fd: int, new: str, new_dir_fd: int, *, spare: bool = False
) -> None:
    """Rename, never over an existing name: FileExistsError if `new` is taken.

    Without RENAME_NOREPLACE a file is linked, and its old name unlinked once the new one is durable (at once
    if the content is `spare`: there is another copy). Without links as well, or for a directory, there is a
    window between the check and the rename.
    """
    try:
        return fs.rename_noreplace(name, dir_fd, new, new_dir_fd)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    try:
        fs.link(name, dir_fd, new, new_dir_fd)
    except OSError as error:
        if error.errno not in NO_LINK and error.errno != errno.EISDIR:
            raise
        return _rename_free(fs, name, dir_fd, new, new_dir_fd)
    if not spare:
        fs.sync(new_dir_fd)
    fs.unlink(name, dir_fd)


def _rename_free(fs: FileSystem, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
    if exists(fs, new, new_dir_fd):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
    fs.rename(name, dir_fd, new, new_dir_fd)  # RACE: a file made here just now is replaced


_NAME_LOCKS = tuple(threading.RLock() for _ in range(64))  # shared by all folders of the process


def name_lock(fs: FileSystem, dir_fd: int, name: str) -> AbstractContextManager[object]:
    """The lock of one name in one directory, for the step in which its file is exchanged and compared.

    Three writers of one name that exchange, compare and exchange back in turn can leave the content of a
    refused one under the name, and that of the accepted one in the trash. So the writers of this process (the
    clients of one server) take turns. Names share locks; no second one may be taken while one is held.

    RACE: writers in several processes, three of them within the two exchanges: all contents are kept, but the
    name may end with another one than was accepted.
    """
    st = fs.fstat(dir_fd)
    return _NAME_LOCKS[hash((st.st_dev, st.st_ino, name)) % len(_NAME_LOCKS)]


def exists(fs: FileSystem, name: str, dir_fd: int) -> bool:
    """True if the name exists; raises OSError if that cannot be told."""
    try:
        fs.stat(name, dir_fd)
    except FileNotFoundError:
        return False
    return True


def stat_afresh(fs: FileSystem, name: str, dir_fd: int) -> os.stat_result:
    """`lstat` of a name that was just given or taken away, past the kernel's attribute cache (FUSE, NFS)."""
    fs.refresh(name, dir_fd)
    return fs.stat(name, dir_fd)


def is_same(fs: FileSystem, name: str, dir_fd: int, seen: os.stat_result) -> bool:
    """True if the name is the inode that was seen, and it was not written since."""
    try:
        return identity(fs.stat(name, dir_fd)) == identity(seen)
    except FileNotFoundError:
        return False


def copy_file(
    fs: FileSystem, name: str, dir_fd: int, new: str, new_dir_fd: int, seen: os.stat_result
) -> None:
    """Make a durable copy with mode and mtime under a free temporary name.

    Raises StaleError if the file is not the one that was seen, before or after.
    """
    source = fs.open_read(name, dir_fd)
    try:
        _expect(fs, source, seen)
        fd = fs.create(new, new_dir_fd)
        try:
            write_all(fs, fd, read_all(fs, source))
            _expect(fs, source, seen)
            fs.set_mode(fd, seen.st_mode & 0o777)
            fs.set_times(fd, seen.st_mtime_ns)
            fs.sync(fd)
        finally:
            fs.close(fd)
    finally:
        fs.close(source)


def _expect(fs: FileSystem, fd: int, seen: os.stat_result) -> None:
    # RACE: only where there are no hard links: a write of the same size within one tick of the mtime
    if identity(fs.fstat(fd)) != identity(seen):
        raise StaleError("the file changed while it was copied")


def remove_quietly(fs: FileSystem, name: str, dir_fd: int) -> None:
    """Remove a temporary directory that should be empty; a failure leaves it for the next run."""
    try:
        fs.rmdir(name, dir_fd)
    except OSError:
        return


def drop_quietly(fs: FileSystem, name: str, dir_fd: int) -> None:
    """Unlink a temporary file; a failure leaves it for the next run."""
    try:
        fs.unlink(name, dir_fd)
    except OSError:
        return


FEW = 32  # up to so many files are synced one by one, more by one syncfs
MOST = 1024  # items of one batch: what a kill costs at most
_SETTLE_NS = stat.FINE_MARGIN_NS + 5_000_000

ItemT = TypeVar("ItemT")


def runs(items: Sequence[ItemT], most: int = MOST) -> Iterator[range]:
    """The items' indices in pieces of bounded length."""
    for start in range(0, len(items), most):
        yield range(start, min(start + most, len(items)))


def in_order(indices: Sequence[int], path_of: Callable[[int], RelPath]) -> list[int]:
    """The indices sorted by directory, so that the cursor opens each directory once."""
    return sorted(indices, key=lambda i: directory_key(path_of(i)))


def refuse_private(path: RelPath) -> None:
    """Raises Unholdable for a path that is, or is below, one of Syncer's own names: no plan may touch it."""
    if is_private_path(path):
        raise Unholdable(f"{printable(path)}: one of Syncer's own names", path=path)


@dataclass(slots=True)
class ItemStep:
    """A context that turns an error with one item into its outcome; AuthError ends the run and is raised."""

    ended: dict[int, Outcome]
    index: int
    path: RelPath

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, AuthError):
            return False
        if isinstance(error, StoreError | LocalError):
            self.ended[self.index] = Failed(error=error)
            return True
        if isinstance(error, OSError | StaleError):
            self.ended[self.index] = outcome(error, self.path)
            return True
        return False


@dataclass(slots=True)
class BatchOutcomes:
    """The outcomes of one batch so far (`ended`), and the directories with unsynced names (`dirty`)."""

    ground: FolderRoot
    ended: dict[int, Outcome] = field(default_factory=dict)
    dirty: dict[RelPath, list[int]] = field(default_factory=dict)

    def attempt(self, index: int, path: RelPath, step: Callable[[], None]) -> bool:
        """Do one step of one item; whether it succeeded."""
        with self.item(index, path):
            refuse_private(path)
            step()
        return index not in self.ended

    def item(self, index: int, path: RelPath) -> ItemStep:
        """A context for one step of one item: an error in it becomes the item's outcome."""
        return ItemStep(self.ended, index, path)

    def touched(self, index: int, *paths: RelPath) -> None:
        """Note that names in the parent directories of these paths changed because of the item."""
        for path in paths:
            self.dirty.setdefault(split(path)[0], []).append(index)

    def sync_directories(self, cursor: DirectoryCursor) -> None:
        """Sync the directories whose names changed; the items in one that fails are not `Done`."""
        if len(self.dirty) > FEW and self._sync_at_once():
            return self.dirty.clear()
        for directory in sorted(self.dirty, key=tree_key):
            try:
                self.ground.fs.sync(cursor.enter(directory))
            except OSError as error:
                self._not_durable(error, directory)
        self.dirty.clear()

    def _sync_at_once(self) -> bool:
        try:
            return sync_everything(self.ground)
        except OSError as error:
            for directory in self.dirty:
                self._not_durable(error, directory)
            return True

    def _not_durable(self, error: OSError, directory: RelPath) -> None:
        for index in self.dirty[directory]:
            if isinstance(self.ended.get(index), Done | None):
                self.ended[index] = outcome(error, directory)

    def results(self) -> Results:
        yield from sorted(self.ended.items())


def sync_everything(ground: FolderRoot) -> bool:
    """One syncfs for the whole file system; False if there is none. Raises OSError (EIO: data is lost)."""
    try:
        ground.fs.sync_file_system(ground.root_fd())
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def stat_if_unchanged(ground: FolderRoot, name: str, dir_fd: int, expected: Entry) -> stat_result:
    """The `lstat` of a name that still is the expected entry. Raises StaleError if it is not."""
    try:
        found = ground.fs.stat(name, dir_fd)
    except OSError as error:
        if error.errno in GONE:
            raise StaleError(f"{printable(name)} is gone") from None
        raise
    if not stat.matches(found, expected):
        raise StaleError(f"{printable(name)} changed since it was planned on")
    return found


def wait_until_trusted(ground: FolderRoot, since_ns: int) -> None:
    """Sleep until stamps given before `since_ns` are old enough to be trusted."""
    missing = since_ns + _SETTLE_NS - ground.clock.now_ns()
    if 0 < missing <= _SETTLE_NS:
        ground.clock.sleep(missing / 1e9)


def stat_after_settling(
    ground: FolderRoot, cursor: DirectoryCursor, path: RelPath, ours: stat_result
) -> tuple[stat_result, bool]:
    """The stamp to record for what was written at `path`, and whether it is trusted.

    `ours` was taken right after the name was given, which changes the ctime. If another program wrote since,
    even with size and mtime restored, the ctime differs: then `ours` is returned, untrusted, and never the
    stamp of the other write, which would hide it from the next run.
    """
    try:
        directory_fd, name = cursor.parent(path)
        found = stat_afresh(ground.fs, name, directory_fd)
    except OSError:
        return ours, False
    same = stat.version(found) == stat.version(ours)
    return (found, True) if same else (ours, False)
