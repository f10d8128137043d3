"""Bodies on the wire: JSON in few bytes, zstd both ways, within bounds whatever comes.

Bytes only; what they say is read in `request`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import IO, cast

from syncer.wire import bounded_json, schema
from syncer.wire.bounded_json import Json
from syncer.wire.frames import said

__all__ = ["packed", "parsed", "said", "unpacked"]

_WINDOW = 2 << 20  # bytes that a zstd stream may look back: what the client's level has
_PIECE = 256 << 10  # bytes that are unpacked, or gathered before they are packed, at once
_SOON = 0.2  # seconds that a line waits for others to be packed with


def parsed(body: bytes | bytearray) -> dict[str, Json]:
    """The JSON object that a body is. Raises PermanentError."""
    try:
        found = bounded_json.parsed(body)
    except ValueError as error:
        raise schema.malformed("a JSON object") from error
    return schema.take(found, dict, "a JSON object")


def unpacked(body: Iterable[bytes]) -> Iterator[bytes]:
    """What a zstd stream holds, a little at a time, whatever it expands to. Raises PermanentError."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    try:
        source = cast(IO[bytes], _Reading(body))
        with unpacker.stream_reader(source, read_size=64 << 10, read_across_frames=True) as reader:
            while piece := reader.read1(_PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise schema.malformed("zstd") from error


class _Reading:
    """Pieces as a file that can be read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        given, self._rest = self._rest[:size], self._rest[size:]
        return given


def packed(pieces: Iterable[bytes], *, prompt: bool = False) -> Iterator[bytes]:
    """A zstd stream in which everything can be read soon after it was given, at once if it is `prompt`."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=3).compressobj()
    waiting, since = 0, time.monotonic()
    for piece in pieces:
        ready = packer.compress(piece)
        waiting += len(piece)
        now = time.monotonic()
        if prompt or waiting >= _PIECE or now - since > _SOON:
            ready += packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            waiting, since = 0, now
        if ready:
            yield ready
    yield packer.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
