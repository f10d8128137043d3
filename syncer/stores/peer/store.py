"""A folder served by `syncer serve` as a store.

`listing` and `queries` look, `download` reads, `upload` and `changes` write; `client` sends the calls. The
server checks every expectation at the last moment, and keeps in its trash what is replaced or deleted.
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
from syncer.wire.schema import path_in, take
from syncer.wire.validation import ValidBatch

if TYPE_CHECKING:
    from syncer.stores.http.client import HttpSession

_LONGEST_WAIT = 45.0  # seconds; a connection that is silent for a minute counts as broken


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerChanges:
    """What changed at the server since a cursor: directories, or (`reset`) possibly everything."""

    cursor: str
    changed: tuple[RelPath, ...]
    reset: bool


class PeerStore:
    """Implements `engine.interfaces.Store`; see there for every method's contract.

    `root` is a folder below the key's own root; `cache` a private directory for block indexes, which need not
    exist and may be lost.
    """

    def __init__(self, session: HttpSession, root: str, *, cache: Path, version: int = VERSION) -> None:
        """`version` of the protocol: the one negotiated with the server (`wire.versions`)."""
        self._client = PeerClient(session, root, version)
        self._queries = Queries(self._client)
        indexes = BlockIndexService(cache / "sketches", session.clock)
        self._downloads = DownloadContext(
            client=self._client, indexes=indexes, blocklist=DeltaBlocklist(cache / "wrong-deltas")
        )
        self._encoder = UploadEncoder(self._client, indexes)
        self._uploads = Uploads(self._client, self._encoder, self._queries)
        self._changes = Changes(self._client, self._queries)

    # -- the root ------------------------------------------------------------

    @property
    def capabilities(self) -> Capabilities:
        """Those of the server's folder. The first access requests them and raises what `hello` raises."""
        return replace(self._queries.server_info.capabilities, local=False, digests=True, window="")

    @property
    def identity(self) -> str:
        return self._client.identity

    @property
    def repaired(self) -> int:
        """The number of contents that were sent whole because a delta came out wrong."""
        return self._encoder.repaired

    def root(self) -> RootState | None:
        return self._queries.root()

    def create_root(self) -> None:
        self._queries.call_one("create-root", {})

    def write_root_id(self, marker: str, *, only_first: bool = False) -> None:
        self._queries.call_one("mark", {"marker": marker, "only_first": only_first})

    def free_space(self) -> int | None:
        try:
            return self._queries.quota().free
        except TransientError:
            return None

    def quota(self) -> Quota:
        """Bytes used and free below the key's root. Raises StoreError."""
        return self._queries.quota()

    def feed(self, cursor: str | None, wait: float) -> PeerChanges:
        """Long poll: what changed since the cursor (None: from now on), or nothing after `wait` seconds.

        A hint which directories to scan, not what is in them. Raises StoreError.
        """
        response = self._client.request("feed", {"cursor": cursor, "wait": min(wait, _LONGEST_WAIT)})
        changed = take(response.get("changed"), list, "a list of directories")
        return PeerChanges(
            cursor=take(response.get("cursor"), str, "a cursor"),
            changed=tuple(path_in(directory) for directory in changed),
            reset=take(response.get("reset"), bool, "true or false"),
        )

    # -- looking -------------------------------------------------------------

    def scan(self, known: KnownDirectories) -> Scan:
        return PeerScan(self._client, known)

    def list(self, path: RelPath) -> Listing:
        return listed(self._client, path)

    def stat(self, path: RelPath) -> Seen:
        [seen] = self._queries.look([path])
        return seen

    def left_out(self, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [*self._queries.look(paths)]

    def with_digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        return self._queries.digests(wanted)

    def open(self, path: RelPath, expected: Entry) -> Source:
        return PeerSource(self._downloads, path, expected)

    def open_many(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Source]:
        if len(wanted) <= 1:
            return [self.open(path, expected) for path, expected in wanted]
        stream = MultiplexedDownload(self._client, wanted, most=self._queries.server_info.items)
        return [
            PeerSource(
                self._downloads,
                path,
                expected,
                stream=stream if expected.size < LARGE else None,
                position=position,
            )
            for position, (path, expected) in enumerate(wanted)
        ]

    def read_file(self, path: RelPath, limit: int) -> bytes:
        return self._queries.read_small(path, limit)

    # -- changing ------------------------------------------------------------

    def put(self, items: Sequence[WriteRequest]) -> Results:
        return self._uploads.put(items)

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        batch = ValidBatch(items)
        return batch.outcomes(self._changes.send("delete", batch.items))

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        batch = ValidBatch(items)
        return batch.outcomes(self._changes.send("make-directories", batch.items))

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        batch = ValidBatch(paths)
        return batch.outcomes(self._changes.send("remove-directories", batch.items))

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        batch = ValidBatch(items)
        return batch.outcomes(self._changes.send("rename", batch.items))

    def set_attributes(self, items: Sequence[SetAttributesRequest]) -> Results:
        batch = ValidBatch(items)
        return batch.outcomes(self._changes.send("amend", batch.items))

    def clean_leftovers(self, leftovers: Sequence[RelPath]) -> None:
        if leftovers:
            self._client.request("sweep", {"paths": [*leftovers]})

    def close(self) -> None:
        self._client.close()
