"""A store that is another store: what every decorator starts from. It changes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from syncer.engine.interfaces import (
    Capabilities,
    DeleteRequest,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    SetAttributesRequest,
    Source,
    Store,
    WriteRequest,
)
from syncer.engine.model import Entry, Listing, RelPath, Seen


class StoreWrapper:
    """Implements `engine.interfaces.Store` by passing every call on."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    @property
    def identity(self) -> str:
        return self.inner.identity

    def root(self) -> RootState | None:
        return self.inner.root()

    def create_root(self) -> None:
        self.inner.create_root()

    def mark(self, marker: str, *, only_first: bool = False) -> None:
        self.inner.mark(marker, only_first=only_first)

    def changed(self, known: Iterable[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        return self.inner.changed(known)

    def expect(self, directories: Sequence[RelPath]) -> None:
        self.inner.expect(directories)

    def list(self, path: RelPath) -> Listing:
        return self.inner.list(path)

    def look(self, path: RelPath) -> Seen:
        return self.inner.look(path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return self.inner.left_out(paths)

    def digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self.inner.digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return self.inner.open(path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return self.inner.open_many(wanted)

    def read_small(self, path: RelPath, limit: int) -> bytes:
        return self.inner.read_small(path, limit)

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self.inner.put(items)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self.inner.delete(items)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self.inner.make_directories(items)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self.inner.remove_directories(paths)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self.inner.rename(items)

    def amend(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self.inner.amend(items)

    def sweep(self, leftovers: Sequence[RelPath]) -> None:
        self.inner.sweep(leftovers)

    def free_space(self) -> int | None:
        return self.inner.free_space()

    def close(self) -> None:
        self.inner.close()
