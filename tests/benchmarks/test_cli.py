"""The benchmark from end to end on a tiny tree, and how it tells what it found. No time is judged here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.budgets import Budget, judged
from benchmarks.cases import SIZED
from benchmarks.cli import chosen_sizes, options, sizes
from benchmarks.contest import Row
from benchmarks.machine import look
from benchmarks.table import BEGIN, END, in_document, markdown, plain
from scripts.readme import README, ROOT

SLOW = Row(
    case="nothing-to-do", files=100_000, beside="rsync -a", own="2.00 s", other="1.00 s", value=2.0
)  # fmt: skip


def test_a_quick_run_measures_and_prints_the_ratio_and_leaves_nothing(tmp_path: Path) -> None:
    words = ["--quick", "--files", "200", "--rounds", "1", "--only", "nothing-to-do"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words, "--dir", tmp_path, "--json", tmp_path / "figures.json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    rows = {row["beside"]: row for row in figures["rows"]}
    assert rows["peak memory"]["verdict"] == "met"
    assert " x" in done.stdout or shutil.which("find") is None
    assert ("rsync -a" in rows) == (shutil.which("rsync") is not None)
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_a_missed_budget_is_said(tmp_path: Path) -> None:
    verdicts = judged([SLOW])
    assert verdicts[0].word == "MISSED"
    assert plain(verdicts).splitlines()[1].endswith("2.00 x  ≤ 1.00 x  MISSED")
    assert "**MISSED**" in markdown(verdicts, look(tmp_path), rounds="5 rounds")


def test_a_row_without_a_budget_for_its_size_gets_no_verdict() -> None:
    [verdict] = judged([SLOW], [Budget(case="nothing-to-do", beside="rsync -a", limit=1.0, least=100_001)])
    assert (verdict.budget, verdict.word) == (None, "")


def test_the_table_goes_between_the_markers_and_nothing_else_changes() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert in_document(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        in_document("before\nafter\n", "new")


def test_the_readme_has_a_place_for_the_table() -> None:
    assert "new" in in_document(README.read_text(encoding="utf-8"), "new")


def test_sizes_are_chosen_by_files_then_by_sizes_then_by_quick() -> None:
    assert sizes("100k,20k") == (20_000, 100_000)
    for words, chosen in (
        ([], (20_000, 100_000, 500_000)),
        (["--quick"], (20_000,)),
        (["--quick", "--sizes", "100k"], (100_000,)),
        (["--sizes", "100k", "--files", "200"], (200,)),
    ):
        assert chosen_sizes(options().parse_args(words)) == chosen


def test_a_case_about_other_sizes_runs_at_the_largest_chosen_one() -> None:
    [adopt] = [case for case in SIZED if case.name == "adopt"]
    assert adopt.runs_at((20_000, 100_000, 500_000)) == {100_000}
    assert adopt.runs_at((200, 300)) == {300}
