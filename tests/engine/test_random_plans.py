"""Random trees, perturbed on both sides, brought in step by rounds that go wrong in between.

Within a round each phase is carried out in random order, and some actions not at all; people edit
between rounds. It must end within 20 rounds, and nothing may be lost on the way. A failure
prints its seed and the command that replays it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest

from syncer.engine.model import Kind, Policy, Side
from tests.applying import round_of, until_quiet
from tests.oracles import check_deletions, check_outcome, leaves
from tests.small_trees import stroll
from tests.trees import Tree, World, findings, planned, world

ROUNDS = 20
ANY_DELETES = Policy(allow_deletes=True)
REPLAY = "SEED={seed} .venv/bin/pytest -m long tests/engine/test_random_plans.py -k one_seed"


def grown(dice: Random) -> Tree:
    """A random tree: what some steps from nothing lead to."""
    return stroll({}, dice, 1, dice.randint(0, 14))


def signed(tree: Tree, before: Tree, author: str) -> Tree:
    """The tree with everything that was written since `before` made unlike anything else."""
    old = leaves(before)
    return {
        path: node
        if node.kind is not Kind.FILE or node.content in old
        else replace(node, data=f"{author} {path}".encode())
        for path, node in tree.items()
    }


def case(seed: int) -> None:
    """One random case; raises AssertionError with the seed and how to replay it."""
    try:
        _case(Random(seed))
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}\nreplay: {REPLAY.format(seed=seed)}") from error


def _case(dice: Random) -> None:
    base = grown(dice)
    local, remote = (stroll(base, dice, 101 + i, dice.randint(0, 5)) for i in range(2))
    if dice.random() < 0.5:
        local, remote = signed(local, base, "here"), signed(remote, base, "there")
    there = world(base, local, remote)
    shortcuts, trouble = dice.random() < 0.5, dice.choice((0.0, 0.0, 0.2, 0.5))
    smooth = _rounds(there, dice, trouble, shortcuts=shortcuts)
    assert not findings(there, ANY_DELETES).actions, "a look at everything finds more to do"
    if smooth:
        check_outcome(there, base, local, remote)
    written = leaves(base) | leaves(local) | leaves(remote)
    assert written - leaves(base) <= there.live(), "an edit is in the trash only"
    assert leaves(local) | leaves(remote) <= there.live() | set(there.trash), "lost"
    assert there.contents(Side.LOCAL) == there.contents(Side.REMOTE), "the sides differ"


def _rounds(there: World, dice: Random, trouble: float, *, shortcuts: bool) -> bool:
    """Rounds until nothing is to be done; whether every action took effect at once."""
    for count in range(ROUNDS):
        failing = trouble if count < ROUNDS // 2 else 0.0
        before = there.live() | set(there.trash)
        if not round_of(there, ANY_DELETES, dice, failing, shortcuts=shortcuts):
            return trouble == 0.0
        assert before <= there.live() | set(there.trash), f"round {count} lost something"
    raise AssertionError(f"not done after {ROUNDS} rounds: {findings(there, ANY_DELETES).actions}")


def restless(seed: int) -> None:
    """A case in which people go on editing between rounds, and failed rounds are taken up later."""
    dice = Random(seed)
    there = world(tree := grown(dice), tree, tree)
    try:
        for day in range(6):
            for i, side in enumerate(Side):
                now = stroll(there.sides[side], dice, 1001 + 100 * day + i, dice.randint(0, 3))
                there.place(side, signed(now, there.sides[side], f"{day}{side.value}"))
            before = there.live() | set(there.trash)
            round_of(there, ANY_DELETES, dice, dice.choice((0.0, 0.4)), shortcuts=dice.random() < 0.7)
            assert before <= there.live() | set(there.trash), f"day {day} lost something"
        until_quiet(there, ANY_DELETES, rounds=ROUNDS)
        assert there.contents(Side.LOCAL) == there.contents(Side.REMOTE), "the sides differ"
    except AssertionError as error:
        raise AssertionError(f"restless seed {seed}: {error}") from error


def test_random_cases_end_within_twenty_rounds_and_lose_nothing() -> None:
    for seed in range(3000):
        case(seed)


def test_edits_between_rounds_that_go_wrong_lose_nothing() -> None:
    for seed in range(700):
        restless(seed)


@pytest.mark.long
@pytest.mark.parametrize("shard", range(10))
def test_a_hundred_thousand_random_cases_end_within_twenty_rounds(shard: int) -> None:
    for seed in range(shard * 10_000, (shard + 1) * 10_000):
        case(seed)


@pytest.mark.long
def test_ten_thousand_restless_cases_lose_nothing() -> None:
    for seed in range(10_000):
        restless(seed)


@pytest.mark.long
def test_one_seed() -> None:
    case(int(os.environ.get("SEED", "0")))


def test_deletions_of_random_plans_take_only_what_was_agreed_on() -> None:
    for seed in range(1000):
        dice = Random(seed)
        base = grown(dice)
        local, remote = (stroll(base, dice, 101 + i, dice.randint(0, 5)) for i in range(2))
        there = world(base, local, remote)
        todo = planned(there, findings(there, ANY_DELETES), ANY_DELETES)
        check_deletions(there, base, todo.actions)
