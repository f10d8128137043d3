"""Signatures from somebody who means harm: refused before librsync sees them, in little memory and time."""

from __future__ import annotations

import resource
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import count

import pytest

from syncer.delta.block_index import BlockIndex, Chunk
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import (
    SearchBudget,
    Signature,
    SignatureLimits,
    SignatureParams,
    SumType,
    delta,
    signature,
)
from syncer.errors import BadDelta
from tests.contents import applied, noise

MIB = 1 << 20
PARAMETERS = SignatureParams(block_len=2048, strong_len=8)
MD4, BLAKE2 = SumType.MD4.value, SumType.BLAKE2.value


def head(magic: int, block: int, strong: int) -> bytes:
    return struct.pack(">III", magic, block, strong)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "within its header"),
        (head(BLAKE2, 2048, 8)[:11], "within its header"),
        (head(MD4, 2048, 8), "unexpected kind"),  # BLAKE2 was asked for
        (head(0x72730137, 2048, 8), "unexpected kind"),
        (head(0x72730236, 2048, 8), "unexpected kind"),
        (head(0, 2048, 8), "unexpected kind"),
        (head(BLAKE2, 0, 8), "blocks of 0 bytes"),
        (head(BLAKE2, 1, 8), "blocks of 1 bytes"),
        (head(BLAKE2, 255, 8), "blocks of 255 bytes"),
        (head(BLAKE2, (16 << 20) + 1, 8), "blocks of 16777217 bytes"),
        (head(BLAKE2, 0xFFFFFFFF, 8), "blocks of 4294967295 bytes"),
        (head(BLAKE2, 2048, 0), "strong sums of 0 bytes"),
        (head(BLAKE2, 2048, 33), "strong sums of 33 bytes"),
        (head(BLAKE2, 2048, 0xFFFFFFFF), "strong sums of 4294967295 bytes"),
        (head(BLAKE2, 2048, 8) + bytes(11), "within a block"),
        (head(BLAKE2, 2048, 8) + bytes(13), "within a block"),
        (head(BLAKE2, 2048, 8) + bytes(12 * 7), "more than 6 blocks"),  # 10,000 bytes are 5 blocks
    ],
)
def test_a_hostile_signature_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadDelta, match=words):
        Signature.load([data[:5], data[5:]], basis_size=10_000, family=SumType.BLAKE2)


def test_the_limits_are_the_callers() -> None:
    short = head(MD4, 2048, 17)
    with pytest.raises(BadDelta, match="strong sums of 17"):
        Signature.load([short], basis_size=0)
    with pytest.raises(BadDelta, match="strong sums of 8"):
        Signature.load([head(MD4, 2048, 8)], basis_size=0, limits=SignatureLimits(min_strong=9))
    with pytest.raises(BadDelta, match="more than 2 blocks"):
        Signature.load(
            [head(MD4, 2048, 8) + bytes(36)], basis_size=10**6, limits=SignatureLimits(max_blocks=2)
        )
    Signature.load([head(MD4, 1, 8) + bytes(12)], basis_size=1, limits=SignatureLimits()).close()


def test_a_signature_without_end_is_not_read_further_than_it_may_be() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield head(BLAKE2, 2048, 8)
        while True:
            read += 1
            yield bytes(65536)

    tracemalloc.start()
    try:
        with pytest.raises(BadDelta, match="more than"):
            Signature.load(endless(), basis_size=100 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert read * 65536 < 2 * MIB


@pytest.mark.parametrize("family", list(SumType))
def test_many_blocks_with_the_same_weak_sum_are_refused_before_the_table_is_built(family: SumType) -> None:
    """librsync would compare each with all before it: 2^34 times for these."""
    blocks = b"".join(struct.pack(">IQ", 0x12345678, n) for n in range(1 << 17))
    with pytest.raises(BadDelta, match="same weak sum"):
        Signature.load([head(family.value, 256, 8) + blocks], basis_size=256 << 17)


def test_many_weak_sums_in_one_place_of_the_table_are_refused() -> None:
    blocks = b"".join(struct.pack(">IQ", n << 20, n) for n in range(1 << 12))
    with pytest.raises(BadDelta, match="same weak sum"):
        Signature.load([head(BLAKE2, 256, 8) + blocks * 50], basis_size=256 * 50 << 12)


def test_many_equal_blocks_are_no_attack() -> None:
    content = bytes(1 << 25)
    parameters = SignatureParams.smartfile()
    with Signature.load(signature([content], parameters), basis_size=len(content)) as against:
        assert sum(map(len, delta(against, [content]))) < 100_000


def forged(content: bytes, parameters: SignatureParams) -> bytes:
    """A signature with the right weak sums and wrong strong ones."""
    sums = b"".join(signature([content], parameters))
    head, blocks = sums[:12], sums[12:]
    width = parameters.width
    return head + b"".join(blocks[at : at + 4] + bytes(width - 4) for at in range(0, len(blocks), width))


def test_a_search_that_sums_a_block_at_every_byte_ends_in_bounded_time() -> None:
    """Weak sum of a block of zeros, another strong one: without the bound 64 MiB would take minutes."""
    sums = forged(bytes(4096), PARAMETERS)
    with Signature.load([sums], basis_size=4096) as against:
        tired = SearchBudget(grace=0.2, per_mib=0.0)
        with pytest.raises(BadDelta, match="takes too long"):
            list(delta(against, [bytes(64 * MIB)], patience=tired))


def test_patience_grows_with_what_is_searched() -> None:
    """By a clock that counts how often it is asked: once in the beginning, then for each step of 512 KiB."""
    against = Signature.load(signature([noise(1, MIB)], PARAMETERS), basis_size=MIB)

    def search(per_mib: float) -> list[bytes]:
        asked = count()
        patience = SearchBudget(grace=3, per_mib=per_mib, clock=lambda: float(next(asked)))
        return list(delta(against, [noise(2, 8 * MIB)], patience=patience))

    assert search(per_mib=2)
    with pytest.raises(BadDelta, match="takes too long"):
        search(per_mib=1)


def test_a_sketch_whose_search_takes_too_long_sends_what_is_new() -> None:
    old = bytes(2 * MIB)
    sound = BlockIndex.of([old], size=len(old))
    wrong = Chunk(length=MIB, digest=bytes(16), sums=forged(old[:MIB], sound.parameters)[12:])
    sketch = BlockIndex(
        size=len(old), digest=sound.digest, parameters=sound.parameters, pieces=(wrong, wrong)
    )
    new = bytes(3 * MIB) + noise(1, 1000)
    found = difference(sketch, [new], patience=SearchBudget(grace=0.1, per_mib=0.0))
    assert applied(old, list(found)) == new
    assert BlockIndex.of([new], size=len(new)).digest == found.digest


def test_tables_that_are_let_go_are_freed() -> None:
    """Fifty tables of 3 MiB each, one after the other."""
    sums = b"".join(signature([noise(1, 32 * MIB)], SignatureParams(block_len=256, strong_len=8)))
    unit = 1 if sys.platform == "darwin" else 1024

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def load(times: int) -> None:
        for _ in range(times):
            with Signature.load([sums], basis_size=32 * MIB) as against:
                next(delta(against, [noise(2, 1000)]))

    load(3)
    before = peak()
    load(50)
    assert peak() - before < 20 * MIB
