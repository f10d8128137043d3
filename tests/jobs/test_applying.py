"""A run of which a person left something out: what it remembers, and what it does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from syncer import jobs
from syncer.jobs import RunOptions
from syncer.jobs.saved_plan import Origin, SavedAction, SavedPlan, expects
from syncer.state import open_state
from tests.jobs.test_jobs import Desk

ORIGIN = Origin(
    name="docs", named=True, pair="", local="", remote="", conflict="", mode="", ignore=(), full=False
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def plan(desk: Desk, *without: str) -> SavedPlan:
    """What a plan made now says, with some paths left out."""
    found = jobs.plan(desk.world(), desk.job, RunOptions(yes=True)).plan
    assert found is not None
    saved = [SavedAction(action="any", path=a.path, expects=expects(a)) for a in found.actions]
    return SavedPlan(origin=ORIGIN, actions=tuple(one for one in saved if one.path not in without))


def test_a_directory_in_which_something_was_left_out_is_looked_at_again(desk: Desk) -> None:
    for name in ("a", "b"):
        (desk.local / name).write_text(name)
    result = desk.sync(RunOptions(choice=plan(desk, "b").choice()))
    assert result.exit_code == 0
    assert result.report is not None
    assert result.report.left == {"b"}
    with jobs.view(desk.settings, desk.job) as state:
        assert list(state.memory.directories()) == [("", None, None)]
        assert list(state.memory.rows("")) == ["a"]


def test_what_a_guard_holds_is_still_known_after_a_plan_that_left_it_out(desk: Desk) -> None:
    for number in range(20):
        (desk.local / f"{number:02}").write_text(str(number))
    desk.sync()
    gone = [f"{number:02}" for number in range(15)]
    for name in gone:
        (desk.local / name).unlink()
    assert desk.sync().exit_code == 4
    (desk.local / "new").write_text("new")
    assert desk.sync(RunOptions(choice=plan(desk, *gone).choice())).exit_code == 0
    with jobs.view(desk.settings, desk.job) as state:
        (held,) = jobs.held(state.memory)
        assert held["paths"] == gone
    assert desk.sync(RunOptions(choice=plan(desk).choice(), yes=True)).exit_code == 0
    with jobs.view(desk.settings, desk.job) as state:
        assert jobs.held(state.memory) == []


def test_a_failure_that_was_left_out_is_not_forgotten(desk: Desk) -> None:
    (desk.local / "d").mkdir()
    (desk.local / "d/x").write_text("1")
    desk.sync()
    with open_state(desk.directory, now_ns=time.time_ns) as state:
        state.ledger.failed([("y", "no-space", "full")])
    (desk.local / "y").write_text("1")
    (desk.local / "z").write_text("1")
    desk.sync(RunOptions(choice=plan(desk, "y").choice()))
    with jobs.view(desk.settings, desk.job) as state:
        assert [failure.path for failure in state.ledger.failures()] == ["y"]
    desk.sync()
    with jobs.view(desk.settings, desk.job) as state:
        assert state.ledger.failures() == ()


def test_rules_that_were_left_out_do_not_hide_anything_afterwards(desk: Desk) -> None:
    (desk.local / "d").mkdir()
    (desk.local / "d/x.tmp").write_text("1")
    desk.sync()
    (desk.local / ".syncignore").write_text("*.tmp\n")
    desk.sync(RunOptions(choice=plan(desk, ".syncignore").choice()))
    (desk.local / ".syncignore").unlink()
    desk.sync()
    (desk.local / "d/x.tmp").write_text("edited since")
    assert desk.sync().exit_code == 0
    assert (desk.remote / "d/x.tmp").read_text() == "edited since"
