"""The kept signature of a large file: what the next delta needs, without a look at the old content.

A sketch covers the content in pieces of about 1 MiB. Each has a digest, by which an
unchanged piece is known again at the speed of hashing, and the sums of its small blocks in
librsync's format, by which moved and edited content is found (`indexed_delta`). It is a value that is
written to one file and read back; a torn or damaged file counts as no sketch. Where
it is kept, and whether it still belongs to what the other side has, is not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from syncer.delta.chunking import cut, spread
from syncer.delta.signature import SignatureParams, sums

# A piece is compared with one old piece only, and a forged equality is found by the digest of the
# whole: 16 bytes leave chance no room, and save a fifth of the index.
PIECE_DIGEST = 16

_MAGIC = b"syncsk\x00\x01"  # the last byte is the version of the format
_HEADER = struct.Struct(">8sIBQ32sI")  # magic, block, strong, size, digest, number of pieces
_INDEX = struct.Struct(f">I{PIECE_DIGEST}s")  # length, digest; the sums follow
_PIECE, _BLOCKS = 1 << 20, 16  # bytes of a piece, and at least so many blocks
_LARGEST = 256 << 20  # bytes of a sketch that is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`length` bytes of content: their BLAKE3, cut, and the sums of the whole blocks from its start.

    Bytes behind the last whole block have no sums: they are found with the piece or not at all.
    """

    length: int
    digest: bytes
    sums: bytes

    @classmethod
    def of(cls, data: bytes, parameters: SignatureParams) -> Chunk:
        """Hash and sum it."""
        whole = len(data) - len(data) % parameters.block_len
        return cls(length=len(data), digest=piece_digest(data), sums=sums(data[:whole], parameters))


def piece_digest(*parts: bytes | memoryview) -> bytes:
    """By what a piece, in one or several parts, is known again."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest(PIECE_DIGEST)


def piece_length(parameters: SignatureParams) -> int:
    """Bytes of a piece in a new sketch; always whole blocks."""
    return parameters.block_len * max(_PIECE // parameters.block_len, _BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockIndex:
    """What is kept of one content: its size in bytes, its BLAKE3-256, its pieces in order."""

    size: int
    digest: bytes
    parameters: SignatureParams
    pieces: tuple[Chunk, ...]

    @classmethod
    def of(cls, chunks: Iterable[bytes], *, size: int, workers: int = 1) -> BlockIndex:
        """The sketch of some content. `size` is what it is expected to have: it chooses the blocks."""
        parameters = SignatureParams.for_keeping(size)
        whole = blake3()
        found = 0

        def counted() -> Iterator[bytes]:
            nonlocal found
            for piece in cut(chunks, piece_length(parameters)):
                whole.update(piece)
                found += len(piece)
                yield piece

        made = spread(lambda data: Chunk.of(data, parameters), counted(), workers=workers)
        pieces = tuple(made)
        return cls(size=found, digest=whole.digest(), parameters=parameters, pieces=pieces)

    @property
    def outgrown(self) -> bool:
        """Whether the content became so large that a new sketch would be much smaller than this one."""
        return SignatureParams.for_keeping(self.size).block_len >= 4 * self.parameters.block_len

    def chunks(self) -> Iterator[bytes]:
        """As it is kept in a file, with a checksum at its end."""
        check = blake3()
        for part in self._parts():
            check.update(part)
            yield part
        yield check.digest()

    def _parts(self) -> Iterator[bytes]:
        block, strong = self.parameters.block_len, self.parameters.strong_len
        yield _HEADER.pack(_MAGIC, block, strong, self.size, self.digest, len(self.pieces))
        for piece in self.pieces:
            yield _INDEX.pack(piece.length, piece.digest) + piece.sums

    @classmethod
    def load(cls, chunks: Iterable[bytes]) -> BlockIndex | None:
        """What `chunks` wrote; None if it is of another version, torn, damaged or beyond all measure."""
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > _LARGEST:
                return None
        body = bytes(data[: -blake3.digest_size])
        if len(body) < _HEADER.size or blake3(body).digest() != data[-blake3.digest_size :]:
            return None
        return _read(body)


def _read(body: bytes) -> BlockIndex | None:
    magic, block, strong, size, digest, count = _HEADER.unpack_from(body)
    try:
        parameters = SignatureParams(block_len=block, strong_len=strong)
    except ValueError:
        return None
    if magic != _MAGIC or count > len(body) // _INDEX.size:
        return None
    pieces, at = [], _HEADER.size
    for _ in range(count):
        if at + _INDEX.size > len(body):
            return None
        length, known = _INDEX.unpack_from(body, at)
        start = at + _INDEX.size
        at = start + length // block * parameters.width
        if not 0 < length <= 2 * piece_length(parameters):
            return None
        pieces.append(Chunk(length=length, digest=known, sums=body[start:at]))
    if at != len(body) or sum(piece.length for piece in pieces) != size:
        return None
    return BlockIndex(size=size, digest=digest, parameters=parameters, pieces=tuple(pieces))
