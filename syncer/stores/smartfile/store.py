"""SmartFile's API as a store (`engine.interfaces.Store`): each call handed to the part that settles it.

No effect is made here but the order of a batch: what is to be put is staged in groups, so that
one wait for the service's clock serves many files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

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
    Kind,
    Listing,
    Outcome,
    RelPath,
    Seen,
)
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
from syncer.stores.http.client import HttpSession
from syncer.stores.smartfile import changes, expiry, root
from syncer.stores.smartfile.api import Api
from syncer.stores.smartfile.commit import install, settle
from syncer.stores.smartfile.context import SmartFileContext, each, outcome
from syncer.stores.smartfile.deltas import WORTH_IT, Crossed, patched, worth_patching
from syncer.stores.smartfile.download import RemoteSource, small
from syncer.stores.smartfile.info import DIRECTORY
from syncer.stores.smartfile.listing import Lister, listing
from syncer.stores.smartfile.staging import Staged, Staging
from syncer.stores.smartfile.trash import Trash
from syncer.stores.trash_runs import run_name

log = logging.getLogger(__name__)
AT_ONCE = 4  # directories looked at at once
GROUP_FILES, GROUP_BYTES = 256, 64 << 20  # staged together: what is in the way twice for a while
ROOM_SECONDS = 30.0  # for which an answer about the quota is believed


class SmartFileStore:
    """One folder of one account. What a put or a delete takes from a name is in `.syncer/trash` there."""

    def __init__(
        self, session: HttpSession, path: str = "", *, clock: Clock, tag: str = "syncer", trash_days: int = 30
    ) -> None:
        """`path` is the folder below the login's root, `tag` a plain word in the names of what we keep."""
        names = [name for name in path.split("/") if name]
        base = "".join(f"/{name}" for name in names)
        api = Api(session)
        self._clock = clock
        self._identity = f"smartfile:{session.base_url}{'/'.join(names)}"
        self._trash_days = trash_days
        self._ground = SmartFileContext(
            api, base, Staging(api, base, run_name(clock.now_ns(), tag)), Trash(api, base, tag)
        )
        self._lister = Lister(api)
        self._room: tuple[float, int | None] | None = None
        self._failed = False

    @property
    def capabilities(self) -> Capabilities:
        return self._ground.able

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def repaired(self) -> int:
        """How many times what a delta made was not right, and the whole was sent or fetched."""
        return self._ground.repaired

    def root(self) -> RootState | None:
        return root.state(self._ground, self._lister)

    def create_root(self) -> None:
        root.create(self._ground)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        root.mark(self._ground, marker, only_first=only_first)

    # -- looking -----------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return DirectScan(known, changed=self._changed, list_directory=self.list)

    def _changed(self, known: Sequence[tuple[RelPath, bytes]]) -> Iterator[RelPath]:
        pending = iter(known)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="look") as pool:
            while piece := list(islice(pending, 16 * AT_ONCE)):
                prints = pool.map(self._fingerprint, [path for path, _ in piece])
                yield from (path for (path, before), now in zip(piece, prints, strict=True) if now != before)

    def _fingerprint(self, path: RelPath) -> bytes | None:
        try:
            return self.list(path).fingerprint
        except AuthError:
            raise
        except StoreError:
            return None

    def list(self, path: RelPath) -> Listing:
        try:
            children = self._lister.children(self._ground.at(path))
        except (NotFound, Unreadable):
            raise
        except (PermanentError, PreconditionFailed) as error:
            raise Unreadable(str(error), path=path, hint=error.hint) from error
        return listing(children, at_root=not path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return absence.confirmed(paths, self.stat, sleep=self._clock.sleep)

    def stat(self, path: RelPath) -> Seen:
        try:
            found = self._ground.look(path)
        except (PermanentError, PreconditionFailed) as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))
        if found is None:
            return None
        return found.entry() if path else DIRECTORY

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        for path, _ in wanted:
            yield self._with_digest(path)

    def _with_digest(self, path: RelPath) -> Seen:
        found = self.stat(path)
        if not isinstance(found, Entry) or found is DIRECTORY or found.digest is not None:
            return found
        source = self.open(path, found)
        try:
            for _ in source.chunks():
                pass
        except NotFound:
            return None
        except ChangedUnderUs as error:
            return BlockedEntry(BlockReason.BUSY, str(error))
        except Unreadable as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))
        return replace(found, digest=source.entry.digest)

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
                quota = self._ground.api.quota()
            except AuthError:
                raise
            except StoreError:
                quota = None
            self._room = (now, None if quota is None else max(0, quota.limit - quota.used))
        return self._room[1]

    # -- changing ------------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        for group in _groups(items):
            staged: dict[int, Staged] = {}
            try:
                yield from self._stage(items, group, staged)
                settle(self._ground, list(staged.values()))
                for index in list(staged):
                    naming = partial(install, self._ground, staged.pop(index))
                    yield index, self._noted(outcome(items[index].path, naming))
            finally:
                for left in staged.values():
                    self._ground.staging.discard(left.folder or left.path)

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
        ground = self._ground
        ground.holdable(item.path, item.kind, item.target)
        if item.size >= WORTH_IT or item.kind is not Kind.FILE:
            ground.expect(item.path, item.expected)  # before anything crosses
        if item.executable is None and item.expected is not None:
            item = replace(item, executable=item.expected.executable)
        crossed = Crossed()
        if worth_patching(item) and (made := patched(ground, item, crossed)) is not None:
            return made
        whole = ground.staging.whole(item)
        return replace(whole, sent=whole.sent + crossed.sent, received=whole.received + crossed.received)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        ground = self._ground
        yield from each(items, lambda i: i.path, lambda i: changes.delete(ground, i))

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        ground = self._ground
        yield from each(items, lambda i: i.path, lambda i: changes.make_directory(ground, i))

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        ground, lister = self._ground, self._lister
        yield from each(paths, lambda p: p, lambda p: changes.remove_directory(ground, lister, p))

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        ground = self._ground
        yield from each(items, lambda i: i.path, lambda i: changes.rename(ground, i))

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        ground = self._ground
        yield from each(items, lambda i: i.path, lambda i: changes.amend(ground, i))

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Nothing of ours is ever staged beside a user's files."""

    def close(self) -> None:
        """Ends the session; a run that went well and kept something prunes what is too old first."""
        self._ground.staging.close()
        try:
            if self._ground.trash.used and not self._failed:
                expiry.prune(self._ground.api, self._ground.root, trash_days=self._trash_days)
        except StoreError as error:
            log.info("the trash at %s was not pruned: %s", self._identity, error)
        self._ground.api.session.close()

    def _noted(self, ended: Outcome) -> Outcome:
        self._failed = self._failed or not isinstance(ended, Done)
        return ended


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
