"""The runner of the long campaigns: what passed is not run again, but on other sources it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.campaigns import FUZZED, PARTS, ROOT, Result, Sources, append

SOURCES = Sources(tree="a" * 40, commit="1234567")
OTHER = Sources(tree="b" * 40, commit="7654321")


def test_results_are_read_of_the_same_sources_only(tmp_path: Path) -> None:
    file = tmp_path / "build" / "results.jsonl"
    append(file, SOURCES, part="engine", test="t::one", outcome="passed", seconds=1.26)
    append(file, OTHER, part="engine", test="t::two", outcome="passed", seconds=1)
    with file.open("a") as lines:
        lines.write('{"part": "engine", "te')  # killed while it wrote
    [result] = Result.read(file, SOURCES)
    assert (result.part, result.test, result.outcome, result.seconds) == ("engine", "t::one", "passed", 1.3)
    assert list(Result.read(tmp_path / "none", SOURCES)) == []


def test_what_passed_is_left_out_and_what_ends_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_old(): 1 / 0\ndef test_new(): pass\ndef test_bad(): 1 / 0\n"
    )
    passed, results = tmp_path / "passed", tmp_path / "results"
    passed.write_text("test_it.py::test_old\n")
    environment = {
        **os.environ,
        "SYNCER_CAMPAIGN": f"engine {SOURCES.tree} {SOURCES.commit}",
        "SYNCER_CAMPAIGN_PASSED": str(passed),
        "SYNCER_CAMPAIGN_RESULTS": str(results),
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "scripts.campaigns",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", os.devnull, "test_it.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["test"], line["outcome"]) for line in lines] == [
        ("test_it.py::test_new", "passed"),
        ("test_it.py::test_bad", "failed"),
    ]


def test_every_long_test_is_in_a_part() -> None:
    files = [
        path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.long" in path.read_text("utf-8")
    ]
    paths = [ROOT / word for words in PARTS.values() for word in words]
    ours = {"test_campaigns.py", "test_mutants.py"}  # this one, and `make mutants`
    assert [
        str(file.relative_to(ROOT))
        for file in files
        if file.name not in ours and not any(file.is_relative_to(path) for path in paths)
    ] == []
    assert "frames" in FUZZED and len(FUZZED) >= 9
