"""The server's trash is bounded by size: what is over it goes before its time, by the right order."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from syncer.clock import SystemClock
from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Done
from syncer.server.folder import Key, ServedFolder
from syncer.server.maintenance import Maintenance
from syncer.server.trash_bound import LOOKS, TrashIndex
from syncer.stores.local.trash import Kept
from tests.server.conftest import run

ALL = Key(name="all")
SIZE = 1000


class Trashed:
    """A served folder whose files go to the trash one by one."""

    def __init__(self, base: Path, *, limit: int | None) -> None:
        (base / "folder").mkdir(exist_ok=True)
        (base / "state").mkdir(exist_ok=True)
        self.base = base
        self.served = ServedFolder(base / "folder", base / "state", clock=SystemClock())
        self.upkeep = Maintenance(self.served, trash_days=30, trash_size=limit)

    def remove(self, path: str, word: str) -> None:
        """`word` begins the content."""
        place = self.base / "folder" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(word.ljust(SIZE))
        with self.served.store(ALL) as store:
            entry = store.stat(path)
            assert entry is not None
            [(_, outcome)] = store.delete([DeleteRequest(path=path, expected=entry)])  # type: ignore[arg-type]
            assert isinstance(outcome, Done), outcome

    def look(self) -> int:
        """So many turns that nothing is young any more; answers how many files were removed."""
        return sum(self.upkeep.bound_trash() for _ in range(LOOKS + 1))

    def kept(self) -> list[str]:
        """The words of what is in the trash."""
        trash = self.base / "state/trash"
        return sorted(p.read_text().strip() for p in trash.rglob("*") if p.is_file())

    def close(self) -> None:
        self.served.close()


def test_of_what_is_overwritten_again_and_again_the_oldest_goes_first(tmp_path: Path) -> None:
    """A 200 MB file that was edited each minute filled the server's disk: 12 GB an hour, for a month."""
    there = Trashed(tmp_path, limit=4 * SIZE)
    there.remove("deleted/by/hand", "person")
    for number in range(8):
        there.remove("d/program", f"version {number}")
    assert there.look() == 5
    assert there.kept() == ["person", "version 5", "version 6", "version 7"]
    there.close()


def test_where_no_version_is_repeated_the_oldest_goes_first(tmp_path: Path) -> None:
    there = Trashed(tmp_path, limit=2 * SIZE)
    for number in range(5):
        there.remove(f"d{number}/f", f"file {number}")
    assert there.look() == 3
    assert there.kept() == ["file 3", "file 4"]
    assert sorted(p.name for p in (tmp_path / "state/trash").glob("*/*/*")) == ["d3", "d4"], "no empty ones"
    there.close()


def test_what_came_since_the_last_looks_stays_whatever_its_size(tmp_path: Path) -> None:
    there = Trashed(tmp_path, limit=SIZE)
    there.look()
    there.remove("f", "one")
    there.remove("f", "two")
    assert [there.upkeep.bound_trash() for _ in range(LOOKS)] == [0] * LOOKS
    assert there.kept() == ["one", "two"]
    assert there.upkeep.bound_trash() == 1 and there.kept() == ["two"]
    there.close()


def test_a_trash_below_its_bound_loses_nothing(tmp_path: Path) -> None:
    there = Trashed(tmp_path, limit=None)
    for number in range(5):
        there.remove("f", str(number))
    assert there.look() == 0 and len(there.kept()) == 5
    there.close()


def test_what_an_earlier_server_left_is_known_after_a_look_at_the_trash(tmp_path: Path) -> None:
    """Also where the index was lost: then it is found again on the disk."""
    first = Trashed(tmp_path, limit=None)
    for number in range(5):
        first.remove("f", str(number))
    first.close()
    (tmp_path / "state/trash.sqlite").write_bytes(b"no database" * 1000)
    again = Trashed(tmp_path, limit=2 * SIZE)
    assert again.look() == 0, "nothing is known yet"
    again.upkeep._bound.look()
    assert again.look() == 3 and len(again.kept()) == 2
    again.close()


def test_a_trash_that_was_emptied_by_hand_has_room_again(tmp_path: Path) -> None:
    there = Trashed(tmp_path, limit=3 * SIZE)
    for number in range(3):
        there.remove("f", str(number))
    for place in (tmp_path / "state/trash").rglob("f"):
        place.unlink()
    there.upkeep._bound.look()
    there.remove("g", "late")
    assert there.look() == 0 and there.kept() == ["late"]
    there.close()


def test_a_thing_that_did_not_stay_in_the_trash_is_not_counted(tmp_path: Path) -> None:
    index = TrashIndex(tmp_path / "index")
    index.note("trash", Kept("batch", "a"), 5)
    index.note("trash", Kept("batch", "b"), 7)
    index.note("trash", Kept("batch", "a"), None)
    assert index.size() == (7, 2)
    index.close()


def test_an_index_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    index = TrashIndex(tmp_path / "index")
    index.close()
    for number in range(2000):
        index.note("trash", Kept("batch", str(number)), 1)
    with pytest.raises(sqlite3.Error):
        index.size()


def test_that_the_bound_bit_is_said_once_and_then_once_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Trashed(tmp_path, limit=SIZE)
    for turn in range(3):
        there.remove("f", f"{turn} a")
        there.remove("f", f"{turn} b")
        assert there.look()
        there.upkeep.log_removals(hourly=False)
    there.upkeep.log_removals(hourly=True)
    there.upkeep.log_removals(hourly=True)
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "1 file was removed before --trash-days", "4 files were removed before --trash-days"
    ]  # fmt: skip
    there.close()


@pytest.mark.parametrize("size", ["x", "0", "-1"])
def test_a_bound_that_is_none_is_refused(tmp_path: Path, size: str) -> None:
    done = run("serve", str(tmp_path), "--state", str(tmp_path / "s"), f"--trash-size={size}", "--list-keys")
    assert done.returncode == 2 and "--trash-size: " in done.stderr and "10G" in done.stderr
