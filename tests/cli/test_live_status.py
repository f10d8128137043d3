"""The live part of `status`: what a daemon does at the moment, what waits, when it is stale."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from syncer import __version__
from syncer.daemon.status import Counters, JobStatus, Phase, Progress
from tests.cli.conftest import Machine
from tests.daemon.fake_daemon import FakeDaemon, fake_daemon


@pytest.fixture
def two(machine: Machine) -> Machine:
    """With the jobs docs and photos."""
    (machine.home / "pictures").mkdir()
    photos = f'[jobs.photos]\nlocal = "{machine.home}/pictures"\nremote = "local:{machine.home}/kept"\n'
    machine.configure(machine.job() + photos)
    return machine


@pytest.fixture
def daemon(two: Machine) -> Iterator[FakeDaemon]:
    with fake_daemon(two.state) as found:
        yield found


def test_status_without_a_daemon_says_null(two: Machine) -> None:
    document = two.call("status", "--json").document
    assert document["daemon"] is None
    assert [(job["daemon"], job["paused"]) for job in document["jobs"]] == [(None, False)] * 2
    assert "daemon:" not in two.call("status").out


def test_status_without_a_daemon_names_what_one_would_leave_alone(two: Machine) -> None:
    two.call("pause", "docs")
    out = two.call("status").out
    assert "paused: a daemon will not run it until: syncer resume docs" in out
    assert out.count("paused") == 1
    assert [job["paused"] for job in two.call("status", "--json").document["jobs"]] == [True, False]


def test_status_shows_the_daemon_and_how_each_of_its_jobs_stands(two: Machine, daemon: FakeDaemon) -> None:
    daemon.jobs = [
        JobStatus(
            job="docs",
            phase=Phase.RUNNING,
            progress=Progress(files=3_400, files_done=120, size=96_000_000, size_done=12_000_000),
            counters=Counters(runs=7),
        )
    ]
    document = two.call("status", "--json").document
    assert document["daemon"] == {"pid": os.getpid(), "started": 1_000.0, "version": __version__}
    docs, photos = document["jobs"]
    assert (docs["daemon"]["phase"], docs["daemon"]["counters"]["runs"]) == ("running", 7)
    assert docs["daemon"]["progress"]["files_done"] == 120
    assert photos["daemon"] is None, "the daemon does not run it"
    out = two.call("status").out
    assert f"daemon: process {os.getpid()}, since 1970-01-01 00:16:40 UTC" in out
    assert "  running: 120 of 3,400 files, 12.0 MB of 96.0 MB [##------------------] 12%\n" in out


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"phase": Phase.STARTING}, "  daemon: starts with this job\n"),
        ({"phase": Phase.GATHERING}, "waiting for them to settle\n"),
        ({"phase": Phase.RUNNING, "since": 0.0}, "  running: just began\n"),
        ({"phase": Phase.RUNNING, "since": 0.0, "progress": Progress(directories=1_234)},
         "  running: looking, 1,234 directories so far\n"),
        ({"phase": Phase.RUNNING, "since": 0.0, "progress": Progress(files=1, files_done=1)},
         "  running: 1 of 1 file, 0 B of 0 B [####################] 100%\n"),
        ({"phase": Phase.RUNNING, "since": 0.0, "progress": Progress(files=1, size=5, size_done=9)},
         "] 100%\n"),
        ({"phase": Phase.BACKING_OFF, "message": "no network", "hint": "plug it in"},
         "  daemon: the last run failed; the next one comes by itself\n  no network\n    hint: plug it in\n"),
        ({"phase": Phase.HELD, "since": 0.0}, "  daemon: a guard refused; looks again by itself\n"),
        ({"phase": Phase.PAUSED, "since": 0.0}, "  daemon: paused; go on with: syncer resume docs\n"),
        ({"phase": Phase.STOPPED, "since": 0.0}, "  daemon: does not run this job any more\n"),
        ({"since": 0.0}, "  daemon: waits for changes\n"),
        ({"waiting": 3}, "  waits: 3 places to be looked at\n"),
        ({"local_watch": "events", "remote_watch": "feed"}, "  watches: here by events, there by feed\n"),
        ({"retries": ("a\x1b", "b")}, "  tried again later: a\\x1b\n  tried again later: b\n"),
        ({"retries": tuple("abcdefghijklm")}, "  tried again later: j\n  and 3 more are tried again later\n"),
        ({"notes": ("too few watches; sudo sysctl x=1",)}, "  note: too few watches; sudo sysctl x=1\n"),
    ],
)  # fmt: skip
def test_status_says_in_words_what_the_daemon_does(
    two: Machine, daemon: FakeDaemon, shown: dict[str, object], said: str
) -> None:
    daemon.shows(**shown)
    assert said in two.call("status", "docs").out


def test_status_says_when_the_next_run_comes(two: Machine, daemon: FakeDaemon) -> None:
    daemon.shows(next_run=time.time() + 299.5, since=time.time() - 60.5)
    assert "  daemon: waits for changes, for 1m; looks by itself in 4m5" in two.call("status", "docs").out
    daemon.shows(phase=Phase.BACKING_OFF, next_run=time.time() - 1)
    assert "the next one in 1s" in two.call("status", "docs").out


def test_the_daemon_knows_of_later_successes_than_the_ledger(two: Machine, daemon: FakeDaemon) -> None:
    two.configure(two.job('max_age = "1h"'))
    daemon.jobs = [JobStatus(job="docs")]
    assert two.call("status").code == 3, "never synced"
    daemon.shows(last_success=time.time() - 60)
    answer = two.call("status", "--json")
    assert (answer.code, answer.document["jobs"][0]["stale"]) == (0, False)
    daemon.shows(last_success=time.time() - 7_200)
    assert two.call("status").code == 3
    two.call("sync")
    assert two.call("status").code == 0, "and the ledger of later ones than the daemon"
    [job] = two.call("status", "--json").document["jobs"]
    assert job["last_success"] > time.time() - 3_600


def test_status_names_a_daemon_of_another_version(two: Machine, daemon: FakeDaemon) -> None:
    assert "restart the daemon" not in two.call("status").out
    daemon.version = "0.0.1"
    assert f"this program is version {__version__}: restart the daemon" in two.call("status").out
