"""SmartFileStore: implements `engine.interfaces.Store` on the parts of this package.

Uploads are staged in groups, so that one wait for the service's clock serves many files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
    RelPath,
    Seen,
)
from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    StoreError,
    Unreadable,
)
from syncer.stores import absence
from syncer.stores.base import DirectScan
from syncer.stores.http.client import HttpSession
from syncer.stores.remote.download import read_through
from syncer.stores.remote.outcomes import put_staged, run_each
from syncer.stores.remote.quota import FreeSpace
from syncer.stores.remote.trash import run_name
from syncer.stores.smartfile import root
from syncer.stores.smartfile.api import SmartFileApi
from syncer.stores.smartfile.changes import SmartFileChanges
from syncer.stores.smartfile.commit import install, settle
from syncer.stores.smartfile.context import SmartFileRoot
from syncer.stores.smartfile.deltas import WORTH_IT, Crossed, patched, worth_patching
from syncer.stores.smartfile.download import SmartFileSource, small
from syncer.stores.smartfile.info import DIRECTORY
from syncer.stores.smartfile.listing import SmartFileLister, listing
from syncer.stores.smartfile.staging import SmartFileStaging, StagedUpload
from syncer.stores.smartfile.trash import SmartFileTrash

log = logging.getLogger(__name__)
AT_ONCE = 4  # directories looked at at once
GROUP_FILES, GROUP_BYTES = 256, 64 << 20  # staged together: what is in the way twice for a while


class SmartFileStore:
    """One folder of one account. What a put or a delete takes from a name is in `.syncer/trash` there."""

    def __init__(
        self, session: HttpSession, path: str = "", *, clock: Clock, tag: str = "syncer", trash_days: int = 30
    ) -> None:
        """`path` is the folder below the login's root, `tag` a plain word in the names of what we keep."""
        names = [name for name in path.split("/") if name]
        base = "".join(f"/{name}" for name in names)
        api = SmartFileApi(session)
        self._clock = clock
        self._identity = f"smartfile:{session.base_url}{'/'.join(names)}"
        self._trash_days = trash_days
        self._root = SmartFileRoot(api, base)
        self._staging = SmartFileStaging(api, base, run_name(clock.now_ns(), tag))
        self._trash = SmartFileTrash(self._root, self._staging, tag)
        self._lister = SmartFileLister(api)
        self._changes = SmartFileChanges(self._root, self._trash, self._staging, self._lister)
        self._free_space = FreeSpace(self._read_free_space, clock)
        self._failed = False

    @property
    def capabilities(self) -> Capabilities:
        return self._root.capabilities

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def repaired(self) -> int:
        """How often a delta made a wrong content, and the whole file was transferred."""
        return self._root.repaired

    def root(self) -> RootState | None:
        return root.state(self._root, self._lister)

    def create_root(self) -> None:
        root.create(self._root)

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        root.mark(self._root, self._staging, self._trash, marker, only_first=only_first)

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
            children = self._lister.children(self._root.at(path))
        except (NotFound, Unreadable):
            raise
        except (PermanentError, PreconditionFailed) as error:
            raise Unreadable(str(error), path=path, hint=error.hint) from error
        return listing(children, at_root=not path)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return absence.confirmed(paths, self.stat, sleep=self._clock.sleep)

    def stat(self, path: RelPath) -> Seen:
        try:
            found = self._root.stat(path)
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
        seen = read_through(self.open(path, found))
        return replace(found, digest=seen.digest) if isinstance(seen, Entry) else seen

    def open(self, path: RelPath, expected: Entry) -> Source:
        return SmartFileSource(self._root, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        return [self.open(path, expected) for path, expected in wanted]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return small(self._root, path, limit)

    def free_space(self) -> int | None:
        return self._free_space.get()

    def _read_free_space(self) -> int | None:
        quota = self._root.api.quota()
        return None if quota is None else max(0, quota.limit - quota.used)

    # -- changing ------------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        results = put_staged(
            items,
            files=GROUP_FILES,
            size=GROUP_BYTES,
            stage=self._stage,
            settle=lambda staged: settle(self._root, staged),
            commit=lambda staged: install(self._root, self._staging, self._trash, staged),
            discard=lambda staged: self._staging.discard(staged.folder or staged.path),
        )
        for index, outcome in results:
            self._failed = self._failed or not isinstance(outcome, Done)
            yield index, outcome

    def _stage(self, item: WriteRequest) -> StagedUpload:
        self._root.check_holdable(item.path, item.kind, item.target)
        if item.size >= WORTH_IT or item.kind is not Kind.FILE:
            self._root.expect_planned(item.path, item.expected)  # before any content is sent
        if item.executable is None and item.expected is not None:
            item = replace(item, executable=item.expected.executable)
        crossed = Crossed()
        if worth_patching(item):
            staged = patched(self._root, self._staging, item, crossed)
            if staged is not None:
                return staged
        whole = self._staging.whole(item)
        return replace(whole, sent=whole.sent + crossed.sent, received=whole.received + crossed.received)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        yield from run_each(items, lambda i: i.path, self._changes.delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        yield from run_each(items, lambda i: i.path, self._changes.make_directory)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        yield from run_each(paths, lambda p: p, self._changes.remove_directory)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        yield from run_each(items, lambda i: i.path, self._changes.rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        yield from run_each(items, lambda i: i.path, self._changes.amend)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Nothing: uploads are staged in `.syncer/work`, never beside a user's files."""

    def close(self) -> None:
        """End the session; a run that succeeded and kept something prunes the trash first."""
        self._staging.close()
        try:
            if self._trash.used and not self._failed:
                self._trash.prune(self._trash_days)
        except StoreError as error:
            log.info("the trash at %s was not pruned: %s", self._identity, error)
        self._root.api.session.close()
