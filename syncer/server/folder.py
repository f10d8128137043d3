"""The served folder: its stores, trash, digests, and which paths a client may name.

    with served.store(key, "backup/docs") as store:     # FOLDER/<key.under>/backup/docs
        outcome = next(store.put([...]))
        entry = served.digest_of(store, "a.txt", entry)

All changes go through `ServedStore`. A listing's `leftovers` must not be removed: among them are the
temporary files of requests in flight; `maintenance` removes those that a dead server left.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from secrets import token_hex
from typing import TypeVar
from urllib.parse import quote

from syncer.engine.interfaces import Clock
from syncer.engine.model import Entry, Kind, Listing, RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY, is_private, join, look_alike, parts, printable, unsafe
from syncer.errors import NotFound, PermanentError, SyncerError, Unholdable, Unreadable
from syncer.server.change_feed import ChangeFeed
from syncer.server.digest_cache import DigestCache
from syncer.server.fair_shares import TooManyNames
from syncer.server.trash_bound import TrashIndex
from syncer.stores.local import stat, trash_deltas
from syncer.stores.local.errors import reading
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.packed_listing import Packed
from syncer.stores.local.root import DirectoryCursor
from syncer.stores.local.store import FolderStore
from syncer.stores.local.traits import USUAL, Traits, probe
from syncer.stores.local.trash import FOLDER as TRASH
from syncer.stores.local.trash import Kept, Trash, is_batch

_SOME = 1024  # names that are read without a reservation of memory
_counting: ContextVar[Callable[[int, int], None]] = ContextVar("counting", default=lambda count, chars: None)


@contextmanager
def counting(callback: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block, call back with the number of names that a directory has so far, and their characters.

    An exception of the callback comes out of the scan. It is set for the context of the caller: a thread or
    a task.
    """
    token = _counting.set(callback)
    try:
        yield
    finally:
        _counting.reset(token)


def counted(count: int, chars: int) -> None:
    """Call the callback of `counting` for names that were not read from a scan. Raises what it raises."""
    _counting.get()(count, chars)


class RootedFileSystem(FileSystem):
    """The disk, with the served folder entered through a descriptor that was opened at the start.

    A store names its root by a path. A path at or below the served folder is walked from the descriptor,
    component by component and never through a symlink: so no link planted in the folder, and no directory
    exchanged in it, leads a store outside. Reads can be cancelled, and the names of directories are counted.
    """

    def __init__(self, folder: str) -> None:
        """`folder` is a real path. Raises OSError if it is no directory."""
        self._folder = folder
        self._umask = super().umask()
        self._fd = super().open_root(folder)
        self._stopped = False
        self._thread = threading.local()

    def stop(self) -> None:
        """Fail every read from here on, in every thread."""
        self._stopped = True

    @contextmanager
    def cancellable(self, cancelled: Callable[[], bool], *, removing: bool = False) -> Iterator[None]:
        """In the block, fail this thread's reads (and with `removing` its unlinks) once `cancelled()`."""
        self._thread.cancelled, self._thread.removing = cancelled, removing
        try:
            yield
        finally:
            self._thread.cancelled, self._thread.removing = None, False

    def go_on(self) -> None:
        """Raise OSError if this thread's work is cancelled, or the server stops."""
        cancelled: Callable[[], bool] | None = getattr(self._thread, "cancelled", None)
        if self._stopped or (cancelled is not None and cancelled()):
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    def read(self, fd: int, size: int) -> bytes:
        """Read, unless cancelled."""
        self.go_on()
        return super().read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Read, unless cancelled."""
        self.go_on()
        return super().read_at(fd, size, offset)

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        """Read, unless cancelled."""
        self.go_on()
        return super().scan(fd)

    @contextmanager
    def entries(self, fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Read the entries of a directory, unless cancelled, and counted (`counting`)."""

        def batches(names: Iterator[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
            count = chars = 0
            while some := list(islice(names, _SOME)):
                if len(some) == _SOME:
                    self.go_on()
                    count += _SOME
                    chars += sum(len(entry.name) for entry in some)
                    counted(count, chars)
                yield some

        with super().entries(fd) as names:
            yield chain.from_iterable(batches(names))

    def unlink(self, name: str, dir_fd: int) -> None:
        """Unlink, unless cancelled: maintenance may be interrupted between two files."""
        if getattr(self._thread, "removing", False):
            self.go_on()
        super().unlink(name, dir_fd)

    def umask(self) -> int:
        """The umask as it was at the start: reading it means setting it, while other threads make files."""
        return self._umask

    @property
    def folder_fd(self) -> int:
        """The descriptor of the served folder; held until `release`."""
        return self._fd

    def open_root(self, path: str) -> int:
        """A directory by its absolute path; never through a symlink from the served folder on."""
        if path != self._folder and not path.startswith(self._folder.rstrip("/") + "/"):
            return super().open_root(path)
        below = path[len(self._folder) :].strip("/")
        with DirectoryCursor(self, self._fd) as cursor:
            # A new descriptor of the very directory that the walk ended in: the cursor closes its own.
            return self.open_directory(".", cursor.enter(below))

    def release(self) -> None:
        """Close the descriptor: nothing can be opened from here on."""
        if self._fd >= 0:
            self.close(self._fd)
        self._fd = -1

    def check(self) -> None:
        """Raise OSError if the folder was removed."""
        if self.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._folder)


_MOST_LARGE = 10_000  # versions of large files that wait to be compacted
ErrorT = TypeVar("ErrorT", bound=SyncerError)

IDLE = 60.0
"""Seconds after which an unused store is closed."""
_MOST = 64  # unused stores that are kept open
_BATCH_NS = 3600 * 10**9  # a trash batch is used for an hour
MAX_NAME = 255  # bytes
MAX_PATH = 4096 - 256  # bytes: PATH_MAX with room for the served folder itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What an API key may do: the subfolder that it is confined to ("": none), whether it is read-only."""

    name: str
    under: RelPath = ""
    read_only: bool = False


class ServedStore(FolderStore):
    """A folder store at or below the served folder. `below` is its root, relative to that."""

    def __init__(self, served: ServedFolder, below: RelPath, *, identity: tuple[int, int]) -> None:
        root = served.absolute(below)
        super().__init__(
            root,
            fs=served.fs,
            clock=served.clock,
            tag=served.tag,
            trash=served.trash(below),
            abandoned=served.abandoned,
            traits=served.traits,
        )
        self.below = below
        self.inode = identity
        self.users = 0
        self.used = served.clock.monotonic()
        self.born_ns = served.clock.now_ns()

    def list(self, path: RelPath) -> Listing:
        """See `Store.list`. Raises PermanentError for a directory with too many names for the memory."""
        with _too_many_names_said(path):
            return super().list(path)

    def directories(self, path: RelPath) -> Iterator[str]:
        """Yield the names of the subdirectories. Raises NotFound, Unreadable."""
        with self._entered(path) as fd:
            for name, st in self._ground.fs.scan(fd):
                if stat.kind(st) is Kind.DIRECTORY:
                    yield name

    def list_packed(
        self, path: RelPath, *, hides: Callable[[str], bool], hold: Callable[[int], None]
    ) -> tuple[Packed, str]:
        """See `FolderStore.list_packed`. Raises PermanentError as `list` does."""
        with _too_many_names_said(path):
            return super().list_packed(path, hides=hides, hold=hold)


@contextmanager
def _too_many_names_said(path: RelPath) -> Iterator[None]:
    """Turn an error caused by TooManyNames into a PermanentError that names the directory."""
    try:
        yield
    except SyncerError as error:
        if not isinstance(error.__cause__, TooManyNames):
            raise
        raise PermanentError(
            f"{printable(path) or 'the root'}: {error.__cause__.strerror}",
            hint="spread the files over several directories, or give the server more: --limit memory=BYTES",
            path=path,
        ) from None


class ServedTrash(Trash):
    """A trash that keeps the server's `TrashIndex` up to date."""

    index: TrashIndex

    def note(self, kept: Kept, size: int | None) -> None:
        super().note(kept, size)
        self.index.note(self.name, kept, size)

    def resize(self, kept: Kept, by: int) -> None:
        self.index.resize(self.name, kept, by)


class ServedFolder:
    """One folder with the server's data about it. Thread-safe."""

    def __init__(self, folder: Path, state: Path, *, clock: Clock) -> None:
        """`folder` is a real path, `state` a private directory that exists. Raises OSError."""
        self.folder = folder
        self.state = state
        self.clock = clock
        self.tag = blake2b(str(folder).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        self.fs = RootedFileSystem(str(folder))
        self.digests = DigestCache(state / "digests.sqlite")
        self.trash_index = TrashIndex(state / "trash.sqlite")
        self.feed = ChangeFeed()  # of every change through the server
        self.on_gone: Callable[[list[RelPath]], None] = lambda paths: None
        """Called with paths that were removed or renamed, for other data about them."""
        self.started_ns = clock.now_ns()
        self.abandoned: dict[str, os.stat_result] = {}  # temporary files, see `stores.local.root`
        try:
            # Of roots that no client has marked.
            self.traits: Traits = probe(self.fs, self.fs.folder_fd, f"{TEMPORARY}{token_hex(8)}")
        except OSError:
            self.traits = USUAL  # nothing may be written in the folder
        own = sorted({f(str(p)) for p in (folder, state) for f in (str, printable)}, key=len, reverse=True)
        self._local_paths = re.compile(
            "|".join(rf"{re.escape(path.rstrip('/'))}(?:/[^\s:'\"]*)?" for path in own)
        )
        self._trash_in_state = folder.stat().st_dev == state.stat().st_dev
        self._stores: dict[RelPath, ServedStore] = {}
        self._retired: set[ServedStore] = set()  # replaced while in use
        self._large: deque[tuple[str, Kept]] = deque(maxlen=_MOST_LARGE)
        self._lock = threading.Lock()

    # -- stores --------------------------------------------------------------

    @contextmanager
    def store(self, key: Key, path: RelPath = "") -> Iterator[ServedStore]:
        """A store rooted at FOLDER/<key.under>/<path>, open at least as long as the block runs.

        Raises Unholdable for a path that no client may name (see `checked`), NotFound if it is no directory
        (a symlink is none), Unreadable. The root must exist: the parent's store makes it.
        """
        below = join(key.under, checked(path)) if path else key.under
        try:
            store = self._acquire(below)
        except SyncerError as error:
            shown = self.discreet(error)  # and without the subfolder that the key is confined to
            shown.message = shown.message.replace(printable(below), printable(path) or "the root")
            shown.args, shown.path = (shown.message,), path
            raise shown from error
        try:
            yield store
        finally:
            with self._lock:
                store.users -= 1
                store.used = self.clock.monotonic()
                if not store.users and store in self._retired:
                    self._retired.discard(store)
                    store.close()

    def discreet(self, error: ErrorT) -> ErrorT:
        """The error as a client may read it, without the paths of this machine."""
        shown = copy(error)
        shown.message, shown.hint = self.without_paths(error.message), self.without_paths(error.hint)
        shown.path = "" if os.path.isabs(error.path) else error.path
        shown.args = (shown.message,)
        return shown

    def without_paths(self, text: str) -> str:
        """A message with "the root" in place of paths in the served folder and the state directory."""
        return self._local_paths.sub("the root", text) if "/" in text else text

    def absolute(self, below: RelPath) -> str:
        """The absolute path on this machine; only a store may open it (`RootedFileSystem.open_root`)."""
        return str(self.folder) if not below else f"{str(self.folder).rstrip('/')}/{below}"

    def trash(self, below: RelPath) -> Trash:
        """The trash of a root: in the state directory if that is on the same file system, else in the folder.

        Each root has a directory of its own there, because the paths inside are relative to it.
        """
        name = quote(below or "/", safe="", errors="surrogateescape")
        if len(name) > MAX_NAME:
            name = name[:200] + "-" + blake2b(name.encode(), digest_size=8).hexdigest()
        trash = self._trash(name)
        trash.on_large = lambda kept: self._large.append((name, kept))
        return trash

    def compact_trash(self) -> None:
        """Store old versions of large files as deltas, where new ones went to the trash. Raises OSError.

        What cannot be done yet is tried again by the next call.
        """
        new: dict[str, list[Kept]] = {}
        while self._large:
            name, kept = self._large.popleft()
            new.setdefault(name, []).append(kept)
        for name, versions in new.items():
            self._large.extend((name, kept) for kept in trash_deltas.compact(self._trash(name), versions))

    def trashes(self) -> Iterator[Trash]:
        """The trash of every root that has one. Raises OSError."""
        parent = self.state if self._trash_in_state else self.folder / PRIVATE
        try:
            names = sorted(entry.name for entry in (parent / TRASH).iterdir())
        except FileNotFoundError:
            return
        # A job of this machine, for which the folder is a root, may have its own batches in the same
        # directory.
        yield from (self._trash(name) for name in names if name != PRIVATE and not is_batch(name))

    def _trash(self, name: str) -> Trash:
        parent = str(self.state if self._trash_in_state else self.folder)
        names = (TRASH, name) if self._trash_in_state else (PRIVATE, TRASH, name)
        trash = ServedTrash(
            lambda: self.fs.open_root(parent), names, fs=self.fs, clock=self.clock, run="serve"
        )
        trash.index = self.trash_index
        return trash

    def trash_space(self) -> int | None:
        """Free bytes of the file system of the trash; None if unknown."""
        try:
            return self.fs.free_space(self.fs.folder_fd)
        except OSError:
            return None

    def close_idle(self) -> None:
        """Close the stores that were not used for a minute."""
        limit = self.clock.monotonic() - IDLE
        with self._lock:
            self._drop([b for b, s in self._stores.items() if not s.users and s.used < limit])

    def close(self) -> None:
        """Close everything. No request may be in flight."""
        with self._lock:
            for store in (*self._stores.values(), *self._retired):
                store.close()
            self._stores.clear()
            self._retired.clear()
        self.digests.close()
        self.trash_index.close()
        self.fs.release()

    def _acquire(self, below: RelPath) -> ServedStore:
        """The store of the directory that has this path now, with one user more.

        A store holds the directory that it opened; the name may have been given to another one since.
        """
        inode = self._inode(below)
        with self._lock:
            store = self._stores.get(below)
            # A trash batch is named by its first moment, so none may be used for long.
            if store is not None and (
                store.inode != inode or store.born_ns + _BATCH_NS < self.clock.now_ns()
            ):
                self._retire(below)
                store = None
            if store is None:
                store = self._stores[below] = ServedStore(self, below, identity=inode)
                store.free_space()  # opens its root and holds it from now on
                unused = sorted((s.used, name) for name, s in self._stores.items() if not s.users)
                # The new one has no user yet; it must not be among those that are closed.
                closable = [name for _, name in unused if name != below]
                self._drop(closable[: max(len(self._stores) - _MOST, 0)])
            store.users += 1
            return store

    def _inode(self, below: RelPath) -> tuple[int, int]:
        try:
            fd = self.fs.open_root(self.absolute(below))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{printable(below) or 'the root'}: no such directory", path=below) from None
        except OSError as error:
            raise reading(error, below) from error
        try:
            found = self.fs.fstat(fd)
            return found.st_dev, found.st_ino
        finally:
            self.fs.close(fd)

    def _retire(self, below: RelPath) -> None:
        """Take a store out of use; it is closed when its last user is done."""
        store = self._stores.pop(below)
        if store.users:
            self._retired.add(store)
        else:
            store.close()

    def _drop(self, names: list[RelPath]) -> None:
        for below in names:
            self._stores.pop(below).close()

    # -- digests -------------------------------------------------------------

    def digest_of(self, store: ServedStore, path: RelPath, entry: Entry) -> Entry:
        """The entry with its digest; the file is hashed if this version never was.

        Raises Unreadable if the file is not, or is no longer, what `entry` says.
        """
        if entry.kind is not Kind.FILE or entry.digest is not None:
            return entry
        known = self.digests.find(join(store.below, path), entry.version) if entry.trusted else None
        if known is not None:
            return replace(entry, digest=known)
        [found] = store.with_digests([(path, entry)])
        if not isinstance(found, Entry) or found.version != entry.version:
            raise Unreadable(f"{printable(path)} changed while it was read", path=path)
        self.learn(store, path, found)
        return found

    def learn(self, store: ServedStore, path: RelPath, *entries: Entry) -> None:
        """Store the digests of files, where the entries have one and their versions can be trusted."""
        self.digests.keep(
            (join(store.below, path), e.version, e.digest)
            for e in entries
            if e.kind is Kind.FILE and e.digest is not None and e.trusted
        )

    def gone(self, store: ServedStore, paths: Sequence[RelPath]) -> None:
        """Delete the data about paths that were removed or renamed."""
        local = [join(store.below, path) for path in paths]
        self.digests.gone(local)
        self.on_gone(local)


def checked(path: RelPath) -> RelPath:
    """The path itself, if a client may name it. Raises Unholdable, with the same message for all others.

    Refused are empty parts, `.` and `..`, NUL, `..` behind a backslash, what is too long or not encodable,
    and Syncer's own names (or what looks like them) at any depth: a folder below may be the root of a job.
    """
    if _length(path) > MAX_PATH or any(_is_refused(name) for name in parts(path)):
        raise Unholdable("such a path is refused", path="")
    return path


def is_hidden(name: str) -> bool:
    """Whether a name is one of Syncer's own (or looks like one): clients neither see nor change it."""
    return is_private(name, at_root=True) or look_alike(name) == PRIVATE


def _is_refused(name: str) -> bool:
    return (
        bool(unsafe(name, at_root=True))
        or is_hidden(name)
        or _length(name) > MAX_NAME
        or any(part in (".", "..") for part in name.split("\\"))
    )  # `..\\x` is one name here, and leads out of the root on another system that syncs this folder


def _length(text: str) -> int:
    """In bytes; more than any limit for a text that the disk's encoding cannot hold."""
    try:
        return len(os.fsencode(text))
    except UnicodeEncodeError:
        return MAX_PATH + 1
