"""Content that comes by the wire, as sources that a store reads in order.

A source is read once, and checks what it gives: the size, and the digest of the whole before the last
piece. What the store does not read is passed over. Frames come checked (`wire.frames`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from syncer.engine.delta import patch
from syncer.engine.model import Entry, Kind, Method
from syncer.engine.ports import Basis, Traffic
from syncer.errors import BadDelta, ChangedUnderUs, PermanentError, SyncerError, TransientError
from syncer.wire import values
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head

_PIECE = 1 << 20
_UNGAUGED, _SWELL = 16 << 20, 16  # bytes, or times what it is made of, that a delta may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """The head of one content."""

    index: int
    delta: bool
    start: int


class Incoming:
    """The contents of a put, one after the other."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._next: Announced | None = None  # read, not begun
        self._last = -1
        self._inside = False
        self._broken: SyncerError | None = None
        self._end: dict[str, Json] = {}

    def begin(self, index: int) -> Announced:
        """Passes over what comes before. Raises PermanentError if it never comes, TransientError."""
        while (head := self._peek()) is not None and head.index <= index:
            self._next, self._inside = None, True
            if head.index == index:
                return head
        raise PermanentError("the content was not sent")

    def data(self) -> Iterator[bytes]:
        """The bytes of the content that was begun. Raises what the client says went wrong."""
        while not isinstance(frame := self._frame(), End):
            if not isinstance(frame, Data):
                raise self._malformed("data or an end")
            yield frame.payload
        self._inside = False
        self._end = frame.fields
        if "error" in frame.fields:
            raise _final(values.error_in(frame.fields["error"]))

    def digest(self) -> bytes:
        """Of the whole content, as its end told."""
        found = values.octets(self._end.get("digest"), "a digest")
        if len(found) != blake3.digest_size:
            raise values.malformed("a digest")
        return found

    def finish(self) -> None:
        """Passes over the rest, to the end of the stream."""
        while self._peek() is not None:
            self._next, self._inside = None, True

    def _peek(self) -> Announced | None:
        if self._next is None:
            while self._inside:
                frame = self._frame()
                if isinstance(frame, Head) or frame is None:
                    raise self._malformed("the end of a content")
                self._inside = isinstance(frame, Data)
            frame = self._frame()
            if frame is not None:
                self._next = self._announced(frame)
        return self._next

    def _announced(self, frame: Frame) -> Announced:
        if not isinstance(frame, Head):
            raise self._malformed("a head")
        try:
            index = values.number(frame.fields.get("index"), "an index")
            encoding = frame.fields.get("encoding")
            start = values.number(frame.fields.get("start", 0), "a place in a file")
        except PermanentError as error:
            self._broken = error
            raise
        if index <= self._last or encoding not in ("whole", "delta") or (start and encoding == "delta"):
            raise self._malformed("the head of a content")
        self._last = index
        return Announced(index=index, delta=encoding == "delta", start=start)

    def _frame(self) -> Frame | None:
        """Once it is broken it stays so, and says the same to every source."""
        if self._broken is not None:
            raise self._broken
        try:
            return next(self._frames, None)
        except SyncerError as error:
            self._broken = error
            raise

    def _malformed(self, what: str) -> PermanentError:
        self._broken = values.malformed(what)
        return self._broken


def _final(error: SyncerError) -> SyncerError:
    """A client that gave up is not to be waited for: nothing of the content is kept."""
    return ChangedUnderUs(error.message) if isinstance(error, TransientError) else error


class WireSource:
    """One content (`engine.ports.Source`)."""

    def __init__(self, incoming: Incoming, index: int, size: int) -> None:
        self._incoming = incoming
        self._index = index
        self._size = size
        self._begun = False
        self._entry: Entry | None = None
        self._method = Method.WHOLE
        self._received = 0

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs("the content was not read to its end")
        return self._entry

    @property
    def traffic(self) -> Traffic | None:
        return Traffic(method=self._method, received=self._received)

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        if self._begun:
            raise BadDelta("what came of it can be used once; send it whole")
        self._begun = True
        head = self._incoming.begin(self._index)
        hasher, total, held = blake3(), 0, b""
        if basis is not None and basis.start:
            total = basis.start
            for piece in _beginning(basis):
                hasher.update(piece)
        pieces = self._patched(basis) if head.delta else self._whole(head.start, basis)
        for piece in pieces:
            total += len(piece)
            if total > self._size:
                raise BadDelta(f"more than the {self._size} bytes that were announced")
            hasher.update(piece)
            if total < self._size:
                yield piece
            else:
                held += piece  # the last one, and perhaps empty ones after it
        self._verify(hasher.digest(), total)
        if held:
            yield held

    def _verify(self, digest: bytes, total: int) -> None:
        if total != self._size or digest != self._incoming.digest():
            raise BadDelta("what arrived is not what was announced; send it whole")
        self._entry = Entry(Kind.FILE, self._size, b"", digest=digest)

    def _whole(self, start: int, basis: Basis | None) -> Iterator[bytes]:
        """The bytes after what is here already; what was sent of those is passed over."""
        here = basis.start if basis is not None else 0
        if start > here:
            raise BadDelta("its beginning is not here (any more); send it whole")
        skip = here - start
        for piece in self._data():
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(skip - len(piece), 0)

    def _patched(self, basis: Basis | None) -> Iterator[bytes]:
        self._method = Method.DELTA
        if basis is None or basis.start:
            raise BadDelta("there is nothing here that a delta could be applied to; send it whole")
        made = 0
        for piece in patch(basis, self._data(), size=self._size):
            made += len(piece)
            if made > _UNGAUGED + _SWELL * (basis.size + self._received):
                raise BadDelta(f"a delta that makes {made} bytes of next to nothing; send it whole")
            yield piece

    def _data(self) -> Iterator[bytes]:
        for piece in self._incoming.data():
            self._received += len(piece)
            yield piece


def _beginning(basis: Basis) -> Iterator[bytes]:
    """What a transfer that was broken off left here."""
    for offset in range(0, basis.start, _PIECE):
        yield basis.read(offset, min(_PIECE, basis.start - offset))
