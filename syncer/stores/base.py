"""Base classes for stores: `StoreWrapper`, which every decorator of a store extends, and scans.

`ScanBase` makes a context manager of a scan; `DirectScan` is the scan of a store that reads nothing ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from syncer.engine.interfaces import (
    Capabilities,
    DeleteRequest,
    KnownDirectories,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    Scan,
    SetAttributesRequest,
    Source,
    Store,
    WriteRequest,
)
from syncer.engine.model import Entry, Listing, RelPath, Seen


class ScanBase:
    """The part of `engine.interfaces.Scan` that is the same for all: a context that closes the scan."""

    def close(self) -> None:
        """Drop what was read ahead."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DirectScan(ScanBase):
    """A scan that reads nothing ahead: `changed` and `list_directory` are calls of the store.

    `changed` is given the known directories that have a fingerprint, as (path, fingerprint).
    """

    def __init__(
        self,
        known: KnownDirectories,
        *,
        changed: Callable[[Sequence[tuple[RelPath, bytes]]], Iterable[RelPath]],
        list_directory: Callable[[RelPath], Listing],
    ) -> None:
        self._known = known
        self._changed = changed
        self.list = list_directory

    def changed(self) -> Iterable[RelPath]:
        return self._changed(with_fingerprint(self._known))


def with_fingerprint(known: KnownDirectories) -> list[tuple[RelPath, bytes]]:
    """The directories that a scan has to compare with what they are now."""
    return [(path, print_) for path, print_ in known if print_ is not None]


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

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self.inner.write_root_id(marker, only_first=only_first)

    def scan(self, known: KnownDirectories) -> Scan:
        return self.inner.scan(known)

    def list(self, path: RelPath) -> Listing:
        return self.inner.list(path)

    def stat(self, path: RelPath) -> Seen:
        return self.inner.stat(path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return self.inner.left_out(paths)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self.inner.with_digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return self.inner.open(path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return self.inner.open_many(wanted)

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self.inner.read_file(path, limit)

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

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self.inner.set_attributes(items)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        self.inner.clean_leftovers(leftovers)

    def free_space(self) -> int | None:
        return self.inner.free_space()

    def close(self) -> None:
        self.inner.close()
