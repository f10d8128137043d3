"""Names that a file system refuses without saying why: told, and not sent again until something changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from syncer.engine.model import Policy
from syncer.jobs.results import loud
from syncer.stores.local.filesystem import UNSUPPORTED, FileSystem
from tests.simulation.machines import End, FastClock, Machine
from tests.world import SIDES

ODD = "li\u2028ne"


class Picky(FileSystem):
    """It takes no name with a line separator, and answers something that could mean anything."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.refusing = 1_000_000  # so many times
        self.staged = 0

    def _judge(self, name: str) -> None:
        if "\u2028" in name and self.refusing:
            self.refusing -= 1
            raise OSError(self.code, os.strerror(self.code), name)

    def create(self, name: str, dir_fd: int) -> int:
        self.staged += 1
        return super().create(name, dir_fd)

    def mkdir(self, name: str, dir_fd: int, mode: int) -> None:
        self._judge(name)
        super().mkdir(name, dir_fd, mode)

    def symlink(self, target: str, name: str, dir_fd: int) -> None:
        self.staged += 1
        super().symlink(target, name, dir_fd)

    def rename(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        self._judge(new)
        super().rename(name, dir_fd, new, new_dir_fd)

    def link(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        self._judge(new)
        super().link(name, dir_fd, new, new_dir_fd)

    def rename_noreplace(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        self._judge(new)
        super().rename_noreplace(name, dir_fd, new, new_dir_fd)


class Pair:
    def __init__(self, home: Path, code: int) -> None:
        self.home, self.disk = home, Picky(code)
        for name in (*SIDES, "keep", "state"):
            (home / name).mkdir(parents=True)
        self.machine = Machine(FileSystem(), FastClock(), str(home), home / "state", self.disk)
        (home / "local/anchor").write_text("anchor")
        assert self.run().exit_code == 0

    def run(self, policy: Policy | None = None) -> End:
        self.machine.clock.sleep(3)
        self.disk.staged = 0
        return self.machine.run(policy=policy)

    def waits(self, path: str) -> None:
        """Nothing is sent; it is told, and all else flows."""
        end = self.run()
        assert end.exit_code == 1 and end.report is not None, str(end)
        assert [(p.path, p.code) for p in end.report.problems] == [(path, "unholdable")]
        assert "the file system refuses the name" in end.report.problems[0].message
        assert self.disk.staged == 0 and not [r for r in end.report.actions if loud(r.action)]

    def tried(self, policy: Policy | None = None) -> End:
        end = self.run(policy)
        assert end.exit_code == 3 and self.disk.staged > 0, str(end)
        return end


CODES = [errno.EIO, errno.ENOENT, errno.EINVAL, errno.EPERM, errno.ENOSYS]


@pytest.fixture(params=CODES, ids=lambda code: errno.errorcode[code])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(tmp_path / "machine", request.param)


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_what_was_refused_was_sent_again_by_every_run(pair: Pair, kind: str) -> None:
    place = pair.home / "local" / ODD
    place.write_bytes(b"x" * 100_000) if kind == "file" else place.symlink_to("target")
    assert pair.tried().report is not None
    for _ in range(3):
        pair.waits(ODD)
    (pair.home / "local/beside").write_text("flows")
    assert pair.run().exit_code == 1
    assert (pair.home / "remote/beside").read_text() == "flows"
    assert sorted(os.listdir(pair.home / "remote")) == [".syncer", "anchor", "beside"]


def test_it_is_tried_again_when_the_file_changed(pair: Pair) -> None:
    (pair.home / "local" / ODD).write_bytes(b"x")
    pair.tried()
    pair.waits(ODD)
    (pair.home / "local" / ODD).write_bytes(b"changed")
    pair.tried()
    pair.waits(ODD)


def test_it_is_tried_again_when_its_folder_there_changed_and_by_a_full_run(pair: Pair) -> None:
    (pair.home / "local" / ODD).write_bytes(b"x")
    pair.tried()
    pair.waits(ODD)
    (pair.home / "remote/anchor").rename(pair.home / "remote/renamed")
    pair.tried()
    pair.waits(ODD)
    pair.tried(Policy(full=True))
    pair.waits(ODD)
    pair.disk.refusing = 0
    assert pair.run(Policy(full=True)).exit_code == 0
    assert (pair.home / "remote" / ODD).read_bytes() == b"x"
    assert pair.run().exit_code == 0


def test_a_directory_that_is_refused_waits_with_all_that_is_in_it(pair: Pair) -> None:
    (pair.home / "local" / ODD / "deep").mkdir(parents=True)
    (pair.home / "local" / ODD / "deep/file").write_bytes(b"x" * 100_000)
    assert pair.run().exit_code == 3
    for _ in range(2):
        pair.waits(ODD)
    (pair.home / "local" / ODD).rename(pair.home / "local/plain")
    assert pair.run().exit_code == 0
    assert (pair.home / "remote/plain/deep/file").read_bytes() == b"x" * 100_000
    assert pair.run().exit_code == 0


def test_what_failed_only_once_is_no_refusal(pair: Pair) -> None:
    (pair.home / "local" / ODD).write_bytes(b"x")
    pair.disk.refusing = 2 if pair.disk.code in UNSUPPORTED else 1  # NOREPLACE, and the way round it
    assert pair.run().exit_code == 0
    assert (pair.home / "remote" / ODD).read_bytes() == b"x"
    (pair.home / "local" / f"{ODD} too").mkdir()
    pair.disk.refusing = 1
    assert pair.run().exit_code == 0
    assert (pair.home / "remote" / f"{ODD} too").is_dir()


def test_a_memory_that_is_lost_costs_one_more_try(pair: Pair) -> None:
    (pair.home / "local" / ODD).write_bytes(b"x")
    pair.tried()
    for file in (pair.home / "state").iterdir():
        file.unlink()
    pair.tried()
    pair.waits(ODD)
