"""Directories, what is blocked, and runs in which only one side may change."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    ConflictPolicy,
    Mode,
    Policy,
    RelPath,
    Side,
)
from syncer.engine.report import Resolution
from tests.applying import round_of, until_quiet
from tests.briefs import briefs
from tests.trees import (
    DIR,
    L,
    R,
    Tree,
    World,
    file,
    findings,
    link,
    planning,
    strangers,
    tD0,
    tD1,
    tD2,
    tD3,
    tF1,
    tF2,
    tF3,
    tL1,
    tN,
    world,
)

PUSH, PULL = Policy(mode=Mode.PUSH), Policy(mode=Mode.PULL)
ASK = Policy(conflict=ConflictPolicy.ASK)
BLOCKED = BlockedEntry(BlockReason.UNREADABLE, "may not be read")
Row = tuple[str, Tree, Tree, list[str]]

# Base row is the directory `tD1`.
DIRECTORY_ROWS: list[Row] = [
    ("same, gone", tD1, tN, ["delete-local f/x", "rmdir-local f"]),
    ("gone, same", tN, tD1, ["delete-remote f/x", "rmdir-remote f"]),
    ("gone, gone", tN, tN, ["forget f"]),
    ("edited inside, gone", tD2, tN, ["mkdir-remote f", "upload f/x"]),
    ("gone, edited inside", tN, tD2, ["mkdir-local f", "download f/x"]),
    ("one more inside, gone", tD3, tN, ["mkdir-remote f", "upload f/y", "delete-local f/x"]),
    ("emptied, gone", tD0, tN, ["forget f/x", "rmdir-local f"]),
    ("emptied, same", tD0, tD1, ["delete-remote f/x"]),
    ("same, became a file", tD1, tF2, ["delete-local f/x clearing", "rmdir-local f clearing", "download f"]),
    (
        "same, became a symlink",
        tD1,
        tL1,
        ["delete-local f/x clearing", "rmdir-local f clearing", "download f"],
    ),
    ("became a file, same", tF2, tD1, ["delete-remote f/x clearing", "rmdir-remote f clearing", "upload f"]),
    ("edited inside, became a file", tD2, tF3, ["keep-both f remote loses", "upload f/x"]),
    ("became a file, gone", tF2, tN, ["forget f", "upload f"]),
    ("gone, became a file", tN, tF2, ["forget f", "download f"]),
    ("became the same file twice", tF2, tF2, ["forget f", "adopt f"]),
    ("became different files", tF2, tF3, ["forget f", "keep-both f local loses"]),
]


def named(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("local", "remote", "done"), [r[1:] for r in rows], ids=[r[0] for r in rows]
    )


@named(DIRECTORY_ROWS)
def test_with_a_base_row_that_is_a_directory(local: Tree, remote: Tree, done: list[str]) -> None:
    assert briefs(planning(world(tD1, local, remote)).actions) == done


def test_edited_children_survive_and_only_they() -> None:
    there = world(tD3, {"f": DIR, "f/x": file("new", 20), "f/y": file("two", 12)}, tN)
    until_quiet(there)
    assert set(there.sides[R]) == {"f", "f/x"}
    assert there.contents(L) == there.contents(R)


@pytest.mark.parametrize(("local", "remote"), [(tD2, tF3), (tF3, tD2)])
def test_ask_leaves_a_kind_clash_over_an_edited_directory_as_it_is(local: Tree, remote: Tree) -> None:
    seen = planning(world(tD1, local, remote), ASK)
    assert seen.actions == ()
    assert [c.resolution for c in seen.conflicts] == [Resolution.ASKED]


# Blocked beats everything

CELLS = [
    (tF1, tF2),
    (tF1, tN),
    (tF2, tF1),
    (tN, tF1),
    (tF2, tF3),
    (tN, tN),
    (tD1, tF1),
    (tF1, tD1),
    (tF1, tF1),
]


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(("local", "remote"), CELLS)
@pytest.mark.parametrize("trouble", list(BlockReason))
def test_an_obstacle_on_either_side_makes_the_name_wait(
    side: Side, local: Tree, remote: Tree, trouble: BlockReason
) -> None:
    there = world(tF1, local, remote)
    there.sides[side].setdefault("f", file("what?"))
    there.obstacles[side]["f"] = BlockedEntry(trouble, "in the way")
    seen = planning(there)
    assert seen.actions == ()
    assert [(p.path, p.side, p.code, p.waits) for p in seen.problems] == [("f", side, trouble.value, True)]


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("other", [tN, tF1, tD0, tD1, tD2])
def test_a_directory_that_cannot_be_listed_waits_with_all_that_is_in_it(side: Side, other: Tree) -> None:
    trees = {side: tD1, side.other: other}
    there = world(tD1, trees[L], trees[R])
    there.unlistable[side]["f"] = BLOCKED
    seen = planning(there)
    assert seen.actions == ()
    assert [(p.path, p.side) for p in seen.problems] == [("f", side)]


def test_a_directory_goes_only_when_nothing_blocked_is_left_in_it() -> None:
    there = world(tD3, tD3, tN)
    there.obstacles[L]["f/y"] = BLOCKED
    assert briefs(planning(there).actions) == ["delete-local f/x"]


def test_a_socket_that_was_never_synced_is_mentioned_and_waits_for_nobody() -> None:
    there = strangers({"s": file("?")}, tN)
    there.obstacles[L]["s"] = BlockedEntry(BlockReason.UNSUPPORTED, "a socket")
    (problem,) = planning(there).problems
    assert not problem.waits


def test_a_new_directory_that_cannot_be_listed_is_not_made_on_the_other_side() -> None:
    there = strangers(tD1, tN)
    there.unlistable[L]["f"] = BLOCKED
    assert planning(there).actions == ()


def test_an_unlistable_root_decides_nothing() -> None:
    there = world(tD3, tD3, tN)
    there.unlistable[R][""] = BLOCKED
    assert planning(there).actions == ()


# One side only ever changes

# Base row `tF1`; the local side is the source (push).
ONE_WAY_ROWS: list[Row] = [
    ("source edited", tF2, tF1, ["upload f over"]),
    ("source deleted", tN, tF1, ["delete-remote f"]),
    ("source became a directory", tD1, tF1, ["mkdir-remote f over", "upload f/x"]),
    ("follower edited", tF1, tF2, ["keep-both f remote loses one-way"]),
    ("follower deleted", tF1, tN, ["upload f"]),
    ("follower became a directory", tF1, tD0, []),
    ("both edited", tF2, tF3, ["keep-both f remote loses one-way"]),
    ("both edited alike", tF2, tF2, ["adopt f"]),
    ("source deleted, follower edited", tN, tF2, ["forget f"]),
    ("source edited, follower deleted", tF2, tN, ["upload f"]),
    ("follower touched", tF1, {"f": file("one", 99)}, ["touch-remote f"]),
    ("source touched", {"f": file("one", 99)}, tF1, ["touch-remote f"]),
    ("both deleted", tN, tN, ["forget f"]),
    ("source a directory, follower edited", tD0, tF2, ["keep-both f remote loses one-way"]),
]
FLIP = {"upload": "download", "remote": "local"}


def flipped(done: list[str]) -> list[str]:
    for word, other in FLIP.items():
        done = [d.replace(word, other) for d in done]
    return done


@named(ONE_WAY_ROWS)
def test_push_changes_the_remote_side_only(local: Tree, remote: Tree, done: list[str]) -> None:
    assert briefs(planning(world(tF1, local, remote), PUSH).actions) == done


@named(ONE_WAY_ROWS)
def test_pull_is_push_the_other_way_round(local: Tree, remote: Tree, done: list[str]) -> None:
    assert briefs(planning(world(tF1, remote, local), PULL).actions) == flipped(done)


@pytest.mark.parametrize(
    ("policy", "done"),
    [
        (ConflictPolicy.KEEP_BOTH, ["keep-both f remote loses one-way"]),
        (ConflictPolicy.NEWER, ["upload f over"]),
        (ConflictPolicy.REMOTE, ["upload f over"]),
        (ConflictPolicy.LOCAL, ["upload f over"]),
        (ConflictPolicy.ASK, []),
    ],
)
def test_one_way_the_sources_version_keeps_the_name(policy: ConflictPolicy, done: list[str]) -> None:
    one_way = Policy(mode=Mode.PUSH, conflict=policy)
    assert briefs(planning(world(tF1, tF1, tF2), one_way).actions) == done


@pytest.mark.parametrize("extra", [tF1, tD1, tL1, tD0])
def test_other_peoples_files_on_the_follower_are_left_alone(extra: Tree) -> None:
    assert planning(strangers(tN, extra), PUSH).actions == ()
    assert planning(strangers(extra, tN), PULL).actions == ()


def test_a_directory_lost_on_the_follower_is_put_back() -> None:
    assert briefs(planning(world(tD1, tD1, tN), PUSH).actions) == ["mkdir-remote f", "upload f/x"]


def test_a_directory_deleted_at_the_source_keeps_what_others_put_there() -> None:
    there = world(tD1, tN, {**tD1, "f/new": file("theirs")})
    until_quiet(there, PUSH)
    assert set(there.sides[R]) == {"f", "f/new"}


WORLDS = [tN, tF1, tF2, tF3, tL1, tD0, tD1, tD2, tD3]


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_one_way_runs_never_change_the_source_and_lose_nothing(policy: ConflictPolicy) -> None:
    for base, local, remote in ((b, s, f) for b in WORLDS for s in WORLDS for f in WORLDS):
        there = world(base, local, remote)
        before, source = there.live(), there.contents(L)
        until_quiet(there, Policy(mode=Mode.PUSH, conflict=policy, allow_deletes=True))
        assert there.contents(L) == source, (base, local, remote)
        assert before <= there.live() | set(there.trash), (base, local, remote)


# Names

FOLDING = Capabilities(local=True, folds_case=True, folds_form=True)
ACCENT, ACCENT_NFD = "é", "e\u0301"


def folding(base: Tree, local: Tree, remote: Tree) -> World:
    """A remote side that tells neither case nor Unicode form apart."""
    made = world(base, local, remote)
    made.capabilities[R] = FOLDING
    return made


@pytest.mark.parametrize(("one", "two"), [("readme", "README"), (ACCENT, ACCENT_NFD)])
def test_twins_are_never_merged_one_goes_on_the_other_is_reported(one: str, two: str) -> None:
    there = folding(tN, {one: file("one"), two: file("two")}, tN)
    seen = planning(there)
    assert len(seen.actions) == 1
    (problem,) = seen.problems
    assert (problem.code, problem.waits) == ("clash", True)
    assert {seen.actions[0].path, problem.path} == {one, two}


@pytest.mark.parametrize(("one", "two"), [("readme", "README"), (ACCENT, ACCENT_NFD)])
def test_two_spellings_of_one_name_are_one_file_and_get_that_of_the_side_that_tells_them_apart(
    one: str, two: str
) -> None:
    there = folding(tN, {one: file("same")}, {two: file("same")})
    assert briefs(planning(there).actions) == [f"move-remote {two} to {one}", f"adopt {one}"]
    until_quiet(there)
    assert there.contents(L) == there.contents(R)


def test_a_case_only_rename_is_carried_and_sends_and_deletes_nothing() -> None:
    there = folding({"readme": file("x")}, {"README": file("x")}, {"readme": file("x")})
    done = briefs(planning(there).actions)
    assert done == ["move-remote readme to README", "adopt README silently"]
    until_quiet(there)
    assert there.contents(L) == there.contents(R)


def test_a_case_only_rename_of_a_directory_takes_along_what_is_known_below() -> None:
    before: Tree = {"dir": DIR, "dir/x": file("x"), "dir/y": file("y")}
    there = folding(before, {"DIR": DIR, "DIR/x": file("edited")}, before)
    seen = planning(there)
    assert briefs(seen.actions) == ["move-remote dir to DIR", "upload DIR/x over", "delete-remote DIR/y"]
    assert not seen.problems and not seen.conflicts
    until_quiet(there)
    assert there.contents(L) == there.contents(R)


def test_what_both_sides_spell_anew_is_known_by_that_from_now_on() -> None:
    """A run that died after the rename: what was deleted since below came back."""
    before: Tree = {"dir": DIR, "dir/x": file("x"), "dir/y": file("y")}
    after: Tree = {"DIR": DIR, "DIR/x": before["dir/x"], "DIR/y": before["dir/y"]}
    there = folding(before, {p: n for p, n in after.items() if p != "DIR/y"}, after)
    assert briefs(planning(there).actions)[:1] == ["forget dir"]
    until_quiet(there)
    assert set(there.contents(R)) == {"DIR", "DIR/x"}


def test_a_mount_point_keeps_its_spelling_and_the_other_side_follows_it() -> None:
    """The system lets nobody rename it."""
    before: Tree = {"dir": DIR, "dir/x": file("x")}
    there = folding(before, {"DIR": DIR, "DIR/x": before["dir/x"]}, before)
    there.mounts.add("dir")
    until_quiet(there)
    assert set(there.contents(L)) == set(there.contents(R)) == {"dir", "dir/x"}


def test_a_store_that_renames_no_directory_keeps_its_spelling() -> None:
    before: Tree = {"dir": DIR, "dir/x": file("x")}
    there = world(before, before, {"DIR": DIR, "DIR/x": before["dir/x"]})
    there.capabilities[R] = FOLDING
    there.capabilities[L] = Capabilities(moves_directories=False)
    assert briefs(planning(there).actions) == ["adopt dir/x silently"]


def test_a_name_that_the_other_side_spells_as_a_twin_here_is_left_as_it_is() -> None:
    there = folding({"a": file("x")}, {"a": file("x"), "A": file("y")}, {"A": file("x")})
    seen = planning(there)
    assert not [a for a in briefs(seen.actions) if a.startswith("move")]
    assert [(p.path, p.code) for p in seen.problems] == [("A", "clash")]


def test_what_is_ignored_by_its_new_spelling_is_forgotten_once() -> None:
    """It was forgotten by the name that it has now, by every run."""
    there = folding({"readme": file("x")}, {"README": file("x")}, {"readme": file("x")})
    ignoring = Policy(ignore=("README",))
    assert briefs(planning(there, ignoring).actions) == ["forget readme"]
    round_of(there, ignoring)
    assert there.base == {}


def test_where_no_side_folds_twins_are_two_files() -> None:
    there = world(tN, {"a": file("one"), "A": file("two")}, tN)
    assert briefs(planning(there).actions) == ["upload A", "upload a"]


@pytest.mark.parametrize("name", [".SYNCER", ".syncer-TMP-00", ".syn\u200bcer", "．syncer"])
def test_a_twin_of_a_private_name_is_never_synced(name: RelPath) -> None:
    there = strangers(tN, {name: file("evil")})
    seen = planning(there)
    assert seen.actions == ()
    assert [p.code for p in seen.problems] == ["unsafe-name"]


def test_below_the_root_the_name_of_our_folder_is_a_name_like_any_other() -> None:
    there = strangers({"d": DIR, "d/.Syncer": file("mine")}, tN)
    assert "upload d/.Syncer" in briefs(planning(there).actions)


@pytest.mark.parametrize(
    ("name", "able"),
    [
        ("n" * 101, Capabilities(max_name_bytes=100)),
        ("a:b", Capabilities(forbidden=":")),
        ("\udcff", Capabilities(any_bytes=False)),
    ],
)
def test_a_name_that_the_other_side_cannot_hold_waits(name: str, able: Capabilities) -> None:
    there = strangers({name: file("x"), "plain": file("y")}, tN)
    there.capabilities[R] = able
    seen = planning(there)
    assert briefs(seen.actions) == ["upload plain"]
    assert [p.code for p in seen.problems] == ["unholdable"]


@pytest.mark.parametrize(
    ("base", "remote"), [(tN, tN), (tF1, tF1), (tF1, tF2), (tF1, tN), (tN, tF1), (tD0, tD0)]
)
def test_a_symlink_that_the_other_side_cannot_hold_waits_whatever_stands_there(
    base: Tree, remote: Tree
) -> None:
    there = world(base, {"f": link("t")}, remote)
    there.capabilities[R] = Capabilities(symlinks=False)
    seen = planning(there)
    assert seen.actions == ()
    assert [p.code for p in seen.problems] == ["unholdable"]


# What was agreed is not looked at again


def test_a_directory_is_settled_only_when_nothing_in_it_waits() -> None:
    there = world(tD1, tD1, tD1)
    assert {s[0] for s in findings(there).agreed_directories} == {"", "f"}
    there.place(L, tD2)
    assert {s[0] for s in findings(there).agreed_directories} == {""}
    round_of(there, shortcuts=True)
    assert planning(there).actions == ()


def test_a_conflict_that_waits_is_found_again_by_every_run() -> None:
    there = world(tF1, tF2, tD0)
    for _ in range(3):
        round_of(there, ASK, shortcuts=True)
        assert len(findings(there, ASK, shortcuts=True).conflicts) == 1


def test_in_a_directory_that_new_rules_ignore_something_was_still_done() -> None:
    """It was met before the directory above, in which the rules name it, and adopted again two runs later."""
    before: Tree = {"d": DIR, "d/e": DIR, "d/e/c": file("one"), "x": file("x")}
    there = world(before, before, before)
    round_of(there, shortcuts=True)
    there.place(L, {**before, "d/e/c": file("here")})
    there.place(R, {**before, "d/e/c": file("there"), ".syncignore": file("e\n")})
    found = findings(there, shortcuts=True)
    assert "d" not in found.visited, "nothing in it moved"
    assert [a.path for a in found.actions] == [".syncignore"] and not found.conflicts
