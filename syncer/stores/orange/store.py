"""OrangeStore: implements `engine.interfaces.Store` on the parts of this package.

Uploads are staged in groups, so that one wait for the service's clock serves many files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from syncer.engine.interfaces import (
    Capabilities,
    Clock,
    DeleteRequest,
    KnownDirectories,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    Scan,
    SetAttributesRequest,
    Source,
    WriteRequest,
)
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Listing,
    RelPath,
    Seen,
)
from syncer.engine.paths import split
from syncer.errors import (
    AuthError,
    PermanentError,
    PreconditionFailed,
    StoreError,
)
from syncer.stores import absence
from syncer.stores.base import DirectScan
from syncer.stores.orange import root
from syncer.stores.orange.api import OrangeApi
from syncer.stores.orange.cache import ItemCache
from syncer.stores.orange.changes import OrangeChanges
from syncer.stores.orange.commit import install, settle
from syncer.stores.orange.context import OrangeRoot
from syncer.stores.orange.download import OrangeSource, small
from syncer.stores.orange.items import DIRECTORY
from syncer.stores.orange.listing import AT_ONCE, OrangeLister
from syncer.stores.orange.staging import OrangeStaging, StagedFile
from syncer.stores.orange.trash import OrangeTrash
from syncer.stores.remote.download import read_through
from syncer.stores.remote.outcomes import put_staged, run_each
from syncer.stores.remote.quota import FreeSpace
from syncer.stores.stale import StaleError

log = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")
GROUP_FILES, GROUP_BYTES = 64, 64 << 20  # staged together: what is in the way twice for a while


class OrangeStore:
    """One folder of one account. What a put or a delete takes from a name is in `.syncer/trash` there."""

    def __init__(
        self,
        api: OrangeApi,
        path: str = "",
        *,
        identity: str,
        clock: Clock,
        cache: Path | None = None,
        tag: str = "syncer",
        trash_days: int = 30,
    ) -> None:
        """`path` is the folder below the account's root, `tag` a plain word in the names of what is kept.

        `cache` is a private directory for what is worth keeping (None: nothing is).
        """
        self._identity = identity
        self._clock = clock
        self._trash_days = trash_days
        base = "/".join(name for name in path.split("/") if name)
        self._root = OrangeRoot(api=api, base=base, cache=ItemCache(cache))
        self._staging = OrangeStaging(self._root, tag)
        self._trash = OrangeTrash(self._root, tag)
        self._lister = OrangeLister(self._root, self._staging, now_ns=clock.now_ns)
        self._changes = OrangeChanges(self._root, self._trash, self._lister, now_ns=clock.now_ns)
        self._free_space = FreeSpace(api.free, clock)
        self._failed = False

    @property
    def capabilities(self) -> Capabilities:
        return self._root.capabilities

    @property
    def identity(self) -> str:
        return self._identity

    def root(self) -> RootState | None:
        return root.state(self._root, self._lister)

    def create_root(self) -> None:
        self._lister.outdated()
        root.create(self._root, self._staging)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._lister.outdated()
        root.mark(self._root, self._staging, self._trash, marker, only_first=only_first)

    # -- looking -----------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return _OrangeScan(known, self._lister, changed=self._changed)

    def _changed(self, known: Sequence[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        pending, surveyed = iter(known), False
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look") as pool:
            while piece := list(islice(pending, 16 * AT_ONCE)):
                if not surveyed:
                    self._lister.survey()
                    surveyed = True
                prints = pool.map(self._fingerprint, [path for path, _ in piece])
                yield from (path for (path, before), now in zip(piece, prints, strict=True) if now != before)

    def _fingerprint(self, path: RelPath) -> bytes | None:
        try:
            return self._lister.listing(path).fingerprint
        except AuthError:
            raise
        except StoreError:
            return None

    def list(self, path: RelPath) -> Listing:
        return self._lister.listing(path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return absence.confirmed(paths, self.stat, sleep=self._clock.sleep)

    def stat(self, path: RelPath) -> Seen:
        try:
            found = self._root.stat(path)
        except (PermanentError, PreconditionFailed) as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))
        return None if found is None else self._root.entry(path, found)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for path, _ in wanted:
            yield self._with_digest(path)

    def _with_digest(self, path: RelPath) -> Seen:
        found = self.stat(path)
        if not isinstance(found, Entry) or found is DIRECTORY or (found.digest is not None and found.trusted):
            return found
        return read_through(self.open(path, replace(found, digest=None)))

    def open(self, path: RelPath, expected: Entry) -> Source:
        return OrangeSource(self._root, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return small(self._root, path, limit)

    def free_space(self) -> int | None:
        return self._free_space.get()

    # -- changing ------------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        results = put_staged(
            items,
            files=GROUP_FILES,
            size=GROUP_BYTES,
            stage=self._stage,
            settle=lambda staged: settle(self._root, staged),
            commit=lambda staged: install(
                self._root, self._trash, self._staging, staged, now_ns=self._clock.now_ns()
            ),
            discard=lambda staged: self._staging.discard(staged.path),
        )
        yield from self._tracked(results)

    def _stage(self, item: WriteRequest) -> StagedFile:
        self._lister.outdated()
        self._root.check_holdable(item.path, item.kind)
        if item.expected is not None:
            self._root.expect(item.path, item.expected)  # before any content is sent
        return self._staging.upload(item)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        yield from self._each(items, lambda i: i.path, self._changes.delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        yield from self._each(items, lambda i: i.path, self._changes.make_directory)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        yield from self._each(paths, lambda p: p, self._changes.remove_directory)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        yield from self._each(items, lambda i: i.path, self._changes.rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        yield from self._each(items, lambda i: i.path, self._changes.amend)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Move what a dead run of this pair staged to the trash: its content is unknown."""
        for path in leftovers:
            found = self._root.stat(path)
            if found is not None and self._staging.is_left_over(split(path)[1]):
                try:
                    self._trash.keep(path, found)
                except StaleError:
                    continue  # it goes by itself
        self._lister.outdated()

    def close(self) -> None:
        """End the session; a run that succeeded and kept something prunes the trash first."""
        try:
            if self._trash.used and not self._failed:
                self._trash.prune(self._trash_days)
        except StoreError as error:
            log.info("the trash at %s was not pruned: %s", self._identity, error)
        self._root.cache.close()
        self._root.api.session.close()

    def _each(
        self, items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], change: Callable[[ItemT], Done]
    ) -> Results:
        self._lister.outdated()
        yield from self._tracked(run_each(items, path_of, change))

    def _tracked(self, results: Results) -> Results:
        """The results; remembers whether any item failed, since the trash is then not pruned."""
        for index, outcome in results:
            self._failed = self._failed or not isinstance(outcome, Done)
            yield index, outcome


class _OrangeScan(DirectScan):
    """A scan that takes one flat listing of the whole tree, before `changed` or with the root's listing."""

    def __init__(
        self,
        known: KnownDirectories,
        lister: OrangeLister,
        *,
        changed: Callable[[Sequence[tuple[RelPath, bytes]]], Iterable[RelPath]],
    ) -> None:
        super().__init__(known, changed=changed, list_directory=self._list)
        self._lister = lister
        lister.outdated()  # a flat listing of an earlier scan

    def _list(self, path: RelPath) -> Listing:
        if not path:
            self._lister.survey()
        return self._lister.listing(path)

    def close(self) -> None:
        self._lister.outdated()
