"""Supervisor with several jobs on real, watched folders: reload, pause, flush, shutdown."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncer.config import DaemonSettings, JobSettings, Location, Settings
from syncer.daemon import pause_file
from syncer.daemon.status import JobStatus, Phase
from syncer.daemon.supervisor import Supervisor
from syncer.daemon.systemd import Systemd
from syncer.errors import ConfigError, StateError, UsageError
from tests.daemon.bench import LARGE, LONG, SLOW, eventually


class House:
    """A config with some jobs, which a test may change, and a supervisor of them."""

    def __init__(self, home: Path, *names: str) -> None:
        self.home = home
        self.jobs = {name: self.job(name) for name in names}
        self.daemon = DaemonSettings(quiet=0.02, gather=0.2)
        self.state_dir = home / "state"
        self.broken: Exception | None = None
        settings, jobs = self.load()
        self.supervisor = Supervisor(self.load, settings, jobs, systemd=Systemd())
        self.codes: list[int] = []
        self._thread = threading.Thread(target=lambda: self.codes.append(self.supervisor.wait()))

    def job(self, name: str) -> JobSettings:
        for side in ("local", "remote"):
            (self.home / name / side).mkdir(parents=True, exist_ok=True)
        where = Location(account="local", path=str(self.home / name / "remote"))
        return JobSettings(name=name, local=self.home / name / "local", remote=where, settle=0)

    def load(self) -> tuple[Settings, Sequence[JobSettings]]:
        if self.broken is not None:
            raise self.broken
        settings = Settings(
            path=None, state_dir=self.state_dir, accounts={}, jobs=dict(self.jobs), daemon=self.daemon
        )
        return settings, tuple(settings.jobs.values())

    def start(self) -> None:
        self.supervisor.start()
        self._thread.start()

    def end(self) -> int:
        self.supervisor.stop()
        self._thread.join(LONG)
        (code,) = self.codes
        return code

    def status(self, name: str) -> JobStatus:
        (found,) = [job for job in self.supervisor.status().jobs if job.job == name]
        return found

    def names(self) -> list[str]:
        return [job.job for job in self.supervisor.status().jobs]

    def write(self, path: str, data: bytes) -> None:
        (self.home / path).write_bytes(data)

    def read(self, path: str) -> bytes | None:
        place = self.home / path
        return place.read_bytes() if place.exists() else None

    def rests(self) -> None:
        """Every job has run, and nothing is going on."""
        eventually(lambda: all(map(self.rested, self.jobs)))

    def rested(self, name: str) -> bool:
        now = self.status(name)
        return bool(now.counters.runs) and now.phase is Phase.IDLE


@contextmanager
def a_house(home: Path, *names: str) -> Iterator[House]:
    house = House(home, *names)
    house.start()
    try:
        house.rests()
        yield house
    finally:
        if not house.codes:
            house.end()


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(("job ", "ear "))}


def test_changes_on_either_side_arrive_on_the_other(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos") as house:
        assert (house.status("docs").local_watch, house.status("docs").remote_watch) == (
            "events",
            "events",
        )
        house.write("docs/local/f", b"1")
        house.write("photos/remote/g", b"2")
        eventually(lambda: house.read("docs/remote/f") == b"1")
        eventually(lambda: house.read("photos/local/g") == b"2")


def test_a_stop_ends_all_jobs_with_code_0_and_leaves_no_thread(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos") as house:
        assert threads() >= {"job docs", "job photos"}
        assert house.end() == 0
        assert not threads() & {"job docs", "job photos"}
        assert {job.phase for job in house.supervisor.status().jobs} == {Phase.STOPPED}


def test_a_stop_does_not_wait_for_a_large_transfer(tmp_path: Path) -> None:
    house = House(tmp_path, "docs")
    house.jobs["docs"] = replace(house.jobs["docs"], upload_limit=SLOW // 10)
    house.supervisor = Supervisor(house.load, *house.load(), systemd=Systemd())
    house.write("docs/local/large", LARGE)
    house.start()
    eventually(lambda: (now := house.status("docs").progress) and now.size_done)
    assert house.end() == 0 and house.read("docs/remote/large") is None


def test_a_reload_begins_changed_jobs_anew_and_leaves_the_others_alone(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos", "old") as house:
        before = dict(house.supervisor._workers)
        house.jobs["docs"] = replace(house.jobs["docs"], ignore=("*.tmp",))
        house.jobs["new"] = house.job("new")
        del house.jobs["old"]
        house.supervisor.reload()
        now = house.supervisor._workers
        assert house.names() == ["docs", "photos", "new"]
        assert now["photos"] is before["photos"] and now["docs"] is not before["docs"]
        assert before["docs"].status.phase is before["old"].status.phase is Phase.STOPPED
        house.rests()
        house.write("docs/local/x.tmp", b"1")
        house.write("docs/local/f", b"1")
        house.write("new/local/f", b"2")
        eventually(lambda: house.read("docs/remote/f") == b"1" and house.read("new/remote/f") == b"2")
        assert house.read("docs/remote/x.tmp") is None
        house.write("old/local/f", b"1")
        assert house.supervisor.flush(["docs"], wait=LONG)[0].last_exit == 0
        assert house.read("old/remote/f") is None


def test_what_all_jobs_depend_on_begins_all_of_them_anew(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs") as house:
        before = house.supervisor._workers["docs"]
        house.daemon = replace(house.daemon, quiet=0.05)
        house.supervisor.reload()
        assert house.supervisor._workers["docs"] is not before


@pytest.mark.parametrize("wrong", ["a broken file", "another state_dir", "a damaged mark"])
def test_a_reload_that_fails_leaves_all_as_it_was(tmp_path: Path, wrong: str) -> None:
    with a_house(tmp_path, "docs") as house:
        before = house.supervisor._workers["docs"]
        house.jobs["docs"] = replace(house.jobs["docs"], ignore=("*.tmp",))
        error: type[Exception] = ConfigError
        if wrong == "a broken file":
            house.broken = ConfigError("unknown key")
        elif wrong == "another state_dir":
            house.state_dir = tmp_path / "elsewhere"
        else:
            (house.state_dir / pause_file.NAME).write_text("{")
            error = StateError
        with pytest.raises(error):
            house.supervisor.reload()
        assert house.supervisor._workers["docs"] is before
        house.write("docs/local/f", b"1")
        eventually(lambda: house.read("docs/remote/f") == b"1")
        house.broken, house.state_dir = None, tmp_path / "state"
        (house.state_dir / pause_file.NAME).unlink(missing_ok=True)


def test_pauses_hold_for_the_job_that_is_named_and_over_a_reload_and_a_new_daemon(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos") as house:
        house.supervisor.pause(["docs"])
        assert house.status("docs").phase is Phase.PAUSED
        assert pause_file.paused(house.state_dir) == {"docs"}
        house.write("docs/local/f", b"1")
        house.write("photos/local/f", b"1")
        eventually(lambda: house.read("photos/remote/f") == b"1")
        house.jobs["docs"] = replace(house.jobs["docs"], ignore=("*.tmp",))
        house.supervisor.reload()
        assert house.status("docs").phase is Phase.PAUSED and house.read("docs/remote/f") is None
    again = House(tmp_path, "docs", "photos")
    again.start()
    eventually(lambda: again.status("photos").counters.runs)
    assert again.status("docs").phase is Phase.PAUSED
    again.supervisor.resume([])
    eventually(lambda: again.read("docs/remote/f") == b"1")
    assert again.end() == 0 and pause_file.paused(again.state_dir) == frozenset()


def test_a_flush_of_all_jobs_waits_for_all_of_them(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos") as house:
        house.write("docs/local/f", b"1")
        house.write("photos/local/f", b"1")
        found = house.supervisor.flush([], wait=LONG)
        assert [(job.job, job.last_exit) for job in found] == [("docs", 0), ("photos", 0)]
        assert house.read("docs/remote/f") == house.read("photos/remote/f") == b"1"


def test_a_job_that_is_not_there_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs", "photos") as house:
        for call in (
            house.supervisor.pause,
            house.supervisor.resume,
            lambda jobs: house.supervisor.flush(jobs, wait=0),
        ):
            with pytest.raises(UsageError, match="doc"):
                call(["docs", "dosc"])
        assert pause_file.paused(house.state_dir) == frozenset(), "nothing of it was done"


def test_a_job_whose_folder_is_gone_keeps_no_other_from_its_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path, "docs", "photos")
    (tmp_path / "docs/local").rmdir()
    with caplog.at_level(logging.WARNING, "syncer.daemon"):
        house.start()
        house.write("photos/local/f", b"1")
        eventually(lambda: house.read("photos/remote/f") == b"1")
        eventually(lambda: house.status("docs").last_exit == 2)
        assert house.status("docs").phase is Phase.BACKING_OFF
        assert "does not exist" in house.status("docs").message and "docs" in caplog.text
        assert house.end() == 0


def test_a_bug_in_a_reload_is_logged_and_the_daemon_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with a_house(tmp_path, "docs") as house:
        house.broken = ZeroDivisionError("a bug")
        house.supervisor._signalled(signal.SIGHUP, None)
        eventually(lambda: "unhandled error in the daemon" in caplog.text)
        house.write("docs/local/f", b"1")
        eventually(lambda: house.read("docs/remote/f") == b"1")
        assert house.end() == 0


def test_it_lives_as_long_as_its_own_thread_looks_after_everything(tmp_path: Path) -> None:
    with a_house(tmp_path, "docs") as house:
        assert house.supervisor.is_alive()


def test_a_job_that_is_not_to_be_watched_is_looked_at_at_its_interval(tmp_path: Path) -> None:
    house = House(tmp_path, "docs")
    house.jobs["docs"] = replace(house.jobs["docs"], watch=False, interval=0.1)
    house.supervisor = Supervisor(house.load, *house.load(), systemd=Systemd())
    house.start()
    eventually(lambda: house.status("docs").counters.runs)
    assert (house.status("docs").local_watch, house.status("docs").remote_watch) == ("", "interval")
    house.write("docs/local/f", b"1")
    eventually(lambda: house.read("docs/remote/f") == b"1")
    assert house.end() == 0


def test_a_limit_of_open_files_that_is_too_low_for_the_jobs_is_said_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syncer.daemon.supervisor.raise_descriptor_limit", lambda: 100)
    house = House(tmp_path, "one", "two")
    house.start()
    try:
        assert any("100: some will fail" in record.getMessage() for record in caplog.records)
    finally:
        house.end()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_job_that_rests_holds_no_descriptor_of_its_own(tmp_path: Path) -> None:
    before = open_files()
    names = [f"job-{number}" for number in range(30)]
    house = House(tmp_path, *names)
    house.start()
    try:
        for name in names:
            house.write(f"{name}/local/f", b"1")
        eventually(lambda: all((tmp_path / name / "remote/f").is_file() for name in names))
        eventually(lambda: open_files() - before <= 3 * 16 + 10)
    finally:
        house.end()
