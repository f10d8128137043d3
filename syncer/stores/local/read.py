"""Reads a folder's files: whole and unchanged, or not at all.

A file is opened without following a symlink or waiting for a fifo, compared with what was planned on
before and after, and its last piece is held back until it was found unchanged. Nothing is written.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import stat_result

from blake3 import blake3

from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    RelPath,
    Seen,
)
from syncer.engine.paths import printable
from syncer.errors import ChangedUnderUs
from syncer.stores.common import beyond
from syncer.stores.local import stat
from syncer.stores.local.batch import MEBIBYTE
from syncer.stores.local.errors import GONE, obstacle, reading
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.scan import entry_from_stat

_TRIES = 3


class Readers:
    """Opens files for reading; walks are kept and used again, since neighbours are read one after the other.

    There are as many walks as files were ever opened at the same moment: one for each thread would hold
    descriptors for threads that ended long ago. A kept descriptor may lead to a directory that was moved
    or replaced meanwhile: a file that is not there, or not the one planned on, is looked for from the root
    again.
    """

    def __init__(self, ground: FolderRoot) -> None:
        self._ground = ground
        self._idle: list[DirectoryCursor] = []

    def open(self, path: RelPath, expected: Entry) -> int:
        """The file as planned on. Raises OSError, ChangedUnderUs."""
        with self._cursor() as cursor:
            try:
                fd = self._open(cursor, path, expected)
            except OSError:
                fd = None
            if fd is None:
                cursor.rewind()
                fd = self._open(cursor, path, expected)
        if fd is None:
            raise changed(path)
        return fd

    def _open(self, cursor: DirectoryCursor, path: RelPath, expected: Entry) -> int | None:
        dir_fd, name = cursor.parent(path)
        fd = self._ground.fs.open_read(name, dir_fd)
        if is_planned(self._ground.fs.fstat(fd), expected):
            return fd
        self._ground.fs.close(fd)
        return None

    @contextmanager
    def _cursor(self) -> Iterator[DirectoryCursor]:
        """A cursor for this thread alone: the one that was used last, or a new one."""
        try:
            cursor = self._idle.pop()
        except IndexError:
            cursor = DirectoryCursor(self._ground.fs, self._ground.root_fd())
        try:
            yield cursor
        finally:
            self._idle.append(cursor)

    def close(self) -> None:
        """Once no thread reads any more."""
        for cursor in self._idle:
            cursor.rewind()


class FolderSource:
    """The content of one file (`engine.interfaces.Source`)."""

    def __init__(self, ground: FolderRoot, readers: Readers, path: RelPath, expected: Entry) -> None:
        self._ground = ground
        self._readers = readers
        self._path = path
        self._expected = expected
        self._read: Entry | None = None

    @property
    def entry(self) -> Entry:
        if self._read is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._read

    @property
    def traffic(self) -> TransferStats | None:
        return None

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Everything is read, even what the reader has: half a file has no digest."""
        self._read = None
        pieces = self._pieces()
        return pieces if basis is None or not basis.start else beyond(pieces, basis.start)

    def _pieces(self) -> Iterator[bytes]:
        try:
            fd = self._readers.open(self._path, self._expected)
            try:
                yield from self._verified(fd)
            finally:
                self._ground.fs.close(fd)
        except OSError as error:
            raise reading(error, self._path) from error

    def _verified(self, fd: int) -> Iterator[bytes]:
        # The last piece is held back until the file was found unchanged: a reader that writes what it gets
        # cannot complete a torn file.
        fs, hasher, held = self._ground.fs, blake3(), b""
        now = self._rested(fd)
        left = self._expected.size  # a file that grew is found out by its stamp, without reading on
        while left > 0 and (chunk := fs.read(fd, min(left, MEBIBYTE))):
            left -= len(chunk)
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        # Stat before and after are of the same open file, so a rename over its name does not matter.
        after = fs.fstat(fd)
        digest = hasher.digest()
        if not is_planned(after, self._expected) or self._expected.digest not in (None, digest):
            raise changed(self._path)
        self._read = stat.file_entry(after, now, digest)
        if held:
            yield held

    def _rested(self, fd: int) -> int:
        """Waits until any further write must give another stamp; the time then.

        Within the tick of the last write (2 s on FAT) a file can be rewritten without a trace, and half
        the old and half the new content would be taken for the file.
        """
        clock = self._ground.clock
        unripe = stat.untrusted_for_ns(self._ground.fs.fstat(fd), clock.now_ns())
        if unripe:
            clock.sleep(unripe / 1e9)
        return clock.now_ns()  # RACE: a stamp from the future (two clocks) proves nothing, however old


def is_planned(found: stat_result, expected: Entry) -> bool:
    """Whether an open file is the one planned on, unwritten since."""
    return stat.kind(found) is Kind.FILE and stat.matches(found, expected)


def changed(path: RelPath) -> ChangedUnderUs:
    """The error for a file that changed while it was read."""
    return ChangedUnderUs(
        f"{printable(path)} changed while it was read", path=path, hint="the next run takes it"
    )


def digests(ground: FolderRoot, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
    """See `engine.interfaces.Store.with_digests`: each as it is now, if it stays so while it is read."""
    with ground.cursor() as cursor:
        for path, entry in wanted:
            yield _digest(ground, cursor, path, entry)


def _digest(ground: FolderRoot, cursor: DirectoryCursor, path: RelPath, entry: Entry) -> Seen:
    if entry.kind is Kind.DIRECTORY:
        return entry
    try:
        dir_fd, name = cursor.parent(path)
        return _unmoved(ground, name, dir_fd, entry) or _stable(ground, name, dir_fd)
    except OSError as error:
        return None if error.errno in GONE else obstacle(error)


def _unmoved(ground: FolderRoot, name: str, dir_fd: int, entry: Entry) -> Entry | None:
    """The entry with its digest if the file still is what was seen: the quick way, mostly right."""
    if entry.kind is not Kind.FILE:
        return None
    fs = ground.fs
    now = ground.clock.now_ns()  # before the stat: it decides whether the stamp is old enough to be trusted
    try:
        fd = fs.open_read(name, dir_fd)
    except OSError:
        return None
    try:
        found = fs.fstat(fd)
        digest = _content(ground, fd) if stat.matches(found, entry) else None
        same = digest is not None and stat.matches(fs.fstat(fd), entry)
        return stat.file_entry(found, now, digest) if same else None
    finally:
        fs.close(fd)


def _content(ground: FolderRoot, fd: int) -> bytes:
    """BLAKE3-256 of the rest of an open file."""
    hasher = blake3()
    while chunk := ground.fs.read(fd, MEBIBYTE):
        hasher.update(chunk)
    return hasher.digest()


def _stable(ground: FolderRoot, name: str, dir_fd: int) -> Seen:
    """Stat and read until both agree, a few times; BUSY if they never do."""
    found: Entry | BlockedEntry = BlockedEntry(BlockReason.BUSY, "it changes while it is read")
    for _ in range(_TRIES):
        now = ground.clock.now_ns()
        found = entry_from_stat(ground.fs, name, dir_fd, ground.fs.stat(name, dir_fd), now)
        if isinstance(found, BlockedEntry) and found.trouble is not BlockReason.BUSY:
            return found
        if isinstance(found, Entry):
            if found.kind is not Kind.FILE:
                return found
            digest = _hash(ground, name, dir_fd, found)
            if digest is not None:
                return replace(found, digest=digest)
    return BlockedEntry(BlockReason.BUSY, "it changes while it is read")


def _hash(ground: FolderRoot, name: str, dir_fd: int, entry: Entry) -> bytes | None:
    """BLAKE3-256 of a file that is `entry` before and after; None if it is not."""
    fs = ground.fs
    fd = fs.open_read(name, dir_fd)
    try:
        if not stat.matches(fs.fstat(fd), entry):
            return None
        digest = _content(ground, fd)
        return digest if stat.matches(fs.fstat(fd), entry) else None
    finally:
        fs.close(fd)


def read_file(ground: FolderRoot, path: RelPath, limit: int) -> bytes:
    """See `engine.interfaces.Store.read_file`."""
    try:
        with ground.cursor() as cursor:
            dir_fd, name = cursor.parent(path)
            fd = ground.fs.open_read(name, dir_fd)
            try:
                if stat.kind(ground.fs.fstat(fd)) is not Kind.FILE:
                    return b""
                return _at_most(ground, fd, limit)
            finally:
                ground.fs.close(fd)
    except OSError as error:
        if error.errno in GONE or error.errno == errno.ENXIO:  # ENXIO: a socket
            return b""
        raise reading(error, path) from error


def _at_most(ground: FolderRoot, fd: int, limit: int) -> bytes:
    data = b""
    while len(data) < limit and (chunk := ground.fs.read(fd, limit - len(data))):
        data += chunk
    return data


def look(ground: FolderRoot, path: RelPath) -> Seen:
    """See `engine.interfaces.Store.stat`."""
    return next(look_at_each(ground, [path]))


def look_at_each(ground: FolderRoot, paths: Sequence[RelPath]) -> Iterator[Seen]:
    """The entries of single names, in order; fastest if names of one directory come together."""
    try:
        ground.root_fd()
    except OSError as error:
        yield from [None if error.errno in GONE else obstacle(error)] * len(paths)
        return
    with ground.cursor() as cursor:
        for path in paths:
            yield _look(ground, cursor, path)


def _look(ground: FolderRoot, cursor: DirectoryCursor, path: RelPath) -> Seen:
    if not path:
        return stat.DIRECTORY
    now = ground.clock.now_ns()
    try:
        dir_fd, name = cursor.parent(path)
        return entry_from_stat(ground.fs, name, dir_fd, ground.fs.stat(name, dir_fd), now)
    except OSError as error:
        return None if error.errno in GONE else obstacle(error)
