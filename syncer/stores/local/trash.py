"""The trash of a folder store: replaced and deleted content, kept as it was, under its own path.

    TRASH/20261121-104700-12/docs/a.txt              taken by run 12, which began then (UTC)
    TRASH/20261121-104700-12~2/docs/a.txt            the same path again in the same run
    TRASH/20261121-104700-12.9f86d081/docs/a.txt     in a trash that several machines share: by whose run 12

A file is kept by a hard link, so bytes that a late writer still sends to it land here; a copy
is made where a link cannot be. Nothing leaves its name before the trash is durable
(`TrashSession.sync`). Listing, restoring and emptying are in `trash_restore`.
"""

from __future__ import annotations

import errno
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from os import stat_result
from types import TracebackType

from syncer.engine.interfaces import Clock
from syncer.engine.model import Kind, RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, TRASH, tree_key
from syncer.engine.paths import split as split_path
from syncer.errors import LocalError
from syncer.stores.local.batch import NO_LINK, copy_file, drop_quietly, is_same, rename_noreplace
from syncer.stores.local.errors import GONE
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import DirectoryCursor
from syncer.stores.local.root_marker import check_owner
from syncer.stores.local.stat import identity, kind

FOLDER = TRASH
LARGE = 8 << 20
"""Bytes of a file whose versions are worth looking at again (`trash_deltas`)."""
_BATCH = re.compile(r"(\d{8}-\d{6})-(.+?)(?:\.([0-9a-f]{8,32}))?(?:~(\d+))?")
_FEW = 32  # more directories than this are made durable by one syncfs
_LAST_GENERATION = 1 << 40
_TRIES = 100
_HINTS = 10_000  # paths of which is remembered how many versions went to the batch
_TAKEN = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ELOOP})  # also where a directory is needed


@dataclass(frozen=True, slots=True)
class Kept:
    """Where something went: the batch (a run's folder) and its path there."""

    batch: str
    path: RelPath


def is_batch(name: str) -> bool:
    """Whether the name can be that of a run's folder in a trash."""
    return _BATCH.fullmatch(name) is not None


def named(batch: str) -> tuple[int, str, str]:
    """When a run's folder was begun (nanoseconds since 1970), the run's name, and whose run it was."""
    match = _BATCH.fullmatch(batch)
    if match is None:
        return 0, "", ""
    try:
        moment = datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return 0, match[2], match[3] or ""
    return int(moment.timestamp()) * 10**9, match[2], match[3] or ""


def order(batch: str) -> tuple[int, int, int]:
    """Sorts the folders of runs: the moment, the number of the run, the generation within it."""
    moment_ns, run, _ = named(batch)
    match = _BATCH.fullmatch(batch)
    generation = int(match[4]) if match and match[4] else 1
    return moment_ns, int(run) if run.isdecimal() else 0, generation


class Trash:
    """One trash directory. Made when first needed; safe to share between threads."""

    def __init__(
        self,
        anchor: Callable[[], int],
        below: tuple[str, ...],
        *,
        fs: FileSystem,
        clock: Clock,
        run: str,
        owner: str = "",
    ) -> None:
        """`anchor` opens the directory in which the path `below` is made (the caller's to close).

        `owner`: hex digits that no other machine and no other state directory has; "" in a trash that is
        not shared.
        """
        self.fs = fs
        self.clock = clock
        self.owner = owner
        self._anchor = anchor
        self._below = below
        self._run = run
        self._batch = ""
        self._rooted = False
        self.unsynced: set[RelPath] = set()  # what a failed sync left uncertain, for the next session to sync
        self.log: dict[Kept, int] | None = None  # if asked for: what went here, and its size in bytes
        self.on_large: Callable[[Kept], None] | None = None  # if given: told of each `LARGE` thing kept here
        self.resized: dict[Kept, int] = {}  # what takes more or less room than it did, by so many bytes
        self._generations: dict[RelPath, int] = {}  # where the next version of a path is tried first
        self._lock = threading.Lock()

    @classmethod
    def at(cls, directory: str, *, fs: FileSystem, clock: Clock, run: str = "run") -> Trash:
        """A trash in a directory of ours on the same file system as the root: DIRECTORY/trash.

        `run` names this run in the trash; it must be a plain word.
        """
        return cls(lambda: fs.open_root(directory), (FOLDER,), fs=fs, clock=clock, run=run)

    @classmethod
    def inside(cls, root: str, *, fs: FileSystem, clock: Clock, run: str = "run", owner: str = "") -> Trash:
        """A trash under `.syncer` at the root itself: every machine that has this root puts things there."""
        return cls(lambda: fs.open_root(root), (PRIVATE, FOLDER), fs=fs, clock=clock, run=run, owner=owner)

    def use(self, fs: FileSystem) -> None:
        """From here on the disk is this one: the root's, as its file system wants to be used."""
        self.fs = fs

    @property
    def name(self) -> str:
        """Its path below the directory it is in: tells one of several trashes from another."""
        return "/".join(self._below)

    def batch(self, generation: int) -> str:
        """The folder of this run; the second thing at one path goes to its `~2`, and so on."""
        with self._lock:
            if not self._batch:
                now = datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC)
                self._batch = f"{now:%Y%m%d-%H%M%S}-{self._run}" + (f".{self.owner}" if self.owner else "")
        return self._batch if generation == 1 else f"{self._batch}~{generation}"

    def note(self, kept: Kept, size: int | None) -> None:
        """Logs, if there is a log, that a thing was kept; without a size: that it was not after all."""
        with self._lock:
            if self.log is not None and size is None:
                self.log.pop(kept, None)
            elif self.log is not None and size is not None:
                self.log[kept] = size
        if self.on_large is not None and size is not None and size >= LARGE:
            self.on_large(kept)

    def resize(self, kept: Kept, by: int) -> None:
        """Notes that a thing takes so many bytes more (less, if negative) than it did."""
        if by:
            with self._lock:
                self.resized[kept] = self.resized.get(kept, 0) + by

    def generations(self, path: RelPath) -> Iterator[int]:
        """The generations to try for one more version of a path, until one is free.

        Few, however many versions there are: behind the last one, or any number if that is not known.
        """
        with self._lock:
            first = self._generations.get(path, 1)
        yield from (first, first + 1)
        yield from (secrets.randbelow(_LAST_GENERATION) + 3 for _ in range(_TRIES))

    def placed(self, path: RelPath, generation: int) -> None:
        """A version of the path went there: the next one is tried behind it."""
        if generation > 1:
            with self._lock:
                self._generations.pop(path, None)
                self._generations[path] = generation + 1
                if len(self._generations) > _HINTS:
                    del self._generations[next(iter(self._generations))]

    def open(self, *, make: bool) -> int:
        """The trash directory's descriptor; the caller closes it. ENOENT unless `make`.

        Its own names are made durable once per run, whoever made them: the one who did may have died.
        """
        try:
            return self._open(make=make and not self._rooted)
        except FileNotFoundError:
            if not make or not self._rooted:
                raise
        return self._open(make=True)  # the trash was emptied by hand

    def _open(self, *, make: bool) -> int:
        fd = self._anchor()
        for name in self._below:
            parent = fd
            try:
                if make:
                    _make(self.fs, name, parent)
                    self.fs.sync(parent)
                fd = self.fs.open_directory(name, parent)
                if name == PRIVATE:
                    self._check_owner(fd, parent)
            finally:
                self.fs.close(parent)
        self._rooted = self._rooted or make
        return fd

    def _check_owner(self, own: int, root: int) -> None:
        try:
            check_owner(self.fs, own, root)
        except LocalError:
            self.fs.close(own)
            raise

    def session(self) -> TrashSession:
        """Keeps things for one batch of work, in one thread."""
        return TrashSession(self)


class TrashSession:
    """Things put into the trash together and made durable by one `sync`."""

    def __init__(self, trash: Trash) -> None:
        self._trash = trash
        self._fs = trash.fs
        self._root_fd: int | None = None
        self._cursor: DirectoryCursor | None = None
        self._inherited = frozenset(trash.unsynced)
        self._dirty: set[RelPath] = set(self._inherited)

    def __enter__(self) -> TrashSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cursor is not None and self._root_fd is not None:
            self._cursor.__exit__(kind, error, trace)
            self._fs.close(self._root_fd)
            self._cursor = None

    def keep(self, name: str, dir_fd: int, path: RelPath, seen: stat_result) -> Kept:
        """A second name in the trash for what is at `name` (not durable before `sync`).

        Raises OSError, or StaleError if it had to be copied and changed meanwhile.
        """
        kept = self._place(path, lambda new, fd: self._link_or_copy(name, dir_fd, new, fd, seen))
        self._trash.note(kept, seen.st_size)
        return kept

    def take(self, name: str, dir_fd: int, path: RelPath) -> Kept:
        """Moves `name` itself into the trash, whatever it is; EXDEV where that is another file system."""
        size = self._fs.stat(name, dir_fd).st_size
        kept = self._place(path, lambda new, fd: rename_noreplace(self._fs, name, dir_fd, new, fd))
        self._trash.note(kept, size)
        return kept

    def is_beside(self, dir_fd: int) -> bool:
        """Whether the trash is on the file system of that directory, so that a rename leads there."""
        self._walk()
        assert self._root_fd is not None
        return self._fs.fstat(self._root_fd).st_dev == self._fs.fstat(dir_fd).st_dev

    def holds(self, kept: Kept, seen: stat_result) -> bool:
        """Whether what was taken is what was seen before, unwritten since."""
        directory, last = split_path(f"{kept.batch}/{kept.path}")
        return is_same(self._fs, last, self._walk().enter(directory), seen)

    def give_back(self, kept: Kept, name: str, dir_fd: int) -> None:
        """Gives what was taken its name again; FileExistsError if that is taken by now: then it stays."""
        directory, last = split_path(f"{kept.batch}/{kept.path}")
        rename_noreplace(self._fs, last, self._walk().enter(directory), name, dir_fd)

    def discard(self, kept: Kept, name: str, dir_fd: int) -> None:
        """Takes back a `keep`, provided that `name` still stands for the same inode."""
        directory, last = split_path(f"{kept.batch}/{kept.path}")
        fd = self._walk().enter(directory)
        if identity(self._fs.stat(last, fd)) == identity(self._fs.stat(name, dir_fd)):
            self._fs.unlink(last, fd)
            self._trash.note(kept, None)

    def sync(self) -> None:
        """Makes durable what was kept so far. Raises OSError, and then no later session forgets it."""
        if not self._dirty:
            return
        try:
            self._sync_directories()
        except OSError:
            self._trash.unsynced |= self._dirty
            raise
        self._trash.unsynced -= self._dirty
        self._dirty.clear()

    def _sync_directories(self) -> None:
        cursor = self._walk()
        if len(self._dirty) > _FEW and self._sync_at_once():
            return
        for path in sorted(self._dirty, key=tree_key):
            try:
                fd = cursor.enter(path)
            except OSError as error:
                if path in self._inherited and error.errno in GONE:
                    continue  # of an earlier session, and taken away since
                raise
            self._fs.sync(fd)

    def _sync_at_once(self) -> bool:
        try:
            self._fs.sync_file_system(self._walk().enter(""))
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            return False
        return True

    def _place(self, path: RelPath, put: Callable[[str, int], None]) -> Kept:
        """Finds the first folder of this run where the path is free, and puts it there."""
        directory, name = split_path(path)
        for generation in self._trash.generations(path):
            batch = self._trash.batch(generation)
            place = f"{batch}/{directory}" if directory else batch
            try:
                self._put(place, name, put)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                continue
            self._dirty.add(place)
            self._trash.placed(path, generation)
            return Kept(batch, path)
        raise FileExistsError(errno.EEXIST, "too many versions of one path in the trash", path)

    def _put(self, place: RelPath, name: str, put: Callable[[str, int], None]) -> None:
        """A directory that was empty may be gone since it was entered (`trash_restore`): made again."""
        try:
            return put(name, self._make_way(place))
        except FileNotFoundError:
            self._walk().rewind()
        put(name, self._make_way(place))

    def _walk(self) -> DirectoryCursor:
        if self._cursor is None:
            self._root_fd = self._trash.open(make=True)
            self._cursor = DirectoryCursor(self._fs, self._root_fd)
        return self._cursor

    def _make_way(self, place: RelPath) -> int:
        cursor = self._walk()
        try:
            return cursor.enter(place)
        except OSError as error:
            if error.errno not in GONE:
                raise
        done = ""
        for part in place.split("/"):
            if _make(self._fs, part, cursor.enter(done)):
                self._dirty.add(done)
            done = f"{done}/{part}" if done else part
        return cursor.enter(place)

    def _link_or_copy(self, name: str, dir_fd: int, new: str, fd: int, seen: stat_result) -> None:
        try:
            return self._fs.link(name, dir_fd, new, fd)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
        if kind(seen) is Kind.SYMLINK:
            return self._fs.symlink(self._fs.readlink(name, dir_fd), new, fd)
        part = f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            copy_file(self._fs, name, dir_fd, part, fd, seen)
            rename_noreplace(self._fs, part, fd, new, fd)
        except Exception:
            drop_quietly(self._fs, part, fd)  # the original still has its name
            raise


def _make(fs: FileSystem, name: str, parent: int) -> bool:
    """Makes a private directory; False if it is there already."""
    try:
        fs.mkdir(name, parent, 0o700)
    except FileExistsError:
        return False
    return True
