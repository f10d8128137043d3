"""`MemoryStore`: a complete store in memory, for tests of the engine and of programs that use it.

It keeps the contract of `engine.interfaces.Store` exactly, with versions that are counters, and keeps
everything that a put or a delete took from a name in `kept`. `write`, `remove` and
`make_directory` are what a user does behind the engine's back. Nothing is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

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
from syncer.engine.paths import fold, is_below, join, parts, split, unholdable
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    LocalError,
    NotFound,
    QuotaExceeded,
    StoreError,
    Unholdable,
    Unreadable,
)
from syncer.stores.base import DirectScan
from syncer.stores.common import is_private_path, link_digest
from syncer.stores.local.root import check_name

# --------------------------------------------------------------------------------
#
# The content of one file of a memory store, read as a slow disk does. It keeps nothing itself.


_CHUNK = 1 << 20


class MemorySource:
    """`read` answers the bytes of a file that is as expected; `between` acts before the last piece."""

    def __init__(
        self,
        path: RelPath,
        expected: Entry,
        *,
        read: Callable[[RelPath, Entry], tuple[bytes, Entry]],
        between: Callable[[RelPath], None],
    ) -> None:
        self._path = path
        self._expected = expected
        self._read = read
        self._between = between
        self._entry: Entry | None = None

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{self._path} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return None

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        self._entry = None
        data, entry = self._read(self._path, self._expected)
        digest = blake3(data).digest()
        data = data[basis.start :] if basis is not None else data
        pieces = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
        yield from pieces[:-1]
        self._between(self._path)
        self._read(self._path, self._expected)
        if self._expected.digest not in (None, digest):
            raise ChangedUnderUs(f"{self._path} changed", path=self._path)
        self._entry = replace(entry, digest=digest)
        yield from pieces[-1:]


ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class Node:
    """One file, directory or symlink. `spelling` is its path as it was made."""

    spelling: RelPath
    kind: Kind
    version: bytes
    data: bytes = b""
    mtime_ns: int | None = None
    executable: bool | None = None
    target: str | None = None
    readable: bool = True


class _Stale(Exception):
    """What was planned on is no longer so."""


@dataclass(slots=True)
class MemoryStore:
    """`quota`: bytes of content it takes, None for any number. `name` makes its identity."""

    name: str = "memory"
    able: Capabilities = field(default_factory=lambda: Capabilities(local=True))
    quota: int | None = None
    exists: bool = True
    kept: list[tuple[RelPath, bytes]] = field(default_factory=list)
    on_read: Callable[[RelPath], None] = lambda path: None
    """Called between the pieces of a read: where a test lets a user write."""
    _nodes: dict[RelPath, Node] = field(default_factory=dict)
    _marker: str = ""
    _counter: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # -- what it is ----------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return self.able

    @property
    def identity(self) -> str:
        return f"memory:{self.name}"

    def root(self) -> RootState | None:
        return RootState(marker=self._marker, device="", empty=not self._nodes) if self.exists else None

    def create_root(self) -> None:
        self.exists = True

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        if not (only_first and self._marker):
            self._marker = marker

    def free_space(self) -> int | None:
        return None if self.quota is None else max(0, self.quota - self._used())

    def close(self) -> None:
        return

    # -- what a user does ------------------------------------------------------

    def write(
        self, path: RelPath, data: bytes, *, mtime_ns: int | None = None, executable: bool = False
    ) -> Entry:
        """Makes or overwrites a file, and the directories above it."""
        with self._lock:
            self._make_way(path)
            able = self.able
            node = Node(
                spelling=self._spelled(path),
                kind=Kind.FILE,
                version=self._next(),
                data=data,
                mtime_ns=(mtime_ns or 0) if able.mtime_granularity_ns else None,
                executable=executable if able.executable else None,
            )
            self._nodes[self._key(path)] = node
            return self._entry(node)

    def link(self, path: RelPath, target: str) -> Entry:
        """Makes a symlink."""
        with self._lock:
            self._make_way(path)
            node = Node(spelling=path, kind=Kind.SYMLINK, version=self._next(), target=target)
            self._nodes[self._key(path)] = node
            return self._entry(node)

    def make_directory(self, path: RelPath) -> None:
        with self._lock:
            self._make_way(join(path, "x"))

    def remove(self, path: RelPath) -> None:
        """Takes away a path and everything below it, as `rm -r` does: nothing is kept."""
        with self._lock:
            for key in [k for k in self._nodes if k == self._key(path) or is_below(k, self._key(path))]:
                del self._nodes[key]

    def deny(self, path: RelPath, *, readable: bool = False) -> None:
        """Makes a path unreadable (or readable again)."""
        self._nodes[self._key(path)].readable = readable

    def content(self, path: RelPath) -> bytes:
        """The bytes of a file; KeyError if there is none."""
        return self._nodes[self._key(path)].data

    def tree(self) -> dict[RelPath, bytes | str | None]:
        """Everything: bytes of files, targets of symlinks, None for directories."""
        with self._lock:
            return {n.spelling: _shown(n) for n in self._nodes.values()}

    # -- looking ---------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return DirectScan(known, changed=self._changed, list_directory=self.list)

    def _changed(self, known: Iterable[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        for path, remembered in known:
            try:
                now = self.list(path).fingerprint
            except StoreError:
                now = None
            if now != remembered:
                yield path

    def list(self, path: RelPath) -> Listing:
        with self._lock:
            here = self._directory(path)
            if here is not None and not here.readable:
                raise Unreadable(f"{path}: permission denied", path=path)
            entries = {split(n.spelling)[1]: self._entry(n) for n in self._children(path)}
        return Listing(
            entries=entries, fingerprint=fingerprint((name, e.version) for name, e in entries.items())
        )

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [self.stat(path) for path in paths]

    def stat(self, path: RelPath) -> Seen:
        with self._lock:
            if not path:
                return Entry(kind=Kind.DIRECTORY, size=0, version=b"") if self.exists else None
            node = self._nodes.get(self._key(path))
            return None if node is None else self._entry(node)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for path, _ in wanted:
            with self._lock:
                found: Seen = self.stat(path)
                node = self._nodes.get(self._key(path))
                if node is not None and not node.readable:
                    found = BlockedEntry(BlockReason.UNREADABLE, "permission denied")
                if isinstance(found, Entry) and node is not None and found.kind is Kind.FILE:
                    found = replace(found, digest=blake3(node.data).digest())
            yield found

    def open(self, path: RelPath, expected: Entry) -> Source:
        return MemorySource(path, expected, read=self.read, between=lambda p: self.on_read(p))  # noqa: PLW0108 - tests set it later

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        node = self._nodes.get(self._key(path))
        if node is None or node.kind is not Kind.FILE:
            return b""
        if not node.readable:
            raise Unreadable(f"{path}: permission denied", path=path)
        return node.data[:limit]

    def read(self, path: RelPath, expected: Entry) -> tuple[bytes, Entry]:
        """The bytes of a file that is as expected; raises what `Source.chunks` does."""
        with self._lock:
            node = self._nodes.get(self._key(path))
            if node is None:
                raise NotFound(f"{path} is not there", path=path)
            if not node.readable:
                raise Unreadable(f"{path}: permission denied", path=path)
            if node.kind is not Kind.FILE or node.version != expected.version:
                raise ChangedUnderUs(f"{path} changed", path=path)
            return node.data, self._entry(node)

    # -- changing ----------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._each(items, self._put)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._each(items, self._delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._each(items, self._create)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._each(paths, self._remove_directory)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._each(items, self._rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._each(items, self._amend)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        return

    def _each(self, items: Sequence[ItemT], do: Callable[[ItemT], Done]) -> Results:
        for index, item in enumerate(items):
            yield index, self._outcome(item, do)

    def _outcome(self, item: ItemT, do: Callable[[ItemT], Done]) -> Outcome:
        try:
            return do(item)
        except AuthError:
            raise
        except _Stale as error:
            return Stale(message=str(error))
        except (StoreError, LocalError) as error:
            return Failed(error=error)

    def _put(self, item: WriteRequest) -> Done:
        self._holdable(item.path, item.kind)
        data, digest = b"", None
        if item.kind is Kind.FILE:
            if item.source is None:
                raise Unholdable(f"{item.path}: no content", path=item.path)
            data = b"".join(item.source.chunks())
            digest = item.source.entry.digest
            if len(data) != item.size:
                raise ChangedUnderUs(f"{item.path}: another length than planned on", path=item.path)
        with self._lock:
            old = self._expect(item.path, item.expected, directory=False)
            self._room(len(data) - (len(old.data) if old else 0), item.path)
            self._keep(old)
            node = self._made(item, data, old)
            self._nodes[self._key(item.path)] = node
            entry = self._entry(node)
        if digest is not None:
            entry = replace(entry, digest=digest)
        return Done(entry=entry, method=Method.WHOLE, sent=entry.size)

    def _made(self, item: WriteRequest, data: bytes, old: Node | None) -> Node:
        able, file = self.able, item.kind is Kind.FILE
        executable = item.executable
        if executable is None:
            executable = bool(old and old.executable)
        step = able.mtime_granularity_ns
        return Node(
            spelling=self._spelled(item.path),
            kind=item.kind,
            version=self._next(),
            data=data,
            mtime_ns=(item.mtime_ns or 0) // step * step if step else None,
            executable=executable if able.executable and file else None,
            target=item.target,
        )

    def _delete(self, item: DeleteRequest) -> Done:
        with self._lock:
            self._keep(self._expect(item.path, item.expected, directory=False))
            del self._nodes[self._key(item.path)]
        return Done()

    def _create(self, item: MkdirRequest) -> Done:
        self._holdable(item.path, Kind.DIRECTORY)
        with self._lock:
            found = self._nodes.get(self._key(item.path))
            if item.replaces is not None and item.replaces.kind is not Kind.DIRECTORY:
                self._keep(self._expect(item.path, item.replaces, directory=False))
                found = None
            self._parent_is_there(item.path)
            if found is not None and found.kind is not Kind.DIRECTORY:
                raise _Stale(f"{item.path} is there by now, and no directory")
            if found is None:
                self._nodes[self._key(item.path)] = Node(item.path, Kind.DIRECTORY, b"")
        return Done(entry=Entry(kind=Kind.DIRECTORY, size=0, version=b""))

    def _remove_directory(self, path: RelPath) -> Done:
        with self._lock:
            found = self._nodes.get(self._key(path))
            if found is None:
                return Done()
            if found.kind is not Kind.DIRECTORY or self._children(path):
                raise _Stale(f"{path} is not an empty directory")
            del self._nodes[self._key(path)]
        return Done()

    def _rename(self, item: RenameRequest) -> Done:
        self._holdable(item.path, item.expected.kind)
        with self._lock:
            origin, target = self._key(item.origin), self._key(item.path)
            node = self._expect(item.origin, item.expected, directory=True)
            if is_below(target, origin) or node is None:
                raise Unholdable(f"{item.path} is below {item.origin}", path=item.path)
            self._parent_is_there(item.path)
            if target in self._nodes and target != origin:
                raise _Stale(f"{item.path} is there by now")
            for key in [k for k in self._nodes if k == origin or is_below(k, origin)]:
                moved = self._nodes.pop(key)
                moved.spelling = item.path + moved.spelling[len(item.origin) :]
                self._nodes[target + key[len(origin) :]] = moved
            if node.kind is not Kind.DIRECTORY:
                node.version = self._next()
            return Done(entry=self._entry(node))

    def _amend(self, item: SetAttributesRequest) -> Done:
        with self._lock:
            node = self._expect(item.path, item.expected, directory=True)
            assert node is not None
            step = self.able.mtime_granularity_ns
            if item.mtime_ns is not None and step and node.kind is not Kind.DIRECTORY:
                node.mtime_ns = item.mtime_ns // step * step
            if item.executable is not None and self.able.executable and node.kind is Kind.FILE:
                node.executable = item.executable
            if node.kind is not Kind.DIRECTORY:
                node.version = self._next()
            return Done(entry=replace(self._entry(node), digest=item.expected.digest))

    # -- the tree ------------------------------------------------------------------

    def _key(self, path: RelPath) -> RelPath:
        able = self.able
        if not (able.folds_case or able.folds_form):
            return path
        return "/".join(fold(p, case=able.folds_case, form=able.folds_form) for p in parts(path))

    def _spelled(self, path: RelPath) -> RelPath:
        """An existing name keeps its spelling, as on a disk that folds."""
        found = self._nodes.get(self._key(path))
        return found.spelling if found else path

    def _next(self) -> bytes:
        self._counter += 1
        return b"%d" % self._counter

    def _entry(self, node: Node) -> Entry:
        if node.kind is Kind.DIRECTORY:
            return Entry(kind=Kind.DIRECTORY, size=0, version=b"")
        link = node.target if node.kind is Kind.SYMLINK else None
        return Entry(
            kind=node.kind,
            size=len(node.data) if link is None else len(link.encode("utf-8", "surrogateescape")),
            version=node.version,
            mtime_ns=node.mtime_ns,
            executable=node.executable,
            digest=self._known_digest(node, link),
            target=link,
        )

    def _known_digest(self, node: Node, link: str | None) -> bytes | None:
        if link is not None:
            return link_digest(link)
        return blake3(node.data).digest() if self.able.digests else None

    def _children(self, path: RelPath) -> Sequence[Node]:
        key = self._key(path)
        return [n for k, n in self._nodes.items() if split(k)[0] == key]

    def _directory(self, path: RelPath) -> Node | None:
        node = self._nodes.get(self._key(path))
        if not self.exists or (path and (node is None or node.kind is not Kind.DIRECTORY)):
            raise NotFound(f"{path}: no such directory", path=path)
        return node

    def _make_way(self, path: RelPath) -> None:
        above = ""
        for part in parts(path)[:-1]:
            above = join(above, part)
            self._nodes.setdefault(self._key(above), Node(above, Kind.DIRECTORY, b""))

    def _parent_is_there(self, path: RelPath) -> None:
        try:
            self._directory(split(path)[0])
        except NotFound as error:
            raise _Stale(f"{path}: its place is gone") from error

    def _expect(self, path: RelPath, expected: Entry | None, *, directory: bool) -> Node | None:
        """What stands at the path, if it is what was planned on."""
        self._parent_is_there(path)
        found = self._nodes.get(self._key(path))
        if expected is None:
            if found is not None:
                raise _Stale(f"{path} is there by now")
            return None
        if found is None:
            raise _Stale(f"{path} is gone")
        same = found.kind is expected.kind and found.version == expected.version
        if not same or (found.kind is Kind.DIRECTORY and not directory):
            raise _Stale(f"{path} changed since it was planned on")
        return found

    def _holdable(self, path: RelPath, kind: Kind) -> None:
        why = "not a name" if not path else "one of Syncer's own names" if is_private_path(path) else ""
        for part in parts(path):
            try:
                check_name(part)
            except OSError:
                why = "not a name"
            why = why or unholdable(part, self.able)
        if kind is Kind.SYMLINK and not self.able.symlinks:
            why = "no symlinks here"
        if why:
            raise Unholdable(f"{path!r}: {why}", path=path)

    def _used(self) -> int:
        return sum(len(node.data) for node in self._nodes.values())

    def _room(self, more: int, path: RelPath) -> None:
        if self.quota is not None and more > 0 and self._used() + more > self.quota:
            raise QuotaExceeded(f"{path}: the store is full", path=path)

    def _keep(self, node: Node | None) -> None:
        if node is not None:
            target = (node.target or "").encode("utf-8", "surrogateescape")
            self.kept.append((node.spelling, target if node.kind is Kind.SYMLINK else node.data))


def _shown(node: Node) -> bytes | str | None:
    return node.data if node.kind is Kind.FILE else node.target
