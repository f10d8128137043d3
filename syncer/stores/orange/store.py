"""Orange Cloud as a store (`engine.interfaces.Store`): each call handed to the part that settles it.

No effect is made here but the order of a batch: what is to be put is staged in groups, so that
one wait for the service's clock serves many files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
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
    Outcome,
    RelPath,
    Seen,
)
from syncer.engine.paths import split
from syncer.errors import (
    AuthError,
    ChangedUnderUs,
    NotFound,
    PermanentError,
    PreconditionFailed,
    StoreError,
    Unreadable,
)
from syncer.stores import absence
from syncer.stores.base import DirectScan
from syncer.stores.orange import changes, root
from syncer.stores.orange.api import Api
from syncer.stores.orange.cache import ItemCache
from syncer.stores.orange.commit import install, settle
from syncer.stores.orange.context import OrangeContext, each, outcome
from syncer.stores.orange.download import RemoteSource, small
from syncer.stores.orange.items import DIRECTORY
from syncer.stores.orange.listing import AT_ONCE, Lister
from syncer.stores.orange.staging import Staged, Staging
from syncer.stores.orange.trash import Trash
from syncer.stores.stale import StaleError

log = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")
GROUP_FILES, GROUP_BYTES = 64, 64 << 20  # staged together: what is in the way twice for a while
ROOM_SECONDS = 30.0  # for which an answer about the free space is believed


class OrangeStore:
    """One folder of one account. What a put or a delete takes from a name is in `.syncer/trash` there."""

    def __init__(
        self,
        api: Api,
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
        self._tag = tag
        base = "/".join(name for name in path.split("/") if name)
        self._ground = OrangeContext(api=api, base=base, book=ItemCache(cache))
        self._staging = Staging(self._ground, tag)
        self._trash = Trash(self._ground, tag)
        self._lister = Lister(self._ground, self._staging, now_ns=clock.now_ns)
        self._room: tuple[float, int | None] | None = None
        self._failed = False

    @property
    def capabilities(self) -> Capabilities:
        return self._ground.able

    @property
    def identity(self) -> str:
        return self._identity

    def root(self) -> RootState | None:
        return root.state(self._ground, self._lister)

    def create_root(self) -> None:
        self._lister.outdated()
        root.create(self._ground, self._staging)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._lister.outdated()
        root.mark(self._ground, self._staging, self._trash, marker, only_first=only_first)

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
            found = self._ground.look(path)
        except (PermanentError, PreconditionFailed) as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))
        return None if found is None else self._ground.entry(path, found)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for path, _ in wanted:
            yield self._with_digest(path)

    def _with_digest(self, path: RelPath) -> Seen:
        found = self.stat(path)
        if not isinstance(found, Entry) or found is DIRECTORY or (found.digest is not None and found.trusted):
            return found
        source = self.open(path, replace(found, digest=None))
        try:
            for _ in source.chunks():
                pass
        except NotFound:
            return None
        except ChangedUnderUs as error:
            return BlockedEntry(BlockReason.BUSY, str(error))
        except Unreadable as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))
        return source.entry

    def open(self, path: RelPath, expected: Entry) -> Source:
        return RemoteSource(self._ground, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return small(self._ground, path, limit)

    def free_space(self) -> int | None:
        now = self._clock.monotonic()
        if self._room is None or now - self._room[0] > ROOM_SECONDS:
            try:
                free = self._ground.api.free()
            except AuthError:
                raise
            except StoreError:
                free = None
            self._room = (now, free)
        return self._room[1]

    # -- changing ------------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        for group in _groups(items):
            staged: dict[int, Staged] = {}
            try:
                yield from self._stage(items, group, staged)
                settle(self._ground, list(staged.values()))
                for index in list(staged):
                    naming = partial(self._install, staged.pop(index))
                    yield index, self._noted(outcome(items[index].path, naming))
            finally:
                for left in staged.values():
                    self._staging.discard(left.place)

    def _stage(self, items: Sequence[WriteRequest], group: range, staged: dict[int, Staged]) -> Results:
        """Stages what can be; answers those that cannot."""
        for index in group:

            def one(index: int = index) -> Done:
                staged[index] = self._staged(items[index])
                return Done()

            ended = self._noted(outcome(items[index].path, one))
            if index not in staged:
                yield index, ended

    def _staged(self, item: WriteRequest) -> Staged:
        self._lister.outdated()
        self._ground.holdable(item.path, item.kind)
        if item.expected is not None:
            self._ground.expect(item.path, item.expected)  # before anything crosses
        return self._staging.upload(item)

    def _install(self, staged: Staged) -> Done:
        return install(self._ground, self._trash, self._staging, staged, now_ns=self._clock.now_ns())

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        yield from self._each(
            items, lambda i: i.path, lambda i, now: changes.delete(self._ground, self._trash, i, now_ns=now)
        )

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        yield from self._each(
            items,
            lambda i: i.path,
            lambda i, now: changes.make_directory(self._ground, self._trash, i, now_ns=now),
        )

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        yield from self._each(
            paths,
            lambda p: p,
            lambda p, now: changes.remove_directory(self._ground, self._trash, self._lister, p, now_ns=now),
        )

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        yield from self._each(
            items,
            lambda i: i.path,
            lambda i, now: changes.rename(self._ground, self._trash, i, tag=self._tag, now_ns=now),
        )

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        yield from self._each(items, lambda i: i.path, lambda i, _: changes.amend(self._ground, i))

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """What a dead run of this pair staged: into the trash, since nobody knows what is in it."""
        for path in leftovers:
            found = self._ground.look(path)
            if found is not None and self._staging.is_left_over(split(path)[1]):
                try:
                    self._trash.keep(path, found)
                except StaleError:
                    continue  # it goes by itself
        self._lister.outdated()

    def close(self) -> None:
        """Ends the session; a run that went well and kept something prunes what is too old first."""
        try:
            if self._trash.used and not self._failed:
                self._trash.prune(self._trash_days)
        except StoreError as error:
            log.info("the trash at %s was not pruned: %s", self._identity, error)
        self._ground.book.close()
        self._ground.api.session.close()

    def _each(
        self, items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], do: Callable[[ItemT, int], Done]
    ) -> Results:
        self._lister.outdated()
        for index, ended in each(items, path_of, lambda item: do(item, self._clock.now_ns())):
            yield index, self._noted(ended)

    def _noted(self, ended: Outcome) -> Outcome:
        self._failed = self._failed or not isinstance(ended, Done)
        return ended


class _OrangeScan(DirectScan):
    """A scan that takes one flat listing of the whole tree, before `changed` or with the root's listing."""

    def __init__(
        self,
        known: KnownDirectories,
        lister: Lister,
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


def _groups(items: Sequence[WriteRequest]) -> Iterator[range]:
    """Runs of items, bounded in number and in bytes."""
    start = size = 0
    for index, item in enumerate(items):
        if index > start and (index - start == GROUP_FILES or size + item.size > GROUP_BYTES):
            yield range(start, index)
            start, size = index, 0
        size += item.size
    if start < len(items):
        yield range(start, len(items))
