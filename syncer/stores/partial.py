"""Content on its way into a folder: a fresh private file, or one that outlives a broken-off put.

Content named by a token is written to a *partial*, whose name is made from the token. A put that breaks
off leaves it; the next one with that token goes on at its end. A partial only ever holds bytes
of that content: before it is given a user's name it gets an ordinary temporary name, so that whatever
is exchanged out for it never stands under a partial's. What the bytes are worth, the source finds
out over the whole content: after a power cut they may be anything. When one is too old is
settled in `scanning`.
"""

from __future__ import annotations

from os import stat_result

from syncer.engine.model import Kind
from syncer.engine.ports import Put
from syncer.errors import Interrupted, TransientError
from syncer.stores import stamps
from syncer.stores.basis import Beginning, Older
from syncer.stores.ground import TOKEN_LENGTH, Ground
from syncer.stores.transfer import drop_quietly
from syncer.stores.trouble import Unexpected

_BREAKS = (TransientError, Interrupted)
"""How a source ends that says nothing against the bytes it gave so far."""


class Draft:
    """A file that content is written to, open at its end. `start` bytes are there already."""

    def __init__(self, ground: Ground, dir_fd: int, name: str, fd: int, *, start: int, lasting: bool) -> None:
        self.name = name
        self.fd = fd
        self.start = start
        self._ground = ground
        self._dir_fd = dir_fd
        self._lasting = lasting

    def beginning(self, item: Put, older: Older | None) -> Beginning | None:
        """What is there already, for the source, beside an older version that it may refer to."""
        return Beginning(self._ground, item.path, self.fd, self.start, older) if self.start else None

    def complete(self) -> None:
        """It holds all of the content: from here on it is an ordinary temporary file. Raises OSError."""
        if not self._lasting:
            return
        fs, name = self._ground.fs, self._ground.temporary()
        fs.rename(self.name, self._dir_fd, name, self._dir_fd)
        self.name, self._lasting = name, False
        if not _is_at(self._ground, name, self._dir_fd, fs.fstat(self.fd)):
            raise Unexpected("somebody took away what had arrived")

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


def begin(ground: Ground, item: Put, dir_fd: int) -> Draft:
    """Where the content of an item is written. Raises OSError.

    A partial that is in use, or not a file of ours alone, is left as it is, and not used.
    """
    draft = _lasting(ground, item, dir_fd) if len(item.token) == TOKEN_LENGTH and item.size else None
    if draft is not None:
        return draft
    name = ground.temporary()
    return Draft(ground, dir_fd, name, ground.fs.create(name, dir_fd), start=0, lasting=False)


def length(ground: Ground, token: bytes, dir_fd: int) -> int:
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


def discard(ground: Ground, name: str, dir_fd: int) -> bool:
    """Removes a partial that nobody writes; whether it is gone. A part of something is no trash."""
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


def _lasting(ground: Ground, item: Put, dir_fd: int) -> Draft | None:
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
            draft = Draft(ground, dir_fd, name, fd, start=start, lasting=True)
    except OSError:  # it cannot be locked, or not be cut: an ordinary file does
        if fresh:
            drop_quietly(ground.fs, name, dir_fd)
    finally:
        if draft is None:
            ground.fs.close(fd)
    return draft


def _open(ground: Ground, name: str, dir_fd: int) -> int | None:
    """What may be a partial: a fifo or a device is not even opened."""
    try:
        if _is_ours_alone(ground, ground.fs.stat(name, dir_fd)):
            return ground.fs.open_append(name, dir_fd)
    except OSError:
        return None
    return None


def _is_to_be_had(ground: Ground, name: str, dir_fd: int, fd: int) -> bool:
    """Whether nobody else writes it, and the name still means it.

    Looked at after it is locked: whoever held the lock before may have given it a user's name.
    """
    if not ground.fs.try_lock(fd):
        return False
    found = ground.fs.fstat(fd)
    return _is_ours_alone(ground, found) and _is_at(ground, name, dir_fd, found)


def _cut(ground: Ground, fd: int, size: int) -> int:
    """How much of a partial is gone on with: never all, so that a source always has something to send.

    One that holds everything was left by a death while it was made durable; one longer is of
    another content.
    """
    length = ground.fs.fstat(fd).st_size
    start = min(length, size - 1) if length <= size else 0
    if start != length:
        ground.fs.truncate(fd, start)
    return start


def _is_ours_alone(ground: Ground, found: stat_result) -> bool:
    """A regular file that we made and that has no second name, under which it might be somebody's."""
    regular = stamps.kind(found) is Kind.FILE
    return regular and found.st_nlink == 1 and found.st_uid == ground.fs.effective_user()


def _is_at(ground: Ground, name: str, dir_fd: int, found: stat_result) -> bool:
    try:
        there = ground.fs.stat(name, dir_fd)
    except FileNotFoundError:
        return False
    return (there.st_ino, there.st_dev) == (found.st_ino, found.st_dev)
