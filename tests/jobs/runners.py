"""Two real folders, a job over them, and one runner that runs it as often as a test asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from syncer import jobs
from syncer.clock import SystemClock
from syncer.config import JobSettings, Location, Settings
from syncer.engine.model import Action, Outcome, Side
from syncer.engine.scope import EVERYTHING, Places, Scope
from syncer.jobs import Environment, Runner, RunOptions
from syncer.jobs.results import JobResult
from syncer.jobs.state_dir import place_of


class Ears:
    """Hears how a run goes; `at` is called at each finished action."""

    def __init__(self, at: Callable[[Action], None] = lambda action: None) -> None:
        self.at = at

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None:
        self.at(action)

    def moved(self, side: Side, size: int) -> None: ...


class Later(SystemClock):
    """The real time and so many seconds; nobody sleeps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


class Desk:
    """Two folders, a job over them, and the runner that runs it."""

    def __init__(self, home: Path, **keys: object) -> None:
        self.home, self.local, self.remote = home, home / "local", home / "remote"
        self.local.mkdir()
        where = Location(account="local", path=str(self.remote))
        self.job = replace(JobSettings(name="docs", local=self.local, remote=where, settle=0), **keys)  # type: ignore[arg-type]
        self.settings = Settings(path=None, state_dir=home / "state", accounts={}, jobs={"docs": self.job})
        self.clock = Later()
        self.world = Environment(settings=self.settings, reporter=Ears(), clock=self.clock)
        self.runner = Runner(self.world, self.job)

    @property
    def place(self) -> Path:
        return place_of(self.settings, self.job).directory

    @property
    def database(self) -> Path:
        return self.place / "state.db"

    def run(self, scope: Scope = EVERYTHING, reporter: Ears | None = None, **wish: object) -> JobResult:
        return self.runner.run(RunOptions(**wish), scope, reporter)  # type: ignore[arg-type]

    def fill(self, count: int, directory: str = "") -> None:
        (self.local / directory).mkdir(exist_ok=True)
        for number in range(count):
            (self.local / directory / f"file-{number:03}").write_bytes(b"content of %d" % number)

    def rest(self) -> None:
        """In step, with every stamp old enough to be believed."""
        assert self.run().exit_code == 0
        time.sleep(0.1)
        assert self.run().exit_code == 0

    def runs(self) -> int:
        """How many are in the history."""
        with jobs.view(self.settings, self.job) as state:
            return len(state.ledger.runs())


def at(*directories: str) -> Scope:
    places = Places(directories=frozenset(directories))
    return Scope(local=places, remote=places)


def done(result: JobResult) -> list[str]:
    assert result.report is not None, result
    return [a.action.path for a in result.report.actions]
