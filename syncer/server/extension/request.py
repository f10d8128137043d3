"""A call of the protocol as its handler sees it: a request with a checked body, and a lazy response.

The body is decompressed within limits and read as one JSON object (`json`) or as frames (`frames`). A
response is one JSON object, lines of JSON, or frames. Statuses and headers are `endpoint`'s, stores are
`folder`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeAlias

from syncer.engine.model import Failed, Outcome, RelPath
from syncer.errors import PermanentError, SyncerError
from syncer.server.extension.context import SharedState
from syncer.server.folder import Key, ServedFolder, ServedStore
from syncer.wire import FRAMES, LINES, schema
from syncer.wire.bounded_json import Json, dumps, weigh
from syncer.wire.compression import LEVEL_WINDOW, decompress
from syncer.wire.frames import ELEMENTS, Frame, Head, decode, encode

MAX_ITEMS = 2000  # of one call
MAX_BODY = 16 << 20  # bytes of a body that is one JSON object, decompressed; of the head of a stream, too
_UNRESERVED = 64 << 10  # bytes of a body that are read without a reservation of memory


class TooLarge(PermanentError):
    """A body, or what it decompresses to, is larger than `hello` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResponse:
    """A response; iterating over `pieces` does the work of the call.

    `waits`: the work may wait for a client that reads slowly. `prompt`: each piece is worth sending at once.
    """

    media_type: str
    pieces: Iterable[bytes]
    waits: bool = True
    prompt: bool = False
    after: Callable[[], None] | None = None  # called when all pieces are made, or an error ended them


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line of JSON that is too long to be in memory as a whole."""

    pieces: Iterable[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """The key, the root and the body of a call. The body can be read once."""

    served: ServedFolder
    shared: SharedState
    key: Key
    root: RelPath
    body: Iterable[bytes]
    compressed: bool = False
    reserve: Callable[[int], None] = lambda size: None
    """Reserve bytes of memory before they are used; the call holds them until its end."""
    hold: Callable[[int], None] = lambda size: None
    """Reserve bytes for the names of one directory, in place of those of the directory before."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the decompressed body in pieces of some 256 KiB at most."""
        return decompress(self.body, window=LEVEL_WINDOW) if self.compressed else iter(self.body)

    def json(self) -> dict[str, Json]:
        """The body as one JSON object. Raises PermanentError, TransientError, TooLarge.

        The memory for the text is reserved while it arrives, that for its values before it is parsed.
        """
        body, reserved = bytearray(), _UNRESERVED
        for piece in self.pieces():
            body += piece
            if len(body) > MAX_BODY:
                raise TooLarge(f"a body has at most {MAX_BODY} bytes, decompressed")
            if len(body) > reserved:
                self.reserve(len(body))  # doubles what is reserved, so that there are few reservations
                reserved += len(body)
        if len(body) > _UNRESERVED:
            weight = weigh(body)
            if weight.values > ELEMENTS:
                raise TooLarge(f"a body has at most {ELEMENTS} values")
            self.reserve(len(body) + weight.size - (reserved - _UNRESERVED))
        return schema.object_in(body)

    def frames(self) -> Iterator[Frame]:
        """Yield the body as frames. Raises PermanentError, TransientError."""
        return decode(self.pieces(), reserve=self.reserve)

    def head(self, frames: Iterator[Frame]) -> dict[str, Json]:
        """The fields of the head that every stream of frames begins with. Raises PermanentError."""
        first = next(frames, None)
        if not isinstance(first, Head):
            raise schema.malformed("a head")
        return first.fields

    def store(self) -> AbstractContextManager[ServedStore]:
        """Open the store of the call's root. Raises Unholdable, NotFound, Unreadable."""
        return self.served.store(self.key, self.root)

    def error_json(self, error: SyncerError) -> dict[str, Json]:
        """`{"error": …}` without the server's own paths."""
        return error_json(self.served.discreet(error))

    def outcome_json(self, outcome: Outcome) -> Json:
        """An outcome without the server's own paths."""
        if isinstance(outcome, Failed):
            outcome = Failed(error=self.served.discreet(outcome.error))
        return schema.outcome_out(outcome)

    def outcomes(
        self, results: Iterable[tuple[int, Outcome]], *, after: Callable[[], None] | None = None
    ) -> CallResponse:
        """A line `[index, outcome]` as soon as each is known. The work waits for no client that reads
        slowly.
        """
        lines = ([index, self.outcome_json(outcome)] for index, outcome in results)
        return lines_response(lines, waits=False, after=after)


Handler: TypeAlias = Callable[[CallRequest], CallResponse]


def items_of(fields: dict[str, Json], name: str) -> list[Json]:
    """The list in a field, of at most `MAX_ITEMS`. Raises PermanentError, TooLarge."""
    items = schema.take(fields.get(name), list, f"a list {name}")
    if len(items) > MAX_ITEMS:
        raise TooLarge(f"a call has at most {MAX_ITEMS} items")
    return items


def json_response(fields: dict[str, Json]) -> CallResponse:
    """One JSON object."""
    return CallResponse(media_type="application/json", pieces=(dumps(fields),))


def lines_response(
    values: Iterable[Json | LongLine], *, waits: bool = True, after: Callable[[], None] | None = None
) -> CallResponse:
    """A line for each value, and `"end"`: without it the client knows that the response was cut off."""

    def pieces() -> Iterator[bytes]:
        for value in values:
            if isinstance(value, LongLine):
                yield from value.pieces
                yield b"\n"
            else:
                yield dumps(value) + b"\n"
        yield b'"end"\n'

    return CallResponse(media_type=LINES, pieces=pieces(), waits=waits, after=after)


def frames_response(frames: Iterable[Frame], *, after: Callable[[], None] | None = None) -> CallResponse:
    """A stream of frames with its end."""
    return CallResponse(media_type=FRAMES, pieces=encode(frames), prompt=True, after=after)


def error_json(error: SyncerError) -> dict[str, Json]:
    """`{"error": …}`."""
    return {"error": schema.error_out(error)}
