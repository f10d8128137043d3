"""Every small story: all trees of up to three nodes, up to two steps on each side, until quiet.

The runs of `make test` take every story of one step a side on up to two nodes, and a fixed stride
of the rest; `make test-long` takes all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

import pytest

from syncer.engine.model import Policy, Side
from tests.applying import round_of, until_quiet
from tests.mirrors import mirrored
from tests.oracles import check_deletions, check_outcome
from tests.small_trees import after, forests
from tests.trees import Tree, planning, world

ANY_DELETES = Policy(allow_deletes=True)  # the guards have tests of their own
Story = tuple[Tree, Tree, Tree]


def stories(nodes: int, local_steps: int, remote_steps: int) -> Iterator[Story]:
    for base in forests(nodes):
        for local, remote in product(
            after(base, Side.LOCAL, local_steps), after(base, Side.REMOTE, remote_steps)
        ):
            yield base, local, remote


def tell(base: Tree, local: Tree, remote: Tree) -> None:
    """Live through a story: the first plan is safe, the end comes soon and is right."""
    there = world(base, local, remote)
    try:
        check_deletions(there, base, planning(there, ANY_DELETES).actions)
        until_quiet(there, ANY_DELETES)
        check_outcome(there, base, local, remote)
    except AssertionError as error:
        raise AssertionError(f"{error}\nbase {base}\nlocal {local}\nremote {remote}") from error


def told(chosen: Iterator[Story]) -> int:
    count = 0
    for story in chosen:
        tell(*story)
        count += 1
    return count


@pytest.mark.parametrize("nodes", [0, 1, 2])
def test_every_story_of_one_step_a_side_ends_well(nodes: int) -> None:
    assert told(stories(nodes, 1, 1))


@pytest.mark.parametrize(
    ("nodes", "steps", "stride"),
    [(1, (2, 2), 29), (2, (2, 2), 211), (3, (1, 1), 31), (3, (2, 2), 2503)],
)
def test_a_fixed_stride_of_the_longer_stories_ends_well(
    nodes: int, steps: tuple[int, int], stride: int
) -> None:
    assert told(islice(stories(nodes, *steps), 0, None, stride))


@pytest.mark.long
@pytest.mark.parametrize(("nodes", "shard"), [(0, 0), (1, 0), (2, 0), *((3, shard) for shard in range(16))])
def test_every_story_of_two_steps_a_side_ends_well(nodes: int, shard: int) -> None:
    shards = 16 if nodes == 3 else 1
    assert told(islice(stories(nodes, 2, 2), shard, None, shards))


@pytest.mark.parametrize(("nodes", "steps", "stride"), [(1, (1, 1), 1), (2, (1, 1), 7), (3, (2, 2), 5003)])
def test_with_the_sides_exchanged_the_plan_is_the_mirrored_one(
    nodes: int, steps: tuple[int, int], stride: int
) -> None:
    for base, local, remote in islice(stories(nodes, *steps), 0, None, stride):
        there = world(base, local, remote)
        plain, exchanged = planning(there, ANY_DELETES), planning(there.mirrored(), ANY_DELETES)
        if any(c.local.mtime_ns == c.remote.mtime_ns for c in plain.conflicts):
            continue  # a tie goes to the remote side, whichever that is
        assert {*map(mirrored, plain.actions)} == set(exchanged.actions), (base, local, remote)


def test_a_story_without_a_memory_loses_nothing_and_deletes_nothing() -> None:
    for base, local, remote in islice(stories(2, 1, 1), 0, None, 5):
        there = world(base, local, remote)
        there.base.clear()
        before = there.live()
        round_of(there, ANY_DELETES)
        until_quiet(there, ANY_DELETES)
        assert before <= there.live(), (base, local, remote)
        assert not there.trash
        assert there.contents(Side.LOCAL) == there.contents(Side.REMOTE)
