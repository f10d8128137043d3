"""The plan of a delta upload: whatever the commands are, the steps make the same content."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from syncer.delta.block_index import BlockIndex
from syncer.delta.format import Command, Copy, Literal
from syncer.delta.indexed_delta import difference
from syncer.stores.sftp.delta_plan import CopyRange, Step, WriteRange, planned

OLD = bytes(range(256)) * 40

commands = st.lists(
    st.builds(Copy, st.integers(0, len(OLD) - 500), st.integers(1, 500))
    | st.builds(Literal, st.binary(min_size=1, max_size=300)),
    max_size=40,
)


def meant(old: bytes, wanted: Iterable[Command]) -> bytes:
    return b"".join(c.data if isinstance(c, Literal) else old[c.offset : c.offset + c.size] for c in wanted)


def performed(old: bytes, steps: Iterable[Step]) -> bytes:
    """The content that the steps make, each at its offset."""
    new = bytearray()
    for step in steps:
        assert step.to == len(new)
        new += old[step.offset : step.offset + step.size] if isinstance(step, CopyRange) else step.data
    return bytes(new)


@given(commands)
def test_the_steps_make_what_the_commands_mean(wanted: list[Command]) -> None:
    steps = list(planned(wanted))
    assert performed(OLD, steps) == meant(OLD, wanted)


@given(commands)
def test_no_two_steps_that_follow_each_other_could_be_one(wanted: list[Command]) -> None:
    steps = list(planned(wanted))
    for one, other in pairwise(steps):
        if isinstance(one, CopyRange) and isinstance(other, CopyRange):
            assert one.offset + one.size != other.offset
        if isinstance(one, WriteRange) and isinstance(other, WriteRange):
            assert len(one.data) == 1 << 20


def test_a_long_literal_is_handed_out_in_pieces_as_it_comes() -> None:
    def endless() -> Iterable[Command]:
        while True:
            yield Literal(bytes(100_000))

    steps = planned(endless())
    assert [next(steps).to for _ in range(5)] == [n << 20 for n in range(5)]


def test_nothing_is_no_step() -> None:
    assert list(planned([])) == []


edits = st.lists(
    st.tuples(st.integers(0, 400_000), st.integers(0, 3000), st.binary(max_size=3000)), max_size=6
)


@given(st.integers(0, 2**32), st.integers(0, 400_000), edits)
def test_from_a_block_index_to_the_new_content(
    seed: int, size: int, changes: list[tuple[int, int, bytes]]
) -> None:
    """The way of a whole upload: index of the old content, commands, steps, the same bytes."""
    import random

    old = random.Random(seed).randbytes(size)
    new = bytearray(old)
    for at, gone, fresh in changes:
        new[at : at + gone] = fresh
    index = BlockIndex.of([old], size=size)
    assert performed(old, planned(difference(index, [bytes(new)]))) == new
