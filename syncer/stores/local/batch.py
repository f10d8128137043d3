"""What the batch protocols of a folder share: order, outcomes per item, durability, the late look.

No protocol of its own: `write` (put), `delete` (delete, directories) and `rename`
(rename, amend) are built on it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import stat_result
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
# Small pieces that every protocol on a folder is made of: write it all, name it without clobbering.
#
# Each says what it does where the file system lacks NOREPLACE. Raises OSError only.


NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES}) | UNSUPPORTED
"""Another file system, one without hard links, too many of them, or not our file (protected_hardlinks)."""
MEBIBYTE = 1 << 20


def write_all(fs: FileSystem, fd: int, chunks: Iterable[bytes]) -> int:
    """Writes every byte, answers how many there were."""
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


def name_it(
    fs: FileSystem, name: str, dir_fd: int, new: str, new_dir_fd: int, *, spare: bool = False
) -> None:
    """Renames, never over something: FileExistsError if `new` is taken.

    Without NOREPLACE a file is linked, and its old name dropped once the new one is durable
    (at once where the content is `spare`: there is another copy). Without links as
    well, or for a directory, there is a window between look and rename.
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


def exists(fs: FileSystem, name: str, dir_fd: int) -> bool:
    """Whether the name stands for anything; raises OSError where that cannot be told."""
    try:
        fs.stat(name, dir_fd)
    except FileNotFoundError:
        return False
    return True


def stat_afresh(fs: FileSystem, name: str, dir_fd: int) -> os.stat_result:
    """`lstat` of a name that was just given or taken away: not what the kernel remembers of it."""
    fs.refresh(name, dir_fd)
    return fs.stat(name, dir_fd)


def is_same(fs: FileSystem, name: str, dir_fd: int, seen: os.stat_result) -> bool:
    """Whether the name stands for the inode that was seen, unwritten since."""
    try:
        return identity(fs.stat(name, dir_fd)) == identity(seen)
    except FileNotFoundError:
        return False


def copy_file(
    fs: FileSystem, name: str, dir_fd: int, new: str, new_dir_fd: int, seen: os.stat_result
) -> None:
    """A durable copy with mode and mtime under a name that is free and ours.

    Raises Unexpected if the file is not the one that was seen, before or after.
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
    """Removes a directory of ours that should be empty; otherwise it is left for the next run's sweep."""
    try:
        fs.rmdir(name, dir_fd)
    except OSError:
        return


def drop_quietly(fs: FileSystem, name: str, dir_fd: int) -> None:
    """Unlinks a temporary of ours; a failure leaves it for the next run's sweep."""
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
    """Directory by directory, so that the cursor opens each once."""
    return sorted(indices, key=lambda i: directory_key(path_of(i)))


@dataclass(slots=True)
class BatchOutcomes:
    """How the items of one batch ended so far, and which directories have unsynced names."""

    ground: FolderRoot
    ended: dict[int, Outcome] = field(default_factory=dict)
    dirty: dict[RelPath, list[int]] = field(default_factory=dict)

    def attempt(self, index: int, path: RelPath, step: Callable[[], None]) -> bool:
        """Does one step of one item; trouble with it becomes the item's outcome."""
        try:
            if is_private_path(path):
                raise Unholdable(f"{printable(path)}: one of Syncer's own names", path=path)
            step()
        except AuthError:
            raise
        except (StoreError, LocalError) as error:
            self.ended[index] = Failed(error=error)
        except (OSError, StaleError) as error:
            self.ended[index] = outcome(error, path)
        return index not in self.ended

    def touched(self, index: int, *paths: RelPath) -> None:
        """The names in the directories of these paths changed for the item."""
        for path in paths:
            self.dirty.setdefault(split(path)[0], []).append(index)

    def sync_directories(self, cursor: DirectoryCursor) -> None:
        """Makes the new names durable; where that fails nothing is claimed to be done."""
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
    """One syncfs for the whole root; False where there is none. Raises OSError (EIO: data is lost)."""
    try:
        ground.fs.sync_file_system(ground.root_fd())
    except OSError as error:
        if error.errno in UNSUPPORTED:
            return False
        raise
    return True


def planned_on(ground: FolderRoot, name: str, dir_fd: int, expected: Entry) -> stat_result:
    """The stamp of a name that is exactly as planned; raises Unexpected otherwise."""
    try:
        found = ground.fs.stat(name, dir_fd)
    except OSError as error:
        if error.errno in GONE:
            raise StaleError(f"{printable(name)} is gone") from None
        raise
    if not stat.matches(found, expected):
        raise StaleError(f"{printable(name)} changed since it was planned on")
    return found


def settle(ground: FolderRoot, since_ns: int) -> None:
    """Waits until stamps given before `since_ns` are old enough to be trusted."""
    missing = since_ns + _SETTLE_NS - ground.clock.now_ns()
    if 0 < missing <= _SETTLE_NS:
        ground.clock.sleep(missing / 1e9)


def late_look(
    ground: FolderRoot, cursor: DirectoryCursor, path: RelPath, ours: stat_result
) -> tuple[stat_result, bool]:
    """The stamp to remember for what we put at `path`, and whether it was still untouched.

    `ours` was taken right after the name was given, which changes the ctime. If somebody wrote
    since, even with size and mtime restored, it stays the one of what we put, and is not
    trusted.
    """
    try:
        directory_fd, name = cursor.parent(path)
        found = stat_afresh(ground.fs, name, directory_fd)
    except OSError:
        return ours, False
    same = stat.version(found) == stat.version(ours)
    return (found, True) if same else (ours, False)
