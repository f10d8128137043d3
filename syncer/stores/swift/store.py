"""A container, or a prefix in one, as a store: gathers the parts of this package.

Safety where Swift has no conditions: everything is looked at right before and right after it is changed, what
is replaced or deleted is copied to `.syncer/trash` first (kept for `trash_days`), and where the container
keeps versions (recommended: `X-Versions-Enabled: true`) an edit that came in between is found there and kept
as a conflict copy. `ground.WINDOW` says what is left open.
"""

from __future__ import annotations

import threading
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
from syncer.stores.swift.names import MAX_NAME_BYTES, ContainerPath
from syncer.stores.swift.objects import Objects
from syncer.stores.swift.preconditions import Preconditions
from syncer.stores.swift.root import Root
from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.slo.upload import Segments
from syncer.stores.swift.trash import KEPT_DAYS, Trash
from syncer.stores.swift.upload import Uploader
from syncer.stores.swift.versioning import VersionHistory

_ROOM_SECONDS = 30.0  # for which a quota is taken to be what it was

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
        self._clock = clock
        self._room: tuple[float, int | None] | None = None
        self._room_lock = threading.Lock()
        known, offered = ObjectCache(cache), ClusterInfo(connection, place)
        objects = Objects(connection, place, hides_manifests=lambda: offered.limits.hides_manifests)
        learner, crew = ObjectProber(objects, known), WorkerPool()
        self._root = Root(objects)
        ground = SwiftContext(
            objects=objects,
            known=known,
            learner=learner,
            crew=crew,
            clock=clock,
            offered=offered,
            # Ceph heeds no such condition; to try it there would write the marker once more.
            heeds_new=lambda: not offered.limits.is_ceph and self._root.heeds_new(),
        )
        self._ground = ground
        self._single_lister = SingleDirectoryLister(
            learner,
            crew,
            lambda: ListingVerifier(place=place, known=known, learner=learner, crew=crew, clock=clock),
        )
        self._trash = Trash(objects, offered, clock, tag, kept_days=trash_days)
        history = VersionHistory(objects, offered)
        self._segments = Segments(ground, cache=cache, thresholds=thresholds)
        self._looking = Lookup(ground, self._segments.is_broken)
        self._putting = Uploader(Preconditions(ground, self._trash, history), self._segments)
        self._removing = Deleter(ground, self._trash, history)
        self._moving = Renamer(ground, history)

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
        with self._room_lock:
            now = self._clock.monotonic()
            if self._room is None or self._room[0] < now:
                self._room = now + _ROOM_SECONDS, free_space(self._connection, self._ground.place)
            return self._room[1]

    def pulse(self) -> bytes:
        """By one request: a token that changes with most of what happens here. See `offered.pulse`."""
        return pulse(self._connection, self._ground.place)

    def close(self) -> None:
        self._ground.crew.close()
        self._ground.learner.early.close()
        if self._trash.used:
            try:
                self._trash.prune()
            except StoreError:
                pass  # the next run that puts something there tries again
        self._ground.known.close()
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
        return self._looking.look(path)

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self._looking.digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return large(self._segments, path, expected) or SwiftSource(self._ground, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        found = opened(self._ground, wanted)
        return [large(self._segments, *one) or source for one, source in zip(wanted, found, strict=True)]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._looking.read_small(path, limit)

    # -- changing ----------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._putting.put(items)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return self._removing.delete(items)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return self._removing.make_directories(items)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return self._removing.remove_directories(paths)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return self._moving.rename(items)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return self._moving.amend(items)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        """Nothing: an upload that broke off leaves nothing behind."""
