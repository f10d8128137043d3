"""Notification events of runs and of job status, and their deduplication."""

from __future__ import annotations

import pytest

from syncer.daemon.events import EventDeduplicator, EventKind, events_of, stale
from syncer.daemon.status import JobStatus
from syncer.engine.model import Entry, Failed, Kind, Outcome, Reason, Side, Stale, Transfer
from syncer.engine.report import ActionReport, ConflictReport, Hold, Resolution, RunReport
from syncer.errors import (
    AuthError,
    Busy,
    ChangedUnderUs,
    GuardTripped,
    Interrupted,
    QuotaExceeded,
    SyncerError,
    TransientError,
)
from syncer.jobs.results import JobResult


def entry(size: int) -> Entry:
    return Entry(kind=Kind.FILE, size=size, version=b"v", mtime_ns=size)


def conflict(
    path: str, how: Resolution = Resolution.ASKED, *, copy: str = "", size: int = 1
) -> ConflictReport:
    return ConflictReport(
        path=path, reason=Reason.BOTH_CHANGED, resolution=how, local=entry(size), remote=entry(5), copy=copy
    )


def failure(path: str, outcome: Outcome) -> ActionReport:
    action = Transfer(path=path, reason=Reason.LOCAL_NEW, source=Side.LOCAL, seen=entry(1), expected=None)
    return ActionReport(action=action, outcome=outcome)


def ran(
    *conflicts: ConflictReport, holds: tuple[Hold, ...] = (), actions: tuple[ActionReport, ...] = ()
) -> JobResult:
    return JobResult(job="docs", report=RunReport(conflicts=conflicts, holds=holds, actions=actions))


def broke(error: SyncerError) -> JobResult:
    return JobResult(job="docs", error=error)


HOLD = Hold(guard="mass-delete", side=Side.REMOTE, message="many", hint="--yes", paths=("a", "b"))


def told(
    news: EventDeduplicator, result: JobResult, *, whole: bool = True
) -> list[tuple[EventKind, tuple[str, ...]]]:
    return [(one.event, one.paths) for one in news.of_run(result, whole=whole)]


def test_an_open_conflict_is_told_once_though_it_is_edited_again() -> None:
    news = EventDeduplicator()
    assert told(news, ran(conflict("x"))) == [(EventKind.CONFLICT, ("x",))]
    assert told(news, ran(conflict("x", size=2))) == []
    assert told(news, ran(conflict("x"), conflict("y"))) == [(EventKind.CONFLICT, ("y",))]


def test_a_conflict_that_was_settled_and_comes_again_is_told_again() -> None:
    news = EventDeduplicator()
    told(news, ran(conflict("x")))
    assert told(news, ran()) == []
    assert told(news, ran(conflict("x"))) == [(EventKind.CONFLICT, ("x",))]


def test_a_run_that_looked_at_some_places_says_nothing_of_the_others() -> None:
    news = EventDeduplicator()
    told(news, ran(conflict("x"), holds=(HOLD,)))
    assert told(news, ran(), whole=False) == []
    assert told(news, ran(conflict("x"), holds=(HOLD,)), whole=False) == []


def test_a_run_that_broke_off_says_nothing_of_what_it_did_not_reach() -> None:
    news = EventDeduplicator()
    told(news, ran(conflict("x")))
    told(news, broke(TransientError("gone")))
    assert told(news, ran(conflict("x"))) == []


def test_each_conflict_of_which_both_versions_are_kept_is_told() -> None:
    news = EventDeduplicator()
    first = conflict("x", Resolution.KEPT_BOTH, copy="x.1")
    assert told(news, ran(first)) != []
    assert told(news, ran(first), whole=False) == [], "its copy failed, and the next run reports it again"
    assert told(news, ran(conflict("x", Resolution.KEPT_BOTH, copy="x.2"))) != []
    assert told(news, ran(conflict("x", Resolution.LOCAL_WON, size=8)), whole=False) != []
    assert told(news, ran(conflict("x", Resolution.LOCAL_WON, size=9)), whole=False) != []


def test_a_guard_is_told_once_until_it_clears() -> None:
    news = EventDeduplicator()
    assert told(news, ran(holds=(HOLD,))) == [(EventKind.GUARD, ("a", "b"))]
    assert told(news, ran(holds=(HOLD,))) == []
    assert told(news, ran()) == []
    assert told(news, ran(holds=(HOLD,))) == [(EventKind.GUARD, ("a", "b"))]


def test_a_refused_job_is_told_once_until_a_run_comes_through() -> None:
    news = EventDeduplicator()
    refused = broke(GuardTripped("root-missing", "the root is gone", hint="mount it"))
    [one] = news.of_run(refused, whole=True)
    assert (one.event, one.message, one.hint) == (EventKind.GUARD, "the root is gone", "mount it")
    assert told(news, refused) == []
    assert told(news, ran(), whole=False) == []
    assert told(news, refused) != []


def test_an_error_is_told_once_until_a_run_is_well_and_another_one_at_once() -> None:
    news = EventDeduplicator()
    assert told(news, broke(TransientError("no network"))) == [(EventKind.ERROR, ())]
    assert told(news, broke(TransientError("no route"))) == []
    assert told(news, broke(AuthError("expired"))) == [(EventKind.ERROR, ())]
    assert told(news, ran(), whole=False) == []
    assert told(news, broke(TransientError("no network"))) == [(EventKind.ERROR, ())]


@pytest.mark.parametrize("error", [Interrupted(15), Busy("a run by hand")])
def test_a_stop_and_a_run_by_hand_are_no_errors(error: SyncerError) -> None:
    assert events_of(broke(error)) == ()


@pytest.mark.parametrize(
    "outcome",
    [Failed(error=TransientError("503")), Failed(error=ChangedUnderUs("written")), Stale(message="changed")],
)
def test_what_is_tried_again_by_itself_is_not_told(outcome: Outcome) -> None:
    assert events_of(ran(actions=(failure("x", outcome),))) == ()


def test_failures_are_told_by_their_kind_until_a_whole_run_is_without_them() -> None:
    news = EventDeduplicator()
    full = tuple(failure(path, Failed(error=QuotaExceeded("full", hint="make room"))) for path in "ab")
    [one] = news.of_run(ran(actions=full), whole=True)
    assert (one.event, one.paths, one.message, one.hint) == (
        EventKind.ERROR,
        ("a", "b"),
        "2 items failed: full",
        "make room",
    )
    assert told(news, ran(actions=full), whole=False) == []
    assert told(news, ran(), whole=False) == [], "it looked elsewhere"
    assert told(news, ran(actions=full)) == []
    assert told(news, ran()) == []
    assert told(news, ran(actions=full)) != []


def test_stale_is_told_once_until_fresh() -> None:
    news = EventDeduplicator()

    def at(now: float, success: float | None) -> int:
        status = JobStatus(job="docs", max_age=100.0, last_success=success, message="no network")
        return len(news.of_status(status, began=1000.0, now=now))

    assert [at(1100, None), at(1101, None), at(1200, None)] == [0, 1, 0]
    assert [at(1210, 1205), at(1400, 1205), at(1500, 1205)] == [0, 1, 0]


def test_a_stale_job_says_since_when_and_why() -> None:
    status = JobStatus(job="docs", max_age=60.0, last_success=0.0, message="no network")
    [one] = stale(status, began=0.0, now=7200.0)
    assert one.message == "docs had its last success 2h ago (max_age 1m): no network"
    assert stale(JobStatus(job="docs", last_success=0.0), began=0, now=1e9) == ()


def test_a_run_does_not_end_what_is_stale() -> None:
    news = EventDeduplicator()
    status = JobStatus(job="docs", max_age=1.0, last_success=0.0)
    assert len(news.of_status(status, began=0, now=10)) == 1
    news.of_run(ran(), whole=True)
    assert news.of_status(status, began=0, now=11) == ()


def test_a_last_success_in_the_future_counts_as_too_old() -> None:
    """Nobody knows how long ago it was: the clock was ahead then."""
    status = JobStatus(job="docs", max_age=60.0, last_success=9_000.0)
    [one] = stale(status, began=0.0, now=1_000.0)
    assert "the clock was set back" in one.message
    assert stale(status, began=0.0, now=8_990.0) == (), "clocks are set right by seconds all the time"
