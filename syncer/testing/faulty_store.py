"""`FaultyStore`: a store wrapper that fails as a test scripts it: method, path, and which call.

A `Fault` names a method, a path (or any), which call of that kind it means, and whether the
effect happens before the error is raised: a lost reply. Errors of batch methods become
the item's outcome, as the contract wants; everything else is raised.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from syncer.engine.interfaces import (
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
    Store,
    TransferStats,
    WriteRequest,
)
from syncer.engine.model import Entry, Failed, Listing, Outcome, RelPath, Seen
from syncer.errors import AuthError, SyncerError
from syncer.stores.base import ScanBase, StoreWrapper

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Fail call number `call` (from 1) of `method` for `path` (None: any), and `times` calls from there on.

    `after`: the effect happens, only the good news is lost. `times` None: for ever.
    """

    method: str
    error: SyncerError
    path: RelPath | None = None
    call: int = 1
    times: int | None = 1
    after: bool = False

    def hits(self, number: int) -> bool:
        return number >= self.call and (self.times is None or number < self.call + self.times)


class FaultyStore(StoreWrapper):
    """`faults` may grow while it runs. `missing` names are left out of every listing."""

    def __init__(self, inner: Store, faults: Iterable[Fault] = ()) -> None:
        super().__init__(inner)
        self.faults = [*faults]
        self.missing: set[RelPath] = set()
        self.calls: list[tuple[str, RelPath]] = []
        self._counts: dict[int, int] = {}
        self._lock = threading.Lock()

    def _next(self, method: str, path: RelPath) -> Fault | None:
        """Counts the call for every fault it matches; the first that hits is the answer."""
        with self._lock:
            self.calls.append((method, path))
            hit = None
            for position, fault in enumerate(self.faults):
                if fault.method != method or fault.path not in (None, path):
                    continue
                self._counts[position] = self._counts.get(position, 0) + 1
                if hit is None and fault.hits(self._counts[position]):
                    hit = fault
        return hit

    def _call(self, method: str, path: RelPath, call: Callable[[], ItemT]) -> ItemT:
        fault = self._next(method, path)
        if fault is not None and not fault.after:
            raise fault.error
        result = call()
        if fault is not None:
            raise fault.error
        return result

    def root(self) -> RootState | None:
        return self._call("root", "", self.inner.root)

    def create_root(self) -> None:
        self._call("create_root", "", self.inner.create_root)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._call("write_root_id", "", lambda: self.inner.write_root_id(marker, only_first=only_first))

    def stat(self, path: RelPath) -> Seen:
        return self._call("stat", path, lambda: self.inner.stat(path))

    def scan(self, known: KnownDirectories) -> Scan:
        """Its listings fail as `list` does."""
        return _FaultyScan(self.inner.scan(known), self._listed)

    def list(self, path: RelPath) -> Listing:
        return self._listed(path, self.inner.list)

    def _listed(self, path: RelPath, list_inner: Callable[[RelPath], Listing]) -> Listing:
        found = self._call("list", path, lambda: list_inner(path))
        lost = {n for n in found.entries if (f"{path}/{n}" if path else n) in self.missing}
        if not lost:
            return found
        entries = {name: entry for name, entry in found.entries.items() if name not in lost}
        return replace(found, entries=entries, fingerprint=None)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """What the listings leave out stays out of sight."""
        found = self._call("left_out", "", lambda: self.inner.left_out(paths))
        return [None if path in self.missing else seen for path, seen in zip(paths, found, strict=True)]

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for item in wanted:
            yield from self._call("with_digests", item[0], partial(self._with_digest, item))

    def _with_digest(self, item: tuple[RelPath, Entry]) -> Sequence[Seen]:
        return [*self.inner.with_digests([item])]

    def open(self, path: RelPath, expected: Entry) -> Source:
        return _FaultySource(self._next("read", path), self.inner.open(path, expected))

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        faults = [self._next("read", path) for path, _ in wanted]
        return [_FaultySource(f, s) for f, s in zip(faults, self.inner.open_many(wanted), strict=True)]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._call("read_file", path, lambda: self.inner.read_file(path, limit))

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._batch("put", [i.path for i in items], items, self.inner.put)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._batch("delete", [i.path for i in items], items, self.inner.delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._batch("make_directories", [i.path for i in items], items, self.inner.make_directories)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._batch("remove_directories", paths, paths, self.inner.remove_directories)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._batch("rename", [i.path for i in items], items, self.inner.rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._batch("set_attributes", [i.path for i in items], items, self.inner.set_attributes)

    def _batch(
        self,
        method: str,
        paths: Sequence[RelPath],
        items: Sequence[ItemT],
        send: Callable[[Sequence[ItemT]], Results],
    ) -> Results:
        hits = {i: fault for i, path in enumerate(paths) if (fault := self._next(method, path)) is not None}
        for index, fault in hits.items():
            if not fault.after:
                yield index, _outcome(fault)
        sent = [i for i in range(len(items)) if i not in hits or hits[i].after]
        for position, outcome in send([items[i] for i in sent]):
            index = sent[position]
            yield index, _outcome(hits[index]) if index in hits else outcome


def _outcome(fault: Fault) -> Outcome:
    if isinstance(fault.error, AuthError):
        raise fault.error
    return Failed(error=fault.error)


class _FaultyScan(ScanBase):
    def __init__(
        self, inner: Scan, listed: Callable[[RelPath, Callable[[RelPath], Listing]], Listing]
    ) -> None:
        self._inner = inner
        self._listed = listed

    def changed(self) -> Iterable[RelPath]:
        return self._inner.changed()

    def list(self, path: RelPath) -> Listing:
        return self._listed(path, self._inner.list)

    def close(self) -> None:
        self._inner.close()


class _FaultySource:
    """Fails before the first or before the last piece."""

    def __init__(self, fault: Fault | None, inner: Source) -> None:
        self._fault = fault
        self._inner = inner

    @property
    def entry(self) -> Entry:
        return self._inner.entry

    @property
    def traffic(self) -> TransferStats | None:
        return self._inner.traffic

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        if self._fault is None:
            return self._inner.chunks(basis)
        return self._failing(self._fault, basis)

    def _failing(self, fault: Fault, basis: LocalBasis | None) -> Iterator[bytes]:
        held = None
        if not fault.after:
            raise fault.error
        for chunk in self._inner.chunks(basis):
            if held is not None:
                yield held
            held = chunk
        raise fault.error
