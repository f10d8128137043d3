"""Deletions that take several runs count as one stroke, and what a guard holds stays held."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.model import Action, Delete
from syncer.engine.scope import NOTHING
from syncer.errors import Interrupted
from syncer.jobs.recent_deletions import STROKE
from syncer.jobs.runner import Waiting
from tests.jobs.runners import Desk, Ears, at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.runner.close()


def delete(desk: Desk, first: int, last: int) -> None:
    for number in range(first, last):
        (desk.local / f"file-{number:03}").unlink()


def test_one_stroke_that_takes_several_runs_is_held_like_one(desk: Desk) -> None:
    desk.fill(40)
    desk.rest()
    for first in range(0, 20, 5):
        delete(desk, first, first + 5)
        assert desk.run(at("")).exit_code == 0, "up to a half may go"
    delete(desk, 20, 25)
    result = desk.run(at(""))
    assert result.exit_code == 4 and len(list(desk.remote.glob("file-*"))) == 20
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=5)


def test_what_is_held_stays_held_by_runs_that_look_elsewhere(desk: Desk) -> None:
    desk.fill(40)
    desk.fill(3, "d")
    desk.rest()
    delete(desk, 0, 30)
    assert desk.run(at("")).exit_code == 4
    (desk.local / "d/file-000").unlink()
    result = desk.run(at("d"))
    assert result.exit_code == 4 and desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=31)
    assert len(list(desk.remote.glob("file-*"))) == 40 and (desk.remote / "d/file-000").exists()
    assert desk.run(NOTHING).exit_code == 4
    assert desk.run(yes=True).exit_code == 0
    assert len(list(desk.remote.glob("file-*"))) == 10


def test_what_is_held_clears_by_itself_when_the_files_are_back(desk: Desk) -> None:
    desk.fill(40)
    desk.rest()
    delete(desk, 0, 30)
    assert desk.run(at("")).exit_code == 4
    desk.fill(30)
    assert desk.run(at("nowhere")).exit_code == 0
    assert desk.runner.waiting() == Waiting(problems=0, conflicts=0, held=0)


def test_after_a_while_a_stroke_is_over(desk: Desk) -> None:
    desk.fill(40)
    desk.rest()
    delete(desk, 0, 20)
    assert desk.run(at("")).exit_code == 0
    desk.clock.ahead += STROKE - 1
    delete(desk, 20, 30)
    assert desk.run(at("")).exit_code == 4
    desk.clock.ahead += 2
    delete(desk, 30, 31)
    assert desk.run(at("")).exit_code == 4, "11 of 20 are too many by themselves"
    desk.fill(31)
    desk.rest()
    desk.clock.ahead += STROKE + 1
    delete(desk, 0, 9)
    assert desk.run(at("")).exit_code == 0


def test_deletions_of_a_run_that_was_broken_off_count_as_well(desk: Desk) -> None:
    desk.fill(40)
    desk.rest()
    delete(desk, 0, 19)
    seen: list[Action] = []

    def stop_after_all(action: Action) -> None:
        seen.append(action)
        if len([a for a in seen if isinstance(a, Delete)]) == 19:
            raise Interrupted(signal.SIGTERM)

    assert desk.run(at(""), reporter=Ears(stop_after_all)).exit_code == 143
    assert len(list(desk.remote.glob("file-*"))) == 21
    delete(desk, 19, 28)
    assert desk.run(at("")).exit_code == 4, "9 of 21 are few, 28 of 40 are not"
    assert len(list(desk.remote.glob("file-*"))) == 21


def test_a_word_for_one_run_is_not_reduced_by_what_went_before(desk: Desk) -> None:
    desk.fill(40)
    desk.rest()
    delete(desk, 0, 20)
    assert desk.run(at("")).exit_code == 0
    delete(desk, 20, 35)
    assert desk.run(yes=True).exit_code == 0


def test_what_came_back_meanwhile_is_not_counted(desk: Desk) -> None:
    """To and fro between two branches, or a build that clears up before itself: no mass deletion."""
    desk.fill(40)
    desk.rest()
    for _ in range(5):
        delete(desk, 0, 9)
        assert desk.run(at("")).exit_code == 0
        desk.fill(9)
        assert desk.run(at("")).exit_code == 0


def set_back(desk: Desk, first: int, last: int) -> None:
    for number in range(first, last):
        place = desk.local / f"file-{number:03}"
        place.write_bytes(b"of long ago %d" % number)
        os.utime(place, ns=(10**18, 10**18))


def test_a_folder_that_goes_back_over_several_runs_is_held_like_one_that_does_so_at_once(desk: Desk) -> None:
    """As a daemon sees a backup being copied over a folder, a few files at a time."""
    desk.fill(40)
    desk.rest()
    set_back(desk, 0, 4)
    assert desk.run(at("")).exit_code == 0, "a few may be put back by hand"
    set_back(desk, 4, 8)
    result = desk.run(at(""))
    assert result.exit_code == 4 and result.report is not None
    assert [hold.guard for hold in result.report.holds] == ["went-back"]
    assert (desk.remote / "file-005").read_bytes() == b"content of 5"
    desk.clock.ahead += STROKE + 1
    assert desk.run(at("")).exit_code == 0, "four are few again"
