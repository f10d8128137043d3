"""The composition root: locks, first runs, markers, damaged memories, the trash's age, the ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncer import jobs
from syncer.clock import SystemClock, uptime
from syncer.config import JobSettings, Location, Settings
from syncer.engine.model import Action, Mode, Outcome, Side
from syncer.errors import Interrupted
from syncer.jobs import Environment, RunOptions
from syncer.jobs.results import JobResult
from syncer.jobs.retention import RUNS
from syncer.jobs.state_dir import place_of
from syncer.state import CorruptDatabase

DAY_NS = 86_400 * 1_000_000_000


class Ears:
    """A reporter that hears nothing, and may be told to raise at a finished action."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None:
        error, self.error = self.error, None
        if error:
            raise error

    def moved(self, side: Side, size: int) -> None: ...


class LaterClock(SystemClock):
    """A clock that is some days ahead."""

    def __init__(self, days: int) -> None:
        self.days = days

    def now_ns(self) -> int:
        return super().now_ns() + self.days * DAY_NS


class Desk:
    """Two folders and a job over them."""

    def __init__(self, home: Path) -> None:
        self.local, self.remote = home / "local", home / "remote"
        self.local.mkdir()
        self.job = JobSettings(
            name="docs", local=self.local, remote=Location(account="local", path=str(self.remote)), settle=0
        )
        self.settings = Settings(path=None, state_dir=home / "state", accounts={}, jobs={"docs": self.job})

    def world(self, error: Exception | None = None, days: int = 0) -> Environment:
        """`days` have passed for this machine, which was not switched off."""
        up = uptime()
        later = replace(up, ns=up.ns + days * DAY_NS)
        return Environment(
            settings=self.settings, reporter=Ears(error), clock=LaterClock(days), uptime=lambda: later
        )

    def sync(
        self, wish: RunOptions | None = None, *, error: Exception | None = None, days: int = 0
    ) -> JobResult:
        return jobs.sync(self.world(error, days), self.job, wish or RunOptions())

    def runs(self) -> int:
        with jobs.view(self.settings, self.job) as state:
            return len(state.ledger.runs())

    def marker(self, side: Path) -> str:
        return (side / ".syncer/root-id").read_text(encoding="ascii")

    @property
    def directory(self) -> Path:
        return place_of(self.settings, self.job).directory

    def trash(self) -> list[str]:
        found = self.directory.glob("*/trash/*/**/*")
        return [path.name for path in found if path.is_file()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@contextmanager
def ledger(desk: Desk) -> Iterator[jobs.State]:
    with jobs.view(desk.settings, desk.job) as state:
        yield state


def test_a_first_run_marks_both_roots_and_remembers_them(desk: Desk) -> None:
    assert desk.sync().exit_code == 0
    with ledger(desk) as state:
        for name, side in (("local", desk.local), ("remote", desk.remote)):
            assert state.memory.get_setting(f"{name}_root") == desk.marker(side).strip()
    assert desk.marker(desk.local) != desk.marker(desk.remote)


def test_a_marker_that_is_there_is_adopted(desk: Desk) -> None:
    (desk.local / ".syncer").mkdir()
    (desk.local / ".syncer/root-id").write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")
    assert desk.sync().exit_code == 0
    assert desk.marker(desk.local) == "0123456789abcdef0123456789abcdef\n"


def test_a_pair_is_known_by_its_roots_also_through_a_symlink(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(desk.local)
    linked = replace(desk.job, local=tmp_path / "link", name="other")
    assert place_of(desk.settings, linked) == place_of(desk.settings, desk.job)
    swapped = replace(desk.job, local=desk.remote, remote=Location(account="local", path=str(desk.local)))
    assert place_of(desk.settings, swapped) != place_of(desk.settings, desk.job)


def test_a_memory_found_damaged_in_mid_run_is_moved_aside_and_the_run_starts_over_once(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    result = desk.sync(error=CorruptDatabase("the state database is damaged: malformed"))
    assert result.exit_code == 0
    assert "moved" in result.notes[0]
    assert (desk.remote / "x").read_bytes() == b"1"
    assert list(desk.directory.glob("state.db.corrupt-*"))
    assert desk.sync().notes == ()


def test_an_interrupted_run_is_in_the_history_and_the_next_one_finishes(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    result = desk.sync(error=Interrupted(15))
    assert (result.exit_code, result.result) == (143, "interrupted")
    assert result.report is not None
    done = [a.action.path for a in result.report.actions]
    assert desk.sync().exit_code == 0
    with ledger(desk) as state:
        assert [run.result for run in state.ledger.runs()] == ["in-sync", "interrupted"]
        assert [entry.path for entry in state.ledger.history(result.run)] == done != []


def test_old_trash_goes_after_a_few_runs_and_not_while_a_root_is_missing(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    desk.sync()
    (desk.local / "x").unlink()
    desk.sync()
    assert desk.trash() == ["x"]
    desk.sync(days=29)
    assert desk.trash() == ["x"]
    away = desk.remote.rename(desk.remote.with_name("away"))
    assert desk.sync(days=31).exit_code == 4
    assert desk.trash() == ["x"]
    away.rename(desk.remote)
    while desk.trash():
        assert desk.sync(days=31).exit_code == 0
        assert desk.runs() <= 3 + RUNS


def test_old_trash_goes_although_no_run_does_all(desk: Desk) -> None:
    files = [desk.local / f"{number:02}" for number in range(21)]
    for file in files:
        file.write_bytes(file.name.encode())
    desk.sync()
    files.pop().unlink()
    desk.sync()
    for file in files[:15]:
        file.unlink()
    for _ in range(RUNS):
        assert desk.trash() == ["20"]
        assert desk.sync(days=31).exit_code == 4
    assert desk.trash() == []


def test_a_refused_run_changes_nothing_anywhere(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    desk.sync()
    (desk.local / ".syncer/root-id").write_text("f" * 32 + "\n")
    (desk.local / "y").write_bytes(b"2")
    before = sorted(os.fspath(path) for path in desk.local.rglob("*"))
    result = desk.sync()
    assert (result.exit_code, result.result) == (4, "refused")
    assert sorted(os.fspath(path) for path in desk.local.rglob("*")) == before
    assert not (desk.remote / "y").exists()


def test_yes_accepts_a_replaced_root_but_never_a_missing_one(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    desk.sync()
    away = desk.local.rename(desk.local.with_name("away"))
    assert desk.sync(RunOptions(yes=True)).exit_code == 4
    assert not desk.local.exists()
    desk.local.mkdir()
    assert desk.sync(RunOptions(yes=True)).exit_code == 0
    assert (desk.local / "x").read_bytes() == b"1"
    assert away.exists()


def test_a_lost_memory_loses_no_file(desk: Desk) -> None:
    (desk.local / "x").write_bytes(b"1")
    desk.sync()
    (desk.directory / "state.db").unlink()
    (desk.local / "x").unlink()
    assert desk.sync().exit_code == 0
    assert (desk.local / "x").read_bytes() == b"1"


def test_the_policy_is_the_jobs_unless_the_run_says_otherwise(desk: Desk) -> None:
    job = replace(desk.job, mode=Mode.PUSH, ignore=("*.tmp",))
    policy = jobs.policy_of(job, RunOptions())
    assert (policy.mode, policy.ignore, policy.full, policy.allow_deletes) == (
        Mode.PUSH,
        ("*.tmp",),
        False,
        False,
    )
    assert "." not in policy.host
    said = jobs.policy_of(job, RunOptions(yes=True, full=True, max_delete=replace(job.max_delete, count=3)))
    assert (said.full, said.allow_deletes, said.max_delete.count) == (True, True, 3)
