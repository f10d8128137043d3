"""Bench: one worker of the daemon in this process, over two real folders, with fake watchers.

with at_work(Bench(tmp_path)) as bench:
    bench.write("local/f", b"1")
    bench.local.tell("")
    bench.until(lambda: bench.read("remote/f") == b"1")
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from syncer.config import JobSettings, Location, Settings
from syncer.daemon.schedule import Intervals, Task
from syncer.daemon.status import JobStatus
from syncer.daemon.worker import Watcher, WatcherFactory, Worker
from syncer.engine.scope import EVERYWHERE, Places
from syncer.jobs.results import JobResult

LONG = 30.0  # seconds after which a test gives up
BRISK = Intervals(quiet=0.02, gather=0.2, interval=None)
SLOW = 2_000_000  # bytes per second
LARGE = bytes(range(256)) * 16_384  # takes two seconds then, in several pieces


def eventually(true: Callable[[], object]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


class FakeWatcher:
    """`worker.Watcher`: tells what a test wants it to tell."""

    def __init__(self, told: Callable[[Places], None], started: Callable[[], None]) -> None:
        self.told = told
        self.mode = "events"
        self.life: list[str] = []
        self._started = started

    def start(self) -> None:
        self.life.append("started")
        self._started()

    def stop(self) -> None:
        self.life.append("stopped")

    def tell(self, *directories: str) -> None:
        """Something happened in these directories."""
        self.told(Places(directories=frozenset(directories)))

    def tell_of_all(self) -> None:
        """Something happened somewhere."""
        self.told(EVERYWHERE)


class Bench:
    """The worker, its folders, and what it did."""

    def __init__(
        self, home: Path, *, intervals: Intervals = BRISK, paused: bool = False, **keys: object
    ) -> None:
        self.home = home
        for side in ("local", "remote"):
            (home / side).mkdir(parents=True, exist_ok=True)
        where = Location(account="local", path=str(home / "remote"))
        job = JobSettings(name="docs", local=home / "local", remote=where, settle=0)
        self.job = replace(job, **keys)  # type: ignore[arg-type]
        self.settings = Settings(path=None, state_dir=home / "state", accounts={}, jobs={"docs": self.job})
        self.intervals, self.paused = intervals, paused
        self.ended: list[tuple[Task, JobResult]] = []
        self.at_end: Callable[[], None] = lambda: None  # called after each run, in the worker's thread
        self.at_start: Callable[[], None] = lambda: None  # called when the watchers begin
        self.watchers = WatcherFactory(local=self._watch_local, remote=self._watch_remote)
        self.worker = self.made()

    def made(self) -> Worker:
        return Worker(
            self.settings, self.job,
            intervals=self.intervals, watchers=self.watchers, ended=self._ended, paused=self.paused,
        )  # fmt: skip

    def _watch_local(self, worker: Worker) -> Watcher:
        self.local = FakeWatcher(worker.notice_local, self.at_start)
        return self.local

    def _watch_remote(self, worker: Worker) -> Watcher:
        self.remote = FakeWatcher(worker.notice_remote, lambda: None)
        return self.remote

    def _ended(self, worker: Worker, task: Task, result: JobResult) -> None:
        self.ended.append((task, result))
        self.at_end()

    @property
    def status(self) -> JobStatus:
        return self.worker.status

    def write(self, path: str, data: bytes) -> Path:
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def read(self, path: str) -> bytes | None:
        try:
            return (self.home / path).read_bytes()
        except FileNotFoundError:
            return None

    def until(self, true: Callable[[], object]) -> None:
        eventually(true)

    def until_half_way(self) -> None:
        """Until a part of something has crossed, and not all of it."""
        eventually(lambda: (now := self.status.progress) and 0 < now.size_done < now.size)

    def until_run(self, number: int) -> None:
        """Until so many runs have ended, and nothing is left to be told of them."""
        eventually(lambda: len(self.ended) >= number)


@contextmanager
def at_work(bench: Bench) -> Iterator[Bench]:
    """Starts the worker, waits for its first run (unless it is paused), and ends it."""
    bench.worker.start()
    try:
        if not bench.paused:
            bench.until_run(1)
        yield bench
    finally:
        bench.worker.stop(15)
        assert bench.worker.join(LONG)


class Gate:
    """Lets a thread wait in the middle of something, until a test has seen it there."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.open.wait(LONG)
