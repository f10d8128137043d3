"""Ignore rules: which side's hold, what nesting and negation mean, and that nothing is deleted for them."""

from __future__ import annotations

import pytest

from syncer.engine.model import Kind, Mode, Policy, RelPath, Side
from syncer.engine.rules import LIMIT, Illegible, Rules
from syncer.ignore import compile_rules
from tests.applying import until_quiet
from tests.briefs import briefs
from tests.trees import DIR, L, R, Tree, file, planning, strangers, tN, world

RULES = ".syncignore"


def rules(own: tuple[str, ...] = (), **files: str) -> Rules:
    """The job's own rules and those of files, named by their directory ("root" for the root)."""
    texts = {RULES if d == "root" else f"{d.replace('__', '/')}/{RULES}": t for d, t in files.items()}
    return Rules(own, compile_rules, lambda side, path: texts.get(path, "").encode())


CASES = [
    (rules(("*.tmp",)), "a.tmp", False, True),
    (rules(("*.tmp",)), "d/a.tmp", False, True),
    (rules(("build/",)), "build", True, True),
    (rules(("build/",)), "build", False, False),
    (rules(("/a",)), "d/a", False, False),
    (rules(("*.log", "!keep.log")), "keep.log", False, False),
    (rules(root="*.o"), "d/x.o", False, True),
    (rules(root="*.o", d="!x.o"), "d/x.o", False, False),
    (rules(root="*.o", d="!x.o"), "e/x.o", False, True),
    (rules(d="/x"), "d/x", False, True),
    (rules(d="/x"), "d/e/x", False, False),
    (rules(d="/x"), "x", False, False),
    (rules(("*.o",), root="!x.o"), "x.o", False, False),
    (rules(d__e="*"), "d/e/f/g", False, True),
    (rules(root="# only a comment\n\n"), "a", False, False),
]


@pytest.mark.parametrize(("known", "path", "is_directory", "ignored"), CASES)
def test_the_deepest_file_that_says_anything_decides(
    known: Rules, path: RelPath, is_directory: bool, ignored: bool
) -> None:
    assert known.ignored(path, is_directory=is_directory) is ignored


def done(base: Tree, local: Tree, remote: Tree, policy: Policy | None = None) -> list[str]:
    return briefs(planning(world(base, local, remote), policy or Policy()).actions)


def test_what_is_newly_ignored_is_forgotten_and_never_deleted() -> None:
    tree: Tree = {"a.tmp": file("x"), "b": file("y")}
    assert done(tree, tree, tree, Policy(ignore=("*.tmp",))) == ["forget a.tmp"]
    assert done(tree, {"b": file("y")}, tree, Policy(ignore=("*.tmp",))) == ["forget a.tmp"]


def test_a_newly_ignored_directory_is_forgotten_whole() -> None:
    there = world(tree := {"d": DIR, "d/x": file("x")}, tree, tree)
    ignoring = Policy(ignore=("d/",))
    until_quiet(there, ignoring)
    assert there.base == {}
    assert there.contents(L) == there.contents(R) == {"d": (Kind.DIRECTORY, b""), "d/x": (Kind.FILE, b"x")}


def test_what_is_no_longer_ignored_is_new_and_its_content_decides() -> None:
    there = strangers({"a.tmp": file("x")}, {"a.tmp": file("x")})
    until_quiet(there, Policy(ignore=("*.tmp",)))
    assert briefs(planning(there).actions) == ["adopt a.tmp"]


def test_an_ignored_name_is_left_alone_on_both_sides() -> None:
    assert done(tN, {"a.tmp": file("x")}, {"a.tmp": file("y")}, Policy(ignore=("*.tmp",))) == []


PLAIN: Tree = {"a.o": file("obj"), "a.c": file("src")}
OLD: Tree = {RULES: file("*.o"), **PLAIN}
NEW: Tree = {RULES: file("*.c", 20), **PLAIN}


def test_new_rules_of_the_remote_side_hold_in_the_run_that_brings_them() -> None:
    assert done(PLAIN, PLAIN, OLD) == ["forget a.o", f"download {RULES}"]
    assert done(PLAIN, {"a.c": file("src")}, OLD) == ["forget a.o", f"download {RULES}"]


def test_rules_changed_on_one_side_replace_the_old_ones() -> None:
    there = strangers(OLD, OLD)
    until_quiet(there)
    there.place(R, NEW)
    assert briefs(planning(there).actions) == ["forget a.c", "adopt a.o", f"download {RULES} over"]


def test_rules_deleted_on_one_side_hold_no_longer() -> None:
    there = strangers(OLD, OLD)
    until_quiet(there)
    there.place(L, PLAIN)
    assert briefs(planning(there).actions) == ["adopt a.o", f"delete-remote {RULES}"]


def test_of_rules_changed_on_both_sides_all_hold() -> None:
    there = strangers(OLD, OLD)
    until_quiet(there)
    there.place(L, {**PLAIN, RULES: file("*.c", 20)})
    there.place(R, {**PLAIN, RULES: file("*.o\n*.x", 30)})
    assert [d for d in briefs(planning(there).actions) if RULES not in d] == ["forget a.c"]


def test_a_directory_deleted_on_one_side_stays_for_what_is_ignored_in_it() -> None:
    tree: Tree = {"d": DIR, "d/x": file("x"), "d/a.tmp": file("mine")}
    there = strangers({"d": DIR, "d/x": file("x")}, {"d": DIR, "d/x": file("x")})
    until_quiet(there)
    there.place(L, tree)
    there.place(R, tN)
    until_quiet(there, Policy(ignore=("*.tmp",)))
    assert set(there.sides[L]) == {"d", "d/a.tmp"}
    assert there.sides[R] == {}


def test_it_stays_with_the_rules_that_say_so() -> None:
    ruled: Tree = {"d": DIR, f"d/{RULES}": file("*.o"), "d/x": file("x")}
    there = strangers(ruled, ruled)
    until_quiet(there)
    there.place(L, {**ruled, "d/a.o": file("mine")})
    there.place(R, tN)
    until_quiet(there)
    assert set(there.sides[L]) == {"d", f"d/{RULES}", "d/a.o"}, "ignored files must not go up"
    assert there.sides[R] == {}


@pytest.mark.parametrize("there_now", [tN, {"d": file("now a file")}], ids=["gone", "a file"])
def test_it_comes_back_with_its_rules_when_it_comes_back_at_all(there_now: Tree) -> None:
    ruled: Tree = {"d": DIR, f"d/{RULES}": file("*.o"), "d/x": file("x")}
    there = strangers(ruled, ruled)
    until_quiet(there)
    there.place(L, {**ruled, "d/a.o": file("mine"), "d/x": file("edited", 50)})
    there.place(R, there_now)
    until_quiet(there)
    assert "d/a.o" not in there.sides[R], "ignored files must not go up"
    assert {"d", "d/x", f"d/{RULES}"} <= set(there.sides[R])


def test_a_directory_lost_on_the_follower_is_put_back_without_what_is_ignored_in_it() -> None:
    ruled: Tree = {"d": DIR, f"d/{RULES}": file("*.o"), "d/x": file("x")}
    there = strangers(ruled, ruled)
    until_quiet(there)
    there.place(L, {**ruled, "d/a.o": file("mine")})
    there.place(R, tN)
    until_quiet(there, Policy(mode=Mode.PUSH))
    assert set(there.sides[R]) == set(ruled)


@pytest.mark.parametrize("side", list(Side))
def test_a_directory_replaced_by_a_file_keeps_what_is_ignored_in_it(side: Side) -> None:
    before: Tree = {"d": DIR, "d/x": file("x")}
    there = world(before, before, before)
    there.place(side, {**before, "d/a.tmp": file("mine")})
    there.place(side.other, {"d": file("now a file")})
    until_quiet(there, Policy(ignore=("*.tmp",)))
    assert there.sides[side]["d/a.tmp"].data == b"mine"
    assert {n.data for n in there.sides[side].values()} >= {b"now a file"}


def test_a_rules_file_that_is_too_long_is_not_cut_off_in_the_middle_of_a_rule() -> None:
    long = b"#" * (LIMIT - 2) + b"\n*.tmp"  # cut at the limit, its last line would ignore everything
    known = Rules((), compile_rules, lambda side, path: long[: LIMIT + 1] if path == RULES else b"")
    with pytest.raises(Illegible):
        known.ignored("precious", is_directory=False)
