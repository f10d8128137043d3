"""A link's text that no link can hold fails alone."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Failed, Kind
from tests.contract.rigs import FolderRig


@pytest.mark.parametrize("target", ["a\0b", "\ud800", "x" * 5000])
def test_a_link_text_that_no_disk_takes_is_that_items_trouble(rig: FolderRig, target: str) -> None:
    outcome = rig.store.put([_link("odd", target), _link("plain", "a")])
    found = dict(outcome)
    assert isinstance(found[0], Failed) and isinstance(found[1], Done)
    assert sorted(p.name for p in rig.root.iterdir()) == [".syncer", "plain"]


def _link(path: str, target: str):

    return WriteRequest(path=path, kind=Kind.SYMLINK, source=None, size=1, expected=None, target=target)
