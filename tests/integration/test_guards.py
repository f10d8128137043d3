"""Each guard: what trips it, the exit code, that nothing changed, and that it clears by itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from syncer.stores.local.filesystem import FileSystem
from tests.simulation.machines import FastClock, Machine
from tests.world import SIDES, Ran, World


@pytest.fixture
def agreed(world: World) -> World:
    """Twenty files in step on both sides."""
    world.fill("local", 20)
    world.settle()
    return world


def refused(world: World, guard: str, *words: str) -> Ran:
    """A run that must be refused whole, and change nothing."""
    before = {side: world.side(side) for side in SIDES if world.path(side).is_dir()}
    ran = world.sync(*words)
    assert ran.code == 4, ran
    assert (ran.job["result"], ran.codes) == ("refused", {guard})
    assert "Traceback" not in ran.err
    assert before == {side: world.side(side) for side in SIDES if world.path(side).is_dir()}
    return ran


@pytest.mark.parametrize("side", SIDES)
def test_a_missing_root_refuses_the_job_until_it_is_back(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    ran = refused(agreed, "root-missing")
    assert str(agreed.path(side)) in ran.err
    assert not agreed.path(side).exists(), "a root that was known is never made anew"
    agreed.path("away").rename(agreed.path(side))
    agreed.settle()


@pytest.mark.parametrize("side", SIDES)
def test_a_missing_root_is_refused_even_with_yes(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    refused(agreed, "root-missing", "--yes")


@pytest.mark.parametrize("side", SIDES)
def test_a_root_that_became_a_file_refuses_the_job(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    agreed.write(side, "a file where the root was")
    refused(agreed, "root-missing")
    assert agreed.read(side) == b"a file where the root was"
    agreed.path(side).unlink()
    agreed.path("away").rename(agreed.path(side))
    agreed.settle()


@pytest.mark.parametrize("side", SIDES)
def test_a_root_that_became_a_symlink_to_elsewhere_is_another_pair(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    agreed.path("elsewhere").mkdir()
    agreed.write("elsewhere/own", "somebody's")
    agreed.path(side).symlink_to(agreed.path("elsewhere"))
    other = "remote" if side == "local" else "local"
    before = agreed.side(other)
    assert agreed.sync().code == 0
    assert {path: agreed.side(other)[path].data for path in before} == {p: n.data for p, n in before.items()}


@pytest.mark.parametrize("side", SIDES)
def test_an_unmounted_disk_leaves_an_empty_folder_and_refuses_the_job(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    agreed.path(side).mkdir()
    refused(agreed, "root-replaced")
    agreed.path(side).rmdir()
    agreed.path("away").rename(agreed.path(side))
    agreed.settle()


@pytest.mark.parametrize("side", SIDES)
def test_an_emptied_root_refuses_the_job_until_files_are_back(agreed: World, side: str) -> None:
    kept = agreed.path("kept")
    shutil.copytree(agreed.path(side), kept, ignore=shutil.ignore_patterns(".syncer"))
    for name in agreed.side(side):
        agreed.path(f"{side}/{name}").unlink()
    refused(agreed, "emptied")
    shutil.copytree(kept, agreed.path(side), dirs_exist_ok=True)
    agreed.settle()


def test_an_emptied_root_is_let_through_by_yes(agreed: World) -> None:
    for name in agreed.side("local"):
        agreed.path(f"local/{name}").unlink()
    assert agreed.plan().code == 4, "a plan says what a guard would do"
    ran = agreed.sync("--yes")
    assert ran.code == 0, ran
    assert agreed.side("remote") == {}
    assert len(agreed.everything()) == 20, "all of it is in the trash"


@pytest.mark.parametrize("side", SIDES)
def test_a_root_without_its_marker_is_another_root_until_the_marker_is_back(agreed: World, side: str) -> None:
    agreed.path(side).rename(agreed.path("away"))
    shutil.copytree(agreed.path("away"), agreed.path(side), ignore=shutil.ignore_patterns(".syncer"))
    refused(agreed, "root-replaced")
    shutil.copytree(agreed.path("away/.syncer"), agreed.path(f"{side}/.syncer"))
    agreed.settle()


@pytest.mark.parametrize("side", SIDES)
def test_another_marker_is_accepted_by_yes_as_a_first_run_that_deletes_nothing(
    agreed: World, side: str
) -> None:
    agreed.path(f"{side}/.syncer/root-id").write_text("f" * 32 + "\n")
    for name in list(agreed.side(side))[:5]:
        agreed.path(f"{side}/{name}").unlink()
    refused(agreed, "root-replaced")
    ran = agreed.sync("--yes")
    assert ran.code == 0, ran
    assert agreed.equal()
    assert len(agreed.side("local")) == 20
    agreed.settle()


class OnDevice(FileSystem):
    """A disk that says it is another file system whenever the test says so."""

    device = "one"

    def file_system_id(self, fd: int) -> str:
        return self.device


def test_the_same_folder_on_another_file_system_is_refused_until_the_right_one_is_mounted(
    tmp_path: Path,
) -> None:
    disk = OnDevice()
    for name in ("local", "remote", "keep", "state"):
        (tmp_path / name).mkdir()
    machine = Machine(disk, FastClock(), str(tmp_path), tmp_path / "state")
    (tmp_path / "local/f").write_text("content")
    assert machine.run().exit_code == 0
    disk.device = "another"
    (tmp_path / "local/f").unlink()
    end = machine.run()
    assert (end.exit_code, getattr(end.error, "guard", "")) == (4, "root-replaced")
    assert (tmp_path / "remote/f").read_text() == "content"
    disk.device = "one"
    assert machine.run().exit_code == 0
    assert not (tmp_path / "remote/f").exists()


class TestMassDeletion:
    """Held: the deletions of a side, as long as they are too many. Everything else flows."""

    @pytest.fixture
    def doomed(self, agreed: World) -> list[str]:
        """Twelve of twenty deleted here, one edited here, one new there."""
        names = sorted(agreed.side("local"))[:12]
        for name in names:
            agreed.path(f"local/{name}").unlink()
        agreed.write("local/file-019", "edited meanwhile")
        agreed.write("remote/new", "new there")
        return names

    def test_deletions_are_held_and_everything_else_flows(self, agreed: World, doomed: list[str]) -> None:
        ran = agreed.sync()
        assert (ran.code, ran.job["result"], ran.codes) == (4, "held", {"mass-delete"})
        assert set(doomed) <= set(agreed.side("remote"))
        assert agreed.read("remote/file-019") == b"edited meanwhile"
        assert agreed.read("local/new") == b"new there"
        assert not set(doomed) & set(agreed.side("local")), "what the user deleted does not come back"

    def test_status_names_the_held_deletions_until_they_are_let_through(
        self, agreed: World, doomed: list[str]
    ) -> None:
        agreed.sync()
        (held,) = agreed.status()["held"]
        assert (held["side"], sorted(held["paths"])) == ("remote", doomed)
        assert agreed.sync("--max-delete", "12").code == 0
        assert agreed.status()["held"] == []

    @pytest.mark.parametrize("words", [("--yes",), ("--max-delete", "12"), ("--max-delete", "90%")])
    def test_one_word_lets_them_through_for_one_run(
        self, agreed: World, doomed: list[str], words: tuple[str, ...]
    ) -> None:
        assert agreed.sync("--max-delete", "11").code == 4
        ran = agreed.sync(*words)
        assert ran.code == 0, ran
        assert agreed.equal()
        assert not set(doomed) & set(agreed.side("remote"))
        agreed.settle()

    def test_files_that_come_back_clear_the_guard(self, agreed: World, doomed: list[str]) -> None:
        agreed.sync()
        for name in doomed[:6]:
            agreed.write(f"local/{name}", agreed.read(f"remote/{name}"))
        agreed.settle()
        assert set(agreed.side("remote")) & set(doomed) == set(doomed[:6])

    def test_it_is_held_again_and_again_and_nothing_is_lost(self, agreed: World, doomed: list[str]) -> None:
        for _ in range(3):
            assert agreed.sync().code == 4
        assert set(doomed) <= set(agreed.side("remote"))

    def test_a_plan_shows_what_would_be_held_and_exits_with_4(self, agreed: World, doomed: list[str]) -> None:
        ran = agreed.plan()
        assert ran.code == 4
        assert ran.job["exit"] == 4
        assert not [a for a in ran.actions if a[0].startswith("delete")]
        (held,) = ran.job["problems"]
        assert sorted(held["paths"]) == doomed


def test_a_count_in_the_job_holds_fewer_deletions_as_well(tmp_path: Path) -> None:
    world = World(tmp_path, max_delete="2")
    world.fill("local", 20)
    world.settle()
    for name in ("file-000", "file-001", "file-002"):
        world.path(f"remote/{name}").unlink()
    assert world.sync().code == 4
    assert world.path("local/file-000").exists()
    world.write("remote/file-000", "back with other content")
    assert world.sync().code == 0
    assert not world.path("local/file-001").exists()


def test_few_deletions_pass_whatever_their_share(world: World) -> None:
    world.fill("local", 9)
    world.write("local/stays", "one")
    world.settle()
    for number in range(9):
        world.path(f"local/file-{number:03}").unlink()
    assert world.sync().code == 0
    assert set(world.side("remote")) == {"stays"}


@pytest.mark.parametrize("side", SIDES)
def test_a_rename_of_everything_is_no_deletion(world: World, side: str) -> None:
    world.fill("local", 30, "old")
    world.write("local/stays", "so that the root is not empty")
    world.settle()
    world.path(f"{side}/old").rename(world.path(f"{side}/new"))
    ran = world.sync()
    assert ran.code == 0, ran
    assert {action for action, _ in ran.actions} <= {"move-local", "move-remote"}
    assert ran.job["totals"]["bytes_sent"] + ran.job["totals"]["bytes_received"] == 0
    assert world.equal()


class Shut(FileSystem):
    """A disk on which one directory of one side cannot be opened."""

    shut = ""

    def open_directory(self, name: str, dir_fd: int) -> int:
        if self.shut and f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}" == self.shut:
            raise PermissionError(13, "Permission denied")
        return super().open_directory(name, dir_fd)


@pytest.mark.parametrize("side", SIDES)
def test_nothing_is_deleted_because_of_a_directory_that_cannot_be_read(tmp_path: Path, side: str) -> None:
    disk = Shut()
    for name in ("local/d", "remote", "keep", "state"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(5):
        (tmp_path / f"local/d/f{number}").write_text(f"content {number}")
    (tmp_path / "local/other").write_text("other")
    machine = Machine(disk, FastClock(), str(tmp_path), tmp_path / "state")
    assert machine.run().exit_code == 0
    before = machine.tree()
    disk.shut = str(tmp_path / side / "d")
    (tmp_path / "local/other").write_text("edited")
    end = machine.run()
    disk.shut = ""
    assert end.exit_code == 1, str(end)
    assert (tmp_path / "remote/other").read_text() == "edited", "one bad directory stops nothing else"
    after = machine.tree()
    assert {p for p in before if "/d/" in p} == {p for p in after if "/d/" in p}
    assert machine.run().exit_code == 0
