"""The marker of a root: written once by several machines, and again where only it was removed."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from syncer.stores.local.store import FolderStore
from tests.contract.doubles import HookedDisk, SteppingClock, once_before
from tests.world import SIDES, World


@pytest.fixture
def agreed(world: World) -> World:
    world.fill("local", 20)
    world.settle()
    return world


def marker(world: World, side: str) -> Path:
    return world.path(f"{side}/.syncer/root-id")


# -- lost and written again ----------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("what", ["marker", "directory"])
def test_a_marker_that_was_tidied_away_is_written_again(agreed: World, side: str, what: str) -> None:
    before = marker(agreed, side).read_text()
    if what == "marker":
        marker(agreed, side).unlink()
    else:
        shutil.rmtree(marker(agreed, side).parent)
    assert agreed.plan().code == 0
    assert agreed.settle().actions == []
    assert marker(agreed, side).read_text() == before


@pytest.mark.parametrize("side", SIDES)
def test_a_folder_made_anew_in_place_of_a_root_is_refused_whatever_its_inode(
    agreed: World, side: str
) -> None:
    """Its inode may be the old one's: then its contents tell."""
    root = agreed.path(side)
    for child in root.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
    agreed.write(f"{side}/file-000", "one of twenty")
    ran = agreed.sync()
    assert (ran.code, ran.codes) == (4, {"root-replaced"})


def test_what_was_deleted_together_with_the_marker_is_deleted_on_the_other_side(agreed: World) -> None:
    marker(agreed, "local").unlink()
    agreed.path("local/file-000").unlink()
    assert agreed.sync().actions == [("delete-remote", "file-000")]


# -- git ----------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    base = ["git", "-c", "user.name=n", "-c", "user.email=a@b"]
    return subprocess.run([*base, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_git_neither_takes_the_marker_along_nor_away(world: World) -> None:
    local = world.path("local")
    git(local, "init", "-q")
    world.write("local/f", "1")
    world.settle()
    git(local, "add", "-A")
    assert git(local, "ls-files").split() == ["f"]
    git(local, "commit", "-qm", "1")
    world.settle()
    git(local, "clean", "-fdq")
    git(world.path("remote"), "reset", "-q", "--hard")
    world.settle()
    assert marker(world, "local").is_file() and marker(world, "remote").is_file()


def test_a_root_of_an_earlier_version_gets_the_file_that_keeps_git_away(agreed: World) -> None:
    ignore = agreed.path("local/.syncer/.gitignore")
    ignore.unlink()
    agreed.settle()
    assert ignore.read_text() == "*\n"


# -- several first runs at once ----------------------------------------------------------


def store(root: Path, tag: str, disk: HookedDisk | None = None) -> FolderStore:
    return FolderStore(str(root), fs=disk or HookedDisk(), clock=SteppingClock(), tag=tag)


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename_noreplace"])
def test_of_two_machines_that_mark_a_root_at_once_both_find_the_marker_of_the_first(
    tmp_path: Path, call: str
) -> None:
    (tmp_path / "root").mkdir()
    other = store(tmp_path / "root", "22222222")
    disk = HookedDisk()
    disk.before = once_before(call, lambda: other.write_root_id("bb" * 16, only_first=True))
    one = store(tmp_path / "root", "11111111", disk)
    one.write_root_id("aa" * 16, only_first=True)
    states = one.root(), other.root()
    assert [state.marker for state in states if state] == ["bb" * 16] * 2
    names = {path.name for path in (tmp_path / "root/.syncer").iterdir()}
    assert not [name for name in names if name.startswith(".syncer-tmp-")]


def test_eight_first_runs_at_once_end_with_one_marker_and_go_on(tmp_path: Path) -> None:
    from syncer.config import JobSettings, Location, Settings
    from syncer.jobs import Environment as Jobs
    from syncer.jobs import Runner, RunOptions
    from tests.jobs.runners import Ears

    (tmp_path / "shared").mkdir()
    runners = []
    for number in range(8):
        local = tmp_path / f"machine-{number}"
        local.mkdir()
        (local / f"of-{number}").write_text(f"{number}")
        job = JobSettings(
            name="docs",
            local=local,
            remote=Location(account="local", path=str(tmp_path / "shared")),
            settle=0,
        )
        settings = Settings(
            path=None, state_dir=tmp_path / f"state-{number}", accounts={}, jobs={"docs": job}
        )
        runners.append(Runner(Jobs(settings=settings, reporter=Ears()), job))
    threads = [threading.Thread(target=runner.run, args=(RunOptions(),)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = [runner.run(RunOptions()) for runner in runners]
    assert [result.error for result in results] == [None] * 8
    for runner in runners:
        runner.run(RunOptions())
        runner.close()
    assert len([path for path in (tmp_path / "shared").iterdir() if path.is_file()]) == 8
