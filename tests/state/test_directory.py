"""Where the state may live."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncer.errors import StateError
from syncer.state import directory as place_module
from syncer.state import prepare
from syncer.state.directory import file_system, mounts

TABLE = [
    b"overlay / overlay rw 0 0",
    b"disk /tmp ext4 rw 0 0",
    b"server:/x /tmp/my\\040home nfs4 rw 0 0",
    b"broken",
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/my home", "nfs4"),
        ("/tmp/my home/state", "nfs4"),
        ("/tmp/my homework", "ext4"),
        ("/nowhere", "overlay"),
    ],
)
def test_the_deepest_mount_says_what_a_path_is_on(path: str, kind: str) -> None:
    assert file_system(Path(path), TABLE) == kind


def test_a_mount_over_another_counts() -> None:
    assert file_system(Path("/tmp"), [*TABLE, b"memory /tmp tmpfs rw 0 0"]) == "tmpfs"


def test_no_table_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module, "_MOUNTS", tmp_path / "missing")
    assert mounts() == []
    assert file_system(tmp_path, mounts()) == ""


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mounts"
    table.write_bytes(b"server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(place_module, "_MOUNTS", table)
    with pytest.raises(StateError, match="nfs4") as caught:
        prepare(tmp_path / "state")
    assert "local disk" in caught.value.hint
