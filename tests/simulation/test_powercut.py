"""The power goes: unsynced names and data are lost, kept, reordered, torn. What was durable is not lost."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.simulation import workloads
from tests.simulation.cases import Lab
from tests.simulation.powercut import PLAIN

PER_CUT = 50


def test_a_power_cut_in_the_story_loses_nothing(lab: Lab) -> None:
    states = [
        (at, how) for at in range(len(lab.recorded.log) + 1) for how in (*PLAIN, str(at), str(at + 1000))
    ]
    lab.campaign("power_cut", states[::11])


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_any_power_cut_in_the_story_loses_nothing(lab: Lab, part: int) -> None:
    ends = range(part, len(lab.recorded.log) + 1, 10)
    lab.campaign("power_cut", ((at, how) for at in ends for how in PLAIN))
    lab.campaign("power_cut", ((at, str(at * PER_CUT + seed)) for at in ends for seed in range(PER_CUT)))


def test_what_a_failed_sync_was_to_make_durable_is_not_believed(lab: Lab) -> None:
    syncs = lab.failed_syncs[::2]
    lab.campaign("bad_sync", ((k, 0, how) for k in syncs for how in ("lost", "data only")))


@pytest.mark.long
def test_after_any_failed_sync_the_power_may_go(lab: Lab) -> None:
    hows = (*PLAIN, *map(str, range(6)))
    lab.campaign(
        "bad_sync", ((k, back, how) for k in lab.failed_syncs for back in (0, 3, 20) for how in hows)
    )


def test_a_power_cut_in_the_recovery_loses_nothing(lab: Lab) -> None:
    lab.campaign("second_cut", ((at, at) for at in range(5, len(lab.recorded.log), 13)))


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
def test_any_power_cut_in_the_recovery_loses_nothing(lab: Lab, part: int) -> None:
    lab.campaign("second_cut", ((at, at * 5 + part) for at in range(len(lab.recorded.log))))


def test_a_power_cut_after_one_change_loses_nothing(lab: Lab) -> None:
    count = sum(lab.small_cuts(s, each=3, seed=n) for n, s in enumerate(workloads.sequences()) if len(s) == 1)
    assert count > 100


def test_a_power_cut_after_two_changes_loses_nothing(lab: Lab) -> None:
    pairs = enumerate(islice(workloads.sequences(), 18, None, 23))
    assert sum(lab.small_cuts(s, each=4, seed=n) for n, s in pairs) > 100


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_a_power_cut_in_any_small_workload_loses_nothing(lab: Lab, part: int) -> None:
    """All together well over 10^4 states."""
    mine = enumerate(islice(workloads.sequences(), part, None, 20))
    assert sum(lab.small_cuts(s, each=1, seed=n * 20 + part) for n, s in mine) > 500
