"""The list of seeded bugs has not rotted: each still applies, parses, and names tests that exist.

Whether the tests catch them is found out by `make mutants`, which takes minutes.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache

import pytest

from scripts.mutants import PAGE, ROOT, Mutant, Verdict, campaign, listed, main, page

MUTANTS = listed()
LEAST = 40


@cache
def functions_in(file: str) -> frozenset[str]:
    """The names of the test functions of a file, and what is defined in its classes."""
    names = ast.walk(ast.parse((ROOT / file).read_bytes()))
    return frozenset(n.name for n in names if isinstance(n, ast.FunctionDef))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_can_still_be_planted(mutant: Mutant) -> None:
    mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name.partition("[")[0].rpartition("::")[2] in functions_in(file), test


def test_there_are_enough_of_them_and_no_two_are_the_same() -> None:
    assert len(MUTANTS) >= LEAST
    assert len({m.name for m in MUTANTS}) == len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS)


def test_the_page_shows_every_seeded_bug_and_none_as_missed() -> None:
    told = PAGE.read_text(encoding="utf-8")
    rows = [f"| {m.name} | `{m.file}` | " for m in MUTANTS]
    shown = [row for row in rows if f"{row}`tests/" in told or f"{row}new: `tests/" in told]
    assert [row for row in rows if row not in shown] == []
    old = sum(f"{row}`tests/" in told for row in rows)
    assert f"{old} seeded, {old} caught." in told


def test_an_old_text_that_is_not_there_exactly_once_is_an_error() -> None:
    mutant = Mutant(group="g", name="a bug", file="f.py", old="x", new="y", tests=("tests",))
    assert mutant.applied("x = 1\n") == "y = 1\n"
    for text in ("z = 1\n", "x = x\n"):
        with pytest.raises(ValueError, match="not once"):
            mutant.applied(text)
    with pytest.raises(SyntaxError):
        mutant.applied("x = (\n")


def test_the_page_says_so_when_nothing_caught_a_bug() -> None:
    mutant = Mutant(group="g", name="a bug", file="f.py", old="x", new="y", tests=("tests",))
    told = page([Verdict(mutant=mutant, trouble="SURVIVED")])
    assert "1 seeded, 0 caught." in told and "| a bug | `f.py` | **nothing** |" in told


def test_the_list_can_be_looked_at_by_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", MUTANTS[0].name]) == 0
    assert capsys.readouterr().out == MUTANTS[0].name + "\n"
    assert main(["no bug has such a name"]) == 2


@pytest.mark.long
def test_what_no_test_noticed_or_no_test_could_run_with_is_not_caught() -> None:
    """The campaign itself tells the truth: a harmless change survives, and a broken module proves nothing."""
    file, caught_by = "syncer/units.py", ("tests/test_units.py",)
    first_line = (ROOT / file).read_text(encoding="utf-8").splitlines()[0]
    harmless = Mutant(
        group="g", name="none", file=file, old=first_line, new=f'"""Hm. {first_line[3:]}', tests=caught_by
    )
    future = "from __future__ import annotations\n"
    broken = replace(harmless, old=future, new=f"{future}import no_such_module\n")
    survived, unloaded = campaign([harmless, broken], jobs=1)
    assert (survived.test, survived.trouble) == ("", "SURVIVED")
    assert unloaded.test == "" and "did not even run" in unloaded.trouble
