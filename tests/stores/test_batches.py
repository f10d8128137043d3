"""The late look: the stamp that is remembered is the one the name has once everything is in place."""

from __future__ import annotations

import pytest

from syncer.engine.model import Done, Entry
from tests.contract.doubles import let_the_disk_tick
from tests.contract.rigs import FolderRig


@pytest.mark.parametrize("taken", [False, True], ids=["a free name", "a taken name"])
def test_a_stamp_that_changed_when_the_file_got_its_name_is_remembered_as_it_is_then(
    rig: FolderRig, taken: bool
) -> None:
    if taken:
        rig.write("f", b"old")
    expected = rig.entry("f") if taken else None

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method in ("rename_noreplace", "exchange"):
            let_the_disk_tick(rig.root)

    rig.disk.before = before
    outcome = rig.put("f", b"new", expected=expected)
    found = rig.store.stat("f")
    assert isinstance(outcome, Done) and outcome.entry is not None and isinstance(found, Entry)
    assert outcome.entry.version == found.version
