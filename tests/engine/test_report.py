"""What a run says of itself at its end: the exit code and the word for it tell the truth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncer.engine.model import (
    Done,
    Entry,
    Failed,
    Forget,
    Kind,
    Outcome,
    Problem,
    Reason,
    Side,
    Skipped,
    Stale,
)
from syncer.engine.report import ActionReport, ConflictReport, Hold, Resolution, RunReport
from syncer.errors import PermanentError

FILE = Entry(kind=Kind.FILE, size=1, version=b"v")
PROBLEM = Problem(path="x", side=Side.LOCAL, code="unreadable", message="cannot be read")
HOLD = Hold(guard="mass-delete", side=Side.LOCAL, message="many", hint="look", paths=("x",))
FAILED = Failed(error=PermanentError("no"))


def ended(outcome: Outcome) -> tuple[ActionReport, ...]:
    done = ActionReport(action=Forget(path="a", reason=Reason.BOTH_DELETED), outcome=Done())
    return done, replace(done, outcome=outcome)


def conflict(resolution: Resolution) -> tuple[ConflictReport, ...]:
    found = ConflictReport(
        path="x", reason=Reason.BOTH_CHANGED, resolution=resolution, local=FILE, remote=FILE, copy=""
    )
    return (found,)


@pytest.mark.parametrize(
    ("report", "code", "word"),
    [
        (RunReport(), 0, "in-sync"),
        (RunReport(actions=ended(Done())), 0, "in-sync"),
        (RunReport(conflicts=conflict(Resolution.KEPT_BOTH)), 0, "in-sync"),
        (RunReport(problems=(replace(PROBLEM, waits=False),)), 0, "in-sync"),
        (RunReport(conflicts=conflict(Resolution.ASKED)), 1, "attention"),
        (RunReport(problems=(PROBLEM,)), 1, "attention"),
        (RunReport(actions=ended(FAILED)), 3, "incomplete"),
        (RunReport(actions=ended(Stale(message="changed"))), 3, "incomplete"),
        (RunReport(actions=ended(Skipped(message="full"))), 3, "incomplete"),
        (RunReport(actions=ended(FAILED), problems=(PROBLEM,)), 3, "incomplete"),
        (RunReport(holds=(HOLD,), actions=ended(FAILED), problems=(PROBLEM,)), 4, "held"),
    ],
)
def test_the_worst_that_happened_is_the_exit_code(report: RunReport, code: int, word: str) -> None:
    assert (report.exit_code, report.result) == (code, word)
