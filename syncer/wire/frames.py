"""Content in one stream: frames of a type, a length and a payload.

    frame    = type (1 byte) length (4 bytes, big-endian) payload
    "H"      a head: a JSON object; begins a stream, or one content in it
    "D"      some bytes of a content, at most 1 MiB; an empty one is a keep-alive
    "E"      the end of one content: a JSON object, with its digest or an error
    "Z"      the end of the stream, without payload; a stream without it was broken off

Encoding and decoding only; `docs/extension.md` has the fields of heads and ends for each call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from syncer.errors import PermanentError, TransientError
from syncer.wire.bounded_json import Json, dumps, weigh
from syncer.wire.schema import object_in

LARGEST_DATA = 1 << 20  # bytes of one D
LARGEST_JSON = 16 << 20  # bytes of the H that begins a stream: thousands of items with long paths fit
LARGEST_LATER = 1 << 20  # bytes of every other H or E
ELEMENTS = 750_000  # of one JSON document: a list of 180,000 directories with their fingerprints fits
_LATER_ELEMENTS = 10_000
_SMALL = 64 << 10  # bytes of JSON that are parsed without a reservation
_HEADER = struct.Struct(">cI")
_PIECE = 256 << 10  # bytes of frames that are gathered into one piece


@dataclass(frozen=True, slots=True)
class Head:
    """Begins a stream, or one content in it."""

    fields: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Data:
    """Some bytes of a content."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Ends one content."""

    fields: dict[str, Json]


Frame: TypeAlias = Head | Data | End


def encode(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Yield the stream's bytes with its end, small frames gathered into pieces of some 256 KiB.

    A keep-alive (data without any bytes) is yielded at once, with all that came before it.
    """
    pending: list[bytes] = []
    size = 0
    for frame in frames:
        for part in frame_parts(frame):
            pending.append(part)
            size += len(part)
        if size >= _PIECE or (isinstance(frame, Data) and not frame.payload):
            yield b"".join(pending)
            pending, size = [], 0
    pending.append(_HEADER.pack(b"Z", 0))
    yield b"".join(pending)


def frame_parts(frame: Frame) -> Iterator[bytes]:
    """Yield the bytes of one frame; data of more than 1 MiB makes several frames."""
    if isinstance(frame, Data):
        for start in range(0, len(frame.payload) or 1, LARGEST_DATA):
            piece = frame.payload[start : start + LARGEST_DATA]
            yield _HEADER.pack(b"D", len(piece))
            yield piece
        return
    text = dumps(frame.fields)
    yield _HEADER.pack(b"H" if isinstance(frame, Head) else b"E", len(text)) + text


def decode(
    pieces: Iterable[bytes], *, largest: int = LARGEST_JSON, reserve: Callable[[int], None] | None = None
) -> Iterator[Frame]:
    """Yield the frames of a stream cut into any pieces; `largest`: bytes of the head that begins it.

    `reserve` is called with the bytes of memory that a large head takes, before it is gathered and again
    before it is parsed; its exceptions pass through. Raises TransientError where the stream breaks off,
    PermanentError where it is not a stream of frames.
    """
    buffer = bytearray()
    first = True
    for piece in pieces:
        buffer += piece
        used = 0
        # Once, with the piece that completes the first header: only the first frame may be large.
        if first and reserve is not None and len(buffer) - len(piece) < _HEADER.size <= len(buffer):
            length = int(_HEADER.unpack_from(buffer)[1])
            # The bytes that wait in the buffer until the first frame is whole; too many are refused below.
            reserve(length if _SMALL < length <= LARGEST_JSON else 0)
        while (found := _next(buffer, used, largest if first else 0, reserve)) is not None:
            frame, used = found
            first = False
            if frame is None:
                if len(buffer) > used:
                    raise PermanentError("there are bytes after the end of the stream")
                return
            yield frame
        del buffer[:used]
    raise TransientError("the stream broke off")


def _next(
    buffer: bytearray, at: int, largest: int, reserve: Callable[[int], None] | None
) -> tuple[Frame | None, int] | None:
    """The frame at offset `at` and the offset after it; None until it is whole. "Z" is (None, offset).

    `largest`: bytes of a head that begins the stream, 0 once it has begun.
    """
    if len(buffer) - at < _HEADER.size:
        return None
    kind, length = _HEADER.unpack_from(buffer, at)
    # The length is checked before anything of the payload is waited for: it bounds the buffer.
    first, head = largest > 0, largest or LARGEST_LATER
    most = {b"H": head, b"E": head, b"D": LARGEST_DATA, b"Z": 0}.get(kind)
    if most is None or length > most:
        raise PermanentError(f"not a frame: type {kind!r}, {length} bytes")
    start, end = at + _HEADER.size, at + _HEADER.size + length
    if len(buffer) < end:
        return None
    payload = bytes(memoryview(buffer)[start:end])
    match kind:
        case b"Z":
            return None, end
        case b"D":
            return Data(payload), end
        case _:
            if length > _LATER_ELEMENTS:
                weight = weigh(payload)
                # Before it is parsed: each value takes 60 to 240 bytes, whatever its text takes.
                if weight.values > (ELEMENTS if first else _LATER_ELEMENTS):
                    raise PermanentError("a frame holds too many JSON values")
                if first and reserve is not None and length > _SMALL:
                    reserve(weight.size)
            fields = object_in(payload)
            return (Head(fields) if kind == b"H" else End(fields)), end
