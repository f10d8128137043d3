"""Block index: the stored signature of a large file, from which deltas are made without the old content.

The content is covered by chunks of about 1 MiB. Each has a digest, by which an unchanged chunk is recognised
at the speed of hashing, and the sums of its small blocks in librsync's format, by which moved and edited
content is found (`indexed_delta`). An index is a value that is written to one file and read back; a torn or
damaged file counts as none. `index_cache` keeps the files, and checks that they belong to what the other side
has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from syncer.delta.chunking import cut, spread
from syncer.delta.signature import SignatureParams, sums

# A chunk is compared with one old chunk only, and a forged equality is found by the digest of the whole
# content: 16 bytes exclude chance (2**-128), and save a fifth of the index.
PIECE_DIGEST = 16

_MAGIC = b"syncsk\x00\x01"  # the last byte is the version of the format
_HEADER = struct.Struct(">8sIBQ32sI")  # magic, block, strong, size, digest, number of pieces
_INDEX = struct.Struct(f">I{PIECE_DIGEST}s")  # length, digest; the sums follow
_PIECE, _BLOCKS = 1 << 20, 16  # bytes of a piece, and at least so many blocks
_LARGEST = 256 << 20  # bytes of a sketch that is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`length` bytes of content: their BLAKE3, truncated, and the sums of the whole blocks from its start.

    Bytes behind the last whole block have no sums: they are found with the whole chunk or not at all.
    """

    length: int
    digest: bytes
    sums: bytes

    @classmethod
    def of(cls, data: bytes, parameters: SignatureParams) -> Chunk:
        """Hash the bytes and sum their blocks."""
        whole = len(data) - len(data) % parameters.block_len
        return cls(length=len(data), digest=piece_digest(data), sums=sums(data[:whole], parameters))


def piece_digest(*parts: bytes | memoryview) -> bytes:
    """The digest of a chunk that comes in one or several parts: BLAKE3, the first 16 bytes."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest(PIECE_DIGEST)


def piece_length(parameters: SignatureParams) -> int:
    """Bytes of a chunk in a new index; always whole blocks."""
    return parameters.block_len * max(_PIECE // parameters.block_len, _BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockIndex:
    """The index of one content: its size in bytes, its BLAKE3-256, its chunks in order."""

    size: int
    digest: bytes
    parameters: SignatureParams
    pieces: tuple[Chunk, ...]

    @classmethod
    def of(cls, chunks: Iterable[bytes], *, size: int, workers: int = 1) -> BlockIndex:
        """The index of some content. `size`, the expected one, decides how long the blocks are."""
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
        """True if the content grew so much that an index made anew would be much smaller than this one."""
        return SignatureParams.for_keeping(self.size).block_len >= 4 * self.parameters.block_len

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the file format, with a checksum at the end."""
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
        """Parse what `chunks` wrote; None if it has another version, is damaged or larger than 256 MiB."""
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
