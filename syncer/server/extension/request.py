"""One call and its answer, as the handlers see them: values in, values out.

A body is unpacked within bounds and checked (`json`, `frames`); an answer is one JSON object, lines, or
frames, packed if the client likes it so. No HTTP beyond media types; no store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from syncer.engine.model import Failed, Outcome, RelPath
from syncer.errors import PermanentError, SyncerError
from syncer.server.extension.context import Shared
from syncer.server.extension.packing import parsed, said, unpacked
from syncer.server.folder import Key, ServedFolder, ServedStore
from syncer.wire import FRAMES, LINES, schema
from syncer.wire.bounded_json import Json, weigh
from syncer.wire.frames import ELEMENTS, Frame, Head, decode, encode

ITEMS = 2000  # of one call
BODY = 16 << 20  # bytes of a body that is one JSON object, unpacked; what a head may have, too
_FREE = 64 << 10  # bytes of a body that are read without asking for memory


class TooLarge(PermanentError):
    """A body, or what it unpacks to, is larger than `hello` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`pieces` is lazy: making it is the work. `waits` tells whether that may wait for a slow client.

    `prompt`: a piece is handed out when it is worth sending.
    """

    media: str
    pieces: Iterable[bytes]
    waits: bool = True
    prompt: bool = False
    after: Callable[[], None] | None = None  # once it is made, whole or not


@dataclass(frozen=True, slots=True)
class Pieces:
    """A line of JSON too long to be in memory whole."""

    pieces: Iterable[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who asks for what. The body can be read once."""

    served: ServedFolder
    shared: Shared
    key: Key
    root: RelPath
    body: Iterable[bytes]
    packed: bool = False
    reserve: Callable[[int], None] = lambda size: None
    """Told of bytes of memory before they are used; the call has them until its end."""
    hold: Callable[[int], None] = lambda size: None
    """The same for the names of one directory after the other."""

    def pieces(self) -> Iterator[bytes]:
        """The body as it was before it was packed, in pieces of some 256 KiB at most."""
        return unpacked(self.body) if self.packed else iter(self.body)

    def json(self) -> dict[str, Json]:
        """The body as one JSON object. Raises PermanentError, TransientError, TooLarge."""
        data, reserved = bytearray(), _FREE
        for piece in self.pieces():
            data += piece
            if len(data) > BODY:
                raise TooLarge(f"a body has at most {BODY} bytes, unpacked")
            if len(data) > reserved:
                self.reserve(len(data))  # twice as much as before: few questions
                reserved += len(data)
        if len(data) > _FREE:
            weight = weigh(data)
            if weight.values > ELEMENTS:
                raise TooLarge(f"a body has at most {ELEMENTS} values")
            self.reserve(len(data) + weight.size - (reserved - _FREE))
        return parsed(data)

    def frames(self) -> Iterator[Frame]:
        """The body as frames. Raises PermanentError, TransientError."""
        return decode(self.pieces(), reserve=self.reserve)

    @contextmanager
    def store(self) -> Iterator[ServedStore]:
        """The store that the call is about. Raises Unholdable, NotFound, Unreadable."""
        with self.served.store(self.key, self.root) as store:
            yield store

    def trouble(self, error: SyncerError) -> dict[str, Json]:
        """`{"error": …}` as the client may read it."""
        return trouble(self.served.discreet(error))

    def outcome(self, outcome: Outcome) -> Json:
        """An outcome as the client may read it."""
        if isinstance(outcome, Failed):
            outcome = Failed(error=self.served.discreet(outcome.error))
        return schema.outcome_out(outcome)

    def outcomes(
        self, results: Iterable[tuple[int, Outcome]], *, after: Callable[[], None] | None = None
    ) -> Answer:
        """`[index, outcome]` as soon as each is known; the work waits for no client that listens slowly."""
        return lines(([i, self.outcome(outcome)] for i, outcome in results), waits=False, after=after)

    def head(self, frames: Iterator[Frame]) -> dict[str, Json]:
        """The head that every stream of frames begins with."""
        first = next(frames, None)
        if not isinstance(first, Head):
            raise schema.malformed("a head")
        return first.fields


Handler: TypeAlias = Callable[[Call], Answer]


def listed(fields: dict[str, Json], name: str) -> list[Json]:
    """A list of at most `ITEMS`. Raises PermanentError, TooLarge."""
    found = schema.take(fields.get(name), list, f"a list {name}")
    if len(found) > ITEMS:
        raise TooLarge(f"a call has at most {ITEMS} items")
    return found


# -- answers -----------------------------------------------------------------------


def one(fields: dict[str, Json]) -> Answer:
    """One JSON object."""
    return Answer(media="application/json", pieces=(said(fields),))


def lines(
    found: Iterable[Json | Pieces], *, waits: bool = True, after: Callable[[], None] | None = None
) -> Answer:
    """A line for each, and `"end"`."""

    def told() -> Iterator[bytes]:
        for value in found:
            if isinstance(value, Pieces):
                yield from value.pieces
                yield b"\n"
            else:
                yield said(value) + b"\n"
        yield b'"end"\n'

    return Answer(media=LINES, pieces=told(), waits=waits, after=after)


def framed(found: Iterable[Frame], *, after: Callable[[], None] | None = None) -> Answer:
    """A stream of frames with its end."""
    return Answer(media=FRAMES, pieces=encode(found), prompt=True, after=after)


def trouble(error: SyncerError) -> dict[str, Json]:
    """`{"error": …}`."""
    return {"error": schema.error_out(error)}
