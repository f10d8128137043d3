"""The state database damaged, lost, old, new, somebody else's or unwritable: never a lost file.

Without a memory the two sides are merged as if for the first time: what is on one
side only comes to the other, equal files are adopted, different ones are both kept.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from syncer.errors import StateError
from syncer.state import open_state
from tests.simulation.faults import COMMIT, Call, Calls
from tests.simulation.machines import RealMachine
from tests.world import World, as_nobody, call, open_to_nobody


@pytest.fixture
def agreed(world: World) -> World:
    """Forty files and a directory in step, and pending changes of every simple kind."""
    world.fill("local", 40, "d")
    world.write("local/here", "deleted here")
    world.write("local/there", "deleted there")
    world.write("local/edited", "old")
    world.write("local/both", "old too")
    world.settle()
    return world


def change(world: World) -> None:
    world.path("local/here").unlink()
    world.path("remote/there").unlink()
    world.write("local/edited", "edited here")
    world.write("local/both", "edited here, too")
    world.write("remote/both", "edited there, too")


def merged_as_for_the_first_time(world: World) -> None:
    """Nothing was deleted, what was deleted is back, edits against the old content are conflicts."""
    assert world.equal()
    side = world.side("local")
    assert side["here"].data == b"deleted here"
    assert side["there"].data == b"deleted there"
    assert {side["edited"].data, *_copies(world, "edited")} == {b"old", b"edited here"}
    assert {side["both"].data, *_copies(world, "both")} == {b"edited here, too", b"edited there, too"}
    assert sum(path.startswith("d/") for path in side) == 40


def _copies(world: World, stem: str) -> Iterator[bytes]:
    return (n.data for path, n in world.side("local").items() if path.startswith(f"{stem}.sync-conflict-"))


def truncate(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def zero(database: Path) -> None:
    database.write_bytes(bytes(database.stat().st_size))


def empty(database: Path) -> None:
    database.write_bytes(b"")


def scribble(database: Path) -> None:
    """The header stays whole, the pages behind it do not."""
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (database.stat().st_size - 4096))


def text(database: Path) -> None:
    database.write_text("this is a letter to my aunt\n" * 200)


def directory(database: Path) -> None:
    database.unlink()
    database.mkdir()


def tables_gone(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.execute("DROP TABLE entries")
        db.commit()


@pytest.mark.parametrize("damage", [truncate, zero, empty, scribble, text, directory, tables_gone])
def test_a_damaged_database_is_moved_aside_and_said_once(
    agreed: World, damage: Callable[[Path], None]
) -> None:
    change(agreed)
    before = agreed.everything()
    damage(agreed.database)
    ran = agreed.sync()
    assert ran.code == 0, ran
    assert "moved to" in "".join(ran.job["notes"])
    assert "Traceback" not in ran.err
    assert list(agreed.pair.glob("state.db.corrupt-*")), "the damaged file is kept"
    merged_as_for_the_first_time(agreed)
    assert before <= agreed.everything()
    again = agreed.sync()
    assert (again.code, again.actions, again.job["notes"]) == (0, [], [])


@pytest.mark.parametrize("damage", [truncate, zero, text])
def test_looking_at_a_damaged_database_changes_nothing(agreed: World, damage: Callable[[Path], None]) -> None:
    damage(agreed.database)
    before = agreed.database.read_bytes()
    assert agreed.plan().code == 0
    agreed.status()
    agreed.check()
    assert agreed.database.read_bytes() == before


@pytest.mark.parametrize("what", ["state.db", "the pair's directory", "the state directory"])
def test_a_lost_database_loses_no_file(agreed: World, what: str) -> None:
    change(agreed)
    before = agreed.everything()
    if what == "state.db":
        agreed.database.unlink()
    else:
        shutil.rmtree(agreed.pair if what == "the pair's directory" else agreed.path("state"))
    assert agreed.sync().code == 0
    merged_as_for_the_first_time(agreed)
    assert before <= agreed.everything()
    agreed.settle()


def test_equal_sides_without_a_database_are_adopted_without_a_transfer(agreed: World) -> None:
    agreed.database.unlink()
    ran = agreed.sync()
    assert ran.code == 0
    assert {action for action, _ in ran.actions} == {"adopt"}
    assert ran.job["totals"]["bytes_sent"] == 0


def test_an_older_copy_of_the_database_brings_nothing_back_and_deletes_nothing_new(agreed: World) -> None:
    """Between the backup and its return: an edit, a new file, a deletion, all of them synced."""
    backup = agreed.path("backup")
    shutil.copy2(agreed.database, backup)
    agreed.write("local/edited", "edited and synced")
    agreed.write("remote/new", "new and synced")
    agreed.path("local/here").unlink()
    agreed.settle()
    agreed.write("local/new", "edited after that")
    shutil.copy2(backup, agreed.database)
    before = agreed.everything()
    ran = agreed.sync()
    assert ran.code == 0, ran
    assert agreed.equal()
    side = agreed.side("local")
    assert side["edited"].data == b"edited and synced"
    assert "here" not in side
    assert {side["new"].data, *_copies(agreed, "new")} == {b"new and synced", b"edited after that"}
    assert before <= agreed.everything()
    agreed.settle()


def test_a_database_of_a_newer_schema_is_left_as_it_is(agreed: World) -> None:
    with closing(sqlite3.connect(agreed.database)) as db:
        db.execute("PRAGMA user_version=99")
    before, sides = agreed.database.read_bytes(), agreed.side("local")
    change(agreed)
    agreed.path("local/here").write_text("deleted here")
    ran = agreed.sync()
    assert ran.code == 5, ran
    assert "newer" in ran.err
    assert agreed.database.read_bytes() == before
    assert agreed.side("local").keys() == sides.keys()
    assert agreed.plan().code == 5


def test_a_database_of_another_pair_is_refused_and_accepted_by_yes_without_deletions(
    agreed: World, tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    other.write("local/unknown here", "of the other pair")
    other.settle()
    mine = agreed.database.read_bytes()
    shutil.copy2(other.database, agreed.database)
    change(agreed)
    before = {side: agreed.side(side) for side in ("local", "remote")}
    ran = agreed.sync()
    assert (ran.code, ran.codes) == (4, {"root-replaced"})
    assert before == {side: agreed.side(side) for side in ("local", "remote")}
    assert agreed.sync("--yes").code == 0
    merged_as_for_the_first_time(agreed)
    assert mine, "the test had a database to swap"


def test_a_renamed_job_keeps_its_memory_and_a_job_pointed_elsewhere_has_none(agreed: World) -> None:
    agreed.path("local/here").unlink()
    agreed.config.write_text(agreed.config.read_text().replace("[jobs.it]", "[jobs.that]"))
    ran = agreed.sync()
    assert ran.actions == [("delete-remote", "here")]
    agreed.path("local/there").unlink()
    agreed.configure(remote=str(agreed.path("fresh")))
    assert agreed.sync().code == 0
    assert set(agreed.side("fresh")) == set(agreed.side("local"))
    assert agreed.path("remote/there").exists(), "the old remote is nobody's business any more"


def test_swapped_roots_are_a_first_run(agreed: World) -> None:
    agreed.path("local/here").unlink()
    home = agreed.home
    ran = call(
        "--config", str(agreed.config), "sync", "--json", str(home / "remote"), f"local:{home / 'local'}"
    )
    assert ran.code == 0, ran
    assert agreed.read("local/here") == b"deleted here", "without a memory a missing file is no deletion"


class TestStateThatCannotBeWritten:
    """Exit 5 with a hint, and the sides stay as they are."""

    def unchanged(self, world: World, run: Callable[[], int]) -> None:
        change(world)
        before = {side: world.side(side) for side in ("local", "remote")}
        assert run() == 5
        assert before == {side: world.side(side) for side in ("local", "remote")}

    def test_a_state_directory_that_is_read_only(self, agreed: World) -> None:
        open_to_nobody(agreed)
        for place in (*agreed.pair.iterdir(), agreed.pair, agreed.path("state")):
            place.chmod(0o500 if place.is_dir() else 0o400)

        def run() -> int:
            ran = agreed.sync()
            told = str(agreed.pair) in ran.err and "hint" in ran.err and "unexpected" not in ran.err
            return ran.code if told else 98

        self.unchanged(agreed, lambda: as_nobody(run))

    def test_a_state_directory_that_is_a_file(self, agreed: World) -> None:
        agreed.path("state").rename(agreed.path("away"))
        agreed.path("state").write_text("not a directory")
        self.unchanged(agreed, lambda: agreed.sync().code)

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
    @pytest.mark.parametrize("commit", [1, 2])
    def test_a_commit_that_fails_stops_the_run(self, tmp_path: Path, code: int, commit: int) -> None:
        """Nothing is done any more that could not be remembered; the next run heals."""
        machine = RealMachine(tmp_path)
        for number in range(3):
            (tmp_path / f"local/f{number}").write_text(f"content {number}")
        assert machine.run().exit_code == 0
        (tmp_path / "local/f0").write_text("edited")
        (tmp_path / "remote/f1").unlink()
        end = machine.run(FullState(commit, code))
        assert end.exit_code == 5, str(end)
        assert (tmp_path / "local/f1").exists() or commit > 1, "deletions come after what failed"
        healed = machine.run()
        assert healed.exit_code == 0, str(healed)
        assert machine.differences() == []
        assert (tmp_path / "remote/f0").read_text() == "edited"
        assert not (tmp_path / "local/f1").exists()


class FullState:
    """Every commit from the n-th on fails."""

    def __init__(self, commit: int, code: int) -> None:
        self.left = commit
        self.code = code

    def concerns(self, call: Call, calls: Calls) -> bool:
        if call.name == COMMIT:
            self.left -= 1
        return call.name == COMMIT and self.left <= 0

    def strike(self, call: Call, calls: Calls) -> None:
        raise StateError(os.strerror(self.code))


def test_a_database_that_is_too_young_for_its_files_is_only_a_detour(tmp_path: Path) -> None:
    """A kill between the file and its row: the row is older than the file, both sides are equal."""
    machine = RealMachine(tmp_path)
    (tmp_path / "local/f").write_text("first")
    assert machine.run().exit_code == 0
    image = (tmp_path / "state/state.db").read_bytes()
    (tmp_path / "local/f").write_text("second")
    assert machine.run().exit_code == 0
    (tmp_path / "state/state.db").write_bytes(image)
    end = machine.run()
    assert end.exit_code == 0, str(end)
    assert end.report is not None and not end.report.conflicts
    with open_state(tmp_path / "state") as state:
        assert state.memory.known() == 1
