"""The contents of a `fetch` as they come: one after the other in one stream, each with its head and its end.

Decoding and checking of what the server says; what is asked for, when, and what becomes of the bytes is
settled in `download` and `download`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from syncer.engine.model import Entry, RelPath
from syncer.errors import TransientError
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import (
    entry_in,
    entry_out,
    error_in,
    malformed,
    number,
    octets,
    take,
)
from syncer.wire.validation import believable

WHOLE, DELTA, ASK = "whole", "delta", "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One content that is asked for: from byte `start` on, or as a delta to the content of digest `have`."""

    path: RelPath
    entry: Entry
    start: int = 0
    have: bytes | None = None

    def told(self) -> Json:
        """As `fetch` wants it."""
        have = self.have.hex() if self.have is not None else None
        return {"path": self.path, "entry": entry_out(self.entry), "start": self.start, "have": have}


@dataclass(slots=True)
class Content:
    """One content in a stream; `data` is read once, and to its end before the next one."""

    index: int
    encoding: str
    frames: Iterator[Frame]
    ended: bool = False
    digest: bytes = b""  # of the whole content, once it ended
    entry: Entry | None = None  # what was read

    def data(self) -> Iterator[bytes]:
        """The bytes. Raises what went wrong with this content at the server, and what `frames` raises."""
        for frame in self.frames:
            match frame:
                case Data(payload):
                    yield payload
                    if self.ended:
                        raise TransientError("another content was asked for before this one was read")
                case End(fields):
                    self.ended = True
                    return self._end(fields)
                case Head():
                    raise malformed("the end of a content")
        raise TransientError("the stream ended within a content")

    def _end(self, fields: dict[str, Json]) -> None:
        if "error" in fields:
            raise error_in(fields["error"])
        if self.encoding == ASK:
            return
        self.digest = octets(fields.get("digest"), "a digest")
        self.entry = believable(entry_in(fields.get("entry")))

    def skip(self) -> None:
        """Reads over what is left of it; its own trouble is nobody's."""
        while not self.ended:
            frame = next(self.frames, None)
            if frame is None:
                raise TransientError("the stream ended within a content")
            if isinstance(frame, Head):
                raise malformed("the end of a content")
            self.ended = isinstance(frame, End)

    def close(self) -> None:
        """It was the last one: nothing more may come. Raises PermanentError.

        A connection that breaks here has brought everything.
        """
        try:
            if next(self.frames, None) is not None:
                raise malformed("the end of the stream")
        except TransientError:
            return


def next_content(frames: Iterator[Frame]) -> Content:
    """The head of the next content. Raises TransientError at the end of the stream."""
    head = next(frames, None)
    if not isinstance(head, Head):
        raise TransientError("the stream ended early") if head is None else malformed("a head")
    encoding = take(head.fields.get("encoding"), str, "an encoding")
    if encoding not in (WHOLE, DELTA, ASK):
        raise malformed("an encoding that we know")
    return Content(number(head.fields.get("index", 0)), encoding, frames)
