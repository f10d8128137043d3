"""Names of runs in a service's trash: one for each run, and how old they are."""

from __future__ import annotations

import pytest

from syncer.stores.remote.trash import age_ns, run_name

NOW = 1_795_000_000 * 10**9
HOUR_NS = 3600 * 10**9


def test_runs_of_one_second_have_names_of_their_own() -> None:
    """Also on a board whose clock begins anew with each boot: four letters were too few for some hundred."""
    assert len({run_name(NOW, "0123abcd") for _ in range(20_000)}) == 20_000


def test_a_name_tells_when_its_run_began() -> None:
    name = run_name(NOW, "0123abcd")
    assert age_ns(name, NOW + HOUR_NS) == age_ns(f"{name}~2", NOW + HOUR_NS) == HOUR_NS


@pytest.mark.parametrize(
    "name", ["", "mine", "20261399-999999-a-b", "20260101-000000", "20260101-000000-a/b"]
)
def test_any_other_name_is_not_old(name: str) -> None:
    assert age_ns(name, NOW) == 0


@pytest.mark.parametrize("now_ns", [-(10**18), 0, 10**30])
def test_a_clock_far_off_has_a_name_all_the_same(now_ns: int) -> None:
    assert age_ns(run_name(now_ns, "tag"), 0) <= 0
