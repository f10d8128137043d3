"""The benchmark of the daemon from end to end on a tiny tree. No time is judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from benchmarks import lines
from benchmarks.budgets import judged
from benchmarks.daemon import BUDGETS, beside, idle, options, quickness, spending, told
from benchmarks.ground import Ground
from benchmarks.lines import Line
from benchmarks.resting import Cost
from benchmarks.trees import Spec, grow
from scripts.readme import ROOT


def test_changes_are_timed_along_a_line_of_our_daemon(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["--files", "200", "--no-peers", "--only", "folder", "--writes", "3", "--burst", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.daemon", *words, "--dir", tmp_path, "--json", figures],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text(encoding="utf-8"))
    rows = {row["beside"]: row for row in found["rows"]}
    assert {"median", "p95", "longest", "median, rename", "5 at once", "beside a log: p95"} < set(rows)
    assert all(row["value"] > 0 for row in rows.values())
    assert rows["median"]["target"] == 0.3
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5) is Linux's")
def test_every_process_of_every_line_is_counted_at_rest(tmp_path: Path) -> None:
    @contextmanager
    def line(name: str, place: Ground, tree: Path) -> Iterator[Line]:
        yield Line(name=name, source=tree, target=tree, processes={"daemon": os.getpid()})

    rows = idle(Ground(folder=tmp_path), tmp_path, 7, [partial(line, "one"), partial(line, "other")], 1)
    found = [(row.case, row.beside, row.files) for row in rows]
    assert found == [(f"idle, {n}", f"daemon: {w}", 7) for n in ("one", "other") for w in ("CPU", "memory")]


def test_a_line_that_cannot_be_measured_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    @contextmanager
    def broken(place: Ground, tree: Path) -> Iterator[Line]:
        yield Line(name="broken", source=tree, target=tree, processes={})

    failures: list[str] = []
    args = options().parse_args([])
    lost = {"one": broken, "other": broken}
    grow(tmp_path, Spec(files=7))
    assert list(quickness(Ground(folder=tmp_path), tmp_path, 7, {}, lost, args, failures)) == []
    told = "the tree has too few files for so many changes"
    assert failures == [f"one, 7 files: {told}", f"other, 7 files: {told}"]


def test_every_promise_is_about_a_row_that_there_is() -> None:
    cost = Cost(share=0.004, rss=100 << 20, pss=90 << 20, peak=150 << 20)
    rows = [row for case in lines.OWN for row in told(case, 100, {"median": 0.2, "p95": 0.3, "longest": 2.0})]
    for case, names in (("folder", 1), ("served", 2), ("across", 3)):
        for name in ("daemon", "server", "other daemon")[:names]:
            rows += spending(case, 100, name, cost)
    judgements = judged(rows, BUDGETS)
    assert {verdict.word for verdict in judgements} == {"met", ""}
    assert [v.row.beside for v in judgements if not v.budget] == ["longest"] * 3
    slower = told("folder", 100, {"median": 0.31})
    greedy = spending("served", 100, "server", Cost(share=0.006, rss=201 << 20, pss=1, peak=1))
    assert {verdict.word for verdict in judged([*slower, *greedy], BUDGETS)} == {"MISSED"}


def test_a_peer_is_compared_in_what_both_were_measured_in() -> None:
    ours = {"median": 0.2, "p95": 0.4, "median, new": 0.1, "1,000 at once": 1.0}
    theirs = {"median": 2.0, "p95": 2.0, "median, new": 2.0, "1,000 at once": 4.0}
    rows = {row.beside: row.value for row in beside("peer, 1 s", 100, ours, theirs)}
    assert rows == pytest.approx(
        {"peer, 1 s: median": 0.1, "peer, 1 s: p95": 0.2, "peer, 1 s: 1,000 at once": 0.25}
    )
