"""Content in one stream: frames of a type, a length and a payload.

    frame    = type (1 byte) length (4 bytes, big-endian) payload
    "H"      a head: a JSON object; begins a stream, or one content in it
    "D"      some bytes of a content, at most 1 MiB; none at all: a sign of life
    "E"      the end of one content: a JSON object, with its digest or with what went wrong
    "Z"      the end of the stream, without payload; a stream without it was broken off

Encoding and decoding only; what stands in heads and ends is the business of the calls.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from syncer.errors import PermanentError, TransientError
from syncer.wire.bounded_json import Json, parsed, weigh

LARGEST_DATA = 1 << 20  # bytes of one D
LARGEST_JSON = 16 << 20  # bytes of the H that begins a stream: thousands of items with long paths fit
LARGEST_LATER = 1 << 20  # bytes of every other H or E
ELEMENTS = 750_000  # of one JSON document: a list of 180,000 directories with their fingerprints fits
_LATER_ELEMENTS = 10_000
_SMALL = 64 << 10  # bytes of JSON that are parsed without asking
_HEADER = struct.Struct(">cI")
_PIECE = 256 << 10  # bytes that are gathered before they are handed on


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


_to_text = json.JSONEncoder(separators=(",", ":")).encode  # made once: there are two for each small file


def said(value: Json) -> bytes:
    """JSON in as few bytes as it has, ASCII only."""
    return _to_text(value).encode("ascii")


def encode(frames: Iterable[Frame]) -> Iterator[bytes]:
    """The stream's bytes with its end, small frames gathered into pieces of some 256 KiB.

    A sign of life (data without any bytes) is not kept waiting, nor is what came before it.
    """
    waiting: list[bytes] = []
    size = 0
    for frame in frames:
        for part in _parts(frame):
            waiting.append(part)
            size += len(part)
        if size >= _PIECE or (isinstance(frame, Data) and not frame.payload):
            yield b"".join(waiting)
            waiting, size = [], 0
    waiting.append(_HEADER.pack(b"Z", 0))
    yield b"".join(waiting)


def _parts(frame: Frame) -> Iterator[bytes]:
    if isinstance(frame, Data):
        for start in range(0, len(frame.payload) or 1, LARGEST_DATA):
            piece = frame.payload[start : start + LARGEST_DATA]
            yield _HEADER.pack(b"D", len(piece))
            yield piece
        return
    text = said(frame.fields)
    yield _HEADER.pack(b"H" if isinstance(frame, Head) else b"E", len(text)) + text


def decode(
    pieces: Iterable[bytes], *, largest: int = LARGEST_JSON, reserve: Callable[[int], None] | None = None
) -> Iterator[Frame]:
    """The frames of a stream, however it was cut; `largest`: bytes of the head that begins it.

    `reserve` is told how many bytes of memory a large head takes, before it is gathered and before it is
    parsed; what it raises comes out unchanged. Raises TransientError where the stream breaks off,
    PermanentError where it is no such stream.
    """
    buffer = bytearray()
    first = True
    for piece in pieces:
        buffer += piece
        used = 0
        if first and reserve is not None and len(buffer) - len(piece) < _HEADER.size <= len(buffer):
            reserve(_gathered(buffer))
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


def _gathered(buffer: bytearray) -> int:
    """Bytes that wait for the first frame to be whole, if they are many."""
    length = int(_HEADER.unpack_from(buffer)[1])
    return length if _SMALL < length <= LARGEST_JSON else 0


def _next(
    buffer: bytearray, at: int, largest: int, reserve: Callable[[int], None] | None
) -> tuple[Frame | None, int] | None:
    """The frame that begins at `at` and where it ends; None while it is not whole. The end is (None, …).

    `largest`: bytes of a head that begins the stream, 0 where it has begun.
    """
    if len(buffer) - at < _HEADER.size:
        return None
    kind, length = _HEADER.unpack_from(buffer, at)
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
                if weight.values > (ELEMENTS if first else _LATER_ELEMENTS):
                    raise PermanentError("a frame holds too many values")
                if first and reserve is not None and length > _SMALL:
                    reserve(weight.size)
            fields = _object(payload)
            return (Head(fields) if kind == b"H" else End(fields)), end


def _object(payload: bytes) -> dict[str, Json]:
    try:
        found = parsed(payload)
    except ValueError as error:
        raise PermanentError("a frame holds no JSON") from error
    if not isinstance(found, dict):
        raise PermanentError("a frame holds no JSON object")
    return found
