"""Ignore rules: which side's hold, what nesting and negation mean, and that nothing is deleted for them."""

from __future__ import annotations

import os

import pytest

from syncer.engine.gitignore import compile_rules
from syncer.engine.ignore import LIMIT, IgnoreFileError, Rules
from syncer.engine.model import Kind, Mode, Policy, RelPath, Side
from syncer.errors import ConfigError, Interrupted
from tests.applying import until_quiet
from tests.briefs import briefs
from tests.trees import DIR, L, R, Tree, file, findings, planning, strangers, tN, world

RULES = ".syncignore"


def rules(own: tuple[str, ...] = (), **files: str) -> Rules:
    """The job's own rules and those of files, named by their directory ("root" for the root)."""
    texts = {RULES if d == "root" else f"{d.replace('__', '/')}/{RULES}": t for d, t in files.items()}
    return Rules(own, compile_rules, lambda side, path: os.fsencode(texts.get(path, "")))


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
    with pytest.raises(IgnoreFileError):
        known.ignored("precious", is_directory=False)


# Which rule it is


def test_the_rule_that_decides_is_named_by_file_line_and_pattern() -> None:
    known = rules(("*.bak",), root="# what is made\n\n*.o\n/x\n", d="!keep.o\n")
    assert str(known.deciding("a.bak", is_directory=False)) == "ignore:1:*.bak"
    assert str(known.deciding("d/a.o", is_directory=False)) == ".syncignore:3:*.o"
    kept = known.deciding("d/keep.o", is_directory=False)
    assert str(kept) == "d/.syncignore:1:!keep.o"
    assert kept is not None and kept.negated
    assert known.deciding("d/x", is_directory=False) is None


def test_of_rules_changed_on_both_sides_the_side_is_told_too() -> None:
    there = strangers(OLD, OLD)
    until_quiet(there)
    there.place(L, {**PLAIN, RULES: file("*.c", 20)})
    there.place(R, {**PLAIN, RULES: file("#\n*.o", 30)})
    named = {str(rule): rule.remote for rule in findings(there).ignored}
    assert named == {".syncignore:1:*.c": False, ".syncignore:2:*.o": True}


def test_ignored_names_are_counted_by_rule() -> None:
    there = strangers(
        {RULES: file("*.o\nd/"), "a.o": file("1"), "b.o": file("2"), "d": DIR, "d/x": file("3")}, tN
    )
    assert {str(rule): n for rule, n in findings(there).ignored.items()} == {
        ".syncignore:1:*.o": 2,
        ".syncignore:2:d/": 1,  # what is below was not looked at
    }


def test_names_that_are_no_text_are_compared_byte_by_byte_also_below_such_directories() -> None:
    known = rules(**{"caf\udce9": "/x\n[\udcff]y\n"})
    assert known.ignored("caf\udce9/x", is_directory=False)
    assert not known.ignored("caf\udce9/x/x", is_directory=False)
    deep = Rules((), compile_rules, lambda side, path: "/b/ü".encode() if path == f"é/{RULES}" else b"")
    assert deep.ignored("é/b/ü", is_directory=False)
    assert not deep.ignored("é/ü", is_directory=False)


# A machine's own rules

MACHINE = ".syncignore.local"


def test_a_machine_s_own_rules_have_the_last_word_and_are_never_synced() -> None:
    there = strangers({RULES: file("*.o"), MACHINE: file("!k.o\n*.c"), **PLAIN, "k.o": file("k")}, tN)
    until_quiet(there)
    assert set(there.sides[R]) == {RULES, "k.o"}
    assert MACHINE in there.sides[L]


def test_the_other_side_s_own_rules_stay_there_and_say_nothing_here() -> None:
    there = strangers({"a.c": file("src")}, {MACHINE: file("*.c"), "d": DIR, f"d/{MACHINE}": file("*")})
    until_quiet(there)
    assert set(there.sides[L]) == {"a.c", "d"}
    assert set(there.sides[R]) == {"a.c", "d", MACHINE, f"d/{MACHINE}"}


def test_what_an_earlier_version_synced_as_a_file_is_forgotten_and_stays() -> None:
    tree: Tree = {MACHINE: file("*.o")}
    assert done(tree, tree, tree) == [f"forget {MACHINE}"]


def test_what_the_machine_ignores_is_forgotten_here_and_kept_on_both_sides() -> None:
    there = strangers(PLAIN, PLAIN)
    until_quiet(there)
    there.place(L, {**PLAIN, MACHINE: file("*.o")})
    assert briefs(planning(there).actions) == ["forget a.o"]
    until_quiet(there)
    assert set(there.sides[R]) == set(PLAIN)


def test_a_directory_that_the_other_side_deleted_stays_for_the_machine_s_own_rules() -> None:
    ruled: Tree = {"d": DIR, "d/x": file("x")}
    there = strangers(ruled, ruled)
    until_quiet(there)
    there.place(L, {**ruled, f"d/{MACHINE}": file("*.o"), "d/a.o": file("mine")})
    there.place(R, tN)
    until_quiet(there)
    assert set(there.sides[L]) == {"d", f"d/{MACHINE}", "d/a.o"}
    assert there.sides[R] == {}


# Bounds


def refused(known: Rules, path: RelPath) -> str:
    with pytest.raises(IgnoreFileError) as caught:
        known.ignored(path, is_directory=False)
    return str(caught.value)


def test_rules_beyond_bounds_are_named_with_file_and_line() -> None:
    hostile = "# fine\n" + "*a" * 100
    assert (
        refused(rules(d=hostile), "d/x")
        == "its ignore rules: .syncignore:2: the pattern has more than 64 stars"
    )
    assert "weight" in refused(rules(**{"/".join("abc"[:n]): heavy(n) for n in (1, 2, 3)}), "a/b/c/x")


def heavy(seed: int) -> str:
    return "\n".join(f"*{seed}*{i}" for i in range(900))


def test_rules_beyond_bounds_make_their_directory_wait_and_nothing_else() -> None:
    there = strangers({"a": file("1"), "d": DIR, f"d/{RULES}": file("*a" * 100), "d/x": file("2")}, tN)
    plan = planning(there)
    assert briefs(plan.actions) == ["upload a"]
    [problem] = plan.problems
    assert (problem.path, problem.code, problem.waits) == ("d", "unreadable", True)
    assert ".syncignore:1: the pattern has more than 64 stars" in problem.message


def test_a_problem_with_the_rules_of_the_remote_side_is_said_to_be_there() -> None:
    there = strangers({"d": DIR, "d/x": file("1")}, {"d": DIR, f"d/{RULES}": file("*a" * 100)})
    assert [(p.path, p.side) for p in planning(there).problems] == [("d", Side.REMOTE)]


@pytest.mark.parametrize("line", ["%s%d", "%s" + "x" * 4000 + "%d"], ids=["many patterns", "long ones"])
def test_rules_files_that_fill_the_memory_are_refused(line: str) -> None:
    lines = min(9000, LIMIT // (len(line) + 30))

    def read(side: Side, path: RelPath) -> bytes:
        return "\n".join(line % (path, i) for i in range(lines)).encode() if path.endswith(RULES) else b""

    known = Rules((), compile_rules, read)
    with pytest.raises(IgnoreFileError, match="200,000 patterns or 8 MiB"):
        any(known.ignored(f"d{number}/x", is_directory=False) for number in range(100))


def test_equal_rules_files_are_kept_once() -> None:
    many = b"\n".join(b"%d" % i for i in range(9000))
    known = Rules((), compile_rules, lambda side, path: many if path.endswith(RULES) else b"")
    assert all(known.ignored(f"d{number}/7", is_directory=False) for number in range(200))


def test_own_rules_beyond_bounds_are_an_error_of_the_config() -> None:
    with pytest.raises(ConfigError, match="pattern 2: the pattern has more than 64 stars"):
        rules(("a", "*a" * 100))


def test_a_signal_ends_the_judging_of_many_names() -> None:
    def stop() -> None:
        raise Interrupted(2)

    known = Rules(("*.o",), compile_rules, lambda side, path: b"", pulse=stop)
    with pytest.raises(Interrupted):
        any(known.ignored(f"{number}", is_directory=False) for number in range(100))
