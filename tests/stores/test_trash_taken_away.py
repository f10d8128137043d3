"""Somebody empties the trash by hand while a store lives: a server's does for days."""

from __future__ import annotations

import errno
import shutil

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done
from tests.contract.doubles import failing
from tests.contract.rigs import FolderRig, in_order
from tests.stores.test_trash import throw_away


@pytest.mark.parametrize("gone", [".syncer", ".syncer/trash"])
def test_a_trash_that_was_taken_away_is_made_anew(rig: FolderRig, gone: str) -> None:
    throw_away(rig, "a", b"old")
    shutil.rmtree(rig.root / gone)
    rig.write("f", b"1")
    assert isinstance(rig.put("f", b"2", expected=rig.entry("f")), Done)
    assert rig.read("f") == b"2" and rig.kept() == [b"1"]


def test_what_is_gone_from_the_trash_needs_no_sync_any_more(rig: FolderRig) -> None:
    """A sync that failed is made up for by the next session, unless there is nothing left of it."""
    throw_away(rig, "d/a", b"old")
    rig.write("d/x", b"x")
    rig.write("f", b"1")
    rig.disk.before = failing("sync", errno.EIO)
    [outcome] = in_order(rig.store.delete([DeleteRequest(path="d/x", expected=rig.entry("d/x"))]), 1)
    assert not isinstance(outcome, Done) and rig.read("d/x") == b"x"
    rig.disk.before = failing("none", 0)
    shutil.rmtree(rig.root / ".syncer/trash")
    assert isinstance(rig.put("f", b"2", expected=rig.entry("f")), Done)
    assert rig.read("f") == b"2" and rig.kept() == [b"1"]


def test_an_empty_directory_that_was_removed_from_the_trash_meanwhile_is_made_anew(rig: FolderRig) -> None:
    """By the bound on its size: what was about to go there could not be deleted, and that run failed."""
    rig.write("d/x", b"x")

    def tidy_up(call: str, *_: object) -> None:
        if call == "link" and not seen:
            [batch] = (rig.root / ".syncer/trash").iterdir()
            seen.append(batch.name)
            shutil.rmtree(batch)

    seen: list[str] = []
    rig.disk.before = tidy_up
    [outcome] = in_order(rig.store.delete([DeleteRequest(path="d/x", expected=rig.entry("d/x"))]), 1)
    assert isinstance(outcome, Done) and rig.kept() == [b"x"] and seen
