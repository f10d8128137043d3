"""The served folder: stores rooted in it, its state directory, its trash, its known digests.

    with served.store(key, "backup/docs") as store:     # FOLDER/<key.under>/backup/docs
        outcome = next(store.put([...]))
        entry = served.digest_of(store, "a.txt", entry)

All changes go through `ServedStore`. A listing's `leftovers` must not be swept: among them are the
temporaries of requests in flight; `sweeping` takes what a dead server left. HTTP is settled elsewhere.
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
from syncer.server.change_feed import Feed
from syncer.server.digest_cache import DigestCache
from syncer.server.fair_shares import Crowded
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

# --------------------------------------------------------------------------------
#
# The disk as the server sees it: the served folder is entered by its held descriptor alone.
#
# A store names its root by a path. Here a path at or below the served folder is walked from the descriptor
# opened at the start, component by component and never through a symlink, so that no link planted in the
# folder, and no exchange of its directories, leads a store outside.


_SOME = 1024  # names that are read without asking
_counting: ContextVar[Callable[[int, int], None]] = ContextVar("counting", default=lambda count, chars: None)


@contextmanager
def counting(told: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block `told` hears how many names a directory has so far, and their characters.

    It raises what then comes out of the scan. Heard of in the context of the caller: a thread or a task.
    """
    token = _counting.set(told)
    try:
        yield
    finally:
        _counting.reset(token)


def counted(count: int, chars: int) -> None:
    """Tells `counting` of names that are held otherwise. Raises what it does."""
    _counting.get()(count, chars)


class RootedFileSystem(FileSystem):
    """Real, but for the way in."""

    def __init__(self, folder: str) -> None:
        """`folder` is a real path. Raises OSError if it is no directory."""
        self._folder = folder
        self._umask = super().umask()
        self._fd = super().open_root(folder)
        self._stopped = False
        self._thread = threading.local()

    def stop(self) -> None:
        """Nothing is read any more, by any thread."""
        self._stopped = True

    @contextmanager
    def cancellable(self, cancelled: Callable[[], bool], *, removing: bool = False) -> Iterator[None]:
        """What this thread reads in the block fails once `cancelled()`; what it removes too, if so wanted."""
        self._thread.cancelled, self._thread.removing = cancelled, removing
        try:
            yield
        finally:
            self._thread.cancelled, self._thread.removing = None, False

    def go_on(self) -> None:
        """Raises OSError if this thread is to end what it does."""
        cancelled: Callable[[], bool] | None = getattr(self._thread, "cancelled", None)
        if self._stopped or (cancelled is not None and cancelled()):
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    def read(self, fd: int, size: int) -> bytes:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().read_at(fd, size, offset)

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().scan(fd)

    @contextmanager
    def entries(self, fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        """As on any disk, while it is wanted and there is memory for so many names (`counting`)."""
        with super().entries(fd) as names:
            yield chain.from_iterable(self._counted(names))

    def _counted(self, names: Iterator[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
        count = chars = 0
        while some := list(islice(names, _SOME)):
            if len(some) == _SOME:
                self.go_on()
                count += _SOME
                chars += sum(len(entry.name) for entry in some)
                counted(count, chars)
            yield some

    def unlink(self, name: str, dir_fd: int) -> None:
        """As on any disk; what only tidies up may be ended in between."""
        if getattr(self._thread, "removing", False):
            self.go_on()
        super().unlink(name, dir_fd)

    def umask(self) -> int:
        """As it was at the start: stores are made while others work, and asking for it means setting it."""
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
            # A descriptor of its own, of the very directory that the walk ended in.
            return self.open_directory(".", cursor.enter(below))

    def release(self) -> None:
        """Closes the held folder: nothing can be opened from here on."""
        if self._fd >= 0:
            self.close(self._fd)
        self._fd = -1

    def check(self) -> None:
        """Raises OSError if the folder was removed since."""
        if self.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._folder)


_MOST_LARGE = 10_000  # versions of large files that wait to be looked at
ErrorT = TypeVar("ErrorT", bound=SyncerError)

IDLE = 60.0
"""Seconds after which a store that nobody uses is closed."""
_MOST = 64  # stores kept open though nobody uses them
_BATCH_NS = 3600 * 10**9  # a trash batch takes what goes within an hour
MAX_NAME = 255  # bytes
MAX_PATH = 4096 - 256  # bytes: PATH_MAX with room for the served folder itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Who asks: a key's name, the subfolder it is confined to ("": none), whether it may change nothing."""

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
        """Raises PermanentError, too, for a directory with more names than there is memory for."""
        with _bearable(path):
            return super().list(path)

    def directories(self, path: RelPath) -> Iterator[str]:
        """The names of those in a directory, one after the other. Raises NotFound, Unreadable."""
        with self._entered(path) as fd:
            for name, st in self._ground.fs.scan(fd):
                if stat.kind(st) is Kind.DIRECTORY:
                    yield name

    def list_packed(
        self, path: RelPath, *, hides: Callable[[str], bool], hold: Callable[[int], None]
    ) -> tuple[Packed, str]:
        """The same."""
        with _bearable(path):
            return super().list_packed(path, hides=hides, hold=hold)


@contextmanager
def _bearable(path: RelPath) -> Iterator[None]:
    """Says what a directory is that has too many names."""
    try:
        yield
    except SyncerError as error:
        if not isinstance(error.__cause__, Crowded):
            raise
        raise PermanentError(
            f"{printable(path) or 'the root'}: {error.__cause__.strerror}",
            hint="spread the files over several directories, or give the server more: --limit memory=BYTES",
            path=path,
        ) from None


class ServedTrash(Trash):
    """A trash that tells the server's index what comes, and what takes more or less room."""

    index: TrashIndex

    def note(self, kept: Kept, size: int | None) -> None:
        super().note(kept, size)
        self.index.note(self.name, kept, size)

    def resize(self, kept: Kept, by: int) -> None:
        self.index.resize(self.name, kept, by)


class ServedFolder:
    """One folder and what the server keeps about it. Safe to share between threads."""

    def __init__(self, folder: Path, state: Path, *, clock: Clock) -> None:
        """`folder` is a real path, `state` a private directory that exists. Raises OSError."""
        self.folder = folder
        self.state = state
        self.clock = clock
        self.tag = blake2b(str(folder).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        self.fs = RootedFileSystem(str(folder))
        self.digests = DigestCache(state / "digests.sqlite")
        self.trash_index = TrashIndex(state / "trash.sqlite")
        self.feed = Feed()  # every change through the server is told to it
        self.forgets: Callable[[list[RelPath]], None] = lambda paths: None
        """Told of paths that are gone: what else is kept about them is to go, too."""
        self.started_ns = clock.now_ns()
        self.abandoned: dict[str, os.stat_result] = {}  # temporaries, see `stores.local.root`
        self.traits = _tried(self.fs)  # of roots that no client has marked
        own = sorted({f(str(p)) for p in (folder, state) for f in (str, printable)}, key=len, reverse=True)
        self._places = re.compile("|".join(rf"{re.escape(path.rstrip('/'))}(?:/[^\s:'\"]*)?" for path in own))
        self._trash_in_state = _device(folder) == _device(state)
        self._stores: dict[RelPath, ServedStore] = {}
        self._retired: set[ServedStore] = set()  # replaced while in use
        self._large: deque[tuple[str, Kept]] = deque(maxlen=_MOST_LARGE)
        self._lock = threading.Lock()

    # -- stores --------------------------------------------------------------

    @contextmanager
    def store(self, key: Key, path: RelPath = "") -> Iterator[ServedStore]:
        """A store rooted at FOLDER/<key.under>/<path>, open at least as long as the block runs.

        Raises Unholdable for a path that is none or is ours (see `checked`), NotFound where no directory
        is (a symlink is none), Unreadable. Its root must exist: make it by the parent's store.
        """
        below = join(key.under, checked(path)) if path else key.under
        try:
            store = self._leased(below)
        except SyncerError as error:
            told = self.discreet(error)  # and nothing of what the key is confined to
            told.message = told.message.replace(printable(below), printable(path) or "the root")
            told.args, told.path = (told.message,), path
            raise told from error
        try:
            yield store
        finally:
            self._returned(store)

    def discreet(self, error: ErrorT) -> ErrorT:
        """The error as a client may read it: where the folder lies on this machine is not said."""
        told = copy(error)
        told.message, told.hint = self.discreetly(error.message), self.discreetly(error.hint)
        told.path = "" if os.path.isabs(error.path) else error.path
        told.args = (told.message,)
        return told

    def discreetly(self, text: str) -> str:
        """The same for the text of a message."""
        return self._places.sub("the root", text) if "/" in text else text

    def absolute(self, below: RelPath) -> str:
        """The path on this machine; never to be opened, but by a store."""
        return str(self.folder) if not below else f"{str(self.folder).rstrip('/')}/{below}"

    def trash(self, below: RelPath) -> Trash:
        """Where the store there keeps what is taken away: in the state directory, if on the same file system.

        A folder of its own for each root, since the paths inside are relative to it.
        """
        name = quote(below or "/", safe="", errors="surrogateescape")
        if len(name) > MAX_NAME:
            name = name[:200] + "-" + blake2b(name.encode(), digest_size=8).hexdigest()
        trash = self._trash(name)
        trash.on_large = lambda kept: self._large.append((name, kept))
        return trash

    def compact_trash(self) -> None:
        """What versions of large files take is made less, after new ones went to the trash. Raises OSError.

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
        home = self.state if self._trash_in_state else self.folder / PRIVATE
        try:
            names = sorted(entry.name for entry in (home / TRASH).iterdir())
        except FileNotFoundError:
            return
        # A job of this machine may keep its own runs in the same place.
        yield from (self._trash(name) for name in names if name != PRIVATE and not is_batch(name))

    def _trash(self, name: str) -> Trash:
        anchor = str(self.state if self._trash_in_state else self.folder)
        way = (TRASH, name) if self._trash_in_state else (PRIVATE, TRASH, name)
        made = ServedTrash(lambda: self.fs.open_root(anchor), way, fs=self.fs, clock=self.clock, run="serve")
        made.index = self.trash_index
        return made

    def trash_space(self) -> int | None:
        """Bytes that are free where the trash lies; None where that cannot be told."""
        try:
            return self.fs.free_space(self.fs.folder_fd)
        except OSError:
            return None

    def close_idle(self) -> None:
        """Closes stores that nobody used for a while."""
        limit = self.clock.monotonic() - IDLE
        with self._lock:
            self._drop([b for b, s in self._stores.items() if not s.users and s.used < limit])

    def close(self) -> None:
        """Once no request is in flight."""
        with self._lock:
            for store in (*self._stores.values(), *self._retired):
                store.close()
            self._stores.clear()
            self._retired.clear()
        self.digests.close()
        self.trash_index.close()
        self.fs.release()

    def _leased(self, below: RelPath) -> ServedStore:
        """The store of the directory that has this path *now*: it may have been exchanged since."""
        inode = self._inode(below)
        with self._lock:
            store = self._stores.get(below)
            if store is not None and (store.inode != inode or self._is_stale(store)):
                self._retire(below)
                store = None
            if store is None:
                store = self._stores[below] = ServedStore(self, below, identity=inode)
                store.free_space()  # holds its root from now on
                self._drop(self._surplus())
            store.users += 1
            return store

    def _is_stale(self, store: ServedStore) -> bool:
        """A trash batch is dated by its beginning, so none may go on for long."""
        return store.born_ns + _BATCH_NS < self.clock.now_ns()

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

    def _returned(self, store: ServedStore) -> None:
        with self._lock:
            store.users -= 1
            store.used = self.clock.monotonic()
            if not store.users and store in self._retired:
                self._retired.discard(store)
                store.close()

    def _retire(self, below: RelPath) -> None:
        store = self._stores.pop(below)
        if store.users:
            self._retired.add(store)
        else:
            store.close()

    def _surplus(self) -> list[RelPath]:
        unused = sorted((s.used, below) for below, s in self._stores.items() if not s.users)
        return [below for _, below in unused[: max(len(self._stores) - _MOST, 0)]]

    def _drop(self, names: list[RelPath]) -> None:
        for below in names:
            self._stores.pop(below).close()

    # -- digests -------------------------------------------------------------

    def digest_of(self, store: ServedStore, path: RelPath, entry: Entry) -> Entry:
        """The entry with its digest, hashed only if this version never was.

        A file that is not (any more) what `entry` says: Unreadable, with what was found in its message.
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
        """Remembers the digest of an entry that has one, if its version is worth it."""
        self.digests.keep(
            (join(store.below, path), e.version, e.digest)
            for e in entries
            if e.kind is Kind.FILE and e.digest is not None and e.trusted
        )

    def gone(self, store: ServedStore, paths: Sequence[RelPath]) -> None:
        """What is kept of names that were taken away, or have another one now, goes with them."""
        found = [join(store.below, path) for path in paths]
        self.digests.gone(found)
        self.forgets(found)


def _tried(fs: RootedFileSystem) -> Traits:
    """What the disk does; it is taken for an ordinary one where nothing may be made in the folder."""
    try:
        return probe(fs, fs.folder_fd, f"{TEMPORARY}{token_hex(8)}")
    except OSError:
        return USUAL


def _device(path: Path) -> int:
    return path.stat().st_dev


def checked(path: RelPath) -> RelPath:
    """The path, if every part of it may be named by a client. Raises Unholdable: one answer for all others.

    Refused are empty parts, `.` and `..`, NUL, backslash tricks, what is too long or no path here, and
    what is ours (or looks it) at any depth: a folder below may be the root of somebody's job.
    """
    if _length(path) > MAX_PATH or any(_is_refused(name) for name in parts(path)):
        raise Unholdable("such a path is refused", path="")
    return path


def is_hidden(name: str) -> bool:
    """Whether a name is one of Syncer's own (or could be taken for one): never shown, never touched."""
    return is_private(name, at_root=True) or look_alike(name) == PRIVATE


def _is_refused(name: str) -> bool:
    return (
        bool(unsafe(name, at_root=True))
        or is_hidden(name)
        or _length(name) > MAX_NAME
        or any(part in (".", "..") for part in name.split("\\"))
    )  # `..\\x` is one odd name here, and a way out on another system that syncs this folder


def _length(text: str) -> int:
    """In bytes; more than any limit for what the disk's encoding cannot hold."""
    try:
        return len(os.fsencode(text))
    except UnicodeEncodeError:
        return MAX_PATH + 1
