"""Runs, history, conflicts, problems and failures: what is written comes back, and stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from syncer.engine.model import Problem, Side
from syncer.engine.report import Totals
from syncer.state import (
    ConflictSide,
    Failure,
    HistoryEntry,
    OpenConflict,
    RunHistory,
    open_state,
)
from syncer.state import history as ledger_module
from syncer.state.history import KEPT_RUNS

PIPE = Problem(path="p\n\udcff", side=Side.LOCAL, code="unsupported", message="a fifo \udcff", waits=False)
CLASH = Problem(path="a", side=Side.REMOTE, code="clash", message="A and a")
CONFLICT = OpenConflict(
    path="d/\udcff",
    copy="d/copy",
    reason="both-changed",
    resolution="keep-both",
    since_ns=5,
    local=ConflictSide(digest=b"l" * 32, mtime_ns=-1, size=3),
    remote=ConflictSide(digest=None, mtime_ns=10**20, size=4),
)


@pytest.fixture
def ledger(place: Path) -> Iterator[RunHistory]:
    ticks = count(1000)
    with open_state(place, now_ns=lambda: next(ticks)) as state:
        yield state.ledger


def finished(ledger: RunHistory, exit_code: int = 0) -> int:
    run = ledger.start_run("cli")
    ledger.end_run(run, result="in-sync", exit_code=exit_code)
    return run


def test_a_run_that_goes_on_has_no_end(ledger: RunHistory) -> None:
    number = ledger.start_run("daemon")
    run = ledger.run(number)
    assert run is not None
    assert (run.trigger, run.ended_ns, run.result, run.exit_code) == ("daemon", None, None, None)
    assert not ledger.ended_well()
    assert ledger.last_success_ns() is None


def test_a_run_that_ended_tells_how(ledger: RunHistory) -> None:
    totals = Totals(uploaded=1, downloaded=2, deleted=3, moved=4, bytes_sent=5, bytes_received=1 << 40)
    number = ledger.start_run("cli")
    ledger.end_run(number, result="attention", exit_code=1, totals=totals, message="see above")
    run = ledger.run(number)
    assert run is not None
    assert (run.result, run.exit_code, run.totals, run.message) == ("attention", 1, totals, "see above")
    assert ledger.ended_well()
    assert ledger.last_success_ns() == run.ended_ns


def test_an_unknown_run_is_none(ledger: RunHistory) -> None:
    assert ledger.run(7) is None


@pytest.mark.parametrize("exit_code", [3, 4, 5, 130])
def test_a_run_that_did_not_finish_its_work_is_no_success(ledger: RunHistory, exit_code: int) -> None:
    finished(ledger)
    before = ledger.last_success_ns()
    finished(ledger, exit_code)
    assert ledger.last_success_ns() == before


def test_runs_come_newest_first_and_the_oldest_are_forgotten(ledger: RunHistory) -> None:
    first = ledger.start_run("cli")
    ledger.add_history(first, [HistoryEntry(action="upload", path="a", reason="local-new", result="done")])
    ledger.end_run(first, result="in-sync", exit_code=0)
    numbers = [finished(ledger) for _ in range(ledger_module.KEPT_RUNS)]
    assert [run.id for run in ledger.runs()] == numbers[::-1]
    assert [run.id for run in ledger.runs(2)] == numbers[:-3:-1]
    day = 86_400 * 10**9
    for age in (1, 40):
        ledger.grow_older(age * day, 30 * day)
        finished(ledger)
    ledger.grow_older(80 * day, 30 * day)
    assert ledger.history(first) == ()


def test_history_comes_back_in_order_with_every_field(ledger: RunHistory) -> None:
    move = HistoryEntry(
        action="move-local",
        path="new\n\udcff",
        other="old",
        reason="renamed",
        result="done",
        method="none",
        size=1,
        sent=2,
        received=3,
        message="ok",
    )
    upload = HistoryEntry(action="upload", path="b", reason="local-new", result="failed", message="\udcff")
    run = ledger.start_run("cli")
    ledger.add_history(run, [move])
    ledger.add_history(run, iter([upload]))
    assert ledger.history(run) == (move, replace(upload, message="\\udcff"))


def test_history_is_bounded_over_all_runs(ledger: RunHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "KEPT_HISTORY", 10)
    entry = HistoryEntry(action="upload", path="a", reason="local-new", result="done")
    first, second = ledger.start_run("cli"), ledger.start_run("cli")
    ledger.add_history(first, [entry] * 8)
    ledger.add_history(second, [entry] * 6)
    assert (len(ledger.history(first)), len(ledger.history(second))) == (4, 6)
    ledger.add_history(second, [entry] * 50)
    assert (len(ledger.history(first)), len(ledger.history(second))) == (0, 10)


def test_a_conflict_stays_open_until_settled(ledger: RunHistory) -> None:
    ledger.open_conflicts([CONFLICT])
    assert ledger.conflicts() == (CONFLICT,)
    ledger.settle_conflicts([(CONFLICT.path, "another copy")])
    assert ledger.conflicts() == (CONFLICT,)
    ledger.settle_conflicts([(CONFLICT.path, CONFLICT.copy)])
    assert ledger.conflicts() == ()


def test_a_conflict_seen_again_keeps_its_age_and_takes_the_news(ledger: RunHistory) -> None:
    later = replace(CONFLICT, since_ns=99, remote=ConflictSide(digest=b"r", mtime_ns=1, size=2))
    ledger.open_conflicts([CONFLICT])
    ledger.open_conflicts([later])
    assert ledger.conflicts() == (replace(later, since_ns=5),)


def test_one_path_can_have_two_copies(ledger: RunHistory) -> None:
    other = replace(CONFLICT, copy="d/copy2")
    ledger.open_conflicts([other, CONFLICT])
    assert ledger.conflicts() == (CONFLICT, other)


def test_a_problem_is_news_once(ledger: RunHistory) -> None:
    assert ledger.newly_seen([PIPE, CLASH, CLASH]) == (PIPE, CLASH)
    assert ledger.newly_seen([CLASH, PIPE]) == ()
    assert [seen.problem for seen in ledger.problems()] == [CLASH, replace(PIPE, message="a fifo \\udcff")]


def test_a_problem_that_went_away_is_news_when_it_returns(ledger: RunHistory) -> None:
    ledger.newly_seen([PIPE, CLASH])
    assert ledger.newly_seen([CLASH]) == ()
    assert ledger.newly_seen([PIPE, CLASH]) == (PIPE,)


def test_an_incomplete_look_forgets_no_problem(ledger: RunHistory) -> None:
    ledger.newly_seen([PIPE])
    assert ledger.newly_seen([CLASH], judged=lambda _: False) == (CLASH,)
    assert ledger.newly_seen([PIPE, CLASH]) == ()


def test_a_problem_keeps_the_time_it_was_first_seen(ledger: RunHistory) -> None:
    ledger.newly_seen([CLASH])
    first = ledger.problems()[0].first_seen_ns
    ledger.newly_seen([CLASH, PIPE])
    assert ledger.problems()[0].first_seen_ns == first


def test_failures_count_up_until_success(ledger: RunHistory) -> None:
    ledger.failed([("\udcff", "quota", "full"), ("b", "transient", "503")])
    ledger.failed([("\udcff", "transient", "time-out")])
    found = {failure.path: failure for failure in ledger.failures()}
    assert found["\udcff"] == Failure(
        path="\udcff", count=2, code="transient", message="time-out", last_ns=found["\udcff"].last_ns
    )
    assert found["b"].count == 1
    ledger.succeeded(["\udcff", "never failed"])
    assert [failure.path for failure in ledger.failures()] == ["b"]


def test_messages_with_undecodable_names_can_be_kept_anywhere(ledger: RunHistory) -> None:
    run = ledger.start_run("cli")
    ledger.end_run(run, result="failed", exit_code=5, message="cannot read \udcff")
    ledger.failed([("a", "io", "cannot read \udcff")])
    found = ledger.run(run)
    assert found is not None
    assert found.message == ledger.failures()[0].message == "cannot read \\udcff"


def test_a_dead_run_leaves_the_database_marked(place: Path) -> None:
    state = open_state(place)
    state.ledger.start_run("cli")
    state.database.abandon()
    with open_state(place) as state:
        assert not state.ledger.ended_well()
        finished(state.ledger)
        assert state.ledger.ended_well()


def test_a_run_that_is_forgotten_leaves_no_trace_and_counts_as_closed_well(ledger: RunHistory) -> None:
    first = ledger.start_run("manual")
    ledger.end_run(first, result="in-sync", exit_code=0)
    before, success = ledger.runs(), ledger.last_success_ns()
    ledger.forget_run(ledger.start_run("watch"))
    assert ledger.runs() == before and ledger.last_success_ns() == success
    assert ledger.ended_well(), "or every big database would be read through at the next start"


def test_problems_and_failures_elsewhere_are_not_settled_by_who_did_not_look_there(
    ledger: RunHistory,
) -> None:
    ledger.newly_seen([PIPE, CLASH])
    assert ledger.newly_seen([], judged=lambda path: path == "a") == ()
    assert [seen.problem for seen in ledger.problems()] == [
        replace(PIPE, message=ledger.problems()[0].problem.message)
    ]
    assert ledger.newly_seen([CLASH], judged=lambda path: path == "a") == (CLASH,), (
        "gone and back: news again"
    )


def did(ledger: RunHistory, *paths: str) -> int:
    """A run that uploaded these."""
    number = ledger.start_run("daemon")
    ledger.add_history(
        number,
        [HistoryEntry(action="upload", path=path, reason="local-changed", result="done") for path in paths],
    )
    ledger.end_run(number, result="in-sync", exit_code=0)
    return number


def test_runs_that_did_something_are_kept_however_many_did_nothing_since(ledger: RunHistory) -> None:
    first = did(ledger, "f")
    for _ in range(KEPT_RUNS + 200):
        did(ledger)
    found = ledger.runs(10_000)
    assert found[-1].id == first and ledger.history(first)[0].path == "f"
    assert len(found) <= KEPT_RUNS + 60


def test_a_busy_folder_does_not_push_what_it_did_out_of_the_history(ledger: RunHistory) -> None:
    first = did(ledger, "precious")
    for number in range(KEPT_RUNS + 200):
        did(ledger, f"log-{number % 3}")
    assert [entry.path for entry in ledger.history(first)] == ["precious"]


def test_the_history_reaches_back_so_many_days_of_the_pairs_own_time(ledger: RunHistory) -> None:
    day = 86_400 * 10**9
    old = did(ledger, "old")
    ledger.grow_older(1 * day, 30 * day)
    young = did(ledger, "young")
    for _ in range(KEPT_RUNS):
        did(ledger, "log")
    ledger.grow_older(20 * day, 30 * day)
    assert ledger.run(old) is not None
    ledger.grow_older(32 * day, 30 * day)
    assert ledger.run(old) is None
    assert ledger.run(young) is not None


def test_what_can_no_longer_be_taken_back_leaves_the_history(ledger: RunHistory) -> None:
    run = did(ledger, "log", "other")
    ledger.forget_history([(run, "log")])
    assert [entry.path for entry in ledger.history(run)] == ["other"]
