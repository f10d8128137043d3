"""The guards over a plan: what they refuse or hold, what they let flow, and how they clear."""

from __future__ import annotations

import pytest

from syncer.engine import guards
from syncer.engine.model import Delete, MaxDelete, Mode, Move, Policy, RemoveDirectory, Side
from syncer.engine.report import RunReport
from syncer.errors import GuardTripped
from syncer.exit_codes import exit_code
from tests.applying import apply, round_of, until_quiet
from tests.briefs import briefs
from tests.trees import DIR, L, Node, R, Tree, file, link, planning, world

MANY: Tree = {f"{i:02}": file(f"content {i}") for i in range(20)}
YES = Policy(allow_deletes=True)


def without(tree: Tree, count: int) -> Tree:
    return dict(list(tree.items())[count:])


# A side that was emptied


@pytest.mark.parametrize("side", list(Side))
def test_an_emptied_side_refuses_the_job(side: Side) -> None:
    there = world(MANY, MANY, MANY)
    there.place(side, {})
    with pytest.raises(GuardTripped) as refused:
        planning(there)
    assert (refused.value.guard, exit_code(refused.value)) == ("emptied", 4)
    assert side.value in refused.value.message


def test_the_guard_clears_when_the_files_are_back_and_a_word_lets_them_go() -> None:
    there = world(MANY, {}, MANY)
    there.place(L, MANY)
    assert not [a for a in planning(there).actions if isinstance(a, Delete)]
    gone = world(MANY, {}, MANY)
    until_quiet(gone, YES)
    assert gone.sides[R] == {}
    assert sum(gone.trash.values()) == len(MANY)


@pytest.mark.parametrize(
    ("base", "local", "remote"),
    [
        ({"a": file("x")}, {}, {"a": file("x")}),
        (MANY, {}, {}),
        ({}, {}, MANY),
        (MANY, {}, {name: file(f"edited {name}", 50) for name in MANY}),
        (MANY, {"other": file("x")}, without(MANY, 15)),
    ],
    ids=["a single file", "both empty", "a first run", "all edited there", "not empty"],
)
def test_no_alarm_is_raised_for(base: Tree, local: Tree, remote: Tree) -> None:
    planning(world(base, local, remote))


def test_an_emptied_source_empties_no_follower_and_an_emptied_follower_is_filled() -> None:
    push = Policy(mode=Mode.PUSH)
    with pytest.raises(GuardTripped):
        planning(world(MANY, {}, MANY), push)
    there = world(MANY, MANY, {})
    until_quiet(there, push)
    assert there.contents(L) == there.contents(R)


# Mass deletion


@pytest.mark.parametrize(
    ("deleted", "known", "limit", "held"),
    [
        (9, 9, MaxDelete(), False),
        (10, 20, MaxDelete(), False),
        (10, 19, MaxDelete(), True),
        (11, 20, MaxDelete(), True),
        (19, 20, MaxDelete(share=None), False),
        (3, 20, MaxDelete(count=3), False),
        (4, 20, MaxDelete(count=3), True),
        (11, 20, MaxDelete(count=11), False),
        (1, 20, MaxDelete(count=0), True),
        (10, 100, MaxDelete(share=0.1), False),
        (11, 100, MaxDelete(share=0.1), True),
    ],
)
def test_so_many_deletions_are_held(deleted: int, known: int, limit: MaxDelete, held: bool) -> None:
    tree = {f"{i:03}": file(f"content {i}") for i in range(known)}
    there = world(tree, {**without(tree, deleted), "stays": file("x")}, tree)
    seen = planning(there, Policy(max_delete=limit))
    assert bool(seen.holds) is held
    assert len([a for a in seen.actions if isinstance(a, Delete)]) == (0 if held else deleted)


def test_what_is_held_is_named_and_everything_else_flows() -> None:
    there = world(MANY, {**without(MANY, 15), "new": file("new")}, {**MANY, "19": file("edited", 50)})
    seen = planning(there)
    assert sorted(briefs(seen.actions)) == ["download 19 over", "upload new"]
    (hold,) = seen.holds
    assert (hold.guard, hold.side, len(hold.paths)) == ("mass-delete", R, 15)
    assert "--max-delete 15" in hold.hint
    assert RunReport(holds=seen.holds).exit_code == 4


def test_a_hold_lasts_until_its_cause_is_gone_or_somebody_says_yes() -> None:
    there = world(MANY, without(MANY, 15), MANY)
    for _ in range(3):
        round_of(there, shortcuts=True)
        assert set(there.sides[R]) == set(MANY)
        assert planning(there).holds
    back = world(MANY, without(MANY, 15), MANY)
    back.place(L, MANY)
    assert not planning(back).holds
    until_quiet(there, YES)
    assert there.contents(L) == there.contents(R)


def test_deletions_are_counted_on_each_side_by_itself() -> None:
    half = dict(list(MANY.items())[:8])
    there = world(MANY, half, {k: v for k, v in MANY.items() if k in half or int(k) >= 14})
    assert planning(there).holds == ()


def test_moves_are_no_deletions() -> None:
    renamed = {f"new-{name}": node for name, node in MANY.items()}
    seen = planning(world(MANY, renamed, MANY))
    assert seen.holds == ()
    assert len([a for a in seen.actions if isinstance(a, Move)]) == 20


@pytest.mark.parametrize("now", [file("a file now"), link("elsewhere")])
def test_a_directory_that_became_a_file_or_a_symlink_takes_nothing_with_it_unasked(now: Node) -> None:
    full: Tree = {"d": DIR, **{f"d/{name}": node for name, node in MANY.items()}}
    there = world(full, {"d": now}, full)
    seen = planning(there)
    assert seen.actions == ()
    assert len(seen.holds[0].paths) == 21
    until_quiet(there, YES)
    assert there.contents(L) == there.contents(R)


def test_what_is_held_below_a_directory_keeps_the_directory() -> None:
    full: Tree = {"d": DIR, **{f"d/{name}": node for name, node in MANY.items()}, "x": file("x")}
    there = world(full, {"x": file("x")}, full)
    seen = planning(there)
    assert not [a for a in seen.actions if isinstance(a, Delete | RemoveDirectory)]
    assert apply(there, seen.actions) == 0


def test_a_word_is_said_when_most_of_a_side_is_overwritten() -> None:
    many = {f"{i:03}": file(f"content {i}") for i in range(120)}
    encrypted = {name: file(f"locked {name}", 50) for name in many}
    actions = planning(world(many, encrypted, many)).actions
    (word,) = guards.warn_mass_change(actions, 120)
    assert (word.side, word.code, word.waits) == (R, "mass-change", False)
    assert guards.warn_mass_change(actions[:99], 120) == []
    assert guards.warn_mass_change(actions, 1000) == []


# Deletions of one stroke


def test_deletions_of_one_stroke_count_together_over_several_runs() -> None:
    there = world(MANY, without(MANY, 9), MANY)
    assert not planning(there).holds, "9 are below the floor"
    lately = Policy(deleted_lately={R: 2})
    assert not planning(there, lately).holds, "11 of 22 are no more than half"
    (hold,) = planning(there, Policy(deleted_lately={R: 5})).holds
    assert (hold.side, len(hold.paths)) == (R, 9), "14 of 25 are"


def test_what_went_on_one_side_is_not_counted_on_the_other() -> None:
    there = world(MANY, without(MANY, 9), MANY)
    assert not planning(there, Policy(deleted_lately={L: 500})).holds


def test_a_stroke_that_is_over_holds_nothing_by_itself() -> None:
    there = world(MANY, {**MANY, "new": file("new", 50)}, MANY)
    todo = planning(there, Policy(deleted_lately={R: 500, L: 500}))
    assert not todo.holds and len(todo.actions) == 1


def test_a_count_is_the_count_of_the_whole_stroke() -> None:
    there = world(MANY, without(MANY, 4), MANY)
    assert not planning(there, Policy(max_delete=MaxDelete(count=5, share=None), deleted_lately={R: 1})).holds
    assert planning(there, Policy(max_delete=MaxDelete(count=5, share=None), deleted_lately={R: 2})).holds


def test_a_word_lets_a_whole_stroke_through() -> None:
    there = world(MANY, without(MANY, 15), MANY)
    assert not planning(there, Policy(allow_deletes=True, deleted_lately={R: 500})).holds
