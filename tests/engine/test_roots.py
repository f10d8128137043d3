"""Whether a root is the one the memory speaks of: every combination of what is known and seen."""

from __future__ import annotations

import pytest

from syncer.engine.guards import MISSING, REPLACED, Remembered, is_first, refusal
from syncer.engine.interfaces import RootState
from syncer.engine.model import Side
from syncer.exit_codes import exit_code

KNOWN = Remembered(marker="m1", device="d1")


def state(marker: str = "m1", device: str = "d1") -> RootState:
    return RootState(marker=marker, device=device, empty=False)


@pytest.mark.parametrize(
    ("known", "seen", "guard"),
    [
        (KNOWN, state(), None),
        (KNOWN, None, MISSING),
        (KNOWN, state(marker=""), REPLACED),
        (KNOWN, state(marker="m2"), REPLACED),
        (KNOWN, state(device="d2"), REPLACED),
        (KNOWN, state(marker="m2", device="d2"), REPLACED),
        (KNOWN, state(device=""), None),
        (Remembered(marker="m1"), state(device="d2"), None),
        (Remembered(marker="m1"), state(marker="m2"), REPLACED),
        (Remembered(marker="m1"), None, MISSING),
    ],
)
@pytest.mark.parametrize("side", list(Side))
def test_only_the_same_root_on_the_same_file_system_passes(
    side: Side, known: Remembered, seen: RootState | None, guard: str | None
) -> None:
    found = refusal(side, known, seen, "/data/docs")
    assert (found.guard if found else None) == guard
    if found:
        assert exit_code(found) == 4
        assert side.value in found.message
        assert "/data/docs" in found.message
        assert found.hint


def test_a_pair_is_new_unless_both_roots_are_remembered() -> None:
    assert is_first(Remembered(), Remembered())
    assert is_first(KNOWN, Remembered())
    assert is_first(Remembered(), KNOWN)
    assert not is_first(KNOWN, KNOWN)
