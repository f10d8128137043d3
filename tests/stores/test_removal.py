"""Taking files away while somebody else is at work on the same names."""

from __future__ import annotations

import os

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Stale
from tests.contract.rigs import FolderRig, in_order


def test_a_file_saved_anew_right_before_its_delete_is_kept_even_if_its_name_is_taken(rig: FolderRig) -> None:
    rig.write("f", b"old")
    planned = rig.entry("f")

    def before(method: str, arguments: tuple[object, ...]) -> None:
        if method == "rename":
            rig.write("editor~", b"saved anew")
            os.replace(rig.root / "editor~", rig.root / "f")
        if method == "rename_noreplace" and arguments[2] == "f" and not (rig.root / "f").exists():
            rig.write("f", b"a third")

    rig.disk.before = before
    outcome = in_order(rig.store.delete([DeleteRequest(path="f", expected=planned)]), 1)[0]
    assert isinstance(outcome, Stale) and rig.read("f") == b"a third"
    assert {b"old", b"saved anew"} <= set(rig.kept())
