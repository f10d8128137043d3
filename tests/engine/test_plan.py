"""The one order that is safe: content arrives before anything else leaves."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from syncer.engine import ordering, paths
from syncer.engine.model import (
    Delete,
    Entry,
    Kind,
    MakeDirectory,
    Move,
    Policy,
    RemoveDirectory,
    Side,
    Transfer,
)
from syncer.engine.model import Reason as Why
from syncer.engine.ordering import Phase
from tests.strategies import small_worlds
from tests.trees import World, planning

ANY_DELETES = Policy(allow_deletes=True)


@given(small_worlds())
def test_every_plan_is_in_phases_and_a_shuffled_one_comes_out_the_same(there: World) -> None:
    actions = planning(there, ANY_DELETES).actions
    steps = [ordering.phase(a) for a in actions]
    assert steps == sorted(steps)
    shuffled = list(actions)
    Random(0).shuffle(shuffled)
    assert ordering.ordered(shuffled) == actions
    assert [a for _, group in ordering.phases(actions) for a in group] == list(actions)


@given(small_worlds())
def test_parents_are_made_before_and_removed_after_what_is_below_them(there: World) -> None:
    actions = planning(there, ANY_DELETES).actions
    made = [a.path for a in actions if isinstance(a, MakeDirectory)]
    gone = [(a.side, a.path) for a in actions if isinstance(a, RemoveDirectory) and not a.clearing]
    for first, later in ((m, n) for i, m in enumerate(made) for n in made[i + 1 :]):
        assert not paths.is_below(first, later)
    for (side, first), (other, later) in ((m, n) for i, m in enumerate(gone) for n in gone[i + 1 :]):
        assert not (side is other and paths.is_below(later, first))


@given(small_worlds())
def test_nothing_is_planned_twice_for_one_name_of_one_side(there: World) -> None:
    actions = planning(there, ANY_DELETES).actions
    for kind in (Transfer, Delete, MakeDirectory, RemoveDirectory, Move):
        touched = [(a.path, getattr(a, "side", None)) for a in actions if isinstance(a, kind)]
        assert len(touched) == len(set(touched))


def test_content_arrives_before_anything_else_leaves() -> None:
    assert max(Phase.MOVES, Phase.TRANSFERS, Phase.KEEP_BOTH) < Phase.DELETES < Phase.REMOVALS
    assert Phase.CLEAR_FILES < Phase.CLEAR_DIRECTORIES < Phase.DIRECTORIES < Phase.MOVES < Phase.TRANSFERS


def transfers(sizes: list[int]) -> list[Transfer]:
    return [
        Transfer(
            path=f"{i:04}",
            reason=Why.LOCAL_NEW,
            source=Side.LOCAL,
            seen=Entry(Kind.FILE, size, b"v"),
            expected=None,
        )
        for i, size in enumerate(sizes)
    ]


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 7), st.integers(1, 100))
def test_batches_hold_everything_in_order_and_no_more_than_they_may(
    sizes: list[int], most: int, size: int
) -> None:
    whole = transfers(sizes)
    cut = list(ordering.batches(whole, most=most, size=size))
    assert [t for batch in cut for t in batch] == whole
    for batch in cut:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(t.seen.size for t in batch) <= size
