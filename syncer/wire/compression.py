"""zstd compression (RFC 8878) of request and response bodies as streams, with bounded memory.

The client and the server share both directions. `zstandard` is imported with the first body, because a run
with nothing to send needs none of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import IO, cast

from syncer.wire.schema import malformed

NAME = "zstd"  # the token in Content-Encoding and Accept-Encoding
RFC_WINDOW = 8 << 20  # bytes: the window that RFC 8878 asks every decoder to support
LEVEL_WINDOW = 2 << 20  # bytes: the window that a stream of `_LEVEL` needs; the server accepts no larger one
_LEVEL = 3
_READ = 64 << 10  # compressed bytes given to the decompressor at once
_PIECE = 256 << 10  # bytes handed out at once, and bytes gathered before a block is closed
_FLUSH_SECONDS = 0.2  # the longest that a line waits for others to share its block


def compress(pieces: Iterable[bytes], *, prompt: bool = False) -> Iterator[bytes]:
    """Yield one zstd frame of the pieces.

    With `prompt` each piece can be decompressed by the receiver as soon as it was given; without, a block
    is closed after 256 KiB or 0.2 s, which compresses many short lines better.
    """
    import zstandard

    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    unflushed, flushed_at = 0, time.monotonic()
    for piece in pieces:
        output = compressor.compress(piece)
        unflushed += len(piece)
        now = time.monotonic()
        if prompt or unflushed >= _PIECE or now - flushed_at > _FLUSH_SECONDS:
            output += compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            unflushed, flushed_at = 0, now
        if output:
            yield output
    yield compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


def decompress(pieces: Iterable[bytes], *, window: int = RFC_WINDOW) -> Iterator[bytes]:
    """Yield the decompressed bytes, at most 256 KiB at once, however well they were compressed.

    `window`: the most bytes of history that a stream may ask for. A stream that was cut off simply ends: the
    formats inside have ends of their own. Raises PermanentError for bytes that are not zstd.
    """
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=window)
    reader = decompressor.stream_reader(
        cast(IO[bytes], _PieceReader(pieces)), read_size=_READ, read_across_frames=True
    )
    try:
        while piece := reader.read1(_PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise malformed("zstd") from error


class _PieceReader:
    """A file object over an iterator of pieces, with `read` only: all that zstandard calls.

    `read` returns fewer bytes than asked for rather than wait for the next piece, so that what has arrived
    is decompressed at once.
    """

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
