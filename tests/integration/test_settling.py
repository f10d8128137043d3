"""The settle time: a file that is still being written waits, and so does a run, but not for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from syncer import jobs
from syncer.config import parse
from syncer.engine.model import Side, Transfer
from syncer.jobs import RunOptions
from tests.jobs.runners import Desk, Later, at
from tests.world import call

AGE = 2.0
TICK = 0.06  # seconds: a folder store waits so long for its own stamps to ripen


class Writing(Later):
    """A clock in whose sleep a program goes on writing."""

    def __init__(self, *places: Path) -> None:
        super().__init__()
        self.places, self.slept = places, 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.ahead * 1e9)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if seconds < TICK:
            return
        self.slept += seconds
        for place in self.places:
            with place.open("ab") as file:
                file.write(b"more")
            os.utime(place, ns=(self.now_ns(), self.now_ns()))


def young(place: Path, content: bytes, clock: Writing, age: float = 0.1) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    os.utime(place, ns=(clock.now_ns(), clock.now_ns() - int(age * 1e9)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path, settle=AGE)
    made.clock = Writing()
    made.world = jobs.Environment(settings=made.settings, reporter=made.world.reporter, clock=made.clock)
    made.runner = jobs.Runner(made.world, made.job)
    return made


def clock_of(desk: Desk) -> Writing:
    assert isinstance(desk.clock, Writing)
    return desk.clock


def test_a_file_that_was_just_written_is_there_at_the_end_of_the_run(desk: Desk) -> None:
    clock = clock_of(desk)
    young(desk.local / "new", b"whole", clock)
    young(desk.local / "old", b"long there", clock, age=60)
    result = jobs.sync(desk.world, desk.job, RunOptions())
    assert result.exit_code == 0, result
    assert (desk.remote / "new").read_bytes() == b"whole"
    assert 0 < clock.slept <= AGE - 0.1, "no longer than until it was old enough"
    assert result.report is not None
    assert [a.action.path for a in result.report.actions] == ["old", "new"], "first what need not wait"
    before = clock.slept
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 0
    assert clock.slept == before, "nothing to do: no wait"


@pytest.mark.parametrize("side", list(Side))
def test_a_file_that_is_written_to_all_the_while_is_left_and_named(desk: Desk, side: Side) -> None:
    clock = clock_of(desk)
    (desk.remote).mkdir()
    here, there = (desk.local, desk.remote) if side is Side.LOCAL else (desk.remote, desk.local)
    slow = here / "d" / "slow"
    young(slow, b"half", clock)
    young(here / "d" / "done", b"whole", clock)
    clock.places = (slow,)
    result = jobs.sync(desk.world, desk.job, RunOptions())
    assert (result.exit_code, result.result) == (3, "incomplete")
    assert result.report is not None and set(result.report.young) == {"d/slow"}
    assert not (there / "d" / "slow").exists(), "no half of it"
    assert (there / "d" / "done").read_bytes() == b"whole"
    clock.places = ()
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 0
    assert (there / "d" / "slow").read_bytes() == b"halfmore"


def test_what_only_makes_room_for_a_file_that_waits_waits_too(desk: Desk) -> None:
    """A directory became a file that is still being written: its old content is not cleared away before."""
    clock = clock_of(desk)
    young(desk.local / "name" / "f", b"in the directory", clock, age=60)
    jobs.sync(desk.world, desk.job, RunOptions())
    (desk.local / "name" / "f").unlink()
    (desk.local / "name").rmdir()
    young(desk.local / "name", b"half", clock)
    clock.places = (desk.local / "name",)
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 3
    assert (desk.remote / "name" / "f").read_bytes() == b"in the directory"
    clock.places = ()
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 0
    assert (desk.remote / "name").read_bytes() == b"halfmore"


def test_two_conflicting_files_of_which_one_is_young_wait_together(desk: Desk) -> None:
    clock = clock_of(desk)
    young(desk.local / "f", b"agreed", clock, age=60)
    jobs.sync(desk.world, desk.job, RunOptions())
    young(desk.local / "f", b"half of it here", clock)
    young(desk.remote / "f", b"edited there", clock, age=30)
    clock.places = (desk.local / "f",)
    result = jobs.sync(desk.world, desk.job, RunOptions())
    assert result.exit_code == 3
    assert result.report is not None and result.report.conflicts == ()
    assert (desk.remote / "f").read_bytes() == b"edited there"
    clock.places = ()
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 0
    assert sorted(p.read_bytes() for p in desk.remote.glob("f*")) == [b"edited there", b"half of it heremore"]


def test_the_settle_time_of_nothing_turns_it_off(desk: Desk) -> None:
    clock = clock_of(desk)
    young(desk.local / "f", b"half", clock)
    settings = parse(
        f'[jobs.j]\nlocal = "{desk.local}"\nremote = "local:{desk.remote}"\nsettle = 0\n', desk.home
    )
    assert jobs.sync(desk.world, settings.job("j"), RunOptions()).exit_code == 0
    assert clock.slept == 0.0
    assert (desk.remote / "f").read_bytes() == b"half"


@pytest.mark.parametrize("text", ['"0"', '"0s"', "0"])
def test_zero_is_a_settle_time_however_it_is_written(text: str) -> None:
    job = '[jobs.j]\nlocal = "/a"\nremote = "local:/b"\n'
    assert parse(job + f"settle = {text}\n", Path("c")).job("j").settle == 0.0
    assert parse(job, Path("c")).job("j").settle == 2.0
    assert parse(job + 'settle = "10s"\n', Path("c")).job("j").settle == 10.0


def test_a_time_in_the_future_is_no_reason_to_wait(desk: Desk) -> None:
    clock = clock_of(desk)
    young(desk.local / "f", b"x", clock, age=-3600)
    assert jobs.sync(desk.world, desk.job, RunOptions()).exit_code == 0
    assert clock.slept == 0.0


def test_a_run_of_the_daemon_does_not_wait_and_comes_again(desk: Desk) -> None:
    from syncer.daemon.schedule import ending_of

    clock = clock_of(desk)
    young(desk.local / "f", b"x", clock)
    result = desk.run(at(""))
    assert (result.exit_code, clock.slept) == (0, 0.0)
    assert not (desk.remote / "f").exists()
    ending = ending_of(result)
    assert (ending.young, ending.paths) == ({"f"}, frozenset())
    assert 0 < ending.settles <= AGE
    clock.ahead += ending.settles
    assert desk.run(at("")).exit_code == 0
    assert (desk.remote / "f").read_bytes() == b"x"


def test_a_plan_shows_what_a_run_does_once_files_have_settled(desk: Desk) -> None:
    clock = clock_of(desk)
    young(desk.local / "f", b"x", clock)
    plan = jobs.plan(desk.world, desk.job, RunOptions()).plan
    assert plan is not None
    assert [a.path for a in plan.actions if isinstance(a, Transfer)] == ["f"]


def test_a_pair_on_the_command_line_settles_too(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / "f").write_text("just written")
    began = time.monotonic()
    ran = call("--config", str(_empty(tmp_path)), "sync", str(tmp_path / "l"), str(tmp_path / "r"))
    assert ran.code == 0, ran
    assert (tmp_path / "r" / "f").read_text() == "just written"
    assert time.monotonic() - began < 30
    pair = (str(tmp_path / "l"), str(tmp_path / "r"))
    wrong = call("--config", str(_empty(tmp_path)), "sync", *pair, "--settle", "soon")
    assert (wrong.code, "--settle" in wrong.err) == (2, True)
    assert call("--config", str(_empty(tmp_path)), "sync", *pair, "--settle", "0").code == 0


def test_what_is_left_is_said_in_words_and_in_json(desk: Desk) -> None:
    from syncer.cli import json_output, text_output

    clock = clock_of(desk)
    young(desk.local / "slow", b"half", clock)
    clock.places = (desk.local / "slow",)
    result = jobs.sync(desk.world, desk.job, RunOptions())
    assert "1 still being written" in text_output.summary(result)
    assert any("slow (local): it is still being written" in line for line in text_output.remarks(result))
    (problem,) = json_output.job(result)["problems"]
    assert (problem["path"], problem["side"], problem["code"]) == ("slow", "local", "unsettled")


def _empty(home: Path) -> Path:
    place = home / "config.toml"
    place.write_text(f'state_dir = "{home}/state"\n')
    return place
