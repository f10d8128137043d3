"""The words and numbers that `--json`, history and people share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncer import exit_codes
from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Done,
    Entry,
    Failed,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Method,
    Move,
    Outcome,
    Problem,
    Reason,
    RemoveDirectory,
    Side,
    Skipped,
    Stale,
    Transfer,
)
from syncer.engine.report import ActionReport, Hold, Plan, RunReport, Totals
from syncer.errors import AuthError, Busy, ConfigError, GuardTripped, Interrupted, NoSpace, SyncerError
from syncer.jobs import results
from syncer.jobs.results import JobResult

R = Reason.LOCAL_CHANGED
LOCAL, REMOTE = Side.LOCAL, Side.REMOTE
FILE = Entry(kind=Kind.FILE, size=7, version=b"v")
UP = Transfer(path="a", reason=R, source=LOCAL, seen=FILE, expected=None)
DOWN = Transfer(path="a", reason=R, source=REMOTE, seen=FILE, expected=None)
MOVE = Move(path="a", origin="b", reason=R, side=REMOTE, expected=FILE, seen=FILE)
BOTH = KeepBoth(path="a", copy="c", reason=R, loser=LOCAL, winner=FILE, lost=FILE)
ADOPT = Adopt(path="a", reason=R, local=FILE, remote=FILE)


@pytest.mark.parametrize(
    ("action", "name", "size", "other"),
    [
        (UP, "upload", 7, ""),
        (DOWN, "download", 7, ""),
        (Delete(path="a", reason=R, side=LOCAL, expected=FILE), "delete-local", 7, ""),
        (RemoveDirectory(path="a", reason=R, side=REMOTE), "delete-remote", 0, ""),
        (MakeDirectory(path="a", reason=R, side=LOCAL), "mkdir-local", 0, ""),
        (MOVE, "move-remote", 7, "b"),
        (BOTH, "keep-both", 7, "c"),
        (ADOPT, "adopt", 7, ""),
        (Forget(path="a", reason=R), "forget", 0, ""),
    ],
)
def test_every_action_has_its_word(action: Action, name: str, size: int, other: str) -> None:
    assert (results.name_of(action), results.size_of(action), results.other_path(action)) == (
        name,
        size,
        other,
    )


@pytest.mark.parametrize(
    ("outcome", "word", "message"),
    [
        (Done(), "done", ""),
        (Stale(message="changed"), "stale", "changed"),
        (Skipped(message="not tried"), "skipped", "not tried"),
        (Failed(error=NoSpace("disk full")), "failed", "disk full"),
    ],
)
def test_every_outcome_has_its_word(outcome: Outcome, word: str, message: str) -> None:
    assert (results.result_of(outcome), results.message_of(outcome)) == (word, message)


def test_only_what_was_done_counts_and_only_content_counts_as_transferred() -> None:
    whole = Done(method=Method.WHOLE, sent=7)
    report = RunReport(
        actions=(
            ActionReport(action=UP, outcome=whole),
            ActionReport(action=UP, outcome=Stale(message="changed")),
            ActionReport(action=DOWN, outcome=Done(method=Method.WHOLE, received=5)),
            ActionReport(action=DOWN, outcome=Done()),
            ActionReport(action=BOTH, outcome=Done(method=Method.WHOLE, sent=1, received=2)),
            ActionReport(action=MOVE, outcome=Done()),
            ActionReport(action=RemoveDirectory(path="d", reason=R, side=LOCAL), outcome=Done()),
        )
    )
    assert results.totals(report) == Totals(
        uploaded=2, downloaded=2, deleted=1, moved=1, bytes_sent=8, bytes_received=7
    )


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([1, 3], 3),
        ([3, 6], 6),
        ([6, 4], 4),
        ([4, 2], 2),
        ([2, 7], 7),
        ([7, 5], 5),
        ([5, 130], 130),
    ],
)
def test_the_exit_code_of_many_jobs_is_the_one_that_matters_most(codes: list[int], code: int) -> None:
    assert exit_codes.worst(codes) == code
    assert exit_codes.worst(reversed(codes)) == code


@pytest.mark.parametrize(
    ("error", "result", "code", "exit_code"),
    [
        (GuardTripped("root-missing", "gone"), "refused", "root-missing", 4),
        (ConfigError("wrong"), "error", "config", 2),
        (AuthError("who?"), "error", "auth", 7),
        (Busy("held"), "error", "busy", 6),
        (Interrupted(15), "interrupted", "interrupted", 143),
        (SyncerError("dead"), "error", "syncererror", 5),
    ],
)
def test_every_error_has_its_result_code_and_exit(
    error: SyncerError, result: str, code: str, exit_code: int
) -> None:
    found = JobResult(job="docs", error=error)
    assert (found.result, error.code, found.exit_code) == (result, code, exit_code)


def test_a_plan_ends_as_the_run_would() -> None:
    refused = JobResult(job="a", error=GuardTripped("root-missing", "gone"))
    assert exit_codes.worst(r.exit_code for r in [refused, JobResult(job="b", plan=Plan(), waits=3)]) == 4
    assert JobResult(job="b", plan=Plan(), waits=3).exit_code == 3
    assert JobResult(job="b", plan=Plan()).exit_code == 0
    held = Hold(guard="mass-delete", side=LOCAL, message="m", hint="h", paths=("a",))
    assert JobResult(job="b", plan=Plan(holds=(held,)), waits=3).exit_code == 4
    skipped = Problem(path="p", side=LOCAL, code="unsafe", message="m")
    assert JobResult(job="b", plan=Plan(problems=(skipped,))).exit_code == 1
    assert JobResult(job="b", plan=Plan(problems=(replace(skipped, waits=False),))).exit_code == 0
