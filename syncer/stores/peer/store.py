"""A folder of another Syncer, served by `syncer serve`, as a store: gathers the parts of this package.

`listing` and `queries` look, `download` and `download` read, `upload` and `changes` change; `client` speaks
HTTP. It decides nothing: every expectation is checked by the server at the last moment, and what
is replaced or deleted lies in the server's trash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.delta.index_cache import BlockIndexService
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
    WriteRequest,
)
from syncer.engine.model import Entry, Listing, RelPath, Seen
from syncer.errors import TransientError
from syncer.stores.peer.changes import Changes
from syncer.stores.peer.client import PeerClient
from syncer.stores.peer.download import (
    LARGE,
    DeltaBlocklist,
    DownloadContext,
    MultiplexedDownload,
    PeerSource,
)
from syncer.stores.peer.listing import PeerScan, listed
from syncer.stores.peer.queries import Queries, Quota
from syncer.stores.peer.upload import UploadEncoder, Uploads
from syncer.wire import VERSION
from syncer.wire.schema import path, take
from syncer.wire.validation import sifted

if TYPE_CHECKING:
    from syncer.stores.http.client import HttpSession

_LONGEST_WAIT = 45.0  # seconds; after a minute of silence a connection is taken for dead


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerChanges:
    """What changed at the server since a cursor: directories, or (`reset`) anything."""

    cursor: str
    changed: tuple[RelPath, ...]
    reset: bool


class PeerStore:
    """Implements `engine.interfaces.Store`; see there for every method's contract.

    `root` is a folder below the key's own root; `cache` a private directory for what is kept between
    runs, which need not exist and may be lost.
    """

    def __init__(self, session: HttpSession, root: str, *, cache: Path, version: int = VERSION) -> None:
        """`version` of the extension: the one agreed on with the server (`wire.versions`)."""
        self._link = PeerClient(session, root, version)
        self._asking = Queries(self._link)
        keeper = BlockIndexService(cache / "sketches", session.clock)
        self._means = DownloadContext(
            link=self._link, keeper=keeper, distrust=DeltaBlocklist(cache / "wrong-deltas")
        )
        self._writer = UploadEncoder(self._link, keeper)
        self._uploading = Uploads(self._link, self._writer, self._asking)
        self._changing = Changes(self._link, self._asking)

    # -- what it is ----------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """Those of the server's folder. Raises what asking does, the first time."""
        return replace(self._asking.hello.capabilities, local=False, digests=True, window="")

    @property
    def identity(self) -> str:
        return self._link.identity

    @property
    def repaired(self) -> int:
        """How many contents were sent whole because a delta came out wrong."""
        return self._writer.repaired

    def root(self) -> RootState | None:
        return self._asking.root()

    def create_root(self) -> None:
        self._asking.settle("create-root", {})

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._asking.settle("mark", {"marker": marker, "only_first": only_first})

    def free_space(self) -> int | None:
        try:
            return self._asking.quota().free
        except TransientError:
            return None

    def quota(self) -> Quota:
        """Bytes used and free below the key's root. Raises StoreError."""
        return self._asking.quota()

    def feed(self, cursor: str | None, wait: float) -> PeerChanges:
        """What changed since the cursor (None: from now on), as soon as anything does, or after `wait` s.

        Raises StoreError. What it tells is a hint where to look, not what is there.
        """
        told = self._link.ask("feed", {"cursor": cursor, "wait": min(wait, _LONGEST_WAIT)})
        return PeerChanges(
            cursor=take(told.get("cursor"), str, "a cursor"),
            changed=tuple(path(p) for p in take(told.get("changed"), list, "a list of directories")),
            reset=take(told.get("reset"), bool, "true or false"),
        )

    # -- looking -------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return PeerScan(self._link, known)

    def list(self, path: RelPath) -> Listing:
        return listed(self._link, path)

    def stat(self, path: RelPath) -> Seen:
        [seen] = self._asking.look([path])
        return seen

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [*self._asking.look(paths)]

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self._asking.digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return PeerSource(self._means, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        if len(wanted) <= 1:
            return [self.open(path, expected) for path, expected in wanted]
        stream = MultiplexedDownload(self._link, wanted, most=self._asking.hello.items)
        return [
            PeerSource(
                self._means,
                path,
                expected,
                stream=stream if expected.size < LARGE else None,
                position=position,
            )
            for position, (path, expected) in enumerate(wanted)
        ]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._asking.read_small(path, limit)

    # -- changing ------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return sifted(items, lambda i: (i.path,), self._uploading.put)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        return sifted(items, lambda i: (i.path,), self._changing.delete)

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        return sifted(items, lambda i: (i.path,), self._changing.make_directories)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        return sifted(paths, lambda p: (p,), self._changing.remove_directories)

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        return sifted(items, lambda i: (i.origin, i.path), self._changing.rename)

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        return sifted(items, lambda i: (i.path,), self._changing.amend)

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        if leftovers:
            self._link.ask("sweep", {"paths": [*leftovers]})

    def close(self) -> None:
        self._link.close()
