"""Restores files from the trash, and empties it by age.

Restoring never clobbers: a name that is taken is `Stale`. Nothing leaves the trash before it
is durable at its name. Only whole runs' folders are emptied, and only by `empty`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from os import stat_result

from blake3 import blake3

from syncer.engine.interfaces import LocalBasis, Results, TransferStats, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Outcome, RelPath
from syncer.engine.paths import join, parts, printable, split, tree_key
from syncer.errors import ChangedUnderUs
from syncer.stores.common import beyond
from syncer.stores.local import stat, trash_deltas, write
from syncer.stores.local.batch import (
    MEBIBYTE,
    NO_LINK,
    BatchOutcomes,
    copy_file,
    drop_quietly,
    rename_noreplace,
)
from syncer.stores.local.delete import MODE
from syncer.stores.local.errors import reading
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import DirectoryCursor, FolderRoot
from syncer.stores.local.trash import Kept, Trash, is_batch, named, order
from syncer.stores.local.trash_deltas import Head
from syncer.stores.stale import StaleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """One thing in the trash. `taken_ns`: when its run began; `size` of the content, in bytes; `room`: what
    it takes in the trash, less where it is kept as a difference.

    `run` is the run's name; of another machine's run, in a trash that is shared, with that machine's mark.
    """

    kept: Kept
    run: str
    taken_ns: int
    kind: Kind
    size: int
    room: int
    mtime_ns: int

    @property
    def path(self) -> RelPath:
        """Where it was before."""
        return self.kept.path

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts things by when they were taken, also those of one second."""
        return order(self.kept.batch)


def contents(trash: Trash) -> Iterator[Trashed]:
    """Everything in the trash, oldest run first, paths in order. Raises OSError."""
    try:
        fd = trash.open(make=False)
    except FileNotFoundError:
        return
    try:
        heads = trash_deltas.heads(trash, fd)
        with DirectoryCursor(trash.fs, fd) as cursor:
            for batch in sorted(name for name, _ in trash.fs.scan(fd) if is_batch(name)):
                yield from _within(trash, cursor, batch, heads)
    finally:
        trash.fs.close(fd)


def _within(
    trash: Trash, cursor: DirectoryCursor, batch: str, heads: Mapping[Kept, Head]
) -> Iterator[Trashed]:
    taken_ns, run, owner = named(batch)
    for path, st in _walk(trash.fs, cursor, batch):
        kind = stat.kind(st)
        if kind not in (None, Kind.DIRECTORY):
            kept = Kept(batch, path[len(batch) + 1 :])
            yield Trashed(
                kept=kept,
                run=run if owner in ("", trash.owner) else f"{run}@{owner}",
                taken_ns=taken_ns,
                kind=kind,
                size=heads[kept].size if kept in heads else st.st_size,
                room=st.st_size,
                mtime_ns=st.st_mtime_ns,
            )


def _walk(fs: FileSystem, cursor: DirectoryCursor, top: RelPath) -> Iterator[tuple[RelPath, stat_result]]:
    """Everything below a directory, directories before what is in them."""
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        found = sorted((join(directory, name), st) for name, st in fs.scan(cursor.enter(directory)))
        yield from found
        waiting += reversed([path for path, st in found if stat.kind(st) is Kind.DIRECTORY])


def batches(trash: Trash) -> list[str]:
    """The folders of runs of this trash's owner (all, where it has none), oldest name first. Raises OSError.

    Those whose names tell no owner, written by earlier versions, are among them.
    """
    try:
        fd = trash.open(make=False)
    except FileNotFoundError:
        return []
    try:
        names = [name for name, _ in trash.fs.scan(fd) if is_batch(name)]
    finally:
        trash.fs.close(fd)
    return sorted(name for name in names if not trash.owner or named(name)[2] in ("", trash.owner))


def run_of(batch: str) -> str:
    """The name of the run that a folder is named after."""
    return named(batch)[1]


def owned(batch: str) -> bool:
    """Whether the name of a run's folder tells whose run it was."""
    return bool(named(batch)[2])


def weigh(trash: Trash, batch: str) -> int:
    """The bytes of all files in the folder of a run; 0 where it is gone. Raises OSError."""
    fd = trash.open(make=False)
    try:
        with DirectoryCursor(trash.fs, fd) as cursor:
            found = [st for _, st in _walk(trash.fs, cursor, batch)]
    except FileNotFoundError:
        return 0
    finally:
        trash.fs.close(fd)
    return sum(st.st_size for st in found if stat.kind(st) is not Kind.DIRECTORY)


def drop(trash: Trash, names: Iterable[str]) -> tuple[int, int]:
    """Removes the folders of these runs for good; answers (files, bytes). Raises OSError."""
    files = size = 0
    wanted = list(names)
    if not wanted:
        return 0, 0
    fd = trash.open(make=False)
    try:
        with trash_deltas.opened(trash) as deltas, DirectoryCursor(trash.fs, fd) as cursor:
            if deltas is not None:
                deltas.release((), wanted)
            for batch in wanted:
                try:
                    count, weight = _remove(trash.fs, cursor, batch)
                except FileNotFoundError:
                    continue  # emptied by hand meanwhile
                if deltas is not None:
                    deltas.unmark_batch(batch)
                files, size = files + count, size + weight
    finally:
        trash.fs.close(fd)
    return files, size


def drop_versions(trash: Trash, versions: Iterable[Kept]) -> None:
    """Removes single things for good, and the directories that are empty then. Raises OSError."""
    wanted = sorted(versions, key=lambda kept: tree_key(f"{kept.batch}/{kept.path}"))
    if not wanted:
        return
    fd = trash.open(make=False)
    try:
        with trash_deltas.opened(trash) as deltas, DirectoryCursor(trash.fs, fd) as cursor:
            if deltas is not None:
                deltas.release(wanted)
            for kept in wanted:
                _drop_version(trash.fs, cursor, f"{kept.batch}/{kept.path}")
                if deltas is not None:
                    deltas.unmark(kept)
    finally:
        trash.fs.close(fd)


def _drop_version(fs: FileSystem, cursor: DirectoryCursor, place: RelPath) -> None:
    try:
        dir_fd, name = cursor.parent(place)
        fs.unlink(name, dir_fd)
        while directory := split(place)[0]:
            place = directory
            dir_fd, name = cursor.parent(place)
            fs.rmdir(name, dir_fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
            raise


def restore(ground: FolderRoot, trash: Trash, kept: Kept, to: RelPath = "") -> Outcome:
    """Puts a thing back to its path (or to another one), making directories where they are gone.

    `Stale` if the name is taken, or if the thing is no longer in the trash.
    """
    path = to or kept.path
    outcomes = BatchOutcomes(ground)
    with ground.cursor() as cursor:
        if outcomes.attempt(0, path, lambda: _restore(ground, trash, kept, path, cursor)):
            return Done()
    return outcomes.ended[0]


def _restore(ground: FolderRoot, trash: Trash, kept: Kept, path: RelPath, cursor: DirectoryCursor) -> None:
    fs = ground.fs
    fd = trash.open(make=False)
    try:
        with trash_deltas.opened(trash) as deltas, DirectoryCursor(fs, fd) as bin_cursor:
            if deltas is not None:
                trash.resize(kept, deltas.make_whole(kept))
                deltas.release([kept])
            bin_fd, name = bin_cursor.parent(f"{kept.batch}/{kept.path}")
            seen = fs.stat(name, bin_fd)
            _make_way(ground, cursor, split(path)[0])
            dir_fd, new = cursor.parent(path)
            _bring(ground, name, bin_fd, new, dir_fd, seen, path)
            fs.sync(dir_fd)
            fs.unlink(name, bin_fd)
            trash.resize(kept, -seen.st_size)
            fs.sync(bin_fd)
    finally:
        fs.close(fd)


def _bring(
    ground: FolderRoot, name: str, bin_fd: int, new: str, dir_fd: int, seen: stat_result, path: RelPath
) -> None:
    """A second name at the root: what is in the trash stays there until this is durable."""
    fs = ground.fs
    try:
        return fs.link(name, bin_fd, new, dir_fd)
    except FileExistsError:
        raise StaleError(f"{printable(path)} is there already") from None
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
    if stat.kind(seen) is Kind.SYMLINK:
        return fs.symlink(fs.readlink(name, bin_fd), new, dir_fd)
    temporary = ground.temporary()
    copy_file(fs, name, bin_fd, temporary, dir_fd, seen)
    try:
        rename_noreplace(fs, temporary, dir_fd, new, dir_fd, spare=True)
    except FileExistsError:
        drop_quietly(fs, temporary, dir_fd)
        raise StaleError(f"{printable(path)} is there already") from None


def _make_way(ground: FolderRoot, cursor: DirectoryCursor, directory: RelPath) -> None:
    done = ""
    for part in parts(directory):
        above = cursor.enter(done)
        try:
            ground.fs.mkdir(part, above, MODE)
            ground.fs.sync(above)
        except FileExistsError:
            pass  # as it should be; a file there stops the walk
        done = join(done, part)


def empty(trash: Trash, *, older_than_ns: int) -> tuple[int, int]:
    """Removes the folders of runs that began before that moment; answers (files, bytes) removed.

    Raises OSError; what was removed until then stays removed.
    """
    try:
        fd = trash.open(make=False)
    except FileNotFoundError:
        return 0, 0
    try:
        old = [name for name, _ in trash.fs.scan(fd) if _is_older(name, older_than_ns)]
    finally:
        trash.fs.close(fd)
    return drop(trash, old)


def _is_older(name: str, moment_ns: int) -> bool:
    return is_batch(name) and named(name)[0] < moment_ns


def _remove(fs: FileSystem, cursor: DirectoryCursor, batch: str) -> tuple[int, int]:
    """Deepest first, never through a symlink."""
    everything = list(_walk(fs, cursor, batch))
    files = [(path, st) for path, st in everything if stat.kind(st) is not Kind.DIRECTORY]
    for path, _ in files:
        dir_fd, name = cursor.parent(path)
        fs.unlink(name, dir_fd)
    folders = [batch, *(path for path, st in everything if stat.kind(st) is Kind.DIRECTORY)]
    for path in sorted(folders, key=tree_key, reverse=True):
        dir_fd, name = cursor.parent(path)
        fs.rmdir(name, dir_fd)
    return len(files), sum(st.st_size for _, st in files)


# --------------------------------------------------------------------------------
#
# Content from the trash as content to be put: it takes its name, and what stands there goes, in one step.
#
# For a name that is taken; to a free one `trashcan.restore` leads. What is put back stays in the trash as
# well, until it is emptied: a copy too many is better than a step in which there is none.


def put_back(ground: FolderRoot, trash: Trash, wanted: Sequence[tuple[Kept, Entry]]) -> Results:
    """Puts things back over what stands at their names, by the protocol of every other put.

    Raises OSError where the root cannot be opened.
    """
    ground.root_fd()  # the trash is looked at as the root's file system wants to be looked at
    outcomes = BatchOutcomes(ground)
    puts: dict[int, WriteRequest] = {}
    for index, (kept, expected) in enumerate(wanted):
        outcomes.attempt(index, kept.path, partial(_find, puts, index, trash, kept, expected))
    found = list(puts)
    for number, outcome in write.put(ground, trash, list(puts.values())):
        outcomes.ended[found[number]] = outcome
    yield from outcomes.results()


def _find(puts: dict[int, WriteRequest], index: int, trash: Trash, kept: Kept, expected: Entry) -> None:
    puts[index] = item(trash, kept, expected)


def item(trash: Trash, kept: Kept, expected: Entry) -> WriteRequest:
    """A put of what is kept to its own path, where `expected` stands.

    Raises OSError, StaleError, BadDelta.
    """
    fs = trash.fs
    with trash_deltas.opened(trash) as deltas:
        if deltas is not None:
            trash.resize(kept, deltas.make_whole(kept))
    with _opened(trash, kept) as (fd, name):
        seen = fs.stat(name, fd)
        kind = stat.kind(seen)
        if kind not in (Kind.FILE, Kind.SYMLINK):
            raise StaleError(f"{printable(kept.path)} is no file in the trash")
        is_file = kind is Kind.FILE
        return WriteRequest(
            path=kept.path,
            kind=kind,
            source=KeptSource(trash, kept, seen) if is_file else None,
            size=seen.st_size,
            expected=expected,
            mtime_ns=stat.mtime(seen),
            executable=stat.executable(seen) if is_file else None,
            target=None if is_file else fs.readlink(name, fd),
        )


@contextmanager
def _opened(trash: Trash, kept: Kept) -> Iterator[tuple[int, str]]:
    """The directory in the trash that holds a thing, and its name there."""
    fd = trash.open(make=False)
    try:
        with DirectoryCursor(trash.fs, fd) as cursor:
            yield cursor.parent(f"{kept.batch}/{kept.path}")
    finally:
        trash.fs.close(fd)


@dataclass(slots=True)
class KeptSource:
    """The content of a file in the trash (`engine.interfaces.Source`); late writers may still add to it."""

    trash: Trash
    kept: Kept
    seen: stat_result
    read: Entry | None = field(default=None)

    @property
    def entry(self) -> Entry:
        if self.read is None:
            raise self._changed()
        return self.read

    @property
    def traffic(self) -> TransferStats | None:
        return None

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Everything is read, as from a folder."""
        self.read = None
        pieces = self._pieces()
        return pieces if basis is None or not basis.start else beyond(pieces, basis.start)

    def _pieces(self) -> Iterator[bytes]:
        fs = self.trash.fs
        try:
            with _opened(self.trash, self.kept) as (fd, name):
                file = fs.open_read(name, fd)
            try:
                yield from self._verified(file)
            finally:
                fs.close(file)
        except OSError as error:
            raise reading(error, self.kept.path) from error

    def _verified(self, fd: int) -> Iterator[bytes]:
        fs, hasher, held = self.trash.fs, blake3(), b""
        now = self.trash.clock.now_ns()
        while chunk := fs.read(fd, MEBIBYTE):
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        after = fs.fstat(fd)
        if stat.identity(after) != stat.identity(self.seen):
            raise self._changed()
        self.read = stat.file_entry(after, now, hasher.digest())
        if held:
            yield held

    def _changed(self) -> ChangedUnderUs:
        path = self.kept.path
        return ChangedUnderUs(f"{printable(path)} changed in the trash while it was read", path=path)
