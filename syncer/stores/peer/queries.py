"""The calls that ask about names: what stands there, which content it has, what is at the root.

One request for many names, cut where the server wants it; the answers come as they are made.
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
from syncer.wire.validation import believable

ItemT = TypeVar("ItemT")

AT_ONCE = 2000  # names of one request, unless the server wants fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the server says of itself."""

    server: str
    capabilities: Capabilities
    items: int  # of one call at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Bytes used and free below the key's root; None where the server cannot tell."""

    used: int | None
    free: int | None


class Queries:
    """Questions to one root."""

    def __init__(self, link: PeerClient) -> None:
        self._link = link

    @cached_property
    def hello(self) -> Hello:
        """Asked once. Raises AuthError, TransientError, PermanentError."""
        told = self._link.patiently(lambda: self._link.ask("hello", {}))
        limits = take(told.get("limits", {}), dict, "limits")
        return Hello(
            server=take(told.get("server", ""), str, "a server's name"),
            capabilities=replace(capabilities_in(told.get("capabilities")), reserves_private=True),
            items=max(1, min(number(limits.get("items", AT_ONCE), "a limit"), AT_ONCE)),
        )

    def root(self) -> RootState | None:
        """What stands at the root; None if nothing does."""
        return root_in(self._link.ask("root", {}).get("root"))

    def settle(self, call: str, told: Json) -> None:
        """A call with one outcome, which is raised if it is none to be glad of."""
        match outcome_in(self._link.ask(call, told).get("outcome")):
            case Failed(error=error):
                raise error
            case Done():
                return
            case other:
                raise PermanentError(other.message)

    def look(self, paths: Sequence[RelPath]) -> Iterator[Seen]:
        """What stands at each of the names, in order."""
        for some in self.cut(paths):
            yield from self._seen("look", {"paths": [*some]}, len(some))

    def digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """The entries with their digests, in order."""
        for some in self.cut(wanted):
            yield from self._seen("digests", {"wanted": [[p, entry_out(e)] for p, e in some]}, len(some))

    def _seen(self, call: str, told: Json, count: int) -> Iterator[Seen]:
        came = 0
        for line in self._link.each(call, told):
            came += 1
            if came > count:
                raise malformed("one answer for each name")
            yield believable(seen_in(line))
        if came < count:
            raise TransientError(f"{call}: the server left out an answer")

    def read_small(self, path: RelPath, limit: int) -> bytes:
        """See `engine.interfaces.Store.read_file`."""
        told = self._link.ask("read-small", {"path": path, "limit": limit})
        if "error" in told:
            raise error_in(told["error"])
        return octets(told.get("content"), "a content", most=limit)

    def quota(self) -> Quota:
        """How full the server is."""
        told = self._link.ask("quota", {})
        return Quota(used=optional(told.get("used"), number), free=optional(told.get("free"), number))

    def cut(self, items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
        """The items in pieces that one call takes."""
        for start in range(0, len(items), self.hello.items if items else 1):
            yield items[start : start + self.hello.items]
