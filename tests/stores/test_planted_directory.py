"""Where others may write to a root, one of them may have made its `.syncer`: it is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from syncer.errors import LocalError, StateError
from syncer.state.directory import prepare
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Trash
from tests.contract.doubles import SteppingClock


def store(root: Path) -> FolderStore:
    fs, clock = FileSystem(), SteppingClock()
    trash = Trash.inside(str(root), fs=fs, clock=clock, run="r")
    return FolderStore(str(root), fs=fs, trash=trash, tag="t" * 8, clock=clock)


def test_a_private_directory_of_another_user_is_not_used(tmp_path: Path) -> None:
    """It told which memory belongs to the root, and was where deleted files went."""
    planted = tmp_path / ".syncer"
    planted.mkdir()
    (planted / "root-id").write_text("0" * 32 + "\n")
    os.chown(planted, 12345, 12345)
    with pytest.raises(LocalError, match="belongs to another user") as found:
        store(tmp_path).root()
    assert "chown" in found.value.hint
    with pytest.raises(LocalError, match="belongs to another user"):
        store(tmp_path).write_root_id("1" * 32)
    with pytest.raises(LocalError, match="belongs to another user"):
        Trash.inside(str(tmp_path), fs=FileSystem(), clock=SteppingClock(), run="r").open(make=True)
    assert (planted / "root-id").read_text() == "0" * 32 + "\n"


def test_that_of_the_roots_own_owner_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / ".syncer"):
        path.mkdir(exist_ok=True)
        os.chown(path, 12345, 12345)
    (tmp_path / ".syncer" / "root-id").write_text("0" * 32 + "\n")
    state = store(tmp_path).root()
    assert state is not None and state.marker == "0" * 32


def test_a_state_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "state"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    with pytest.raises(StateError, match="belongs to another user"):
        prepare(theirs)
