"""Which sums are refused because they crowd: the quick count of many is the plain one of few."""

from __future__ import annotations

import struct
from collections import Counter

from syncer.delta.signature import Signature, SignatureParams, _places
from syncer.errors import BadDelta
from tests.contents import noise

WIDE = SignatureParams(block_len=2048, strong_len=5)
SUMS = 40_000  # enough for the largest table


def test_the_places_of_many_sums_are_counted_as_those_of_few() -> None:
    data = WIDE.header + noise(5, SUMS * WIDE.width)
    plain = [weak & 0xFFFF for (weak,) in struct.iter_unpack(">I5x", data[len(WIDE.header) :])]
    assert Counter(_places(data, WIDE.width, 0xFFFF, False)) == Counter(plain)


def test_many_sums_in_one_place_are_refused_among_many_others() -> None:
    crowd = b"".join(struct.pack(">I5s", at << 16 | 0x1234, noise(at, 5)) for at in range(2000))
    try:
        Signature(WIDE, WIDE.header + noise(6, SUMS * WIDE.width) + crowd).close()
    except BadDelta:
        return
    raise AssertionError("it was not refused")
