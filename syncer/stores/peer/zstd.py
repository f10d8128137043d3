"""Bodies packed with zstd (RFC 8878), piece by piece: what one packs the other unpacks, within bounds.

What is worth packing is the callers' business. `zstandard` is imported when the first body is packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from syncer.errors import PermanentError

NAME = "zstd"  # as Content-Encoding and Accept-Encoding call it
_LEVEL = 3
_WINDOW = 1 << 23  # bytes that unpacking may keep: what RFC 8878 asks every decoder to manage
_MOST = 1 << 20  # bytes handed out at once, however well they were packed
_BITE = 16 << 10  # packed bytes looked at at once


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, packed; what is known so far is handed out before more is asked for."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    for piece in pieces:
        made = packer.compress(piece)
        if len(piece) < _BITE:
            made += packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if made:
            yield made
    yield packer.flush()


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes again, at most 1 MiB at once. Raises PermanentError for what is no zstd.

    A body that was cut may just end: the formats within have ends of their own.
    """
    import zstandard

    packed_bytes = _Readable(pieces)
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        packed_bytes,  # type: ignore[arg-type]  # `read` is all that is asked of it
        read_size=_BITE,
    )
    while made := _read(unpacker.read1):
        yield made


def _read(read: Callable[[int], bytes]) -> bytes:
    import zstandard

    try:
        return read(_MOST)
    except zstandard.ZstdError as error:
        raise PermanentError("what was sent cannot be unpacked") from error


class _Readable:
    """An iterator of pieces with a `read`, which answers less than was asked for rather than wait."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""

    def read(self, size: int) -> bytes:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
        found, self._held = self._held[:size], self._held[size:]
        return found
