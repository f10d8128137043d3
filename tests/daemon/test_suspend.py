"""Suspend detector with three artificial clocks."""

from __future__ import annotations

import time

import pytest

from syncer.daemon.suspend import SuspendDetector


class Clocks:
    """Three clocks; a day passes on all of them alike."""

    def __init__(self) -> None:
        self.awake, self.always, self.wall = 100.0, 5_000.0, 1_800_000_000.0

    def pass_(self, seconds: float, *, asleep: float = 0.0, set_by: float = 0.0) -> None:
        self.awake += seconds
        self.always += seconds + asleep
        self.wall += seconds + asleep + set_by


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def wakefulness(clocks: Clocks) -> SuspendDetector:
    return SuspendDetector(awake=lambda: clocks.awake, always=lambda: clocks.always, wall=lambda: clocks.wall)


def test_time_that_passes_is_no_news(clocks: Clocks, wakefulness: SuspendDetector) -> None:
    for _ in range(100):
        clocks.pass_(30.0, asleep=0.01, set_by=-0.02)
        assert wakefulness.news() == ""


def test_a_sleep_is_told_once(clocks: Clocks, wakefulness: SuspendDetector) -> None:
    clocks.pass_(30.0, asleep=3600.0)
    assert wakefulness.news() == "the machine slept for 3600 s"
    clocks.pass_(30.0)
    assert wakefulness.news() == ""


@pytest.mark.parametrize(("by", "told"), [(7200.0, "+7200 s"), (-86400.0, "-86400 s")])
def test_a_clock_that_was_set_is_told_once(
    clocks: Clocks, wakefulness: SuspendDetector, by: float, told: str
) -> None:
    clocks.pass_(30.0, set_by=by)
    assert wakefulness.news() == f"the clock was set by {told}"
    clocks.pass_(30.0)
    assert wakefulness.news() == ""


def test_a_clock_that_creeps_is_not_taken_for_one_that_was_set(
    clocks: Clocks, wakefulness: SuspendDetector
) -> None:
    for _ in range(1000):
        clocks.pass_(30.0, set_by=0.5)
        assert wakefulness.news() == ""


def test_the_clocks_of_this_machine_agree_while_nobody_sleeps() -> None:
    wakefulness = SuspendDetector()
    time.sleep(0.01)
    assert wakefulness.news() == ""
