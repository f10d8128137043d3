"""Every cell of the two decision tables of the architecture, with tiny named trees.

The directory's rows, blocked cells and one-way runs are in `test_reconcile.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncer.engine.model import ConflictPolicy, Mode, Policy, Reason, Side
from syncer.engine.report import Resolution
from tests.applying import until_quiet
from tests.briefs import briefs
from tests.trees import (
    Tree,
    file,
    planning,
    strangers,
    tD0,
    tD1,
    tF1,
    tF2,
    tF3,
    tL1,
    tL2,
    tN,
    world,
)

ASK = Policy(conflict=ConflictPolicy.ASK)
PUSH, PULL = Policy(mode=Mode.PUSH), Policy(mode=Mode.PULL)
tF1x: Tree = {"f": file("one", 11, executable=True)}  # noqa: N816
tF1t: Tree = {"f": file("one", 99)}  # noqa: N816

# No base row: local, remote, what is done.
STRANGERS = [
    ("nothing anywhere", tN, tN, []),
    ("a file here only", tF1, tN, ["upload f"]),
    ("a file there only", tN, tF1, ["download f"]),
    ("the same file twice", tF1, tF1, ["adopt f"]),
    ("the same bytes with other dates", tF1, tF1t, ["adopt f"]),
    ("the same bytes, executable on one side", tF1x, tF1, ["touch-remote f"]),
    ("different files of one size", tF1, tF2, ["keep-both f local loses"]),
    ("different files, newer here", tF3, tF2, ["keep-both f remote loses"]),
    ("different files of two sizes", tF1, {"f": file("longer", 5)}, ["keep-both f remote loses"]),
    ("a symlink here only", tL1, tN, ["upload f"]),
    ("the same symlink twice", tL1, tL1, ["adopt f"]),
    ("different symlinks", tL1, tL2, ["keep-both f local loses"]),
    ("a file and a symlink", tF1, tL1, ["keep-both f remote loses"]),
    ("an empty directory here only", tD0, tN, ["mkdir-remote f"]),
    ("an empty directory twice", tD0, tD0, ["adopt f"]),
    ("a directory with a file there only", tN, tD1, ["mkdir-local f", "download f/x"]),
    ("two directories, one with a file", tD1, tD0, ["adopt f", "upload f/x"]),
    ("a file and an empty directory", tF1, tD0, ["keep-both f local loses"]),
    ("a full directory and a file", tD1, tF2, ["keep-both f remote loses", "upload f/x"]),
    ("a symlink and a directory", tL1, tD0, ["keep-both f local loses"]),
]

# Base row is the file (or symlink) `tF1`: local, remote, what is done.
FILE_ROWS = [
    ("same, same", tF1, tF1, []),
    ("same, edited", tF1, tF2, ["download f over"]),
    ("same, deleted", tF1, tN, ["delete-local f"]),
    ("same, became a directory", tF1, tD1, ["mkdir-local f over", "download f/x"]),
    ("edited, same", tF2, tF1, ["upload f over"]),
    ("edited, edited to the same", tF2, tF2, ["adopt f"]),
    ("edited, edited differently", tF2, tF3, ["keep-both f local loses"]),
    ("edited, deleted", tF2, tN, ["upload f"]),
    ("edited, became a directory", tF2, tD0, ["keep-both f local loses"]),
    ("deleted, same", tN, tF1, ["delete-remote f"]),
    ("deleted, edited", tN, tF2, ["download f"]),
    ("deleted, deleted", tN, tN, ["forget f"]),
    ("deleted, became a directory", tN, tD1, ["mkdir-local f", "download f/x"]),
    ("became a directory, same", tD0, tF1, ["mkdir-remote f over"]),
    ("became a directory, edited", tD1, tF2, ["keep-both f remote loses", "upload f/x"]),
    ("became a directory, deleted", tD0, tN, ["mkdir-remote f"]),
    ("became a directory twice", tD0, tD0, ["adopt f"]),
    ("became a symlink, same", tL1, tF1, ["upload f over"]),
    ("became a symlink, edited", tL1, tF2, ["keep-both f local loses"]),
    ("became a symlink, deleted", tL1, tN, ["upload f"]),
    ("became the same symlink twice", tL1, tL1, ["adopt f"]),
    ("became different symlinks", tL1, tL2, ["keep-both f local loses"]),
]

METADATA = [
    ("touched here", tF1t, tF1, ["touch-remote f"]),
    ("touched there", tF1, tF1t, ["touch-local f"]),
    ("touched alike on both", tF1t, tF1t, ["adopt f silently"]),
    ("touched differently on both", tF1t, {"f": file("one", 50)}, ["touch-remote f"]),
    ("made executable here", tF1x, tF1, ["touch-remote f"]),
    ("made executable on both", tF1x, tF1x, ["adopt f silently"]),
    ("touched here, edited there", tF1t, tF2, ["download f over"]),
    ("touched here, deleted there", tF1t, tN, ["delete-local f"]),
    ("executable here, edited there", tF1x, tF2, ["download f over"]),
]


def named(rows: list[tuple[str, Tree, Tree, list[str]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("local", "remote", "done"), [r[1:] for r in rows], ids=[r[0] for r in rows]
    )


@named(STRANGERS)
def test_without_a_base_row(local: Tree, remote: Tree, done: list[str]) -> None:
    assert briefs(planning(strangers(local, remote)).actions) == done


@named(FILE_ROWS)
def test_with_a_base_row_that_is_a_file(local: Tree, remote: Tree, done: list[str]) -> None:
    assert briefs(planning(world(tF1, local, remote)).actions) == done


@named(METADATA)
def test_metadata_alone_is_never_a_conflict(local: Tree, remote: Tree, done: list[str]) -> None:
    seen = planning(world(tF1, local, remote))
    assert briefs(seen.actions) == done
    assert not seen.conflicts


@pytest.mark.parametrize(
    ("change", "row"), [(tL2, "edited"), (tF1, "a file"), (tN, "gone"), (tD0, "a directory")]
)
def test_a_symlink_in_the_base_is_followed_like_a_file(change: Tree, row: str) -> None:
    done = {
        "edited": "upload f over",
        "a file": "upload f over",
        "gone": "delete-remote f",
        "a directory": "mkdir-remote f over",
    }
    assert briefs(planning(world(tL1, change, tL1)).actions) == [done[row]]


def test_a_stamp_that_moved_over_the_same_bytes_only_refreshes_the_base() -> None:
    there = world(tF1, tF1, tF1)
    node = there.sides[Side.LOCAL]["f"]
    there.sides[Side.LOCAL]["f"] = replace(node, stamp=there.stamp())
    assert briefs(planning(there).actions) == ["adopt f silently"]


def test_a_bit_and_an_edit_from_two_sides_come_together() -> None:
    there = world(tF1, tF1x, tF2)
    until_quiet(there)
    for side in Side:
        assert there.sides[side]["f"].data == b"two"
        assert there.sides[side]["f"].executable


WINNERS = [
    (ConflictPolicy.NEWER, tF1, tF2, "download f over", Resolution.REMOTE_WON),
    (ConflictPolicy.NEWER, tF2, tF1, "upload f over", Resolution.LOCAL_WON),
    (ConflictPolicy.NEWER, tF2, {"f": file("tie", 12)}, "download f over", Resolution.REMOTE_WON),
    (ConflictPolicy.LOCAL, tF1, tF2, "upload f over", Resolution.LOCAL_WON),
    (ConflictPolicy.LOCAL, tF2, tF1, "upload f over", Resolution.LOCAL_WON),
    (ConflictPolicy.REMOTE, tF2, tF1, "download f over", Resolution.REMOTE_WON),
    (ConflictPolicy.REMOTE, tF1, tF2, "download f over", Resolution.REMOTE_WON),
    (ConflictPolicy.KEEP_BOTH, tF1, tF2, "keep-both f local loses", Resolution.KEPT_BOTH),
    (ConflictPolicy.KEEP_BOTH, tF2, tF1, "keep-both f remote loses", Resolution.KEPT_BOTH),
    (ConflictPolicy.KEEP_BOTH, tF2, {"f": file("tie", 12)}, "keep-both f local loses", Resolution.KEPT_BOTH),
]


@pytest.mark.parametrize(("policy", "local", "remote", "done", "resolution"), WINNERS)
@pytest.mark.parametrize("base", [tN, {"f": file("old", 3)}], ids=["both new", "both changed"])
def test_each_conflict_policy_names_its_winner(
    base: Tree, policy: ConflictPolicy, local: Tree, remote: Tree, done: str, resolution: Resolution
) -> None:
    seen = planning(world(base, local, remote), Policy(conflict=policy))
    assert briefs(seen.actions) == [done]
    (conflict,) = seen.conflicts
    assert conflict.resolution is resolution
    assert conflict.reason is (Reason.BOTH_CHANGED if base else Reason.BOTH_NEW)
    assert bool(conflict.copy) is (policy is ConflictPolicy.KEEP_BOTH)


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_what_a_policy_takes_from_a_name_is_never_lost(policy: ConflictPolicy) -> None:
    there = world({"f": file("old", 3)}, tF1, tF2)
    before = there.live()
    until_quiet(there, Policy(conflict=policy))
    assert before <= there.live() | set(there.trash)


@pytest.mark.parametrize(("local", "remote"), [(tF2, tF3), (tF2, tD0), (tD1, tF2), (tL1, tF2)])
def test_ask_touches_nothing_and_lists_the_conflict(local: Tree, remote: Tree) -> None:
    seen = planning(world(tF1, local, remote), ASK)
    assert seen.actions == ()
    assert [c.resolution for c in seen.conflicts] == [Resolution.ASKED]


def test_a_choice_for_one_path_answers_what_was_asked() -> None:
    chosen = replace(ASK, choices={"f": ConflictPolicy.LOCAL})
    assert briefs(planning(world(tF1, tF2, tF3), chosen).actions) == ["upload f over"]


def test_a_choice_answers_a_kind_clash_as_well() -> None:
    chosen = replace(ASK, choices={"f": ConflictPolicy.KEEP_BOTH})
    assert briefs(planning(world(tF1, tF2, tD0), chosen).actions) == ["keep-both f local loses"]


def test_a_conflict_name_that_is_taken_is_not_used() -> None:
    there = world(tN, tF1, tF2)
    first = planning(there).conflicts[0].copy
    there = world(tN, {**tF1, first: file("mine", 1)}, tF2)
    second = planning(there).conflicts[0].copy
    assert second not in (first, "")


def test_two_losers_of_one_date_get_two_names() -> None:
    there = world(
        tN, {"f.a": file("one", 5), "f.b": file("two", 5)}, {"f.a": file("uno", 6), "f.b": file("due", 6)}
    )
    copies = [c.copy for c in planning(there).conflicts]
    assert len(set(copies)) == 2


def test_an_older_date_is_a_change_like_any_other() -> None:
    assert briefs(planning(world(tF3, tF3, {"f": file("old", -5)})).actions) == ["download f over"]


NOW = 10**18
SOON, FAR = NOW + 3600 * 10**9, NOW + 25 * 3600 * 10**9  # within a day ahead, and beyond it
AHEAD = [
    (ConflictPolicy.KEEP_BOTH, NOW, FAR, "keep-both f remote loses", None),
    (ConflictPolicy.KEEP_BOTH, FAR, NOW, "keep-both f local loses", None),
    (ConflictPolicy.KEEP_BOTH, FAR + 1, FAR, "keep-both f local loses", None),
    (ConflictPolicy.KEEP_BOTH, NOW, SOON, "keep-both f local loses", None),
    (ConflictPolicy.NEWER, NOW, FAR, "keep-both f remote loses", Side.REMOTE),
    (ConflictPolicy.NEWER, FAR, NOW, "keep-both f local loses", Side.LOCAL),
    (ConflictPolicy.NEWER, SOON, NOW, "upload f over", None),
    (ConflictPolicy.LOCAL, NOW, FAR, "upload f over", None),
]


@pytest.mark.parametrize(("policy", "here", "there", "done", "ahead"), AHEAD)
def test_a_time_more_than_a_day_in_the_future_is_newer_than_nothing(
    policy: ConflictPolicy, here: int, there: int, done: str, ahead: Side | None
) -> None:
    """By policy `newer` the loser would leave its name because of a wrong clock: both are kept."""
    seen = planning(
        world(tF1, {"f": file("two", here)}, {"f": file("three", there)}),
        Policy(conflict=policy, now_ns=NOW),
    )
    assert briefs(seen.actions) == [done]
    (conflict,) = seen.conflicts
    if policy is ConflictPolicy.NEWER:
        assert conflict.ahead is ahead
