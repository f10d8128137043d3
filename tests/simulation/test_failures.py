"""Every call of a run fails, once or from then on: that item fails, nothing is lost, the next run heals."""

from __future__ import annotations

import pytest

from tests.simulation.cases import Lab

CODES = ("ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT")
LOOK_CODES = ("EIO", "EACCES", "EMFILE")
HOWS = ("once", "ever")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("code", CODES)
def test_a_failing_call_loses_nothing(lab: Lab, code: str, how: str) -> None:
    first = 1 + CODES.index(code) * 2 + HOWS.index(how)
    lab.campaign("failure", ((k, code, how) for k in range(first, len(lab.calls) + 1, 13)))


@pytest.mark.long
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("code", CODES)
def test_any_failing_call_loses_nothing(lab: Lab, code: str, how: str) -> None:
    lab.campaign("failure", ((k, code, how) for k in range(1, len(lab.calls) + 1)))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("code", LOOK_CODES)
def test_what_cannot_be_looked_at_is_not_deleted(lab: Lab, code: str, how: str) -> None:
    first = 1 + LOOK_CODES.index(code) * 7 + HOWS.index(how) * 3
    lab.campaign("blindness", ((k, code, how) for k in range(first, lab.looks + 1, 61)))


@pytest.mark.long
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("code", LOOK_CODES)
def test_whatever_cannot_be_looked_at_is_not_deleted(lab: Lab, code: str, how: str) -> None:
    lab.campaign("blindness", ((k, code, how) for k in range(1, lab.looks + 1)))
