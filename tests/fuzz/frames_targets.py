"""A stream of frames from outside, as a fuzzer sees it: only PermanentError and TransientError may come out.

The first byte says in which pieces the rest comes, and whether it is packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

import zstandard

from syncer.errors import PermanentError, TransientError
from syncer.wire.compression import LEVEL_WINDOW, RFC_WINDOW, decompress
from syncer.wire.frames import LARGEST_LATER, Data, End, Frame, Head, decode, encode

WINDOWS = (LEVEL_WINDOW, RFC_WINDOW)  # of the server and of the client


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    if not data:
        return
    how, rest = data[0], data[1:]
    step = 1 + how % 64
    pieces: Iterable[bytes] = [rest[at : at + step] for at in range(0, len(rest), step)]
    if how & 0x80:
        pieces = decompress(pieces, window=WINDOWS[how >> 6 & 1])
    reserved: list[int] = []
    read: list[Frame] = []
    with suppress(PermanentError, TransientError):
        # 1 MiB: a zstd stream of some bytes may unpack to more than a fuzzer has patience for
        read += decode(_some(pieces), largest=LARGEST_LATER, reserve=reserved.append)
        assert list(decode(encode(read))) == read
    assert all(size >= 0 for size in reserved)


def _some(pieces: Iterable[bytes]) -> Iterator[bytes]:
    left = 4 << 20
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            return
        yield piece


def seeds() -> tuple[bytes, ...]:
    """Sound inputs to begin with."""
    stream = b"".join(
        encode(
            [
                Head({"items": [{"path": "a\udc80"}]}),
                Data(b"abc"),
                Data(b""),
                End({"digest": "00", "error": None}),
            ]
        )
    )
    packed = zstandard.compress(stream)
    return (b"\x3f" + stream, b"\x00" + stream, b"\x9f" + packed, b"\xff" + packed)
