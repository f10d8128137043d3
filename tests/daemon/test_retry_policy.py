"""Retry policy: what the end of a run means for the next one, as a table."""

from __future__ import annotations

import pytest

from syncer.daemon.schedule import MANY_PATHS, Ending, ending_of
from syncer.engine.model import (
    Adopt,
    Done,
    Entry,
    Failed,
    Forget,
    Kind,
    Outcome,
    Problem,
    Reason,
    Side,
    Stale,
)
from syncer.engine.report import ActionReport, Hold, RunReport
from syncer.errors import (
    AuthError,
    Busy,
    ConfigError,
    GuardTripped,
    Interrupted,
    NoCommonVersion,
    NoSpace,
    StateError,
    SyncerError,
    TransientError,
)
from syncer.jobs.results import JobResult


def ended(report: RunReport | None = None, error: SyncerError | None = None) -> Ending:
    return ending_of(JobResult(job="docs", report=report, error=error))


def action(path: str, outcome: Outcome) -> ActionReport:
    return ActionReport(action=Forget(path=path, reason=Reason.BOTH_DELETED), outcome=outcome)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (TransientError("reset"), Ending(delay=1.0)),
        (StateError("disk full"), Ending(delay=1.0)),
        (NoSpace("disk full"), Ending(delay=1.0)),
        (SyncerError("unexpected ValueError"), Ending(delay=1.0)),
        (Busy("another run"), Ending(delay=2.0, constant_delay=True)),
        (GuardTripped("emptied", "nothing is there"), Ending(delay=60.0, constant_delay=True)),
        (NoCommonVersion("update"), Ending(delay=3600.0, constant_delay=True)),
        (AuthError("expired"), Ending(delay=60.0)),
        (ConfigError("no such folder"), Ending(delay=60.0)),
        (Interrupted(15), Ending(broken_off=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_means_a_delay_that_fits_it(error: SyncerError, ending: Ending) -> None:
    assert ended(error=error) == ending
    assert ended(RunReport(actions=(action("f", Failed(error=error)),)), error) == ending, (
        "whatever it had done"
    )


def test_a_run_that_did_all_leaves_nothing_to_try_again() -> None:
    assert ended(RunReport()) == ended() == Ending()
    assert ended(RunReport(actions=(action("f", Done()),))) == Ending()


def test_what_was_not_done_is_tried_again_by_path() -> None:
    failed = (
        action("a/f", Failed(error=TransientError("reset"))),
        action("b", Stale(message="moved on")),
        action("c", Done()),
    )
    assert ended(RunReport(actions=failed)) == Ending(paths=frozenset({"a/f", "b"}))


def test_what_was_changing_is_looked_at_again_and_what_waits_for_a_person_is_not() -> None:
    codes = ("busy", "unreadable", "unsupported", "clash", "unholdable", "unsafe-name", "mass-change")
    problems = [Problem(path=code, side=Side.LOCAL, code=code, message="") for code in codes]
    assert ended(RunReport(problems=tuple(problems))) == Ending(paths=frozenset({"busy"}))


def test_a_run_over_a_part_settles_what_it_opened_and_nothing_else() -> None:
    ending = ended(RunReport(looked=frozenset({"", "d"}), passed=frozenset({"e"})))
    assert ending.settled("d/f") and ending.settled("d") and ending.settled("f")
    assert not ending.settled("e/f") and not ending.settled("e")


def test_deletions_that_are_held_wait_for_a_person() -> None:
    held = Hold(guard="mass-delete", side=Side.REMOTE, message="", hint="", paths=("a", "b"))
    assert ended(RunReport(holds=(held,))) == Ending()


def test_where_very_many_fail_it_is_not_the_paths() -> None:
    def many(number: int) -> RunReport:
        return RunReport(
            actions=tuple(action(f"f{i}", Failed(error=TransientError("reset"))) for i in range(number))
        )

    assert len(ended(many(MANY_PATHS)).paths) == MANY_PATHS
    assert ended(many(MANY_PATHS + 1)) == Ending(delay=1.0)


def test_a_silent_adoption_is_no_failure() -> None:
    entry = Entry(Kind.FILE, 1, b"v")
    adopted = Adopt(path="f", reason=Reason.EQUAL, local=entry, remote=entry, silent=True)
    assert ended(RunReport(actions=(ActionReport(action=adopted, outcome=Done()),))) == Ending()
