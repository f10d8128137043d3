"""Staging: new content in a private temporary file, or in a partial file that survives a broken-off write.

Content named by a token is written to a *partial*, whose name is made from the token. A put that breaks
off leaves it; the next one with that token goes on at its end. A partial only ever holds bytes
of that content: before it is given a user's name it gets an ordinary temporary name, so that whatever
is exchanged out for it never stands under a partial's. What the bytes are worth, the source finds
out over the whole content: after a power cut they may be anything. When one is too old is
settled in `scan`.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from os import stat_result

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs, Interrupted, TransientError, Unholdable, Unreadable
from syncer.stores.common import link_digest
from syncer.stores.local import stat
from syncer.stores.local.batch import MEBIBYTE, drop_quietly, write_all
from syncer.stores.local.root import TOKEN_LENGTH, FolderRoot
from syncer.stores.local.trash import Kept
from syncer.stores.stale import StaleError

# --------------------------------------------------------------------------------
#
# The two kinds of `LocalBasis` in a folder: the file to be replaced, or the beginning of the content itself.
#
# Read-only. Whether a source uses it is up to the source, which also verifies the digest of the whole: bytes
# that are read here prove nothing by themselves.


WORTH = 64 << 10
"""Bytes below which, old or new, an older version saves nothing on any wire."""


class BasisLost(Unreadable):
    """A local basis cannot be read from the disk; a write can do without it."""

    def __init__(self, error: OSError, path: RelPath) -> None:
        what = os.strerror(error.errno or 0)
        super().__init__(f"{printable(path)}: what is here of it cannot be read: {what}", path=path)


class OldVersion:
    """The file that a put is to replace; opened when the first byte is asked for, closed by `close`.

    It may be written to meanwhile: each piece is handed out only if the file was still the
    expected one after it was read.
    """

    start = 0
    older = None

    def __init__(self, ground: FolderRoot, path: RelPath, expected: Entry, name: str, dir_fd: int) -> None:
        self._ground = ground
        self._path = path
        self._expected = expected
        self._name = name
        self._dir_fd = dir_fd
        self._fd: int | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._expected.size

    @property
    def digest(self) -> bytes | None:
        return self._expected.digest

    def read(self, offset: int, size: int) -> bytes:
        """See `engine.interfaces.LocalBasis.read`."""
        try:
            fd = self._opened()
            data = _read(self._ground, fd, offset, min(size, self.size - offset))
            same = stat.matches(self._ground.fs.fstat(fd), self._expected)
        except OSError as error:
            raise BasisLost(error, self._path) from error
        if not same or len(data) != size:
            raise _changed(self._path)
        return data

    def _opened(self) -> int:
        with self._lock:  # a source may read in several threads
            if self._closed:
                raise _changed(self._path)
            if self._fd is None:
                self._fd = self._ground.fs.open_read(self._name, self._dir_fd)
            return self._fd

    def close(self) -> None:
        """Lets go of the file; from here on nothing is read."""
        with self._lock:
            self._closed = True
            if self._fd is not None:
                self._ground.fs.close(self._fd)
                self._fd = None


class ResumedPrefix:
    """The first `start` bytes of the very content, in a file that is open already."""

    digest = None

    def __init__(
        self, ground: FolderRoot, path: RelPath, fd: int, start: int, older: OldVersion | None
    ) -> None:
        self.older = older
        self._ground = ground
        self._path = path
        self._fd = fd
        self._start = start

    @property
    def size(self) -> int:
        return self._start

    @property
    def start(self) -> int:
        return self._start

    def read(self, offset: int, size: int) -> bytes:
        """See `engine.interfaces.LocalBasis.read`."""
        try:
            data = _read(self._ground, self._fd, offset, min(size, self._start - offset))
        except OSError as error:
            raise BasisLost(error, self._path) from error
        if len(data) != size:
            raise _changed(self._path)
        return data


def older(
    ground: FolderRoot, item: WriteRequest, old: stat_result | None, name: str, dir_fd: int
) -> OldVersion | None:
    """The file that is to be replaced, where referring to it may be worth it."""
    expected = item.expected
    if old is None or expected is None or not expected.kind is item.kind is Kind.FILE:
        return None
    if min(expected.size, item.size) < WORTH:
        return None
    return OldVersion(ground, item.path, expected, name, dir_fd)


def _read(ground: FolderRoot, fd: int, offset: int, size: int) -> bytes:
    """As many of these bytes as there are; a disk may give them piecemeal."""
    data = ground.fs.read_at(fd, min(size, MEBIBYTE), offset) if size > 0 else b""
    if len(data) == size or not data:
        return data
    pieces, got = [data], len(data)
    while got < size and (piece := ground.fs.read_at(fd, min(size - got, MEBIBYTE), offset + got)):
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)


def _changed(path: RelPath) -> ChangedUnderUs:
    return ChangedUnderUs(
        f"{printable(path)}: what is here of it changed while it was used",
        path=path,
        hint="the next run takes it",
    )


_BREAKS = (TransientError, Interrupted)
"""How a source ends that says nothing against the bytes it gave so far."""


class TempFile:
    """A file that content is written to, open at its end. `start` bytes are there already."""

    def __init__(
        self, ground: FolderRoot, dir_fd: int, name: str, fd: int, *, start: int, lasting: bool
    ) -> None:
        self.name = name
        self.fd = fd
        self.start = start
        self._ground = ground
        self._dir_fd = dir_fd
        self._lasting = lasting

    def beginning(self, item: WriteRequest, older: OldVersion | None) -> ResumedPrefix | None:
        """What is there already, for the source, beside an older version that it may refer to."""
        return ResumedPrefix(self._ground, item.path, self.fd, self.start, older) if self.start else None

    def complete(self) -> None:
        """It holds all of the content: from here on it is an ordinary temporary file. Raises OSError."""
        if not self._lasting:
            return
        fs, name = self._ground.fs, self._ground.temporary()
        fs.rename(self.name, self._dir_fd, name, self._dir_fd)
        self.name, self._lasting = name, False
        if not _is_at(self._ground, name, self._dir_fd, fs.fstat(self.fd)):
            raise StaleError("somebody took away what had arrived")

    def give_up(self, error: Exception) -> None:
        """The put failed: leaves what can be gone on with, else nothing."""
        if self._lasting and isinstance(error, _BREAKS) and self._holds_something():
            return
        self._drop()

    def _holds_something(self) -> bool:
        try:
            return self._ground.fs.fstat(self.fd).st_size > 0
        except OSError:
            return False

    def _drop(self) -> None:
        fs = self._ground.fs
        try:
            if not _is_at(self._ground, self.name, self._dir_fd, fs.fstat(self.fd)):
                return
        except OSError:
            return
        drop_quietly(fs, self.name, self._dir_fd)

    def close(self) -> None:
        """Lets go of the file; another put may now go on with it."""
        self._ground.fs.close(self.fd)


def begin(ground: FolderRoot, item: WriteRequest, dir_fd: int) -> TempFile:
    """Where the content of an item is written. Raises OSError.

    A partial that is in use, or not a file of ours alone, is left as it is, and not used.
    """
    draft = _lasting(ground, item, dir_fd) if len(item.token) == TOKEN_LENGTH and item.size else None
    if draft is not None:
        return draft
    name = ground.temporary()
    return TempFile(ground, dir_fd, name, ground.fs.create(name, dir_fd), start=0, lasting=False)


def length(ground: FolderRoot, token: bytes, dir_fd: int) -> int:
    """How many bytes the partial of that token holds; 0 where a put would not go on with it."""
    name = ground.partial(token)
    fd = _open(ground, name, dir_fd)
    if fd is None:
        return 0
    try:
        return ground.fs.fstat(fd).st_size if _is_to_be_had(ground, name, dir_fd, fd) else 0
    except OSError:
        return 0
    finally:
        ground.fs.close(fd)


def discard(ground: FolderRoot, name: str, dir_fd: int) -> bool:
    """Remove a partial file that is not being written; whether it is gone. It does not go to the trash."""
    fd = _open(ground, name, dir_fd)
    if fd is None:
        return False
    try:
        if not _is_to_be_had(ground, name, dir_fd, fd):
            return False
        ground.fs.unlink(name, dir_fd)
    except OSError:
        return False
    finally:
        ground.fs.close(fd)
    return True


def _lasting(ground: FolderRoot, item: WriteRequest, dir_fd: int) -> TempFile | None:
    """The partial of the item, for this put alone; None if it is not to be had."""
    name = ground.partial(item.token)
    fresh = True
    try:
        fd: int | None = ground.fs.create(name, dir_fd)
    except FileExistsError:
        fd, fresh = _open(ground, name, dir_fd), False
    if fd is None:
        return None
    draft = None
    try:
        if _is_to_be_had(ground, name, dir_fd, fd):
            start = _cut(ground, fd, item.size)
            draft = TempFile(ground, dir_fd, name, fd, start=start, lasting=True)
    except OSError:  # it cannot be locked, or not be cut: an ordinary file does
        if fresh:
            drop_quietly(ground.fs, name, dir_fd)
    finally:
        if draft is None:
            ground.fs.close(fd)
    return draft


def _open(ground: FolderRoot, name: str, dir_fd: int) -> int | None:
    """What may be a partial: a fifo or a device is not even opened."""
    try:
        if _is_ours_alone(ground, ground.fs.stat(name, dir_fd)):
            return ground.fs.open_append(name, dir_fd)
    except OSError:
        return None
    return None


def _is_to_be_had(ground: FolderRoot, name: str, dir_fd: int, fd: int) -> bool:
    """Lock a partial file; True if no other write has it, and its name still is this file.

    It is compared after it is locked: the write that held the lock before may have given it a user's name.
    """
    if not ground.fs.try_lock(fd):
        return False
    found = ground.fs.fstat(fd)
    return _is_ours_alone(ground, found) and _is_at(ground, name, dir_fd, found)


def _cut(ground: FolderRoot, fd: int, size: int) -> int:
    """How much of a partial is gone on with: never all, so that a source always has something to send.

    One that holds everything was left by a death while it was made durable; one longer is of
    another content.
    """
    length = ground.fs.fstat(fd).st_size
    start = min(length, size - 1) if length <= size else 0
    if start != length:
        ground.fs.truncate(fd, start)
    return start


def _is_ours_alone(ground: FolderRoot, found: stat_result) -> bool:
    """True for a regular file of this user that has no second name, under which it might be a user's file."""
    regular = stat.kind(found) is Kind.FILE
    return regular and found.st_nlink == 1 and found.st_uid == ground.fs.effective_user()


def _is_at(ground: FolderRoot, name: str, dir_fd: int, found: stat_result) -> bool:
    try:
        there = ground.fs.stat(name, dir_fd)
    except FileNotFoundError:
        return False
    return (there.st_ino, there.st_dev) == (found.st_ino, found.st_dev)


# --------------------------------------------------------------------------------
#
# Making the new content of a name, complete and dressed, under a temporary name beside it.
#
# Step 1 of the protocol in `write`: nothing a user can see changes here, and an error leaves no temporary
# behind, but for a `staging` that can be gone on with.


@dataclass(slots=True)
class Staged:
    """One item on its way: what we made (`ours`), what it is to replace (`old`), and where that was kept.

    `start` bytes of the content were here before.
    """

    item: WriteRequest
    temporary: str
    ours: stat_result
    digest: bytes | None
    old: stat_result | None = None
    kept: Kept | None = None
    start: int = 0


def stage(
    ground: FolderRoot,
    item: WriteRequest,
    name: str,
    directory_fd: int,
    old: stat_result | None,
    *,
    sync: bool,
) -> Staged:
    """Write the new content, complete and with mode and mtime, under a temporary name beside the user's.

    Raises OSError, StaleError, and what the source of the content raises.
    """
    if item.kind is Kind.SYMLINK:
        temporary = ground.temporary()
        ours, digest = _stage_link(ground, item, temporary, directory_fd)
        return Staged(item=item, temporary=temporary, ours=ours, digest=digest, old=old)
    basis = older(ground, item, old, name, directory_fd)
    try:
        return _stage_file(ground, item, directory_fd, old, basis, sync=sync)
    except BasisLost:  # the old version cannot be read from the disk: the content is sent whole
        return _stage_file(ground, item, directory_fd, old, None, sync=sync)
    finally:
        if basis is not None:
            basis.close()


def _stage_file(
    ground: FolderRoot,
    item: WriteRequest,
    directory_fd: int,
    old: stat_result | None,
    basis: OldVersion | None,
    *,
    sync: bool,
) -> Staged:
    """What already arrived of the content goes before an older version of it."""
    source = item.source
    if source is None:
        raise Unholdable(f"{printable(item.path)}: no content to put", path=item.path)
    draft = begin(ground, item, directory_fd)
    try:
        try:
            written = write_all(ground.fs, draft.fd, source.chunks(draft.beginning(item, basis) or basis))
        except OSError as error:
            if error.errno == errno.EFBIG and ground.fs.unlimited():
                _note_limit(ground, draft.fd)
            raise
        if draft.start + written != item.size:
            raise ChangedUnderUs(f"{printable(item.path)}: not as long as it was planned on", path=item.path)
        _dress(ground, draft.fd, item, old)
        if sync:
            ground.fs.sync(draft.fd)
        # From here on the file is an ordinary temporary one: what an exchange brings under its name may be
        # the last copy of somebody's edit, and must not be taken for a partial that is written on.
        draft.complete()
        ours = ground.fs.fstat(draft.fd)
    except Exception as error:
        draft.give_up(error)
        raise
    finally:
        draft.close()
    digest = source.entry.digest
    return Staged(item=item, temporary=draft.name, ours=ours, digest=digest, old=old, start=draft.start)


def _note_limit(ground: FolderRoot, fd: int) -> None:
    """A file system that took so many bytes and no more (FAT: 4 GiB) need not be tried by each run."""
    size = ground.fs.fstat(fd).st_size
    if size:
        ground.limit_size(size)


def _dress(ground: FolderRoot, fd: int, item: WriteRequest, old: stat_result | None) -> None:
    """Mode, owner, mtime. A replaced file keeps its permission bits; setuid and the like are never set."""
    mode = 0o666 & ~ground.umask
    if old is not None and stat.kind(old) is Kind.FILE:
        mode = old.st_mode & 0o777
        _keep_owner(ground, fd, old)
    ground.fs.set_mode(fd, with_executable(mode, item.executable))
    if item.mtime_ns is not None:
        ground.fs.set_times(fd, item.mtime_ns)


def _keep_owner(ground: FolderRoot, fd: int, old: stat_result) -> None:
    """A run as root must not take a user's file away from them."""
    if ground.fs.effective_user() == 0 and (old.st_uid, old.st_gid) != (0, 0):
        ground.fs.set_owner(fd, old.st_uid, old.st_gid)


def _stage_link(
    ground: FolderRoot, item: WriteRequest, temporary: str, directory_fd: int
) -> tuple[stat_result, bytes]:
    target = item.target
    if not target:
        raise Unholdable(f"{printable(item.path)}: a symlink without a target", path=item.path)
    try:
        ground.fs.symlink(target, temporary, directory_fd)
    except ValueError as error:  # a NUL, or a character that stands for no byte
        raise Unholdable(f"{printable(item.path)}: no symlink can hold its target", path=item.path) from error
    try:
        if item.mtime_ns is not None:
            ground.fs.set_link_times(temporary, directory_fd, item.mtime_ns)
        return ground.fs.stat(temporary, directory_fd), link_digest(target)
    except Exception:
        drop_quietly(ground.fs, temporary, directory_fd)
        raise


def with_executable(mode: int, executable: bool | None) -> int:
    """The permission bits with x where r is, without any x, or as they are (None)."""
    if executable is None:
        return mode
    return mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
