"""How long the trash of a job's folders is kept, whatever the clocks say and whatever a run's end was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer import jobs
from syncer.clock import DAY_NS, Uptime
from syncer.config import JobSettings, Location, Settings
from syncer.engine.model import Side
from syncer.jobs import (
    Environment,
    Runner,
    RunOptions,
    conflicts,
    retention,
    undo,
)
from syncer.jobs.results import JobResult
from syncer.jobs.retention import RUNS
from syncer.jobs.state_dir import place_of
from syncer.stores.local import trash_restore
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.trash import LARGE, Trash
from tests.contents import noise
from tests.jobs.runners import Ears, at

HOUR, DAY = 3600.0, 86_400.0


class Machine:
    """The clocks of one machine: real time passes for both, and somebody may set the wall clock."""

    def __init__(self) -> None:
        self.wall_ns = 1_800_000_000 * 10**9
        self.boots = 1
        self.up_ns = 100 * 10**9

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic(self) -> float:
        return self.up_ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def uptime(self) -> Uptime:
        return Uptime(boot=f"boot-{self.boots}", ns=self.up_ns)

    def wait(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.up_ns += int(seconds * 1e9)

    def set_clock(self, days: float) -> None:
        self.wall_ns += int(days * DAY_NS)

    def reboot(self) -> None:
        self.boots, self.up_ns = self.boots + 1, 20 * 10**9


class Desk:
    def __init__(self, home: Path, name: str = "one", remote: Path | None = None, **keys: object) -> None:
        self.machine = Machine()
        self.local, self.remote = home / name, remote or home / "remote"
        self.local.mkdir()
        where = Location(account="local", path=str(self.remote))
        self.job = replace(JobSettings(name="docs", local=self.local, remote=where), **keys)  # type: ignore[arg-type]
        self.settings = Settings(
            path=None, state_dir=home / f"state-{name}", accounts={}, jobs={"docs": self.job}
        )
        self.world = Environment(
            settings=self.settings, reporter=Ears(), clock=self.machine, uptime=self.machine.uptime
        )
        self.runner = Runner(self.world, self.job)

    def run(self, **wish: object) -> JobResult:
        self.machine.wait(1)
        result = self.runner.run(RunOptions(**wish))  # type: ignore[arg-type]
        assert result.error is None, result.error
        return result

    def delete(self, name: str, content: str) -> None:
        """A file is synced, deleted, and in the trash of the other side."""
        (self.local / "keep").write_text("keep")
        (self.local / name).write_text(content)
        self.run()
        (self.local / name).unlink()
        self.run()
        assert content in self.trash()

    def trash(self) -> list[str]:
        found = conflicts.trashed(self.world, self.job)
        return [self._read(one) for one in found]

    def _read(self, one: conflicts.TrashItem) -> str:
        place = place_of(self.settings, self.job).keeping(one.side) / "trash"
        return (place / one.thing.kept.batch / one.thing.kept.path).read_text()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# -- clocks -------------------------------------------------------------------------


def test_a_clock_that_is_behind_while_a_file_is_deleted_does_not_empty_the_trash_afterwards(
    desk: Desk,
) -> None:
    desk.delete("first", "first")
    desk.machine.set_clock(-60)
    desk.delete("f", "precious")
    desk.machine.set_clock(+60)
    for _ in range(RUNS + 2):
        desk.run()
    assert sorted(desk.trash()) == ["first", "precious"]


def test_runs_with_a_clock_that_is_ahead_do_not_empty_the_trash(desk: Desk) -> None:
    desk.delete("f", "precious")
    desk.machine.set_clock(+60)
    for _ in range(RUNS + 2):
        desk.run()
    assert desk.trash() == ["precious"]


def test_a_clock_that_comes_up_wrong_after_a_boot_does_not_empty_the_trash(desk: Desk) -> None:
    desk.delete("f", "precious")
    desk.machine.reboot()
    desk.machine.set_clock(+400)
    for _ in range(RUNS + 2):
        desk.run()
    assert desk.trash() == ["precious"]


def test_what_is_older_than_trash_days_goes_whether_the_machine_stays_up_or_not(desk: Desk) -> None:
    desk.delete("f", "old")
    for day in range(32):
        desk.machine.wait(DAY)
        if day % 3 == 0:
            desk.machine.reboot()
        assert desk.trash() == ["old"] or day >= 30
        desk.run()
    assert desk.trash() == []


def test_a_machine_that_stays_up_counts_the_days_it_was_not_used(desk: Desk) -> None:
    desk.delete("f", "old")
    desk.machine.wait(31 * DAY)
    for _ in range(RUNS):
        assert desk.trash() == ["old"]
        desk.run()
    assert desk.trash() == []


def test_a_few_runs_must_have_seen_it_however_old_it_is(desk: Desk) -> None:
    desk.delete("f", "old")
    desk.machine.wait(400 * DAY)
    desk.run()
    assert desk.trash() == ["old"]


def test_a_clock_that_was_set_is_told_once(desk: Desk) -> None:
    desk.delete("f", "x")
    desk.machine.set_clock(+60)
    assert any("was set forward by 60d" in note for note in desk.run().notes)
    assert desk.run().notes == ()
    desk.machine.set_clock(-60)
    assert any("was set back by 60d" in note for note in desk.run().notes)


def test_a_lost_database_makes_the_trash_no_older(desk: Desk) -> None:
    desk.delete("f", "precious")
    desk.machine.wait(29 * DAY)
    desk.run()
    desk.runner.close()
    (place_of(desk.settings, desk.job).directory / "state.db").unlink()
    desk.machine.wait(29 * DAY)
    for _ in range(RUNS + 1):
        desk.run()
    assert desk.trash() == ["precious"]


# -- one trash for several machines ---------------------------------------------------


def shared(root: Path, owner: str, run: str) -> Trash:
    return Trash.inside(str(root), fs=FileSystem(), clock=Machine(), run=run, owner=owner)


def keep(trash: Trash, root: Path, name: str, content: str) -> None:
    (root / name).write_text(content)
    fd = os.open(root, os.O_RDONLY)
    try:
        with trash.session() as session:
            session.keep(name, fd, name, os.stat(root / name))
            session.sync()
    finally:
        os.close(fd)
        (root / name).unlink()


def test_two_machines_with_the_same_run_in_the_same_second_keep_both_versions(tmp_path: Path) -> None:
    one, other = shared(tmp_path, "11111111", "12"), shared(tmp_path, "22222222", "12")
    keep(one, tmp_path, "f", "of one")
    keep(other, tmp_path, "f", "of the other")
    found = {thing.run: thing for thing in trash_restore.contents(one)}
    assert set(found) == {"12", "12@22222222"}
    assert len(trash_restore.batches(one)) == len(trash_restore.batches(other)) == 1


def test_a_machine_removes_only_what_it_put_into_a_shared_trash(tmp_path: Path, elsewhere: Path) -> None:
    one = Desk(tmp_path, "one", elsewhere / "shared")
    other = Desk(tmp_path, "other", elsewhere / "shared", trash_days=1)
    (one.local / "f").write_text("precious")
    (one.local / "keep").write_text("keep")
    one.run()
    (one.local / "f").unlink()
    one.run()
    other.run()
    other.machine.wait(90 * DAY)
    for _ in range(RUNS + 1):
        other.run()
    kept = [path.read_text() for path in (elsewhere / "shared" / ".syncer" / "trash").rglob("f")]
    assert kept == ["precious"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """On another file system than the state directory, so that the trash is at the root."""
    others = [Path(p) for p in ("/dev/shm", "/var/tmp", "/tmp", str(Path.cwd())) if os.access(p, os.W_OK)]
    other = next((p for p in others if p.stat().st_dev != tmp_path.stat().st_dev), None)
    assert other is not None, "this machine has one writable file system only"
    place = Path(tempfile.mkdtemp(prefix=".syncer-test-", dir=other))
    try:
        yield place
    finally:
        shutil.rmtree(place)


# -- size, thinning, and runs that end badly ---------------------------------------------


def overwrite(desk: Desk, name: str, content: str) -> None:
    (desk.local / name).write_text(content)
    desk.run()


def test_versions_that_a_program_wrote_again_and_again_are_thinned(desk: Desk) -> None:
    for number in range(40):
        overwrite(desk, "log", f"version {number}")
        desk.machine.wait(HOUR / 8)
    kept = [int(text.split()[1]) for text in desk.trash()]
    assert len(kept) < 20
    assert kept[-8:] == list(range(31, 39)), "all of the last hour are there"
    assert 0 in kept, "what the program found is there"


def test_what_a_person_deletes_is_never_thinned(desk: Desk) -> None:
    (desk.local / "keep").write_text("keep")
    for number in range(20):
        overwrite(desk, "f", f"version {number}")
        (desk.local / "f").unlink()
        desk.run()
        desk.machine.wait(60)
    desk.machine.wait(40 * HOUR)
    desk.run()
    assert len(desk.trash()) == 20


def test_a_trash_over_its_bound_loses_the_oldest_versions_of_what_was_replaced_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path, trash_size=100_000)
    desk.delete("f", "a person's")
    for number in range(30):
        overwrite(desk, "image", f"{number:02}" + "x" * 20_000)
    kept = desk.trash()
    assert sum(map(len, kept)) <= 100_000 and "a person's" in kept
    assert kept[-1].startswith("28")
    assert any("over its bound" in note for note in _status(desk))
    desk.run()
    assert any("over its bound" in note for note in _status(desk))
    desk.machine.wait(2 * DAY)
    desk.run()
    assert _status(desk) == []


def _status(desk: Desk) -> list[str]:
    with jobs.view(desk.settings, desk.job) as state:
        return retention.told(state.memory)


def test_the_bound_never_takes_what_the_latest_runs_put_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path, trash_size=10)
    desk.delete("f", "much more than ten bytes of somebody's work")
    desk.run()
    assert desk.trash() == ["much more than ten bytes of somebody's work"]


def test_the_trash_is_pruned_although_one_path_fails_in_every_run(desk: Desk) -> None:
    desk.delete("f", "old")
    desk.machine.wait(31 * DAY)
    with (desk.local / "torn").open("wb") as file:
        file.truncate(os.statvfs(desk.local).f_bavail * os.statvfs(desk.local).f_frsize + (1 << 40))
    for _ in range(RUNS):
        desk.machine.wait(1)
        assert desk.runner.run(RunOptions()).exit_code == 3
    assert desk.trash() == []


def test_a_run_over_a_part_of_the_tree_counts_what_it_put_into_the_trash(desk: Desk) -> None:
    (desk.local / "d").mkdir()
    overwrite(desk, "d/f", "1")
    (desk.local / "d/f").write_text("22")
    assert desk.runner.run(RunOptions(), at("d")).exit_code == 0
    with jobs.view(desk.settings, desk.job) as state:
        assert state.trash.size(Side.REMOTE.value) == 1


# -- large files --------------------------------------------------------------------


def on_disk(desk: Desk) -> int:
    """Bytes of all in the trash of the remote folder, every inode once."""
    top = place_of(desk.settings, desk.job).keeping(Side.REMOTE) / "trash"
    return sum({p.stat().st_ino: p.stat().st_size for p in top.rglob("*") if p.is_file()}.values())


def test_small_edits_of_a_large_file_keep_one_whole_version_and_all_come_back(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, trash_size=3 * LARGE)
    data, versions = bytearray(noise(5, LARGE)), []
    for number in range(6):
        (desk.local / "large").write_bytes(data)
        desk.run()
        versions.append(bytes(data))
        data[number * 100_000] ^= 1
    assert on_disk(desk) < LARGE * 1.1
    with jobs.view(desk.settings, desk.job) as state:
        assert state.trash.size("remote") == on_disk(desk), "what is counted is what is there"
    things = conflicts.trashed(desk.world, desk.job)
    assert [one.thing.size for one in things] == [LARGE] * 5, "none was removed for want of room"
    for number in (0, 4):  # a difference, and the version that the last difference is made from
        thing = things[number].thing
        [back] = conflicts.restore(desk.world, desk.job, ["large"], run=thing.run, to=f"back{number}")
        assert back.failure == ""
        assert (desk.remote / f"back{number}").read_bytes() == versions[number]
    left = [one.thing.run for one in conflicts.trashed(desk.world, desk.job)]
    assert left == [one.thing.run for one in things[1:4]]
    desk.run()
    with jobs.view(desk.settings, desk.job) as state:
        assert state.trash.size("remote") == on_disk(desk)


def test_an_undo_brings_back_a_version_of_which_only_the_difference_is_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    data, versions = bytearray(noise(5, LARGE)), []
    for number in range(4):
        (desk.local / "large").write_bytes(data)
        desk.run()
        versions.append(bytes(data))
        data[number * 100_000] ^= 1
    for number in (4, 3, 2):
        done = undo.undo(desk.world, desk.job, number)
        assert [one.failure for one in done.steps] == [""], done
        assert (desk.remote / "large").read_bytes() == versions[number - 2]
