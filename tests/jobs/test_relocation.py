"""Roots that are moved, copied, or reached in another way: whose memory is whose."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syncer import jobs
from syncer.config import JobSettings, Location, Settings
from syncer.engine.interfaces import ForgetBase
from syncer.engine.model import Side
from syncer.jobs import Environment, RunOptions, SystemClock, factory, relocation
from syncer.jobs.results import JobResult
from syncer.jobs.state_dir import place_of
from syncer.state import installation
from tests.jobs.runners import Ears


class Home:
    """Folders, and jobs between them, as a user has them in the config."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.settings = Settings(path=None, state_dir=base / "state", accounts={}, jobs={})
        for name in ("docs", "copy"):
            (base / name).mkdir()

    def job(self, local: str = "docs", remote: str = "copy", name: str = "j") -> JobSettings:
        where = Location(account="local", path=str(self.base / remote))
        return JobSettings(name=name, local=self.base / local, remote=where)

    def configure(self, *settings: JobSettings) -> None:
        self.settings = replace(self.settings, jobs={job.name: job for job in settings})

    def sync(self, job: JobSettings, **wish: object) -> JobResult:
        world = Environment(settings=self.settings, reporter=Ears())
        return jobs.sync(world, job, RunOptions(**wish))  # type: ignore[arg-type]

    def plan(self, job: JobSettings) -> JobResult:
        return jobs.plan(Environment(settings=self.settings, reporter=Ears()), job, RunOptions())

    def marker(self, name: str) -> str:
        return (self.base / name / ".syncer/root-id").read_text()

    def tree(self, name: str) -> dict[str, str]:
        root = self.base / name
        files = [p for p in root.rglob("*") if p.is_file() and ".syncer" not in p.parts]
        return {str(p.relative_to(root)): p.read_text() for p in files}

    def runs(self, job: JobSettings) -> list[int]:
        with jobs.view(self.settings, job) as state:
            return [run.id for run in state.ledger.runs()]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    for name in ("a", "b", "d/c"):
        (tmp_path / "docs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text(name)
    assert made.sync(made.job()).exit_code == 0
    (tmp_path / "copy/b").unlink()
    assert made.sync(made.job()).exit_code == 0, "b is in the trash of docs"
    return made


MOVES = {"local": ("docs", "moved"), "remote": ("copy", "moved")}


@pytest.mark.parametrize("side", MOVES)
def test_a_waiting_deletion_was_undone_after_a_root_was_moved(home: Home, side: str) -> None:
    (home.base / "docs/a").unlink()
    old, new = MOVES[side]
    (home.base / old).rename(home.base / new)
    job = home.job(**{side: new})
    planned = home.plan(job).plan
    assert planned is not None and [type(a).__name__ for a in planned.actions] == ["Delete"]
    assert home.runs(job) == [2, 1], "a look knows it as well"
    assert place_of(home.settings, home.job()).known, "looking moves nothing"
    result = home.sync(job)
    assert result.exit_code == 0 and "what was known of them is kept" in result.notes[0]
    assert home.tree(job.local.name) == home.tree(Path(job.remote.path).name) == {"d/c": "d/c"}
    assert home.runs(job) == [3, 2, 1], "the history is the same"
    assert not place_of(home.settings, home.job()).known
    kept = {p.name for p in place_of(home.settings, job).directory.glob("*/trash/*/*")}
    assert kept == {"a", "b"}, "the trash came along"
    assert home.sync(job).notes == ()


def test_a_root_that_is_copied_is_another_pair_with_a_marker_of_its_own(home: Home) -> None:
    for side, copy in (("local", "docs2"), ("remote", "copy2")):
        old, _ = MOVES[side]
        shutil.copytree(home.base / old, home.base / copy, symlinks=True)
        job = home.job(**{side: copy})
        result = home.sync(job)
        assert result.exit_code == 0 and "a marker of its own" in result.notes[0]
        assert home.marker(copy) != home.marker(old)
        assert home.runs(job) == [1]
        assert home.sync(home.job()).exit_code == 0, "the old pair is what it was"
        assert home.sync(job).exit_code == 0
    assert home.runs(home.job())[0] == 4


def test_a_folder_that_is_mounted_twice_is_no_copy_of_itself(home: Home) -> None:
    job, clock = home.job(), SystemClock()
    before = home.marker("copy")
    with factory.stores(home.settings, job, place_of(home.settings, job), clock=clock, run="1") as stores:
        notes = relocation.mark_copies(stores, {Side.REMOTE: str(home.base / "copy")}, None)
    assert (home.marker("copy"), notes) == (before, [])
    assert home.sync(job).exit_code == 0


def test_a_root_copied_to_another_disk_keeps_its_memory_once_the_old_place_is_gone(home: Home) -> None:
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == home.base.stat().st_dev:
        shm = home.base
    disk = shm / f"relocated-{os.getpid()}"
    try:
        shutil.copytree(home.base / "docs", disk)
        shutil.rmtree(home.base / "docs")
        (disk / "a").unlink()
        job = replace(home.job(), local=disk)
        assert home.sync(job).exit_code == 0
        assert home.tree("copy") == {"d/c": "d/c"}
        assert home.runs(job) == [3, 2, 1]
        assert home.sync(job).exit_code == 0
    finally:
        shutil.rmtree(disk)


def test_a_pair_that_another_job_of_the_config_has_is_not_taken(home: Home) -> None:
    (home.base / "alias").symlink_to(home.base)
    same = replace(home.job(), local=home.base / "alias/docs")
    assert home.runs(same) == [2, 1], "a symlink is the same place"
    os.rename(home.base / "copy", home.base / "away")
    home.configure(home.job(), home.job(remote="away", name="other"))
    result = home.sync(home.settings.jobs["other"])
    assert result.exit_code == 0 and result.notes == ()
    assert place_of(home.settings, home.job()).known, "the first job still has its memory"


def test_a_moved_pair_leaves_its_old_name_to_a_new_one(home: Home) -> None:
    before = place_of(home.settings, home.job()).id
    (home.base / "docs").rename(home.base / "moved")
    moved = home.job(local="moved")
    assert home.sync(moved).exit_code == 0
    assert place_of(home.settings, moved).id == before, "what it marked as its own stays its own"
    (home.base / "docs").mkdir()
    (home.base / "docs/new").write_text("new")
    (home.base / "copy3").mkdir()
    assert home.sync(home.job(remote="copy3")).exit_code == 0
    assert home.sync(home.job()).exit_code == 0, "first run of a new pair"
    assert place_of(home.settings, home.job()).id != before
    assert home.tree("docs") == {"new": "new", "a": "a", "d/c": "d/c"}
    (home.base / "moved").rename(home.base / "again")
    assert home.sync(home.job(local="again")).exit_code == 0


def test_a_memory_of_an_older_version_is_found_by_its_markers_alone(home: Home) -> None:
    with jobs.open_state(place_of(home.settings, home.job()).directory) as state:
        state.memory.set(**{"pair.local": "", "pair.remote": ""})
    (home.base / "docs/a").unlink()
    (home.base / "docs").rename(home.base / "moved")
    job = home.job(local="moved")
    assert home.sync(job).exit_code == 0
    assert home.tree("copy") == {"d/c": "d/c"}
    assert [one.texts[Side.LOCAL] for one in relocation.known(home.settings.state_dir)] == [
        f"local:{home.base}/moved"
    ]


def test_a_memory_belongs_to_both_roots(home: Home) -> None:
    (home.base / "docs").rename(home.base / "moved")
    (home.base / "copy").rename(home.base / "away")
    job = home.job(local="moved", remote="elsewhere")
    result = home.sync(job)
    assert (result.exit_code, result.notes) == (0, ())
    assert home.runs(job) == [1]
    assert home.tree("elsewhere") == home.tree("moved") == {"a": "a", "d/c": "d/c"}
    assert home.runs(home.job()) == [2, 1], "that of the old pair stays where it is"


def test_what_a_daemon_keeps_to_listen_did_not_let_the_memory_in(home: Home) -> None:
    (home.base / "docs/a").unlink()
    (home.base / "docs").rename(home.base / "moved")
    job = home.job(local="moved")
    cache = place_of(home.settings, job).directory / "cache/swift"
    cache.mkdir(parents=True)
    (cache / "objects.sqlite").write_bytes(b"facts")
    assert home.sync(job).exit_code == 0
    assert home.tree("copy") == {"d/c": "d/c"}


def test_a_memory_that_a_run_holds_is_not_moved_under_it(home: Home) -> None:
    place = place_of(home.settings, home.job())
    (home.base / "docs").rename(home.base / "moved")
    with jobs.PairLock.acquire(place.directory):
        result = home.sync(home.job(local="moved"))
        assert result.exit_code == 6
    assert place.known
    assert home.sync(home.job(local="moved")).exit_code == 0


# -- copies of a state directory and of a service's folder ------------------------------------


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From here on this is the machine of that name."""

    def at(name: str) -> None:
        (tmp_path / f"id-{name}").write_text(name)
        monkeypatch.setattr(installation, "_MACHINE", (tmp_path / f"id-{name}",))

    at("one")
    return at


def carried_off(home: Home, machines: Callable[[str], None]) -> None:
    """State directory and local folder are copied to another machine, where they have the very same paths."""
    assert home.sync(home.job()).exit_code == 0
    machines("other")
    shutil.copytree(home.base / "docs", home.base / "docs.copied", symlinks=True)
    (home.base / "docs").rename(home.base / "docs.of-one")
    (home.base / "docs.copied").rename(home.base / "docs")


def test_a_state_directory_and_folder_copied_to_another_machine_deleted_what_the_copy_lacked(
    home: Home, machines: Callable[[str], None]
) -> None:
    carried_off(home, machines)
    (home.base / "docs/a").unlink()  # it was copied a moment before the state was
    before, remote = home.marker("docs"), home.marker("copy")
    result = home.sync(home.job())
    assert result.exit_code == 0 and any("copied from another machine" in note for note in result.notes)
    assert home.tree("docs") == home.tree("copy") == {"a": "a", "d/c": "d/c"}, "nothing is deleted"
    assert home.marker("docs") != before and home.marker("copy") == remote
    again = home.sync(home.job())
    assert again.exit_code == 0 and not any("another machine" in note for note in again.notes)
    (home.base / "docs/a").unlink()
    assert home.sync(home.job()).exit_code == 0
    assert home.tree("copy") == {"d/c": "d/c"}, "from here on it is a pair like any other"


def test_a_system_that_is_installed_anew_under_its_folders_keeps_the_memory(
    home: Home, machines: Callable[[str], None]
) -> None:
    assert home.sync(home.job()).exit_code == 0
    machines("anew")
    (home.base / "docs/a").unlink()
    before = home.marker("docs")
    result = home.sync(home.job())
    assert result.exit_code == 0 and not any("another machine" in note for note in result.notes)
    assert home.tree("copy") == {"d/c": "d/c"} and home.marker("docs") == before


def test_a_death_before_the_copy_is_marked_deletes_nothing(
    home: Home, machines: Callable[[str], None]
) -> None:
    carried_off(home, machines)
    (home.base / "docs/a").unlink()
    place = place_of(home.settings, home.job())
    with jobs.open_state(place.directory) as state:
        state.memory.record([ForgetBase(path="")])
        state.memory.set(**{f"{s.value}_{w}": "" for s in Side for w in ("root", "device", "folder")})
    assert home.sync(home.job()).exit_code == 0
    assert home.tree("docs") == home.tree("copy") == {"a": "a", "d/c": "d/c"}


def test_no_database_is_opened_to_find_out_that_no_memory_is_meant(home: Home) -> None:
    directory = place_of(home.settings, home.job()).directory
    [one] = relocation.known(home.settings.state_dir)
    assert one.markers == {Side.LOCAL: home.marker("docs").strip(), Side.REMOTE: home.marker("copy").strip()}
    (directory / "state.db").write_bytes(b"not read")
    [again] = relocation.known(home.settings.state_dir)
    assert (again.texts, again.markers) == (one.texts, one.markers)
    (directory / "roots.json").write_bytes(b'{"texts": 5}')
    assert list(relocation.known(home.settings.state_dir)) == []
