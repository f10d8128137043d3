"""Several roots and several jobs over them, on one machine or on more: what must hold whatever the topology.

A `Net` has folders, machines (state directories) and jobs (pairs of folders on a machine). Users write, edit,
delete and put back; jobs run in any order. In the end: no content is lost, all folders are equal within a few
quiet rounds, then nothing moves, and there are few copies.

With `trouble` machines die at any call of a run, lose their state, or have it set back to an older copy, and
their clocks are wrong and jump.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from syncer import jobs
from syncer.clock import SystemClock
from syncer.config import JobSettings, Location, Settings
from syncer.engine.model import Done, Mode
from syncer.engine.paths import TEMPORARY, original_of
from syncer.jobs import Environment, Runner, RunOptions
from syncer.jobs.results import JobResult, loud
from syncer.state import OpenConflict, sqlite
from syncer.stores.local import filesystem
from tests.jobs.runners import Ears
from tests.simulation.faults import EFFECTS

NAMES = ("a", "b", "d/a", "d/e/b")
ROUNDS = 5
"""After so many quiet rounds all folders are equal."""
DEEPEST_DEATH = 45
"""A run of these stories has about so many calls that change something."""
SKEWS = (-60 * 86_400, -7200, -90, -3, 0, 0, 3, 90, 7200, 60 * 86_400)
"""Seconds by which a machine's clock may be wrong."""


_MARK = ".sync-conflict-"


@dataclass(frozen=True, slots=True)
class Shape:
    """Jobs as (machine, folder, folder); `ROUNDS` rounds must do, whatever their order."""

    jobs: tuple[tuple[str, str, str], ...]

    @property
    def folders(self) -> list[str]:
        return sorted({folder for _, *ends in self.jobs for folder in ends})


HUB = Shape((("m", "hub", "x"), ("m", "hub", "y"), ("m", "hub", "z")))
CHAIN = Shape((("m", "a", "b"), ("m", "b", "c"), ("m", "c", "d")))
RING = Shape((("m", "a", "b"), ("m", "b", "c"), ("m", "c", "a")))
SQUARE = Shape((("m", "a", "b"), ("m", "b", "c"), ("m", "c", "d"), ("m", "d", "a")))
TWO_SERVICES = Shape((("m1", "m1", "s1"), ("m1", "m1", "s2"), ("m2", "m2", "s1"), ("m2", "m2", "s2")))
THREE_MACHINES, FOUR_MACHINES, FIVE_MACHINES = (
    Shape(tuple((f"m{n}", f"m{n}", "service") for n in range(count))) for count in (3, 4, 5)
)


@dataclass(slots=True)
class Skewed(SystemClock):
    """The clock of a machine that is wrong."""

    ahead: float = 0.0  # seconds

    def now_ns(self) -> int:
        return time.time_ns() + int(self.ahead * 1e9)


@dataclass(slots=True)
class Death:
    """A profile function (sys.setprofile) that kills its process at the `at`-th call that changes something.

    A call is one of a store to the disk or a commit of a database; the process dies right before it, or
    right after.
    """

    at: int
    before: bool
    count: int = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != ("call" if self.before else "return"):
            return
        code = frame.f_code
        if (code.co_filename, code.co_name) in _MORTAL:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


_MORTAL = {(filesystem.__file__, name) for name in EFFECTS} | {(sqlite.__file__, "_commit")}


@dataclass(slots=True)
class Net:
    """One story. `seed` decides everything."""

    home: Path
    shape: Shape
    seed: int
    mode: Mode = Mode.TWO_WAY
    random: random.Random = field(init=False)
    owed: set[bytes] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    clocks: dict[str, Skewed] = field(init=False)
    _count: int = 0
    _lost: int = 0
    _copies: dict[str, list[Path]] = field(default_factory=dict)
    _runners: dict[int, Runner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clocks = {machine: Skewed() for machine in self.machines}
        for folder in self.shape.folders:
            (self.home / folder).mkdir(parents=True)

    @property
    def machines(self) -> list[str]:
        return sorted({machine for machine, *_ in self.shape.jobs})

    # -- users ----------------------------------------------------------------------

    def act(self) -> None:
        """One step of a user, at any folder."""
        folder = self.home / self.random.choice(self.shape.folders)
        path = folder / self.random.choice(NAMES)
        what = self.random.choices(("write", "delete", "put back"), (5, 4, 1))[0]
        self.told.append(f"{what} {path.relative_to(self.home)}")
        if what == "delete":
            self._given_up(path)
            path.unlink(missing_ok=True)
        else:
            self._write(path, old=what == "put back")

    def _write(self, path: Path, *, old: bool) -> None:
        if path.is_dir() or any(above.is_file() for above in path.parents):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if old and self.owed:
            data = self.random.choice(sorted(self.owed))
        else:
            self._count += 1
            data = b"content %d of %d " % (self._count, self.seed) * self.random.choice((1, 3))
        self._given_up(path)
        path.write_bytes(data)
        self.owed.add(data)
        ahead = self._clock_at(path).ahead
        if ahead:
            now = path.stat().st_mtime_ns + int(ahead * 1e9)
            os.utime(path, ns=(now, now))

    def _clock_at(self, path: Path) -> Skewed:
        """The clock of the machine that has the file as a local one; a service's is right."""
        top = path.relative_to(self.home).parts[0]
        owners = (machine for machine, local, _ in self.shape.jobs if local == top)
        return next((self.clocks[machine] for machine in owners), Skewed())

    def _given_up(self, path: Path) -> None:
        """What a user overwrites or deletes is nobody's to keep, unless it is somewhere else anyway."""
        if path.is_file():
            self.owed.discard(path.read_bytes())

    # -- jobs -----------------------------------------------------------------------

    def run(self, number: int | None = None) -> JobResult:
        """A run of a job (any)."""
        chosen = self.random.randrange(len(self.shape.jobs)) if number is None else number
        runner = self._runners.get(chosen)
        if runner is None:
            runner = self._runners[chosen] = self._runner(*self.shape.jobs[chosen])
        result = runner.run(RunOptions())
        moved = [f"{type(a.action).__name__} {a.action.path}" for a in _moves(result)]
        self.told.append(f"run {self.shape.jobs[chosen][1:]}: {result.exit_code} {moved}")
        return result

    def plan(self, number: int) -> JobResult:
        """What a run of the job would do."""
        self.close()
        machine, local, remote = self.shape.jobs[number]
        settings, job = self._settings(machine, local, remote)
        return jobs.plan(self._world(settings, machine), job, RunOptions())

    def conflicts(self) -> list[OpenConflict]:
        """What all jobs have as open."""
        self.close()
        found: list[OpenConflict] = []
        for machine, local, remote in self.shape.jobs:
            settings, job = self._settings(machine, local, remote)
            with jobs.view(settings, job) as state:
                found += state.ledger.conflicts()
        return found

    def _settings(self, machine: str, local: str, remote: str) -> tuple[Settings, JobSettings]:
        where = Location(account="local", path=str(self.home / remote))
        job = JobSettings(
            name=f"{local}-{remote}", local=self.home / local, remote=where, mode=self.mode, settle=0
        )
        return Settings(path=None, state_dir=self._state(machine), accounts={}, jobs={job.name: job}), job

    def _runner(self, machine: str, local: str, remote: str) -> Runner:
        settings, job = self._settings(machine, local, remote)
        return Runner(self._world(settings, machine), job)

    def _world(self, settings: Settings, machine: str) -> Environment:
        return Environment(settings=settings, reporter=Ears(), clock=self.clocks[machine], host=machine)

    def die(self) -> None:
        """A run of any job whose process dies; there is something to do."""
        self.act()
        self.act()
        number = self.random.randrange(len(self.shape.jobs))
        death = Death(self.random.randint(1, DEEPEST_DEATH), self.random.random() < 0.5)
        self.close()
        child = os.fork()
        if child == 0:
            try:
                sys.setprofile(death)
                self._runner(*self.shape.jobs[number]).run(RunOptions())
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        moment = f"{'before' if death.before else 'after'} call {death.at}"
        end = f"died {moment}" if os.WIFSIGNALED(status) else "came to its end"
        self.told.append(f"run {self.shape.jobs[number][1:]}: {end}")

    def round(self) -> list[JobResult]:
        """Every job once: in the order of the config, in the opposite one, or in any, by the seed.

        A fixed order is the worst: two waves that run after each other never meet.
        """
        numbers = list(range(len(self.shape.jobs)))
        if self.seed % 3 == 1:
            numbers.reverse()
        if self.seed % 3 == 2:
            self.random.shuffle(numbers)
        return [self.run(number) for number in numbers]

    def lose_state(self) -> None:
        """A machine's state directory is gone. (What is in its trash is not this story's loss.)"""
        machine = self.random.choice(self.machines)
        self.told.append(f"state of {machine} lost")
        self._set_aside(machine)

    def copy_state(self) -> None:
        """A backup of a machine's state directory."""
        machine = self.random.choice(self.machines)
        self.told.append(f"state of {machine} copied")
        self.close()
        if self._state(machine).exists():
            copies = self._copies.setdefault(machine, [])
            copies.append(self.home / f"copy-{machine}-{len(copies)}")
            shutil.copytree(self._state(machine), copies[-1])

    def set_state_back(self) -> None:
        """A machine's state directory is an older copy from now on."""
        machine = self.random.choice(self.machines)
        copies = self._copies.get(machine, [])
        if copies:
            number = self.random.randrange(len(copies))
            self.told.append(f"state of {machine} set back to copy {number}")
            self._set_aside(machine)
            shutil.copytree(copies[number], self._state(machine))

    def set_clock(self) -> None:
        machine = self.random.choice(self.machines)
        self.clocks[machine].ahead = self.random.choice(SKEWS)
        self.told.append(f"clock of {machine} is ahead by {self.clocks[machine].ahead} s")

    def _state(self, machine: str) -> Path:
        return self.home / f"state-{machine}"

    def _set_aside(self, machine: str) -> None:
        self.close()
        if self._state(machine).exists():
            self._lost += 1
            self._state(machine).rename(self.home / f"lost-{self._lost}")

    def close(self) -> None:
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()

    # -- what must hold ----------------------------------------------------------------

    def tree(self, folder: str) -> dict[str, bytes]:
        root = self.home / folder
        files = [path for path in root.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in files
            if path.relative_to(root).parts[0] != ".syncer" and TEMPORARY not in path.name
        }

    def kept(self) -> set[bytes]:
        """Every content anywhere: in a folder or a trash."""
        return {path.read_bytes() for path in self.home.rglob("*") if path.is_file()}

    def settle(self) -> None:
        """Come to rest, and check what must hold."""
        for number in range(ROUNDS):
            self.round()
            if self._equal() and number:
                break
        trees = {folder: self.tree(folder) for folder in self.shape.folders}
        first = trees[self.shape.folders[0]]
        assert all(tree == first for tree in trees.values()), self.story(trees)
        for _ in range(2):
            moved = [move for result in self.round() for move in _moves(result)]
            codes = self.told[-len(self.shape.jobs) :]
        assert not moved, self.story(f"it goes on: {moved}")
        assert all(": 0 " in code for code in codes), self.story("not every job is in sync")
        assert self.owed <= self.kept(), self.story(f"lost: {self.owed - self.kept()}")
        shown = set(first.values())
        assert self.owed <= shown, self.story(f"only in a trash: {self.owed - shown}")
        assert len(first) <= len(NAMES) + self._count, self.story(f"{len(first)} files")
        copies = Counter((original_of(name), data) for name, data in first.items() if _MARK in name)
        twice = [found for found, count in copies.items() if count > 1]
        assert not twice, self.story(f"kept more than once: {twice}")

    def _equal(self) -> bool:
        trees = [self.tree(folder) for folder in self.shape.folders]
        return all(tree == trees[0] for tree in trees)

    def story(self, what: object) -> str:
        return "\n".join([f"seed {self.seed}: {what}", *self.told])


def _moves(result: JobResult) -> Sequence[object]:
    if result.report is None:
        return ()
    return [a for a in result.report.actions if isinstance(a.outcome, Done) and loud(a.action)]


@contextmanager
def net(shape: Shape, seed: int, mode: Mode = Mode.TWO_WAY) -> Iterator[Net]:
    """In memory, since the runs are many."""
    home = Path(tempfile.mkdtemp(prefix="syncer-net-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    made = Net(home, shape, seed, mode)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(home)


def campaign(shape: Shape, seed: int, *, steps: int = 25, trouble: bool = False) -> None:
    """One random story to its end."""
    with net(shape, seed) as made:
        kinds = {"user": 5, "run": 5} | (TROUBLES if trouble else {"loss": 0})
        made.round()
        for _ in range(steps):
            (kind,) = made.random.choices(list(kinds), list(kinds.values()))
            _STEPS[kind](made)
        made.settle()


TROUBLES = {"death": 2, "loss": 0.5, "copy": 1, "set back": 0.5, "clock": 1}
_STEPS: dict[str, Callable[[Net], object]] = {
    "user": Net.act,
    "run": Net.run,
    "death": Net.die,
    "loss": Net.lose_state,
    "copy": Net.copy_state,
    "set back": Net.set_state_back,
    "clock": Net.set_clock,
}
