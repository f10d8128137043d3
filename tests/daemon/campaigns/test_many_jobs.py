"""Hundreds of jobs in one daemon: each is watched and synced, and at rest they cost little."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncer.daemon.status import JobStatus, Phase
from syncer.errors import SyncerError
from tests.daemon.campaigns.machines import Machine, eventually, machines

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counted in /proc")

_WITHIN = 120.0  # seconds; the machine that tests may be busy with others
_SHARED = 3 * 16 + 30  # descriptors of all jobs together: databases that ran last, sockets, log, the queue
_THREADS = 12  # of all jobs together


@dataclass(slots=True, kw_only=True)
class Many(Machine):
    """A machine with that many jobs, between two folders each."""

    jobs: int

    def configure(self) -> None:
        lines = [f'state_dir = "{self.state}"']
        for n in range(self.jobs):
            for side in ("L", "R"):
                (self.home / f"{side}{n}" / "d" / "e").mkdir(parents=True, exist_ok=True)
            lines += [
                f"[jobs.j{n}]",
                f'local = "{self.home}/L{n}"',
                f'remote = "local:{self.home}/R{n}"',
                "settle = 0",
            ]
        self.config.write_text("\n".join(lines), encoding="utf-8")
        self.config.chmod(0o600)

    @property
    def statuses(self) -> Sequence[JobStatus]:
        return self.client.status().jobs

    def rests(self) -> bool:
        """Whether all jobs have run well, and wait for news."""
        try:
            jobs = self.statuses
        except SyncerError:
            return False
        return len(jobs) == self.jobs and all(j.phase is Phase.IDLE and j.last_exit == 0 for j in jobs)

    def threads(self) -> int:
        assert self.process is not None
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def edit_all(self, text: str) -> None:
        """In each job's local folder, and in each one's remote; returns when all of it has crossed."""
        for n in range(self.jobs):
            (self.home / f"L{n}" / "d" / "e" / "here").write_text(f"{text} {n}")
            (self.home / f"R{n}" / "there").write_text(f"{text} {n}")

        def crossed() -> bool:
            return all(
                _holds(self.home / f"R{n}" / "d" / "e" / "here", f"{text} {n}")
                and _holds(self.home / f"L{n}" / "there", f"{text} {n}")
                for n in range(self.jobs)
            )

        eventually(crossed, _WITHIN, lambda: self.log[-2000:])


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def limited(descriptors: int) -> list[str]:
    """The words that run a command which may have so many descriptors, and can have no more."""
    return ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]


@contextmanager
def at_rest(machine: Many) -> Iterator[Many]:
    """The daemon runs, and every job has run once."""
    with machines(machine):
        machine.start()
        eventually(machine.rests, _WITHIN, lambda: machine.log[-2000:])
        yield machine
        machine.told_no_nonsense()


@pytest.mark.parametrize("jobs", [40, pytest.param(200, marks=pytest.mark.long)])
def test_every_job_is_watched_and_one_that_rests_costs_a_thread_and_no_descriptor(
    tmp_path: Path, jobs: int
) -> None:
    with at_rest(Many(home=tmp_path, remote="", jobs=jobs)) as many:
        assert {(job.local_watch, job.remote_watch) for job in many.statuses} == {("events", "events")}
        assert not [note for job in many.statuses for note in job.notes]
        many.edit_all("first")
        eventually(lambda: many.rests() and len(many.open_files()) <= _SHARED, _WITHIN, many.open_files)
        assert many.open_files().count("anon_inode:inotify") == 1
        eventually(lambda: many.threads() <= jobs + _THREADS, _WITHIN, many.threads)
        many.jobs = jobs // 2  # the others are taken out of the config
        many.configure()
        many.send(signal.SIGHUP)
        eventually(many.rests, _WITHIN, lambda: many.log[-2000:])
        eventually(lambda: many.threads() <= many.jobs + _THREADS, _WITHIN, many.threads)
        many.edit_all("second")
        many.jobs = jobs
        many.configure()
        many.send(signal.SIGHUP)
        eventually(many.rests, _WITHIN, lambda: many.log[-2000:])
        many.edit_all("third")
        assert many.stop() == 128 + signal.SIGTERM
        assert "did not stop in time" not in many.log


def test_with_few_descriptors_all_jobs_are_watched_all_the_same(tmp_path: Path) -> None:
    with at_rest(Many(home=tmp_path, remote="", jobs=40, before=limited(200))) as many:
        assert {(job.local_watch, job.remote_watch) for job in many.statuses} == {("events", "events")}
        many.edit_all("few")
        assert "open files" not in many.log, "neither a word of warning nor a failure"


def test_too_few_descriptors_are_said_at_the_start_with_the_number_that_is_wanted(tmp_path: Path) -> None:
    many = Many(home=tmp_path, remote="", jobs=3, before=limited(100))
    with machines(many):
        many.start()
        assert "3 jobs want some 150 open files, and this process may have 100" in many.log
        assert "LimitNOFILE=" in many.log
