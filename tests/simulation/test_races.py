"""Somebody edits, replaces, deletes or creates right before a call: that edit survives, and is seen."""

from __future__ import annotations

import pytest

from tests.simulation.cases import Lab
from tests.simulation.races import EDITS

DECISIVE = (".exchange", ".rename", ".rename_noreplace", ".rmdir", ".mkdir")


def test_an_edit_in_the_middle_of_a_run_survives(lab: Lab) -> None:
    lab.campaign("race", lab.rivals(29))


def test_an_edit_right_before_or_after_a_name_changes_survives(lab: Lab) -> None:
    """The windows between look and act, at each call that changes a name, with two kinds of edit each."""
    decisive = [k for k, call in enumerate(lab.calls, 1) if call.endswith(DECISIVE)]
    edits = list(EDITS)
    lab.campaign(
        "race",
        (
            (at, edits[(k + at + turn * 3) % len(edits)], lab.named[k - 1])
            for k in decisive
            for at in (k, k + 1)
            for turn in range(2)
            if at <= len(lab.calls)
        ),
    )


def test_an_edit_survives_the_death_that_follows_it(lab: Lab) -> None:
    """What was exchanged out may be the last copy: the next run keeps it."""
    exchanges = [k for k, call in enumerate(lab.calls, 1) if call.endswith((".exchange", ".rename"))]
    lab.campaign(
        "race",
        (
            (k, edit, lab.named[k - 1], death)
            for k in exchanges
            for edit in ("overwrite", "replace")
            for death in (1, 2)
        ),
    )


@pytest.mark.long
@pytest.mark.parametrize("part", range(12))
def test_any_edit_in_the_middle_of_a_run_survives(lab: Lab, part: int) -> None:
    lab.campaign("race", lab.rivals(12, part))


@pytest.mark.long
@pytest.mark.parametrize("death", range(1, 7))
def test_any_edit_survives_a_death_that_follows_it(lab: Lab, death: int) -> None:
    last = len(lab.calls) - death
    lab.campaign(
        "race",
        ((at, edit, path, death) for at, edit, path in lab.rivals(5, death) if int(at) <= last),
    )
