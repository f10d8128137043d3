"""Small pieces that every protocol on a folder is made of: write it all, name it without clobbering.

Each says what it does where the file system lacks NOREPLACE. Raises OSError only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from syncer.stores.fsops import UNSUPPORTED, FileSystem
from syncer.stores.stamps import identity
from syncer.stores.trouble import Unexpected

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
        raise Unexpected("the file changed while it was copied")


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
