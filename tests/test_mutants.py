"""The list of seeded bugs has not rotted: each still applies, parses, and names tests that exist.

Whether the tests catch them is found out by `make mutants`, which takes minutes.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from scripts.mutants import PAGE, ROOT, Mutant, Verdict, campaign, listed, main, page

MUTANTS = listed()
LEAST = 40
CONTRACT = (
    "syncer/testing/contract_changes.py",
    "syncer/testing/contract_queries.py",
)  # shared by all stores
USES_CONTRACT = ("tests/contract/test_contract.py", "tests/test_plugins.py")


@cache
def functions_in(file: str) -> frozenset[str]:
    """The names of the test functions of a file, and what is defined in its classes."""
    files = (file, *CONTRACT) if file in USES_CONTRACT else (file,)
    names = [node for each in files for node in ast.walk(ast.parse((ROOT / each).read_bytes()))]
    return frozenset(n.name for n in names if isinstance(n, ast.FunctionDef))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_can_still_be_planted(mutant: Mutant) -> None:
    mutant.planted()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_seeded_bug_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name.partition("[")[0].rpartition("::")[2] in functions_in(file), test


def test_there_are_enough_of_them_and_no_two_are_the_same() -> None:
    assert len(MUTANTS) >= LEAST
    assert (
        len({m.name for m in MUTANTS})
        == len({(m.within, m.at, m.old, m.new) for m in MUTANTS})
        == len(MUTANTS)
    )


def test_the_page_shows_every_seeded_bug_and_none_as_missed() -> None:
    told = PAGE.read_text(encoding="utf-8")
    rows = [f"| {m.name} | `{m.at}` | " for m in MUTANTS]
    shown = [row for row in rows if f"{row}`tests/" in told or f"{row}new: `tests/" in told]
    assert [row for row in rows if row not in shown] == []
    old = sum(f"{row}`tests/" in told for row in rows)
    assert f"{old} seeded, {old} caught." in told


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in ("one", "two"):
        (tmp_path / "syncer" / package).mkdir(parents=True)
        text = (
            "class C:\n    LIMIT = 1\n\n    def f(self):\n        return x\n\n\ndef g():\n    return x, x\n"
        )
        (tmp_path / "syncer" / package / "module.py").write_text(text)
    (tmp_path / "syncer" / "one" / "other.py").write_text("def only(\n    a, b\n):\n    return a + b\n")
    return tmp_path


A_BUG = Mutant(group="g", name="a bug", at="only", old="a + b", new="a - b", tests=("tests",))


def test_a_seeded_bug_is_found_by_the_name_of_its_function(tree: Path) -> None:
    assert A_BUG.planted(tree) == ("syncer/one/other.py", "def only(\n    a, b\n):\n    return a - b\n")
    within = replace(A_BUG, at="C.f", old="return x", new="return 1", within="syncer.two")
    assert within.planted(tree)[0] == "syncer/two/module.py"
    constant = replace(A_BUG, at="C.LIMIT", old="= 1", new="= 2", within="syncer.one")
    assert "LIMIT = 2" in constant.planted(tree)[1]


def test_any_white_space_of_an_old_text_stands_for_any_other(tree: Path) -> None:
    assert "def only(b, a)" in replace(A_BUG, old="only( a, b )", new="only(b, a)").planted(tree)[1]


@pytest.mark.parametrize(
    "anchor",
    [
        {"at": "no_such_function"},
        {"old": "a * b"},
        {"at": "g", "old": "x", "within": "syncer.one"},
        {"at": "C.f", "old": "return x"},
    ],
)
def test_an_old_text_that_is_not_there_exactly_once_is_an_error(tree: Path, anchor: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not once"):
        replace(A_BUG, **anchor).planted(tree)  # type: ignore[arg-type]


def test_a_bug_that_does_not_parse_or_changes_nothing_is_an_error(tree: Path) -> None:
    with pytest.raises(SyntaxError):
        replace(A_BUG, new="a -").planted(tree)
    with pytest.raises(ValueError, match="changes nothing"):
        replace(A_BUG, new=A_BUG.old).planted(tree)


def test_the_page_says_so_when_nothing_caught_a_bug() -> None:
    told = page([Verdict(mutant=A_BUG, trouble="SURVIVED")])
    assert "1 seeded, 0 caught." in told and "| a bug | `only` | **nothing** |" in told


def test_the_list_can_be_looked_at_by_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", MUTANTS[0].name]) == 0
    assert capsys.readouterr().out == MUTANTS[0].name + "\n"
    assert main(["no bug has such a name"]) == 2


@pytest.mark.long
def test_what_no_test_noticed_or_no_test_could_run_with_is_not_caught() -> None:
    """The campaign itself tells the truth: a harmless change survives, and a broken module proves nothing."""
    harmless = Mutant(
        group="g",
        name="none",
        at="parse_size",
        old='"""Bytes from',
        new='"""Hm. Bytes from',
        tests=("tests/test_units.py",),
    )
    broken = replace(harmless, at="_SIZE", old="_SIZE =", new="import no_such_module\n_SIZE =")
    survived, unloaded = campaign([harmless, broken], jobs=1)
    assert (survived.test, survived.trouble) == ("", "SURVIVED")
    assert unloaded.test == "" and "did not even run" in unloaded.trouble
