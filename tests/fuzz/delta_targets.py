"""What comes from outside, as a fuzzer sees it: only BadDelta may come out of it.

The first byte chooses what the rest is taken for: a signature, a delta, a sketch, or the old
and the new content of a delta that must then be exact.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from blake3 import blake3

from syncer.delta.block_index import BlockIndex
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import (
    SearchBudget,
    Signature,
    SignatureLimits,
    SignatureParams,
    delta,
    patch,
    signature,
)
from syncer.errors import BadDelta
from tests.contents import Held, applied, noise

OLD = noise(1, 3000)
PARAMETERS = SignatureParams(block_len=64, strong_len=2)
PATIENCE = SearchBudget(grace=1.0, per_mib=1.0)


def hostile_signature(data: bytes) -> None:
    with suppress(BadDelta), Signature.load([data], basis_size=10_000, limits=SignatureLimits()) as against:
        made = list(delta(against, [OLD], patience=PATIENCE))
        assert sum(map(len, made)) <= len(OLD) + 5000


def hostile_delta(data: bytes) -> None:
    made = 0
    with suppress(BadDelta):
        for piece in patch(Held(OLD), [b"rs\x026", data], size=5000):
            made += len(piece)
        assert made == 5000
    assert made <= 5000


def hostile_sketch(data: bytes) -> None:
    """With a right checksum: a torn file is noticed before anything in it is looked at."""
    read = BlockIndex.load([data, blake3(data).digest()])
    if read is not None:
        list(difference(read, [OLD], patience=PATIENCE))


def exact(data: bytes) -> None:
    """The rest is cut in two by its first byte."""
    middle = data[0] * len(data) // 256 if data else 0
    old, new = data[1:middle], data[middle:]
    sums = signature([old], SignatureParams(block_len=64, strong_len=8))
    with Signature.load(sums, basis_size=len(old), limits=SignatureLimits()) as against:
        assert b"".join(patch(Held(old), delta(against, [new]), size=len(new))) == new
    assert applied(old, list(difference(BlockIndex.of([old], size=0), [new]))) == new


TARGETS: tuple[Callable[[bytes], None], ...] = (hostile_signature, hostile_delta, hostile_sketch, exact)


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


def seeds() -> tuple[bytes, ...]:
    """Sound inputs to begin with, one for each target."""
    sums = b"".join(signature([OLD], PARAMETERS))
    with Signature.load([sums], basis_size=len(OLD), limits=SignatureLimits()) as against:
        made = b"".join(delta(against, [OLD[500:], OLD[:700], b"new"]))
    kept = b"".join(BlockIndex.of([OLD], size=len(OLD)).chunks())
    return (b"\0" + sums, b"\1" + made[4:], b"\2" + kept[:-32], b"\3\x80" + OLD[:500] * 2)
