"""Read-only calls: stat, digests, small files, the root, quota, server info.

Many names go in one request, cut at the server's limit; the responses are read as they arrive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from syncer.engine.interfaces import Capabilities, RootState
from syncer.engine.model import Done, Entry, Failed, RelPath, Seen
from syncer.errors import PermanentError, TransientError
from syncer.stores.peer.client import PeerClient
from syncer.wire.bounded_json import Json
from syncer.wire.schema import (
    capabilities_in,
    entry_out,
    error_in,
    malformed,
    number,
    octets,
    optional,
    outcome_in,
    root_in,
    seen_in,
    take,
)
from syncer.wire.validation import checked_entry

ItemT = TypeVar("ItemT")

MAX_ITEMS = 2000  # names of one request; the server may want fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The response of `hello`."""

    server: str
    capabilities: Capabilities
    items: int  # the most of one call


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Bytes used and free below the key's root; None where unknown."""

    used: int | None
    free: int | None


class Queries:
    """Read-only calls on one root, and calls with a single outcome."""

    def __init__(self, client: PeerClient) -> None:
        self._client = client

    @cached_property
    def server_info(self) -> ServerInfo:
        """Requested once. Raises AuthError, TransientError, PermanentError."""
        response = self._client.retried(lambda: self._client.request("hello", {}))
        limits = take(response.get("limits", {}), dict, "limits")
        return ServerInfo(
            server=take(response.get("server", ""), str, "a server's name"),
            capabilities=replace(capabilities_in(response.get("capabilities")), reserves_private=True),
            items=max(1, min(number(limits.get("items", MAX_ITEMS), "a limit"), MAX_ITEMS)),
        )

    def root(self) -> RootState | None:
        """The state of the root; None if there is none."""
        return root_in(self._client.request("root", {}).get("root"))

    def call_one(self, call: str, payload: Json) -> None:
        """Make a call with a single outcome; raise the error if it failed."""
        match outcome_in(self._client.request(call, payload).get("outcome")):
            case Failed(error=error):
                raise error
            case Done():
                return
            case other:
                raise PermanentError(other.message)

    def look(self, paths: Sequence[RelPath]) -> Iterator[Seen]:
        """Yield what stands at each of the names, in order."""
        for batch in self.cut(paths):
            yield from self._entries("look", {"paths": [*batch]}, len(batch))

    def digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """Yield the entries with their digests, in order."""
        for batch in self.cut(wanted):
            payload: Json = {"wanted": [[path, entry_out(entry)] for path, entry in batch]}
            yield from self._entries("digests", payload, len(batch))

    def _entries(self, call: str, payload: Json, count: int) -> Iterator[Seen]:
        received = 0
        with self._client.open(call, payload, accept_compressed=True) as response:
            for line in response.lines():
                received += 1
                if received > count:
                    raise malformed("one entry for each name")
                yield checked_entry(seen_in(line))
        if received < count:
            raise TransientError(f"{call}: the server left out an entry")

    def read_small(self, path: RelPath, limit: int) -> bytes:
        """See `engine.interfaces.Store.read_file`."""
        response = self._client.request("read-small", {"path": path, "limit": limit})
        if "error" in response:
            raise error_in(response["error"])
        return octets(response.get("content"), "a content", most=limit)

    def quota(self) -> Quota:
        """Bytes used and free at the server."""
        response = self._client.request("quota", {})
        return Quota(used=optional(response.get("used"), number), free=optional(response.get("free"), number))

    def cut(self, items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
        """Yield the items in batches of the size that one call may have."""
        for start in range(0, len(items), self.server_info.items if items else 1):
            yield items[start : start + self.server_info.items]
