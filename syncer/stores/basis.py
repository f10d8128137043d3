"""What a folder has at hand when content is put there: the file to be replaced, or a part of the content.

The two `engine.ports.Basis` of the folder store. Reading only; whether a source makes use of it is
the source's affair, and so is the digest of the whole: bytes read here prove nothing by themselves.
"""

from __future__ import annotations

import os
import threading
from os import stat_result

from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Put
from syncer.errors import ChangedUnderUs, Unreadable
from syncer.stores import stamps
from syncer.stores.ground import Ground
from syncer.stores.transfer import MEBIBYTE

WORTH = 64 << 10
"""Bytes below which, old or new, an older version saves nothing on any wire."""


class BasisLost(Unreadable):
    """The disk does not give back what is at hand: a put can do without."""

    def __init__(self, error: OSError, path: RelPath) -> None:
        what = os.strerror(error.errno or 0)
        super().__init__(f"{printable(path)}: what is here of it cannot be read: {what}", path=path)


class Older:
    """The file that a put is to replace; opened when the first byte is asked for, closed by `close`.

    It may be written to meanwhile: each piece is handed out only if the file was still the
    expected one after it was read.
    """

    start = 0
    older = None

    def __init__(self, ground: Ground, path: RelPath, expected: Entry, name: str, dir_fd: int) -> None:
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
        """See `engine.ports.Basis.read`."""
        try:
            fd = self._opened()
            data = _read(self._ground, fd, offset, min(size, self.size - offset))
            same = stamps.matches(self._ground.fs.fstat(fd), self._expected)
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


class Beginning:
    """The first `start` bytes of the very content, in a file that is open already."""

    digest = None

    def __init__(self, ground: Ground, path: RelPath, fd: int, start: int, older: Older | None) -> None:
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
        """See `engine.ports.Basis.read`."""
        try:
            data = _read(self._ground, self._fd, offset, min(size, self._start - offset))
        except OSError as error:
            raise BasisLost(error, self._path) from error
        if len(data) != size:
            raise _changed(self._path)
        return data


def older(ground: Ground, item: Put, old: stat_result | None, name: str, dir_fd: int) -> Older | None:
    """The file that is to be replaced, where referring to it may be worth it."""
    expected = item.expected
    if old is None or expected is None or not expected.kind is item.kind is Kind.FILE:
        return None
    if min(expected.size, item.size) < WORTH:
        return None
    return Older(ground, item.path, expected, name, dir_fd)


def _read(ground: Ground, fd: int, offset: int, size: int) -> bytes:
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
