"""The late look: the stamp that is remembered is the one the name has once everything is in place."""

from __future__ import annotations

import os

import pytest

from syncer.engine.model import Done, Entry
from tests.contract.rigs import FolderRig


def let_time_pass(rig: FolderRig) -> None:
    """Until the disk gives another time: its clock ticks every few milliseconds."""
    scratch = rig.root.parent / "scratch"
    scratch.write_bytes(b"")
    before = os.stat(scratch).st_ctime_ns
    while os.stat(scratch).st_ctime_ns == before:
        scratch.write_bytes(b"x")


@pytest.mark.parametrize("taken", [False, True], ids=["a free name", "a taken name"])
def test_a_stamp_that_changed_when_the_file_got_its_name_is_remembered_as_it_is_then(
    rig: FolderRig, taken: bool
) -> None:
    if taken:
        rig.write("f", b"old")
    expected = rig.entry("f") if taken else None

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method in ("rename_noreplace", "exchange"):
            let_time_pass(rig)

    rig.disk.before = before
    outcome = rig.put("f", b"new", expected=expected)
    found = rig.store.look("f")
    assert isinstance(outcome, Done) and outcome.entry is not None and isinstance(found, Entry)
    assert outcome.entry.version == found.version
