"""A name that is absent for an instant, because another client replaces the file in two steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.model import Entry
from tests.contract.orange_rig import OrangeRig
from tests.contract.rigs import Rig
from tests.contract.smartfile_rig import SmartFileRig


@pytest.fixture(params=[SmartFileRig, OrangeRig])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    built = request.param(tmp_path)
    yield built
    built.store.close()


def test_a_file_that_another_client_was_replacing_was_taken_for_deleted(rig: Rig) -> None:
    """The other client gives the name to the new content while this one waits between its two looks."""
    wait = rig.clock.sleep  # type: ignore[attr-defined]

    def replaced_meanwhile(seconds: float) -> None:
        rig.write("f", b"new")
        wait(seconds)

    rig.clock.sleep = replaced_meanwhile  # type: ignore[attr-defined]
    rig.write("other", b"x")
    assert "f" not in rig.store.list("").entries
    [found] = rig.store.left_out(["f"])
    assert isinstance(found, Entry) and found.size == 3


def test_a_file_that_is_gone_is_absent_in_both_looks(rig: Rig) -> None:
    rig.write("f", b"x")
    rig.remove("f")
    rig.write("g", b"x")
    gone, there = rig.store.left_out(["f", "g"])
    assert gone is None and isinstance(there, Entry)
