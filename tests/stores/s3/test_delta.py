"""The plan of a delta upload makes the new content, within the limits of multipart uploads."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.delta.block_index import BlockIndex
from syncer.delta.indexed_delta import difference
from syncer.stores.s3.delta import (
    LIMITS,
    MIB,
    HelperRange,
    LineSpeed,
    NewRange,
    OldRange,
    PartLimits,
    Piece,
    UploadPlan,
    normalized,
    pieces_of,
    plan,
)

SLOW = LineSpeed(latency=0.01, bandwidth=2.5e6, copy_rate=300e6)  # few bytes are worth many requests
FAST = LineSpeed(latency=0.5, bandwidth=1e9, copy_rate=1e9)


def carried_out(plan: UploadPlan, old: bytes, new: bytes, limits: PartLimits) -> bytes:
    """What a service makes of the plan; fails where it would refuse a part."""
    helpers: list[bytes] = []

    def content(part: OldRange | NewRange | HelperRange) -> bytes:
        whole = (
            old if isinstance(part, OldRange) else new if isinstance(part, NewRange) else helpers[part.helper]
        )
        assert part.start >= 0 and part.length > 0 and part.start + part.length <= len(whole)
        return whole[part.start : part.start + part.length]

    for helper in plan.helpers:
        assert helper.base.length >= limits.min_part
        helpers.append(content(helper.base) + content(helper.tail))
        assert len(helpers[-1]) == helper.length
    assert 1 <= len(plan.parts) <= limits.max_parts
    assert all(part.length >= limits.min_part for part in plan.parts[:-1])
    assert all(part.length <= limits.max_part for part in plan.parts)
    return b"".join(content(part) for part in plan.parts)


@st.composite
def edits(draw: st.DrawFn) -> tuple[bytes, bytes, list[Piece]]:
    """Old content, new content, and how it is made: copies may overlap, come twice or backwards."""
    old = draw(st.binary(max_size=150))
    pieces: list[Piece] = []
    new = b""
    for _ in range(draw(st.integers(1, 14))):
        if old and draw(st.booleans()):
            start = draw(st.integers(0, len(old) - 1))
            length = draw(st.integers(0, len(old) - start))
            pieces.append(OldRange(start, length))
            new += old[start : start + length]
        else:
            data = draw(st.binary(max_size=16))
            pieces.append(NewRange(len(new), len(data)))
            new += data
    return old, new, pieces


lines = st.builds(
    LineSpeed,
    latency=st.sampled_from([0.0, 0.0, 0.001, 1.0]),
    bandwidth=st.sampled_from([0.01, 1.0, 100.0]),
    copy_rate=st.sampled_from([100.0, 1e6]),
)
limits = st.builds(
    PartLimits,
    min_part=st.just(5),
    max_part=st.sampled_from([11, 20, 60]),
    max_parts=st.sampled_from([5, 12, 100]),
    max_object=st.just(10_000),
    sent_part=st.sampled_from([5, 7, 16]),
    copied_part=st.sampled_from([10, 30]),
)


@settings(max_examples=max(500, settings.default.max_examples))
@given(edits(), lines, limits)
def test_every_plan_makes_the_new_content_within_the_limits(
    case: tuple[bytes, bytes, list[Piece]], line: LineSpeed, within: PartLimits
) -> None:
    old, new, pieces = case
    made = plan(pieces, old_size=len(old), line=line, limits=within)
    if made is not None:
        assert carried_out(made, old, new, within) == new
        assert made.sent <= len(new)
        for one, other in pairwise(made.helpers):  # chains are finished one after the other
            assert not isinstance(other.base, HelperRange) or other.base.length == one.length


@given(edits())
def test_normalized_pieces_make_the_same_content(case: tuple[bytes, bytes, list[Piece]]) -> None:
    old, new, pieces = case
    found = normalized(pieces)
    assert all(piece.length for piece in found)
    parts = [(old if isinstance(p, OldRange) else new)[p.start : p.start + p.length] for p in found]
    assert b"".join(parts) == new


def scattered(size: int, count: int) -> list[Piece]:
    """`count` edits of 4 KiB, and 1 KiB inserted after the first MiB."""
    rng = random.Random(9)
    events = [(at, 4096, 4096) for at in (rng.randrange(size - 4096) for _ in range(count))]
    pieces: list[Piece] = []
    position = new = 0
    for at, cut, length in sorted([*events, (MIB, 0, 1024)]):
        if at < position:
            continue
        pieces += [OldRange(position, at - position), NewRange(new + at - position, length)]
        new += at - position + length
        position = at + cut
    return [*pieces, OldRange(position, size - position)]


@pytest.mark.parametrize(
    ("size", "pieces", "sent", "requests"),
    [
        (512 * MIB, scattered(512 * MIB, 20), 82_944, 200),
        (
            512 * MIB,
            [OldRange(0, 99 * MIB), NewRange(99 * MIB, 1), OldRange(99 * MIB + 1, 413 * MIB - 1)],
            1,
            12,
        ),
        (5 << 30, [NewRange(0, MIB), OldRange(0, 5 << 30)], MIB, 25),
        (512 * MIB, [OldRange(0, 512 * MIB), NewRange(512 * MIB, 1000)], 1000, 4),
        (512 * MIB, [OldRange(0, 511 * MIB)], 0, 3),
    ],
)
def test_on_a_slow_line_only_the_new_bytes_are_sent(
    size: int, pieces: list[Piece], sent: int, requests: int
) -> None:
    made = plan(pieces, old_size=size, line=SLOW)
    assert made is not None
    assert made.sent == sent
    assert made.requests <= requests


def test_on_a_line_with_much_bandwidth_and_latency_changed_runs_are_widened_instead() -> None:
    pieces = scattered(5 << 30, 20)
    made = plan(pieces, old_size=5 << 30, line=LineSpeed(latency=0.5, bandwidth=50e6, copy_rate=1e9))
    assert made is not None
    assert not made.helpers
    assert 20 * 5 * MIB <= made.sent <= 22 * 6 * MIB
    assert min(part.length for part in made.parts[:-1]) == 5 * MIB


def test_a_kept_block_index_leads_to_a_plan() -> None:
    rng = random.Random(5)
    old = rng.randbytes(32 * MIB)
    middle, end = old[9 * MIB : 20 * MIB], old[20 * MIB + 4096 :]
    new = b"front" + old[: 9 * MIB] + b"inserted" + middle + rng.randbytes(4096) + end
    index = BlockIndex.of([old], size=len(old))
    pieces = list(pieces_of(difference(index, iter([new]))))
    made = plan(pieces, old_size=len(old), line=SLOW)
    assert made is not None and made.sent < 16_000
    assert carried_out(made, old, new, LIMITS) == new


def test_what_is_quicker_sent_whole_has_no_plan() -> None:
    assert plan(scattered(64 * MIB, 20), old_size=64 * MIB, line=FAST) is None
    assert plan([NewRange(0, 100 * MIB)], old_size=100 * MIB) is None


def test_an_old_object_below_five_mib_cannot_be_copied_from() -> None:
    assert plan([OldRange(0, 5 * MIB - 1), NewRange(5 * MIB - 1, 1)], old_size=5 * MIB - 1, line=SLOW) is None


def test_an_object_of_five_tib_has_at_most_ten_thousand_parts() -> None:
    size = LIMITS.max_object
    made = plan(
        [OldRange(0, 1 << 40), NewRange(1 << 40, 100), OldRange((1 << 40) + 100, size - (1 << 40) - 100)],
        old_size=size,
    )
    assert made is not None
    assert len(made.parts) <= LIMITS.max_parts
    assert plan([OldRange(0, size), NewRange(size, 1)], old_size=size) is None, "larger than an object can be"


def test_more_edits_than_parts_are_joined() -> None:
    pieces: list[Piece] = []
    for number in range(12_000):
        pieces += [OldRange(number * 12 * MIB, 12 * MIB - 100), NewRange((number + 1) * 12 * MIB - 100, 100)]
    made = plan(pieces, old_size=12_000 * 12 * MIB, line=SLOW)
    assert made is None or len(made.parts) <= LIMITS.max_parts
