"""SwiftStore: a container, or a prefix in one, as `engine.interfaces.Store`.

Safety where Swift has no conditions: everything is looked at right before and right after it is changed, what
is replaced or deleted is copied to `.syncer/trash` first (kept for `trash_days`), and where the container
keeps versions (recommended: `X-Versions-Enabled: true`) an edit that came in between is found there and kept
as a conflict copy. `context.WINDOW` says what is left open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

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
from syncer.engine.model import Entry, Listing, RelPath, Seen
from syncer.errors import StoreError
from syncer.stores.remote.object_names import MAX_NAME_BYTES
from syncer.stores.remote.quota import FreeSpace
from syncer.stores.swift.cache import ObjectCache
from syncer.stores.swift.capabilities import ClusterInfo, free_space, pulse
from syncer.stores.swift.client import Connection
from syncer.stores.swift.consistency import ListingVerifier, ObjectProber, WorkerPool
from syncer.stores.swift.context import WINDOW, SwiftContext
from syncer.stores.swift.copy import Renamer
from syncer.stores.swift.delete import Deleter
from syncer.stores.swift.download import SwiftSource, opened
from syncer.stores.swift.download import source as large
from syncer.stores.swift.listing import DIRECTORY, SingleDirectoryLister, SwiftScan, listed
from syncer.stores.swift.lookup import Lookup
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.objects import Objects
from syncer.stores.swift.preconditions import Preconditions
from syncer.stores.swift.root import Root
from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.slo.upload import Segments
from syncer.stores.swift.trash import KEPT_DAYS, SwiftTrash
from syncer.stores.swift.upload import Uploader
from syncer.stores.swift.versioning import VersionHistory

CAPABILITIES = Capabilities(
    any_bytes=False,
    max_name_bytes=MAX_NAME_BYTES,
    moves_directories=False,
    digests=True,
    window=WINDOW,
)


class SwiftStore:
    """Implements `engine.interfaces.Store`; see there for every method's contract.

    `whereabouts` names the account, without secrets, for the identity. `cache` is a private directory for
    what is known of the objects between runs; it need not exist, and may be lost. `tag`: eight hex digits
    that tell the runs of this pair from others in the trash. `thresholds`: from when on files have
    segments, and how.
    """

    def __init__(
        self,
        connection: Connection,
        place: ContainerPath,
        *,
        whereabouts: str,
        clock: Clock,
        cache: Path | None,
        tag: str,
        thresholds: LayoutLimits | None = None,
        trash_days: int = KEPT_DAYS,
    ) -> None:
        self._connection = connection
        self._identity = f"swift:{whereabouts}/{place.container}/{place.prefix}"
        self._free_space = FreeSpace(lambda: free_space(connection, place), clock)
        known, cluster = ObjectCache(cache), ClusterInfo(connection, place)
        objects = Objects(connection, place, hides_manifests=lambda: cluster.limits.hides_manifests)
        prober, worker_pool = ObjectProber(objects, known), WorkerPool()
        self._root = Root(objects)
        context = SwiftContext(
            objects=objects,
            known=known,
            prober=prober,
            worker_pool=worker_pool,
            clock=clock,
            cluster=cluster,
            # Ceph heeds no such condition; to try it there would write the marker once more.
            heeds_new=lambda: not cluster.limits.is_ceph and self._root.heeds_new(),
        )
        self._context = context
        self._single_lister = SingleDirectoryLister(
            prober,
            worker_pool,
            lambda: ListingVerifier(
                place=place, known=known, prober=prober, worker_pool=worker_pool, clock=clock
            ),
        )
        self._trash = SwiftTrash(objects, cluster, clock, tag, kept_days=trash_days)
        history = VersionHistory(objects, cluster)
        self._segments = Segments(context, cache=cache, thresholds=thresholds)
        self._lookup = Lookup(context, self._segments.is_broken)
        self._uploader = Uploader(Preconditions(context, self._trash, history), self._segments)
        self._deleter = Deleter(context, self._trash, history)
        self._renamer = Renamer(context, history)

    # -- what it is ----------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def identity(self) -> str:
        return self._identity

    def root(self) -> RootState | None:
        return self._root.state()

    def create_root(self) -> None:
        self._root.create()

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._root.mark(marker, only_first=only_first)

    def free_space(self) -> int | None:
        return self._free_space.get()

    def pulse(self) -> bytes:
        """By one request: a token that changes with most of what happens here. See `capabilities.pulse`."""
        return pulse(self._connection, self._context.place)

    def close(self) -> None:
        self._context.worker_pool.close()
        self._context.prober.early.close()
        if self._trash.used:
            try:
                self._trash.prune()
            except StoreError:
                pass  # the next run that puts something there tries again
        self._context.known.close()
        self._connection.close()

    # -- looking -------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return SwiftScan(self._single_lister, known, self._root.stands)

    def list(self, path: RelPath) -> Listing:
        return listed(self._single_lister, path, self._root.stands)

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [None] * len(paths)  # a listing is doubted before it is handed out

    def stat(self, path: RelPath) -> Seen:
        if not path:
            return DIRECTORY if self._root.stands() else None
        return self._lookup.look(path)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self._lookup.digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return large(self._segments, path, expected) or SwiftSource(self._context, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        found = opened(self._context, wanted)
        return [large(self._segments, *one) or source for one, source in zip(wanted, found, strict=True)]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._lookup.read_small(path, limit)

    # -- changing ----------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._uploader.put(items)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._deleter.delete(items)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._deleter.make_directories(items)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._deleter.remove_directories(paths)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._renamer.rename(items)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._renamer.amend(items)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Nothing: an upload that broke off leaves nothing behind."""
