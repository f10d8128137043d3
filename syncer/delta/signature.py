"""Signatures in librsync's format: block and sum lengths, making them, loading them.

A signature is the sums of every block of some content: a weak one that rolls, and the
first bytes of a strong one. What comes from outside is measured and refused here, before
librsync sees it. Deltas are made from signatures elsewhere (`rsync`, `sketch`).

A strong sum that is sent is as short as it may be: a false match costs one transfer of the
whole file, never a wrong file, since the result is then compared with a digest of the whole. One
that is kept is long: a store like Swift publishes what nobody can compare.
"""

from __future__ import annotations

import math
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from types import TracebackType

from syncer.delta.chunking import cut, spread
from syncer.delta.librsync import Sums, summing
from syncer.errors import BadDelta

HEADER = 12  # bytes: magic, block length, strong length
_WEAK = 4  # bytes of a weak sum
_PIECE = 4 << 20  # bytes summed at once by one worker, about

_EDITS = 20  # scattered edits that a signature for the wire is tuned for
_FALSE_BITS = 16  # a false match in one search of 2^16 at most
_STEP = 128  # block lengths are multiples of this: BLAKE2's own block
_KEPT_BLOCKS = 1 << 19
_KEPT_STRONG = 16  # bytes: Swift cannot check what a delta comes to, so chance gets no room
_CROWD = 256  # different sums in one place of librsync's hash table
_PLACES = 0xFFFF  # at most so many places, less one, are counted


class SumType(Enum):
    """Which sums, by librsync's magic number (librsync.h). Values are what a signature begins with."""

    MD4 = 0x72730136  # rollsum and MD4: all that librsync before 1.0 knows
    BLAKE2 = 0x72730147  # Rabin-Karp and BLAKE2b, since librsync 2.2

    @property
    def longest(self) -> int:
        """Bytes of the whole strong sum."""
        return 16 if self is SumType.MD4 else 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureLimits:
    """What a signature from outside may ask for: bytes of a block, bytes of a strong sum, blocks."""

    min_block: int = 1
    max_block: int = 16 << 20
    min_strong: int = 1
    max_blocks: int = 1 << 21


FROM_NETWORK = SignatureLimits(min_block=256)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureParams:
    """How content is summed: bytes of a block, bytes kept of its strong sum. Raises ValueError."""

    family: SumType = SumType.BLAKE2
    block_len: int
    strong_len: int

    def __post_init__(self) -> None:
        if not 1 <= self.block_len <= SignatureLimits().max_block:
            raise ValueError(f"a block of {self.block_len} bytes")
        if not 1 <= self.strong_len <= self.family.longest:
            raise ValueError(f"a strong sum of {self.strong_len} bytes")

    @classmethod
    def smartfile(cls) -> SignatureParams:
        """What a peer with librsync 0.9.7 understands, SmartFile's sync API among them."""
        return cls(family=SumType.MD4, block_len=2048, strong_len=8)

    @classmethod
    def for_wire(cls, old_size: int) -> SignatureParams:
        """The least bytes for signature and delta together, with a few tens of scattered edits.

        A signature costs `size / block` sums, an edit about one block of literal bytes: the
        sum is least where both are equal.
        """
        best = math.sqrt(old_size * (_WEAK + 4) / _EDITS)
        fewest = old_size / (FROM_NETWORK.max_blocks // 2)  # the other end takes no more blocks
        block = _STEP * round(max(best, fewest) / _STEP)
        block = min(max(block, FROM_NETWORK.min_block), FROM_NETWORK.max_block)
        return cls(block_len=block, strong_len=_strong(old_size, block))

    @classmethod
    def for_keeping(cls, size: int) -> SignatureParams:
        """Small blocks, for sums that are kept and never sent: 1 KiB, and more from 64 MiB up.

        The content may grow by far while its sums are carried on: their strong part is never short.
        """
        block = 1024 if size <= 64 << 20 else 2048
        while size > block * _KEPT_BLOCKS and block < SignatureLimits().max_block:
            block *= 2
        return cls(block_len=block, strong_len=max(_strong(size, block), _KEPT_STRONG))

    @property
    def width(self) -> int:
        """Bytes of one block's sums."""
        return _WEAK + self.strong_len

    @property
    def header(self) -> bytes:
        return struct.pack(">III", self.family.value, self.block_len, self.strong_len)


def _strong(size: int, block: int) -> int:
    """Bytes of strong sum so that `size` bytes tried against all blocks hardly ever match falsely."""
    comparisons = math.log2(size + 1) + math.log2(size / block + 1)
    return min(max(math.ceil((comparisons + _FALSE_BITS) / 8) - _WEAK, 2), 8)


def signature(chunks: Iterable[bytes], parameters: SignatureParams, *, workers: int = 1) -> Iterator[bytes]:
    """A complete signature. With more workers the same bytes, pieces being summed at once."""
    yield parameters.header
    block = parameters.block_len
    pieces = cut(chunks, block * max(1, _PIECE // block))
    yield from spread(lambda piece: sums(piece, parameters), pieces, workers=workers)


def sums(piece: bytes, parameters: SignatureParams) -> bytes:
    """The sums of a piece of content that begins where a block begins, without a header."""
    with summing(parameters.family.value, parameters.block_len, parameters.strong_len) as job:
        return job.feed(piece, last=True)[HEADER:]


class Signature:
    """A loaded signature with its hash tables; any number of deltas at once may search it."""

    def __init__(self, parameters: SignatureParams, data: bytes) -> None:
        """`data` is a whole signature of these parameters, made by us. Raises BadDelta if its sums crowd."""
        if _crowded(data, parameters):
            raise BadDelta("too many blocks of a signature have the same weak sum")
        self.parameters = parameters
        self.blocks = (len(data) - HEADER) // parameters.width
        self._data: bytes | None = data
        self._free = [Sums(data)]
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        chunks: Iterable[bytes],
        *,
        basis_size: int,
        family: SumType | None = None,
        limits: SignatureLimits = FROM_NETWORK,
    ) -> Signature:
        """A signature from outside, of content of `basis_size` bytes; of that family only, if one is named.

        No more is read than such a signature can have. Raises BadDelta.
        """
        data = bytearray()
        chunks = iter(chunks)
        for chunk in chunks:
            data += chunk
            if len(data) >= HEADER:
                break
        parameters = _header(bytes(data[:HEADER]), family, limits)
        most = min(limits.max_blocks, -(-basis_size // parameters.block_len) + 1)
        room = HEADER + most * parameters.width
        for chunk in chunks:
            if len(data) > room:
                break
            data += chunk
        if len(data) > room:
            raise BadDelta(f"a signature with more than {most} blocks of {parameters.block_len} bytes")
        if (len(data) - HEADER) % parameters.width:
            raise BadDelta("a signature ends within a block")
        return cls(parameters, bytes(data))

    def __enter__(self) -> Signature:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the tables, each as soon as no search holds it any more."""
        with self._lock:
            self._data, self._free = None, []

    @contextmanager
    def table(self) -> Iterator[Sums]:
        """What librsync searches, for one thread at a time: where none is free another one is made.

        Several threads could search one table, and would be slower than one: each search counts in it,
        so the processors hand its cache line to and fro (measured: two threads need 0.9 to 1.2
        times the time of one where nothing matches). Raises ValueError after `close`.
        """
        with self._lock:
            data = self._data
            if data is None:
                raise ValueError("the signature is closed")
            free = self._free.pop() if self._free else None
        table = free or Sums(data)
        try:
            yield table
        finally:
            with self._lock:
                if self._data is not None:
                    self._free.append(table)


def _header(data: bytes, family: SumType | None, limits: SignatureLimits) -> SignatureParams:
    """What the first bytes of a signature say, if it is within the limits."""
    if len(data) < HEADER:
        raise BadDelta("a signature ends within its header")
    magic, block, strong = struct.unpack(">III", data)
    found = {known.value: known for known in SumType}.get(magic)
    if found is None or (family is not None and found is not family):
        raise BadDelta(f"a signature of an unexpected kind ({magic:#010x})")
    if not limits.min_block <= block <= limits.max_block:
        raise BadDelta(f"a signature with blocks of {block} bytes")
    if not limits.min_strong <= strong <= found.longest:
        raise BadDelta(f"a signature with strong sums of {strong} bytes")
    return SignatureParams(family=found, block_len=block, strong_len=strong)


def _crowded(data: bytes, parameters: SignatureParams) -> bool:
    """Whether many different sums share one place of librsync's hash table.

    Building the table and searching it would then take time quadratic in their number. Equal
    sums are harmless: librsync keeps one of them.
    """
    width = parameters.width
    count = (len(data) - HEADER) // width
    # The table's own mask (hashtable.c), or a coarser one: what shares a place in it shares this one.
    mask = min((1 << max(1, (count * 10 // 7).bit_length())) - 1, _PLACES)
    most = _CROWD + 4 * count // (mask + 1)
    rolled = parameters.family is SumType.MD4
    full = {place for place, blocks in Counter(_places(data, width, mask, rolled)).items() if blocks > most}
    if not full:
        return False
    different: defaultdict[int, set[bytes]] = defaultdict(set)
    for at in range(HEADER, len(data), width):
        weak = int.from_bytes(data[at : at + _WEAK], "big")
        place = (_mixed(weak) if rolled else weak) & mask
        if place in full:
            different[place].add(data[at : at + width])
            if len(different[place]) > most:
                return True
    return False


def _places(data: bytes, width: int, mask: int, rolled: bool) -> Iterable[int]:
    """The place of each sum; for many of ours without a step of Python for each."""
    if mask == _PLACES and not rolled:
        low = bytearray(2 * ((len(data) - HEADER) // width))
        low[0::2], low[1::2] = data[HEADER + 2 :: width], data[HEADER + 3 :: width]
        if sys.byteorder == "little":
            low[0::2], low[1::2] = low[1::2], low[0::2]
        return memoryview(low).cast("H")
    unpacked = struct.iter_unpack(f">I{width - _WEAK}x", memoryview(data)[HEADER:])
    return ((_mixed(weak) if rolled else weak) & mask for (weak,) in unpacked)


def _mixed(value: int) -> int:
    """What librsync makes of a rollsum before it looks it up (`mix32` of hashtable.h: MurmurHash3)."""
    value ^= value >> 16
    value = value * 0x85EBCA6B & 0xFFFFFFFF
    value ^= value >> 13
    value = value * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16
