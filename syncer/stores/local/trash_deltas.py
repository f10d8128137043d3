"""Trash deltas: old versions of large files, kept as their difference from a newer version in the trash.

A small edit of a large file leaves a whole old version in the trash each time. After the run, where it pays,
the older of two versions is replaced by a *delta* against the newer one. The last version of a file in the
trash is always whole, and so is one in `CHAIN`. Of the live file nothing is made, since it changes.

Sharing blocks instead (FIDEDUPERANGE) was measured and saves next to nothing: btrfs keeps an extent as long
as a part of it is in use, and what the next version takes over is still held by the version before.

A delta stands in the place of its version, and under `TRASH/.syncer/` in the same place as a second link to
the same inode, which tells it from a file that has the same bytes by chance. In it: the literal bytes, an
index of what comes from where, a head as JSON, and the length of the head with a magic word.

**When it dies.** The delta is written, read back (what it makes must have the digest that the version had)
and made durable under a passing name; then it is linked to its place under `.syncer`, and only then renamed
over the version, in one step. A link there that is not of the same inode means nothing. A version that is
made whole again takes the same way back. Nothing that a delta is made from leaves the trash before the delta
is whole (`release`).

**Late writers.** A process that still has the old file open writes on into the trash. Neither of the two
versions may be open for writing anywhere or have a second name: then nobody can write to it again, since the
trash is for its owner alone. Where that cannot be told (no leases) nothing is done.
"""

from __future__ import annotations

import errno
import json
import secrets
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from os import stat_result
from typing import Any, Final

from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import Copy, Readable
from syncer.engine.model import Kind, RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, join, printable, split
from syncer.errors import BadDelta, LocalError
from syncer.stores.local import stat
from syncer.stores.local.batch import drop_quietly, exists, is_same, write_all
from syncer.stores.local.errors import GONE
from syncer.stores.local.filesystem import UNSUPPORTED, FileSystem
from syncer.stores.local.root import DirectoryCursor
from syncer.stores.local.trash import LARGE, Kept, Trash, is_batch, order

MOST: Final = 4 << 30
"""Bytes of a file that is not worth the wait."""
SMALL: Final = 4
"""A delta is kept if it has at most a fourth of the bytes."""
CHAIN: Final = 32
"""Deltas, each made from the next, until there is a whole version again."""

_MAGIC: Final = b"syncrdl1"
_END: Final = struct.Struct(">I8s")
_SPAN: Final = struct.Struct(">QqQ")  # where it stands in the version, where it comes from, bytes
_LARGEST_HEAD: Final = 64 << 10
_PIECE: Final = 1 << 20
_PATIENCE: Final = 50  # tenths of a second that another one may hold the deltas of a shared trash
_NO_LINK: Final = UNSUPPORTED | {errno.EPERM, errno.EMLINK, errno.EXDEV}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a delta says of itself: the version's size and digest, the version it is made from."""

    size: int
    digest: str
    base: Kept
    spans: int


@dataclass(slots=True)
class _Span:
    """A part of a version: from the literals of its delta (`literal`), or from the version below."""

    start: int
    size: int
    literal: bool
    source: int


class Deltas:
    """The deltas of one open trash. For one thread."""

    def __init__(self, trash: Trash, fd: int, *, least: int = LARGE) -> None:
        self._trash = trash
        self._least = least
        self._fs = trash.fs
        self._fd = fd
        self._cursor = DirectoryCursor(trash.fs, fd)

    def close(self) -> None:
        self._cursor.__exit__(None, None, None)

    # -- looking -------------------------------------------------------------------

    def all(self) -> dict[Kept, Head]:
        """Every delta. Raises OSError; what is damaged is left out, and left where it is."""
        found: dict[Kept, Head] = {}
        for batch in self._batches():
            for path in self._below(batch):
                kept = Kept(batch, path)
                head = self.head(kept)
                if head is not None:
                    found[kept] = head
        return found

    def head(self, kept: Kept) -> Head | None:
        """What stands in the place of a version, if that is a delta. Raises OSError."""
        try:
            dir_fd, name = self._cursor.parent(f"{kept.batch}/{kept.path}")
            there = self._fs.stat(name, dir_fd)
            dir_fd, name = self._cursor.parent(_mark(kept))
            if not there.st_ino or self._fs.stat(name, dir_fd).st_ino != there.st_ino:
                return None
            with self._open(kept) as fd:
                return _read_head(self._fs, fd)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise

    def _batches(self) -> list[str]:
        try:
            return sorted(name for name, st in self._fs.scan(self._cursor.enter(PRIVATE)) if _is_folder(st))
        except FileNotFoundError:
            return []

    def _below(self, batch: str) -> Iterator[RelPath]:
        top = join(PRIVATE, batch)
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            for name, st in sorted(self._fs.scan(self._cursor.enter(directory))):
                if _is_folder(st):
                    waiting.append(join(directory, name))
                else:
                    yield join(directory, name)[len(top) + 1 :]

    # -- changing ------------------------------------------------------------------

    def compact(self, older: Kept, newer: Kept) -> int | None:
        """Lets the older version take less room; answers the bytes saved (0: it does not pay).

        None: not now, since one of them may still be written to. Raises OSError.
        """
        if self.head(older) is not None or self.head(newer) is not None:
            return 0
        with ExitStack() as stack:
            old, new = stack.enter_context(self._open(older)), stack.enter_context(self._open(newer))
            seen = self._fs.fstat(old), self._fs.fstat(new)
            if not all(stat.kind(st) is Kind.FILE and self._least <= st.st_size <= MOST for st in seen):
                return 0
            if not seen[0].st_ino:
                return 0  # a file system on which inodes mean nothing
            if any(st.st_nlink != 1 for st in seen) or not all(map(self._fs.is_unwritten, (old, new))):
                return None
            if self._fs.has_attributes(old) or self._chain(older) >= CHAIN - 1:
                return 0
            try:
                return self._replace(older, newer, old, new, seen[0])
            except (BadDelta, LocalError):
                return 0  # the search takes too long, or there is no librsync

    def _chain(self, kept: Kept) -> int:
        """How long the longest chain of deltas is that ends at a version."""
        versions = [Kept(batch, kept.path) for batch in self._batches()]
        heads = {version: head for version in versions if (head := self.head(version)) is not None}
        depth, above = 0, {kept}
        while above := {k for k, head in heads.items() if head.base in above}:
            depth += 1
        return depth

    def _replace(self, older: Kept, newer: Kept, old: int, new: int, seen: stat_result) -> int:
        base = _Whole(self._fs, new)
        with self._passing_name() as (name, dir_fd, fd):
            made = _write(self._fs, fd, base, _Whole(self._fs, old), newer)
            if made is None or self._fs.fstat(fd).st_size * SMALL > seen.st_size:
                return 0
            size, digest = self._fs.fstat(fd).st_size, made
            reading = self._fs.open_read(name, dir_fd)
            try:
                head = _read_head(self._fs, reading)
                if head is None or _digest(_Delta(self._fs, reading, head, base)) != digest:
                    return 0  # a false match of the search: rare, and harmless here
            finally:
                self._fs.close(reading)
            self._fs.set_mode(fd, seen.st_mode & 0o777)
            self._fs.set_times(fd, seen.st_mtime_ns)
            self._fs.sync(fd)
            if not self._mark(older, name, dir_fd):
                return 0
            directory, last = self._cursor.parent(f"{older.batch}/{older.path}")
            if not is_same(self._fs, last, directory, seen) or not self._fs.is_unwritten(old):
                self.unmark(older)
                return 0
            self._fs.rename(name, dir_fd, last, directory)
            self._fs.sync(directory)
        return seen.st_size - size

    def make_whole(self, kept: Kept) -> int:
        """The version itself takes the place of its delta; answers the bytes more (0: it was whole).

        Raises OSError; BadDelta where it cannot be made any more, and then nothing is changed.
        """
        head = self.head(kept)
        if head is None:
            return 0
        with ExitStack() as stack:
            version = self._content(kept, stack)
            delta = stack.enter_context(self._open(kept))
            seen = self._fs.fstat(delta)
            with self._passing_name() as (name, dir_fd, fd):
                hasher = blake3()
                write_all(self._fs, fd, _hashed(_pieces(version), hasher))
                if hasher.hexdigest() != head.digest:
                    raise _damaged(kept)
                self._fs.set_mode(fd, seen.st_mode & 0o777)
                self._fs.set_times(fd, seen.st_mtime_ns)
                self._fs.sync(fd)
                directory, last = self._cursor.parent(f"{kept.batch}/{kept.path}")
                self._fs.rename(name, dir_fd, last, directory)
                self._fs.sync(directory)
        self.unmark(kept)
        return head.size - seen.st_size

    def release(self, leaving: Iterable[Kept], batches: Iterable[str] = ()) -> None:
        """Makes whole what is made from versions that are about to leave the trash.

        `leaving`, and all in `batch`. Raises OSError: then nothing may leave.
        """
        gone, folders = set(leaving), set(batches)
        for kept, head in self.all().items():
            stays = kept not in gone and kept.batch not in folders
            if stays and (head.base in gone or head.base.batch in folders):
                try:
                    self._trash.resize(kept, self.make_whole(kept))
                except BadDelta:
                    continue  # damaged: nothing is gained by keeping what it was made from

    def unmark(self, kept: Kept) -> None:
        """What stands in the place of a version is no delta (any more)."""
        place = _mark(kept)
        try:
            dir_fd, name = self._cursor.parent(place)
            self._fs.unlink(name, dir_fd)
            while (place := split(place)[0]) != PRIVATE:
                dir_fd, name = self._cursor.parent(place)
                self._fs.rmdir(name, dir_fd)
        except OSError as error:
            if error.errno not in (*GONE, errno.ENOTEMPTY, errno.EEXIST):
                raise

    def unmark_batch(self, batch: str) -> None:
        """The same for all of a run's folder."""
        for path in list(self._below(batch)) if batch in self._batches() else ():
            self.unmark(Kept(batch, path))

    def _mark(self, kept: Kept, name: str, dir_fd: int) -> bool:
        """Links the delta that is about to take a place to the same place under `.syncer`."""
        self.unmark(kept)
        place = _mark(kept)
        try:
            done = ""
            for part in split(place)[0].split("/"):
                parent = self._cursor.enter(done)
                try:
                    self._fs.mkdir(part, parent, 0o700)
                    self._fs.sync(parent)
                except FileExistsError:
                    pass
                done = join(done, part)
            directory, last = self._cursor.parent(place)
            self._fs.link(name, dir_fd, last, directory)
            self._fs.sync(directory)
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise
        return True

    # -- contents ------------------------------------------------------------------

    def _content(self, kept: Kept, stack: ExitStack, depth: int = 0) -> Readable:
        """A version, whole or not. Raises BadDelta where something that it is made from is missing."""
        head = self.head(kept)
        try:
            fd = stack.enter_context(self._open(kept))
        except OSError as error:
            if error.errno in GONE:
                raise _damaged(kept) from error
            raise
        if head is None:
            return _Whole(self._fs, fd)
        if depth > 2 * CHAIN:
            raise _damaged(kept)
        return _Delta(self._fs, fd, head, self._content(head.base, stack, depth + 1))

    @contextmanager
    def _open(self, kept: Kept) -> Iterator[int]:
        dir_fd, name = self._cursor.parent(f"{kept.batch}/{kept.path}")
        fd = self._fs.open_read(name, dir_fd)
        try:
            yield fd
        finally:
            self._fs.close(fd)

    @contextmanager
    def _passing_name(self) -> Iterator[tuple[str, int, int]]:
        """A new file under `.syncer`: its name, the directory, the file; gone at the end if it still is."""
        top = self._cursor.enter("")
        try:
            self._fs.mkdir(PRIVATE, top, 0o700)
            self._fs.sync(top)
        except FileExistsError:
            pass
        dir_fd = self._fs.open_directory(".", self._cursor.enter(PRIVATE))
        try:
            name = f"{TEMPORARY}{secrets.token_hex(8)}"
            fd = self._fs.create(name, dir_fd)
            try:
                yield name, dir_fd, fd
            finally:
                self._fs.close(fd)
                drop_quietly(self._fs, name, dir_fd)
        finally:
            self._fs.close(dir_fd)

    def sweep(self) -> None:
        """Removes what a dead one left: files under passing names, links of folders that are gone."""
        for name, st in list(self._fs.scan(self._cursor.enter(PRIVATE))):
            if name.startswith(TEMPORARY):
                drop_quietly(self._fs, name, self._cursor.enter(PRIVATE))
            elif _is_folder(st) and not exists(self._fs, name, self._cursor.enter("")):
                self.unmark_batch(name)


def heads(trash: Trash, fd: int) -> dict[Kept, Head]:
    """Every delta of an open trash, as they stand at this moment. Raises OSError."""
    deltas = Deltas(trash, fd)
    try:
        return deltas.all()
    finally:
        deltas.close()


@contextmanager
def opened(trash: Trash) -> Iterator[Deltas | None]:
    """The deltas of a trash that has some, for this one alone; None where there are none. Raises OSError."""
    try:
        fd = trash.open(make=False)
    except FileNotFoundError:
        yield None
        return
    try:
        with _alone(trash, fd, make=False) as there:
            if not there:
                yield None
                return
            deltas = Deltas(trash, fd)
            try:
                yield deltas
            finally:
                deltas.close()
    finally:
        trash.fs.close(fd)


def compact(trash: Trash, new: Sequence[Kept], *, least: int = LARGE) -> list[Kept]:
    """Lets the versions before these new ones take less room; answers those to be tried again later.

    Files of less than `least` bytes are left as they are. What was saved is in `trash.resized`.
    Raises OSError.
    """
    if not new:
        return []
    again: list[Kept] = []
    fd = trash.open(make=True)
    try:
        with _alone(trash, fd, make=True):
            deltas = Deltas(trash, fd, least=least)
            try:
                deltas.sweep()
                for newer in sorted(new, key=_age):
                    older = _before(trash, fd, newer)
                    saved = deltas.compact(older, newer) if older is not None else 0
                    if saved is None:
                        again.append(newer)
                    elif older is not None:
                        trash.resize(older, -saved)
            finally:
                deltas.close()
    finally:
        trash.fs.close(fd)
    return again


def _before(trash: Trash, fd: int, newer: Kept) -> Kept | None:
    """The version of a path that went to the trash before that one. Raises OSError."""
    names = [Kept(name, newer.path) for name, _ in trash.fs.scan(fd) if is_batch(name)]
    with DirectoryCursor(trash.fs, fd) as cursor:
        for kept in sorted((k for k in names if _age(k) < _age(newer)), key=_age, reverse=True):
            try:
                dir_fd, name = cursor.parent(f"{kept.batch}/{kept.path}")
                trash.fs.stat(name, dir_fd)
            except OSError as error:
                if error.errno in GONE:
                    continue
                raise
            return kept
    return None


def _age(kept: Kept) -> tuple[int, int, int, str]:
    """The order in which versions went to the trash."""
    return (*order(kept.batch), kept.batch)


@contextmanager
def _alone(trash: Trash, fd: int, *, make: bool) -> Iterator[bool]:
    """For this one alone, of all processes and machines; False where there is no folder for deltas.

    Raises BlockingIOError if another one takes too long.
    """
    fs = trash.fs
    try:
        if make:
            try:
                fs.mkdir(PRIVATE, fd, 0o700)
            except FileExistsError:
                pass
        lock = fs.open_directory(PRIVATE, fd)
    except FileNotFoundError:
        yield False
        return
    try:
        for _ in range(_PATIENCE):
            if fs.try_lock(lock):
                break
            trash.clock.sleep(0.1)
        else:
            raise BlockingIOError(errno.EAGAIN, "another Syncer works on this trash")
        yield True
    finally:
        fs.close(lock)


def _mark(kept: Kept) -> RelPath:
    return f"{PRIVATE}/{kept.batch}/{kept.path}"


def _is_folder(st: stat_result) -> bool:
    return stat.kind(st) is Kind.DIRECTORY


def _damaged(kept: Kept) -> BadDelta:
    return BadDelta(
        f"{printable(kept.path)}: this version in the trash is damaged: what it is made from is not there",
        hint="another version of it may be; see syncer trash list",
        path=kept.path,
    )


# -- the format --------------------------------------------------------------------------


@dataclass(slots=True)
class _Whole:
    """A file as it is."""

    fs: FileSystem
    fd: int

    @property
    def size(self) -> int:
        return self.fs.fstat(self.fd).st_size

    def read(self, offset: int, size: int) -> bytes:
        return self.fs.read_at(self.fd, size, offset)


@dataclass(slots=True)
class _Delta:
    """A version that is made from another one. Raises BadDelta where the file is no delta."""

    fs: FileSystem
    fd: int
    head: Head
    base: Readable
    spans: list[_Span] = field(init=False)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.spans = _read_spans(self.fs, self.fd, self.head)
        self.starts = [span.start for span in self.spans]

    @property
    def size(self) -> int:
        return self.head.size

    def read(self, offset: int, size: int) -> bytes:
        made = bytearray()
        at, end = offset, min(offset + size, self.head.size)
        while at < end:
            span = self.spans[bisect_right(self.starts, at) - 1]
            far = at - span.start
            wanted = min(span.size - far, end - at)
            if span.literal:
                data = self.fs.read_at(self.fd, wanted, span.source + far)
            else:
                data = self.base.read(span.source + far, wanted)
            if not data:
                raise BadDelta("a version in the trash is made from one that ends early")
            made += data
            at += len(data)
        return bytes(made)


def _pieces(version: Readable) -> Iterator[bytes]:
    at = 0
    while data := version.read(at, _PIECE):
        yield data
        at += len(data)


def _digest(version: Readable) -> str:
    hasher = blake3()
    for _ in _hashed(_pieces(version), hasher):
        pass
    return hasher.hexdigest()


def _hashed(pieces: Iterable[bytes], hasher: Any) -> Iterator[bytes]:
    for piece in pieces:
        hasher.update(piece)
        yield piece


def _write(fs: FileSystem, fd: int, base: Readable, version: Readable, name: Kept) -> str | None:
    """Writes the delta that makes the version from the base; its digest. None: it gets too large."""
    found = difference(BlockIndex.of(_pieces(base), size=base.size), _pieces(version))
    spans: list[_Span] = []
    start = literals = 0
    for command in found:
        if isinstance(command, Copy):
            size, span = command.size, _Span(start, command.size, False, command.offset)
        else:
            size, span = len(command.data), _Span(start, len(command.data), True, literals)
            literals += size
            if literals * SMALL > version.size:
                return None
            write_all(fs, fd, [command.data])
        start += size
        if spans and _joins(spans[-1], span):
            spans[-1].size += size
        elif size:
            spans.append(span)
        if len(spans) * _SPAN.size * SMALL > version.size:
            return None
    index = b"".join(
        _SPAN.pack(span.start, -1 - span.source if span.literal else span.source, span.size) for span in spans
    )
    told = {
        "size": start,
        "digest": found.digest.hex(),
        "base": [name.batch, name.path],
        "spans": len(spans),
    }
    head = json.dumps(told).encode("ascii")
    write_all(fs, fd, [index, head, _END.pack(len(head), _MAGIC)])
    return found.digest.hex()


def _joins(before: _Span, span: _Span) -> bool:
    return before.literal is span.literal and before.source + before.size == span.source


def _read_head(fs: FileSystem, fd: int) -> Head | None:
    """None where the file is no delta."""
    size = fs.fstat(fd).st_size
    end = fs.read_at(fd, _END.size, max(size - _END.size, 0))
    if len(end) != _END.size or not end.endswith(_MAGIC):
        return None
    length = min(_END.unpack(end)[0], _LARGEST_HEAD, size - _END.size)
    try:
        told = json.loads(fs.read_at(fd, length, size - _END.size - length))
        batch, path = told["base"]
        return Head(size=told["size"], digest=told["digest"], base=Kept(batch, path), spans=told["spans"])
    except (ValueError, KeyError, TypeError):
        return None


def _read_spans(fs: FileSystem, fd: int, head: Head) -> list[_Span]:
    size = fs.fstat(fd).st_size
    [length] = struct.unpack_from(">I", fs.read_at(fd, _END.size, size - _END.size))
    most = head.spans * _SPAN.size
    index = fs.read_at(fd, most, size - _END.size - length - most)
    if len(index) != most:
        raise BadDelta("the index of a version in the trash is cut short")
    spans = []
    at = 0
    for start, source, part in _SPAN.iter_unpack(index):
        if start != at or part <= 0:
            raise BadDelta("the index of a version in the trash is damaged")
        spans.append(_Span(start, part, source < 0, -1 - source if source < 0 else source))
        at += part
    if at != head.size:
        raise BadDelta("the index of a version in the trash is damaged")
    return spans
