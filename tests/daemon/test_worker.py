"""Worker of one job: runs, pause, flush, stop, status, and errors that do not end it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncer.config import Location
from syncer.daemon.events import EventDeduplicator, stale
from syncer.daemon.schedule import Intervals, Task
from syncer.daemon.status import JobStatus, Phase
from syncer.daemon.worker import Watcher, WatcherFactory, Worker
from syncer.engine.scope import EVERYWHERE, NOWHERE, Scope
from syncer.errors import GuardTripped, Interrupted
from syncer.jobs import view
from syncer.jobs.state_dir import place_of
from syncer.state import PairLock
from tests.daemon.bench import BRISK, LARGE, LONG, SLOW, Bench, Gate, at_work


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with at_work(Bench(tmp_path)) as made:
        yield made


# Hearing


def test_it_begins_to_listen_before_the_first_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.write("local/f", b"1")

    def too_late() -> None:
        assert bench.ended == [] and bench.read("remote/f") is None

    bench.at_start = too_late
    with at_work(bench):
        assert (bench.local.life, bench.remote.life) == (["started"], ["started"])
        task, result = bench.ended[0]
        assert task.scope.everywhere and task.trigger == "start" and result.exit_code == 0
        assert bench.read("remote/f") == b"1"


def test_what_is_told_is_run_over_and_nothing_else(bench: Bench) -> None:
    bench.write("local/d/f", b"1")
    bench.write("remote/e/f", b"2")
    bench.local.tell("")
    bench.until_run(2)
    bench.remote.tell("e")
    bench.until(lambda: bench.read("local/e/f") == b"2")
    bench.until_run(3)
    assert bench.read("remote/d/f") == b"1"
    assert [task.trigger for task, _ in bench.ended] == ["start", "watch", "watch"]
    assert not any(task.scope.everywhere for task, _ in bench.ended[1:])
    counters = bench.status.counters
    assert (counters.runs, counters.full_runs, counters.uploaded, counters.downloaded) == (3, 1, 1, 1)


def test_many_events_make_one_run(bench: Bench) -> None:
    gate = Gate()
    bench.at_end = gate
    bench.local.tell("")
    assert gate.reached.wait(LONG)
    for number in range(200):
        bench.write(f"local/f{number}", b"1")
        bench.local.tell("")
    gate.open.set()
    bench.until(lambda: bench.read("remote/f199") == b"1")
    bench.until_run(3)
    assert bench.status.counters.runs == 3 and bench.status.counters.uploaded == 200


def test_what_happens_during_a_run_is_not_lost(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, upload_limit=SLOW)) as bench:
        bench.write("local/large", LARGE)
        bench.local.tell("")
        bench.until_half_way()
        bench.write("local/meanwhile", b"1")
        bench.local.tell("")
        assert bench.status.phase is Phase.RUNNING and bench.status.waiting == 1
        bench.until(lambda: bench.read("remote/meanwhile") == b"1")
        assert bench.read("remote/large") == LARGE


# Pausing


def test_while_it_is_paused_nothing_runs_and_what_happens_is_noted(bench: Bench) -> None:
    bench.worker.pause(True)
    bench.write("local/f", b"1")
    bench.local.tell("")
    assert (bench.status.phase, bench.status.next_run, bench.status.waiting) == (Phase.PAUSED, None, 1)
    assert not bench.worker.join(0.2)
    assert bench.read("remote/f") is None and len(bench.ended) == 1
    bench.worker.pause(False)
    bench.until(lambda: bench.read("remote/f") == b"1")


def test_a_job_that_is_paused_from_the_start_waits_for_its_resume(tmp_path: Path) -> None:
    bench = Bench(tmp_path, paused=True)
    bench.write("local/f", b"1")
    with at_work(bench):
        bench.until(lambda: hasattr(bench, "remote") and bench.remote.life == ["started"])
        assert not bench.worker.join(0.2)
        assert bench.ended == [] and bench.status.phase is Phase.PAUSED
        bench.worker.pause(False)
        bench.until_run(1)
        assert bench.ended[0][0].scope.everywhere and bench.read("remote/f") == b"1"


def test_a_pause_ends_a_run_half_way_and_a_resume_goes_on_with_it(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, upload_limit=SLOW)) as bench:
        bench.write("local/large", LARGE)
        bench.local.tell("")
        bench.until_half_way()
        bench.worker.pause(True)
        bench.until_run(2)
        assert isinstance(bench.ended[1][1].error, Interrupted)
        assert bench.status.phase is Phase.PAUSED and bench.read("remote/large") is None
        bench.worker.pause(False)
        bench.until(lambda: bench.read("remote/large") == LARGE)


# Flushing


def test_a_flush_looks_at_everything_and_says_when_it_has(bench: Bench) -> None:
    bench.write("local/deep/down/f", b"1")
    assert bench.worker.flushed(bench.worker.flush(), LONG)
    assert bench.read("remote/deep/down/f") == b"1"
    assert bench.ended[-1][0].trigger == "flush" and bench.status.last_exit == 0


def test_a_flush_while_it_is_paused_is_not_waited_for_and_not_forgotten(bench: Bench) -> None:
    bench.worker.pause(True)
    bench.write("local/f", b"1")
    ticket = bench.worker.flush()
    assert not bench.worker.flushed(ticket, LONG)
    bench.worker.pause(False)
    assert bench.worker.flushed(ticket, LONG) and bench.read("remote/f") == b"1"


def test_a_flush_is_not_answered_by_the_run_that_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    gate = Gate()
    bench.at_start = gate
    bench.worker.start()
    assert gate.reached.wait(LONG)
    first = bench.worker.flush()
    gate.open.set()
    assert bench.worker.flushed(first, LONG)
    bench.write("local/f", b"1")
    assert bench.worker.flushed(bench.worker.flush(), LONG) and bench.read("remote/f") == b"1"
    bench.worker.stop(signal.SIGTERM)
    assert bench.worker.join(LONG)


def test_a_flush_whose_run_was_broken_off_by_a_pause_is_answered_by_the_next_one(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, upload_limit=SLOW)) as bench:
        bench.write("local/large", LARGE)
        ticket = bench.worker.flush()
        bench.until_half_way()
        bench.worker.pause(True)
        bench.until_run(2)
        assert not bench.worker.flushed(ticket, LONG), "it was not looked at everything"
        bench.worker.pause(False)
        assert bench.worker.flushed(ticket, LONG) and bench.read("remote/large") == LARGE


def test_one_who_waits_for_a_flush_is_let_go_when_the_job_stops(bench: Bench) -> None:
    bench.worker.pause(True)
    answers: list[bool] = []
    ticket = bench.worker.flush()
    bench.worker._paused = False  # as if it were about to run
    waiting = threading.Thread(target=lambda: answers.append(bench.worker.flushed(ticket + 1, LONG)))
    waiting.start()
    bench.worker.stop(signal.SIGTERM)
    waiting.join(LONG)
    assert answers == [False]


# Stopping


def test_a_stop_ends_a_transfer_between_two_pieces_and_leaves_it_to_be_gone_on_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path, upload_limit=SLOW)
    with at_work(bench):
        bench.write("local/large", LARGE)
        bench.local.tell("")
        bench.until_half_way()
        bench.worker.stop(signal.SIGTERM)
        assert bench.worker.join(4.0)
        result = bench.ended[-1][1]
        assert isinstance(result.error, Interrupted) and result.exit_code == 143
        assert bench.status.phase is Phase.STOPPED
        assert bench.local.life == bench.remote.life == ["started", "stopped"]
        assert bench.read("remote/large") is None
    again = Bench(tmp_path)
    with at_work(again):
        assert again.read("remote/large") == LARGE


def test_a_worker_that_never_began_has_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.stop(signal.SIGTERM)
    assert bench.worker.join(0.0)


def test_a_worker_that_is_stopped_while_it_begins_to_listen_leaves_no_watcher_behind(tmp_path: Path) -> None:
    bench, gate = Bench(tmp_path), Gate()
    bench.at_start = gate
    bench.worker.start()
    assert gate.reached.wait(LONG)
    bench.worker.stop(signal.SIGTERM)
    gate.open.set()
    assert bench.worker.join(LONG)
    assert bench.local.life[-1] == "stopped" and bench.remote.life[-1] == "stopped" and bench.ended == []


# Trouble


class Bugs(dict[str, Any]):
    """Accounts with a bug in them, for as long as it is there."""

    there = True

    def get(self, key: str, default: Any = None) -> Any:
        if self.there:
            raise ZeroDivisionError("a bug")
        return super().get(key, default)


def test_a_bug_in_a_run_is_logged_shown_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench, bugs = Bench(tmp_path), Bugs()
    bench.settings = replace(bench.settings, accounts=bugs)
    bench.job = replace(bench.job, remote=Location(account="nowhere", path="x"))
    bench.worker = bench.made()
    with caplog.at_level(logging.ERROR, "syncer.daemon"), at_work(bench):
        status = bench.status
        assert status.phase is Phase.BACKING_OFF and status.last_exit == 5
        assert "ZeroDivisionError" in status.message and "bug" in status.hint
        assert "unhandled error in a run" in caplog.text and "Traceback" in caplog.text
        bugs.there = False
        bench.worker.reset_backoff()
        bench.until(lambda: "unknown account" in bench.status.message)
        assert bench.status.last_exit == 2 and bench.status.counters.failed_runs >= 2


def test_one_who_stumbles_over_the_news_of_a_run_does_not_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    bench = Bench(tmp_path)
    bench.at_end = stumble
    with at_work(bench):
        bench.write("local/f", b"1")
        bench.local.tell("")
        bench.until(lambda: bench.read("remote/f") == b"1")
        bench.until_run(2)
    assert "unhandled error after a run" in caplog.text


def test_a_side_that_cannot_be_watched_is_said_so_and_the_job_runs_all_the_same(tmp_path: Path) -> None:
    def broken(worker: Worker) -> Watcher | None:
        raise ZeroDivisionError("a bug")

    bench = Bench(tmp_path)
    bench.watchers = WatcherFactory(local=broken, remote=lambda worker: None)
    bench.worker = bench.made()
    bench.write("local/f", b"1")
    with at_work(bench):
        assert bench.read("remote/f") == b"1"
        assert "the local side is not watched" in bench.status.notes[0]
        assert (bench.status.local_watch, bench.status.remote_watch) == ("", "interval")


def test_somebody_who_syncs_by_hand_is_waited_for(bench: Bench) -> None:
    bench.write("local/f", b"1")
    with PairLock.acquire(place_of(bench.settings, bench.job).directory):
        bench.local.tell("")
        bench.until_run(2)
        assert (bench.status.last_exit, bench.status.phase) == (6, Phase.BACKING_OFF)
        assert bench.status.waiting == 1
    bench.worker.reset_backoff()
    bench.until(lambda: bench.read("remote/f") == b"1")
    bench.until(lambda: bench.status.phase is Phase.IDLE and bench.status.last_exit == 0)


def test_a_root_that_is_gone_holds_the_job_and_one_that_is_back_lets_it_go_at_once(bench: Bench) -> None:
    bench.write("local/f", b"1")
    assert bench.worker.flushed(bench.worker.flush(), LONG)
    (bench.home / "remote").rename(bench.home / "away")
    bench.remote.tell_of_all()
    bench.until(lambda: bench.status.phase is Phase.HELD)
    assert isinstance(bench.ended[-1][1].error, GuardTripped) and bench.read("local/f") == b"1"
    assert bench.status.message and bench.status.hint
    (bench.home / "away").rename(bench.home / "remote")
    bench.remote.tell_of_all()
    bench.until(lambda: bench.status.phase is Phase.IDLE)
    assert bench.status.message == "" and bench.read("local/f") == bench.read("remote/f") == b"1"


def test_deletions_that_are_held_are_counted_for_whoever_looks(bench: Bench) -> None:
    for number in range(30):
        bench.write(f"local/f{number:02}", b"%d" % number)
    assert bench.worker.flushed(bench.worker.flush(), LONG)
    for number in range(20):
        (bench.home / f"local/f{number:02}").unlink()
    assert bench.worker.flushed(bench.worker.flush(), LONG)
    assert (bench.status.phase, bench.status.held, bench.status.last_exit) == (Phase.HELD, 20, 4)
    bench.write("local/d/other", b"unlike any other")
    bench.local.tell("")
    bench.until(lambda: bench.read("remote/d/other") == b"unlike any other")
    bench.until_run(4)
    assert bench.status.held == 20 and len(list((bench.home / "remote").glob("f*"))) == 30


# How it stands


def test_a_path_that_fails_is_shown_and_tried_again_and_keeps_the_last_success_back(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path)) as bench:
        success = bench.status.last_success
        assert success is not None
        bench.write("local/d/f", b"1")
        (bench.home / "remote/d").write_bytes(b"in the way")
        bench.write("local/g", b"2")
        bench.local.tell("")
        bench.until(lambda: bench.read("remote/g") == b"2")
        bench.worker.flushed(bench.worker.flush(), LONG)
        assert bench.status.last_exit == 0, "a file and a directory of one name are both kept"
        assert (bench.status.last_success or 0) > success


def test_the_first_success_counts_from_a_look_at_everything(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path)) as bench:
        bench.local.mode = "gone"  # where all is told, it counts on by itself
        assert bench.status.last_success == bench.status.last_full is not None
        before = bench.status.last_full
        bench.write("local/f", b"1")
        bench.local.tell("")
        bench.until(lambda: bench.status.counters.runs == 2)
        assert bench.status.last_full == before and (bench.status.last_success or 0) > (before or 0)


def test_a_job_that_is_watched_and_has_nothing_to_do_was_taken_for_a_silent_one(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, max_age=0.001)) as bench:
        bench.until(lambda: bench.status.phase is Phase.IDLE)
        full = bench.status.last_full
        assert full is not None
        bench.local.mode = "gone"
        assert bench.status.last_success == full, "nobody tells what happens"
        bench.local.mode, bench.remote.mode = "events", "feed"
        before = bench.status.last_success or 0.0
        assert full < before < (bench.status.last_success or 0.0), "it counts on with the clock"
        now = bench.status.last_success or 0.0
        assert stale(bench.status, began=0.0, now=now) == ()
        for mode in ("gone", "interval"):
            bench.remote.mode = mode
            assert bench.status.last_success == full
            assert stale(bench.status, began=0.0, now=full + 1.0) != ()
        bench.remote.mode = "feed"
        bench.worker.pause(True)
        assert bench.status.last_success == full, "while it is paused nobody looks"


def test_a_silence_is_told_once_and_another_one_again(tmp_path: Path) -> None:
    news, job = EventDeduplicator(), JobStatus(job="docs", max_age=60.0, last_success=0.0)
    told = [bool(news.of_status(job, began=0.0, now=now)) for now in (59.0, 61.0, 62.0, 9_000.0)]
    assert told == [False, True, False, False]
    alive = replace(job, last_success=9_000.0)
    told = [bool(news.of_status(alive, began=0.0, now=now)) for now in (9_001.0, 9_100.0, 9_200.0)]
    assert told == [False, True, False]


def test_how_long_both_sides_agreed_was_forgotten_with_the_daemon(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with at_work(bench):
        bench.until(lambda: bench.status.phase is Phase.IDLE)
        bench.local.mode, bench.remote.mode = "events", "events"
        lately = bench.status.last_success
    with view(bench.settings, bench.job) as state:
        assert (state.ledger.last_success_ns() or 0) / 1e9 >= (lately or 0.0)


def test_while_nothing_happens_the_next_run_is_the_scan_of_every_hour(bench: Bench) -> None:
    bench.until(lambda: bench.status.phase is Phase.IDLE)
    status = bench.status
    assert status.next_run is not None and status.last_full is not None
    assert 3500 < status.next_run - status.last_full < 3700
    assert (status.waiting, status.retries, status.progress) == (0, (), None)


def test_news_that_is_gathered_shows(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, intervals=replace(BRISK, quiet=60.0, gather=60.0))) as bench:
        bench.until(lambda: bench.status.phase is Phase.IDLE)
        bench.local.tell("a", "b")
        assert (bench.status.phase, bench.status.waiting) == (Phase.GATHERING, 2)


def test_notes_are_bounded_and_the_latest_are_kept(bench: Bench) -> None:
    for number in range(20):
        bench.worker.add_note(f"trouble {number}", "do something" if number % 2 else "")
    assert len(bench.status.notes) == 8
    assert bench.status.notes[-2:] == ("trouble 18", "trouble 19; do something")


def test_a_remote_is_looked_at_every_interval_although_nothing_is_told(tmp_path: Path) -> None:
    with at_work(Bench(tmp_path, intervals=Intervals(interval=0.1))) as bench:
        bench.write("remote/f", b"1")
        bench.until(lambda: bench.read("local/f") == b"1")
        bench.until_run(2)
        assert bench.ended[1][0] == Task(scope=Scope(local=NOWHERE, remote=EVERYWHERE), trigger="interval")
