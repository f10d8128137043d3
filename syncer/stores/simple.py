"""`SimpleStore`: the base class for a store that handles one item at a time, and its adapter to the contract.

A plug-in implements a dozen short methods over one service. `SimpleStoreAdapter` makes the whole contract of
`engine.interfaces.Store` of them: batches with outcomes as values, checks of what was planned on, digests,
the marker of the root, the trash, errors of the service's own library. Retries and rate limits are wrappers
around that. A store that can do more at once (many files in a request, change feeds, deltas) implements the
contract itself instead. `syncer.testing.StoreContract` is the test suite for both.

The names of the contract's methods are those of `engine.interfaces.Store`; nothing else depends on them here.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar

from blake3 import blake3

from syncer.engine.fingerprint import fingerprint
from syncer.engine.interfaces import (
    Capabilities,
    DeleteRequest,
    KnownDirectories,
    LocalBasis,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    Scan,
    SetAttributesRequest,
    Source,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Failed,
    Kind,
    Listing,
    Method,
    Outcome,
    RelPath,
    Seen,
    Stale,
)
from syncer.engine.paths import PRIVATE, is_private, join, parts, split, unholdable, unsafe
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    LocalError,
    NotFound,
    PermanentError,
    StoreError,
    SyncError,
    TransientError,
    Unholdable,
    Unmovable,
    Unreadable,
)
from syncer.stores.base import DirectScan
from syncer.stores.context import StoreContext
from syncer.stores.stale import StaleError

log = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")
CHUNK = 1 << 20  # bytes: the largest piece of content that is handed on
MARKER = f"{PRIVATE}/root-id"  # 32 hex digits and a newline
TRASH = f"{PRIVATE}/trash"
DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")


class SimpleStore(ABC):
    """One folder of a service, one item at a time; exported as `syncer.Store`.

    Paths are relative to the folder, with "/" between their parts and "" for the folder itself; names that
    are not UTF-8 carry their bytes as surrogate escapes. Only files and directories exist: a store with
    symlinks implements the full contract.

    An `Entry` of a file has the size in bytes, the mtime in nanoseconds since 1970 (None where the service
    holds none) and a `version`: opaque bytes that differ after every change of the content, such as an ETag
    or a revision number. A modification time alone will do only with `trusted=False` while it is so young
    that another change might get the same. For a directory it is `simple.DIRECTORY`.

    `expected` is the entry that was planned on, None for a name that must be free. A method that changes
    something compares it with what the service has, at the last moment that the service allows, and raises
    `StaleError` where it differs; nothing must be changed then. Effects must be durable on return.

    Errors: `NotFound`, `TransientError` (it is tried again), `AuthError` (the run ends), `PermanentError` and
    its subclasses. Other exceptions are translated: ConnectionError and TimeoutError are transient, the rest
    permanent. Several threads may call one store at once.
    """

    Config: ClassVar[type[Any]]
    """The pydantic model of the account's keys; `name`, `type` and `insecure` are added to it."""

    capabilities: Capabilities = Capabilities(
        symlinks=False, executable=False, moves=False, moves_directories=False, mtime_granularity_ns=0
    )

    @classmethod
    def open(cls, config: Any, path: str, *, context: StoreContext) -> Self:
        """The store of a path of an account, the part after the colon. Nothing is sent yet."""
        raise NotImplementedError(f"{cls.__name__}.open")

    @abstractmethod
    def stat(self, path: RelPath) -> Entry | None:
        """The entry of one name, None if it does not exist."""

    @abstractmethod
    def list(self, path: RelPath) -> Mapping[str, Entry]:
        """The entries of a directory by name, complete. Raises NotFound if it is none."""

    @abstractmethod
    def read(self, path: RelPath, expected: Entry) -> Iterator[bytes]:
        """The content of a file. Raises StaleError if it is no longer the expected version, NotFound."""

    @abstractmethod
    def write(
        self,
        path: RelPath,
        content: Iterator[bytes],
        *,
        expected: Entry | None,
        mtime_ns: int | None,
        executable: bool | None,
    ) -> Entry:
        """Create a file or replace its content; the entry as it is now, with the version of this content.

        The name must hold the old or the new content, whole, at every moment: where the service has no such
        write, upload to another name and rename. `content` may raise: then nothing is published, so read it
        to its end first. Its parent directory exists.
        """

    @abstractmethod
    def delete(self, path: RelPath, expected: Entry) -> None:
        """Delete a file; `SimpleStoreAdapter` has put it into the trash."""

    @abstractmethod
    def mkdir(self, path: RelPath) -> None:
        """Create a directory; its parent exists. One that exists already is no error."""

    @abstractmethod
    def rmdir(self, path: RelPath) -> None:
        """Remove an empty directory. Raises StaleError if anything is in it."""

    def rename(self, origin: RelPath, path: RelPath, expected: Entry) -> Entry:
        """Rename a file (with `capabilities.moves`) or a directory (`moves_directories`) to a free name."""
        raise Unmovable(f"{origin}: this store cannot rename", path=origin)

    def set_attributes(
        self, path: RelPath, expected: Entry, *, mtime_ns: int | None, executable: bool | None
    ) -> Entry:
        """Change the mtime or the executable bit (None: leave it). Default: write the content again."""
        content = self.read(path, expected)
        return self.write(path, content, expected=expected, mtime_ns=mtime_ns, executable=executable)

    def free_space(self) -> int | None:
        """Bytes that can still be written; None if the service does not say."""
        return None

    def close(self) -> None:
        """Close connections; no method is called afterwards."""
        return


class SimpleSource:
    """The content of one file (`engine.interfaces.Source`): verified before the last piece is handed out."""

    def __init__(self, store: SimpleStore, path: RelPath, expected: Entry) -> None:
        self._store = store
        self._path = path
        self._expected = expected
        self._received = 0
        self._entry: Entry | None = None

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{self._path} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return TransferStats(method=Method.WHOLE, received=self._received)

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """The last piece waits until the size, the digest and a second look at the version agree."""
        self._entry = None
        start = basis.start if basis is not None else 0
        hasher, size, pending = blake3(), 0, b""
        with translated(self._path, stale=ChangedUnderUs):
            if self._store.stat(self._path) is None:
                raise NotFound(f"{self._path} does not exist", path=self._path)
            for piece in _pieces(self._store.read(self._path, self._expected)):
                self._received += len(piece)
                hasher.update(piece)
                wanted = piece[max(0, start - size) :]  # a reader that has the beginning gets the rest
                size += len(piece)
                if pending and wanted:
                    yield pending
                pending = wanted or pending
            now = self._store.stat(self._path)
        digest = hasher.digest()
        if now is None or now.version != self._expected.version or size != now.size:
            raise ChangedUnderUs(f"{self._path} changed while it was read", path=self._path)
        if self._expected.digest not in (None, digest):
            raise ChangedUnderUs(f"{self._path} has another content than was planned on", path=self._path)
        self._entry = replace(now, digest=digest)
        if pending:
            yield pending


class SimpleStoreAdapter:
    """A `SimpleStore` under the contract of `engine.interfaces.Store`.

    What a write replaces is copied to `.syncer/trash/DATE-TAG/PATH` of the store before it is replaced; what
    is deleted is moved there. A kill in between leaves a copy too much in the trash, never one too few.
    """

    def __init__(self, store: SimpleStore, context: StoreContext) -> None:
        self.store = store
        self._context = context
        self._capabilities = replace(store.capabilities, symlinks=False, digests=False)
        stamp = datetime.fromtimestamp(context.clock.now_ns() / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._trash = f"{TRASH}/{stamp}-{context.tag}"

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def identity(self) -> str:
        return self._context.identity

    # -- the root ------------------------------------------------------------------

    def root(self) -> RootState | None:
        with translated(""):
            if self.store.stat("") is None:
                return None
            empty = all(is_private(name, at_root=True) for name in self.store.list(""))
        marker = self.read_file(MARKER, 1024).decode("ascii", "replace").strip()
        return RootState(marker=marker, device="", empty=empty)

    def create_root(self) -> None:
        with translated(""):
            if self.store.stat("") is None:
                self.store.mkdir("")

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        with translated(MARKER, stale=PermanentError):
            self.store.mkdir(PRIVATE)
            old = self.store.stat(MARKER)
            if old is not None and only_first:
                return
            text = f"{marker}\n".encode("ascii")
            try:
                self.store.write(MARKER, iter([text]), expected=old, mtime_ns=None, executable=None)
            except StaleError:
                if not only_first:  # another machine was first: its marker stands
                    raise

    # -- queries -------------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return DirectScan(known, changed=self._changed, list_directory=self.list)

    def _changed(self, known: Sequence[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        for path, before in known:
            try:
                now = self.list(path).fingerprint
            except StoreError:
                now = None
            if now != before:
                yield path

    def list(self, path: RelPath) -> Listing:
        with translated(path):
            shown = self.store.list(path)
        entries = {name: entry for name, entry in shown.items() if not is_private(name, at_root=not path)}
        certain = all(entry.trusted for entry in entries.values())
        versions = ((name, entry.version) for name, entry in entries.items())
        return Listing(entries=entries, fingerprint=fingerprint(versions) if certain else None)

    def stat(self, path: RelPath) -> Seen:
        try:
            with translated(path):
                return self.store.stat(path)
        except NotFound:
            return None
        except Unreadable as error:
            return BlockedEntry(BlockReason.UNREADABLE, error.message)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [self.stat(path) for path in paths]

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for path, _ in wanted:
            now = self.stat(path)
            if not isinstance(now, Entry) or now.kind is not Kind.FILE:
                yield now
                continue
            source = SimpleSource(self.store, path, now)
            try:
                for _piece in source.chunks():
                    pass
                yield source.entry
            except (ChangedUnderUs, NotFound):
                yield BlockedEntry(BlockReason.BUSY, "it changed while it was read")
            except Unreadable as error:
                yield BlockedEntry(BlockReason.UNREADABLE, error.message)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return SimpleSource(self.store, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        found = b""
        try:
            with translated(path, stale=TransientError):
                entry = self.store.stat(path)
                if entry is None or entry.kind is not Kind.FILE:
                    return b""
                for piece in self.store.read(path, entry):
                    found += piece
                    if len(found) >= limit:
                        break
        except NotFound:
            return b""
        return found[:limit]

    # -- changes -------------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._each(items, lambda item: item.path, self._write)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._each(items, lambda item: item.path, self._delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._each(items, lambda item: item.path, self._mkdir)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._each(paths, lambda path: path, self._rmdir)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._each(items, lambda item: item.path, self._rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._each(items, lambda item: item.path, self._set_attributes)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        return  # no temporary files are made

    def free_space(self) -> int | None:
        with translated(""):
            return self.store.free_space()

    def close(self) -> None:
        with translated(""):
            self.store.close()

    def _each(
        self, items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], do: Callable[[ItemT], Done]
    ) -> Results:
        for index, item in enumerate(items):
            yield index, self._outcome(item, path_of(item), do)

    def _outcome(self, item: ItemT, path: RelPath, do: Callable[[ItemT], Done]) -> Outcome:
        try:
            with translated(path):
                return do(item)
        except AuthError:
            raise  # no other item would fare better: the run ends
        except StaleError as error:
            return Stale(message=str(error))
        except (StoreError, LocalError) as error:
            return Failed(error=error)

    def _write(self, item: WriteRequest) -> Done:
        self._check_name(item.path)
        if item.kind is not Kind.FILE or item.source is None:
            raise Unholdable(f"{item.path}: this store holds files and directories only", path=item.path)
        self._check_parent(item.path)
        old = self._as_expected(item.path, item.expected)
        if old is not None:
            self._keep_copy(item.path, old)
        sent = 0

        def content() -> Iterator[bytes]:
            """What a store publishes only after its end, so a torn or short source publishes nothing."""
            nonlocal sent
            assert item.source is not None
            for piece in item.source.chunks():
                sent += len(piece)
                yield piece
            if sent != item.size:
                raise ChangedUnderUs(f"{item.path} has another size than was planned on", path=item.path)

        executable = item.executable
        if executable is None and old is not None:
            executable = old.executable
        entry = self.store.write(
            item.path, content(), expected=old, mtime_ns=item.mtime_ns, executable=executable
        )
        entry = replace(entry, digest=item.source.entry.digest)
        return Done(entry=entry, method=Method.WHOLE, sent=sent)

    def _delete(self, item: DeleteRequest) -> Done:
        self._check_name(item.path)
        old = self._as_expected(item.path, item.expected)
        assert old is not None
        self._move_to_trash(item.path, old)
        return Done()

    def _mkdir(self, item: MkdirRequest) -> Done:
        self._check_name(item.path)
        self._check_parent(item.path)
        found = self.store.stat(item.path)
        if found is not None and found.kind is not Kind.DIRECTORY:
            if item.replaces is None or item.replaces.version != found.version:
                raise StaleError(f"{item.path} exists, and is not a directory")
            self._move_to_trash(item.path, found)
            found = None
        if found is None:
            self.store.mkdir(item.path)
        return Done(entry=DIRECTORY)

    def _rmdir(self, path: RelPath) -> Done:
        self._check_name(path)
        found = self.store.stat(path)
        if found is None:
            return Done()
        if found.kind is not Kind.DIRECTORY or self.store.list(path):
            raise StaleError(f"{path} is not an empty directory")
        self.store.rmdir(path)
        return Done()

    def _rename(self, item: RenameRequest) -> Done:
        self._check_name(item.origin)
        self._check_name(item.path)
        directory = item.expected.kind is Kind.DIRECTORY
        if not (self.capabilities.moves_directories if directory else self.capabilities.moves):
            raise Unmovable(f"{item.origin}: this store cannot rename", path=item.origin)
        if item.path.startswith(f"{item.origin}/"):
            raise Unholdable(f"{item.path} is below {item.origin}", path=item.path)
        self._check_parent(item.path)
        old = self.store.stat(item.origin)
        if old is None or old.kind is not item.expected.kind or old.version != item.expected.version:
            raise StaleError(f"{item.origin} changed since it was planned on")
        if self.store.stat(item.path) is not None:
            raise StaleError(f"{item.path} exists by now")
        return Done(entry=self.store.rename(item.origin, item.path, old))

    def _set_attributes(self, item: SetAttributesRequest) -> Done:
        self._check_name(item.path)
        old = self._as_expected(item.path, item.expected)
        assert old is not None
        able = self.capabilities
        mtime_ns = item.mtime_ns if item.mtime_ns is not None else old.mtime_ns
        executable = item.executable if item.executable is not None else old.executable
        same = (mtime_ns == old.mtime_ns or not able.mtime_granularity_ns) and (
            executable == old.executable or not able.executable
        )
        if same:
            return Done(entry=replace(old, digest=item.expected.digest))
        entry = self.store.set_attributes(item.path, old, mtime_ns=mtime_ns, executable=executable)
        return Done(entry=replace(entry, digest=item.expected.digest))

    # -- checks and the trash ------------------------------------------------------

    def _check_name(self, path: RelPath) -> None:
        """Raises Unholdable for what is no path below the root, a private name, or too much for the store."""
        reason = "" if path else "not a name"
        for depth, part in enumerate(parts(path)):
            reason = reason or unsafe(part, at_root=depth == 0) or unholdable(part, self.capabilities)
        if reason:
            raise Unholdable(f"{path!r}: {reason}", path=path)

    def _check_parent(self, path: RelPath) -> None:
        parent = self.store.stat(split(path)[0])
        if parent is None or parent.kind is not Kind.DIRECTORY:
            raise StaleError(f"{path}: its directory is gone")

    def _as_expected(self, path: RelPath, expected: Entry | None) -> Entry | None:
        """The file at a path, if it is what was planned on. Raises StaleError."""
        found = self.store.stat(path)
        if expected is None:
            if found is not None:
                raise StaleError(f"{path} exists by now")
            return None
        if found is None:
            raise StaleError(f"{path} is gone")
        if found.kind is not Kind.FILE or found.version != expected.version:
            raise StaleError(f"{path} changed since it was planned on")
        return found

    def _keep_copy(self, path: RelPath, old: Entry) -> RelPath:
        """Copy a file to the trash. The read verifies the version, so the copy is what will be replaced."""
        target = self._trash_path(path)
        content = SimpleSource(self.store, path, old).chunks()
        self.store.write(target, content, expected=None, mtime_ns=old.mtime_ns, executable=old.executable)
        return target

    def _move_to_trash(self, path: RelPath, old: Entry) -> None:
        """By a rename where the store has one; else the copy is durable before the name goes."""
        if self.capabilities.moves:
            self.store.rename(path, self._trash_path(path), old)
            return
        self._keep_copy(path, old)
        self.store.delete(path, old)

    def _trash_path(self, path: RelPath) -> RelPath:
        """A free name for a path in the trash of this run, its directories made."""
        for generation in range(1, 1 << 20):
            batch = self._trash if generation == 1 else f"{self._trash}~{generation}"
            target = join(batch, path)
            if self.store.stat(target) is None:
                break
        directory = ""
        for part in parts(split(target)[0]):
            directory = join(directory, part)
            if self.store.stat(directory) is None:
                self.store.mkdir(directory)
        return target


def _pieces(content: Iterable[bytes]) -> Iterator[bytes]:
    """The content in pieces of at most `CHUNK` bytes, none of them empty."""
    for piece in content:
        for start in range(0, len(piece), CHUNK):
            yield piece[start : start + CHUNK]


@contextmanager
def translated(path: RelPath, *, stale: type[SyncError] | None = None) -> Iterator[None]:
    """Exceptions of a plug-in's own libraries become errors of the tree; those of the tree pass.

    `stale`: raise this in place of StaleError, which is for batches only.
    """
    try:
        yield
    except StaleError as error:
        if stale is None:
            raise
        raise stale(f"{path}: {error}", path=path) from error
    except SyncError:
        raise
    except (ConnectionError, TimeoutError) as error:
        raise TransientError(f"{path}: {type(error).__name__}: {error}", path=path) from error
    except Exception as error:
        log.debug("a store raised %s", type(error).__name__, exc_info=True)
        raise PermanentError(f"{path}: {type(error).__name__}: {error}", path=path) from error
