"""README.md tells the truth: its sessions are run, its claims about files are looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.readme import README, ROOT, run, sessions, settled

TEXT = README.read_text(encoding="utf-8")


def test_the_sessions_print_what_the_readme_shows(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    steps = [step for session in sessions(TEXT) for step in session]
    assert len(steps) >= 5
    for expected, got in zip(steps, run(steps, home), strict=True):
        assert settled(got.output) == settled(expected.output), f"$ {expected.command}"


def test_a_changed_output_is_noticed_and_a_changed_time_is_not(tmp_path: Path) -> None:
    [[step]] = sessions("```console\n$ echo ran at 2026-01-02 03:04:05, 2 files\nran, 2 files\n```\n")
    [got] = run([step], tmp_path)
    assert settled(got.output) == settled("ran at 2025-11-12 13:14:15, 2 files\n")
    assert settled(got.output) != settled("ran at 2026-01-02 03:04:05, 3 files\n")


def test_a_conflict_name_is_compared_without_its_time_and_host() -> None:
    one, other = (f"a.sync-conflict-{at}-{host}.txt" for at, host in
                  (("20260102-030405", "desk"), ("20251112-131415", "lap-top2")))  # fmt: skip
    assert settled(one) == settled(other)


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
