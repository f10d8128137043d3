"""Syncer as a contestant: `python -m syncer` with a home of its own, and what it answered."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ground import Ground, Pair, empty
from benchmarks.running import BenchError, Command, Sample, run

REPOSITORY = Path(__file__).parent.parent
# A stamp younger than this at the time of the look is not believed by Syncer where time stamps are coarse.
_STAMPS_SETTLE = 2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Syncer:
    """One user's Syncer: its home decides which state it has. `prefix` stands behind `python`."""

    ground: Ground
    home: Path

    @classmethod
    def of(cls, ground: Ground, user: str) -> Syncer:
        return cls(ground=ground, home=ground.home(user))

    def command(self, *words: str) -> Command:
        """`python -m syncer WORDS`."""
        return Command(
            argv=(sys.executable, "-m", "syncer", *words),
            environment=self.environment(),
            folder=REPOSITORY,
        )

    def sync(self, pair: Pair, *options: str) -> Command:
        """One run over the pair, without talk."""
        return self.command(
            "sync", str(pair.local), f"local:{pair.remote}", "--settle", "0", "--quiet", *options
        )

    def environment(self) -> dict[str, str]:
        """A home, its XDG folders, a PATH; nothing of who runs the benchmark."""
        return {
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
        }

    def forget(self) -> None:
        """Takes all its state away."""
        empty(self.home / "state")

    def settle(self, pair: Pair) -> None:
        """Two runs with a rest between, so that the second believes every stamp, and a third to prove it.

        Raises BenchError.
        """
        self.untimed(self.sync(pair))
        rest()
        self.untimed(self.sync(pair))
        answer = self.ask(self.sync(pair, "--json"))
        if done := done_actions(answer):
            raise BenchError(f"{len(done)} actions are left after two runs, for example {done[0]}")

    def untimed(self, command: Command) -> None:
        """Runs a command outside of any measurement. Raises BenchError."""
        run(command, self._answer)

    def ask(self, command: Command) -> Mapping[str, object]:
        """The one job in the document that the command prints. Raises BenchError."""
        return job(run(command, self._answer))

    @property
    def _answer(self) -> Path:
        return self.ground.outputs / "answer.json"


def rest() -> None:
    """Waits until every stamp made so far is old enough to be believed."""
    time.sleep(_STAMPS_SETTLE)


def settled(ground: Ground, files: int) -> tuple[Syncer, Pair]:
    """The Syncer that knows the pair of that size, after two runs and a rest. Raises BenchError, OSError."""
    pair = ground.pair(files)
    syncer = Syncer.of(ground, f"settled-{files}")

    def settle() -> None:
        ground.told("settling")
        syncer.settle(pair)

    ground.once(f"settled {files}", settle)
    return syncer, pair


def job(sample: Sample) -> Mapping[str, object]:
    """The one job of a `--json` document. Raises BenchError."""
    document = json.loads(sample.output.read_bytes())
    match document:
        case {"jobs": [dict() as one]}:
            return one
        case _:
            raise BenchError(f"not the document of one job: {str(document)[:200]}")


def done_actions(answer: Mapping[str, object]) -> list[object]:
    """The actions of a job's document."""
    actions = answer.get("actions")
    return actions if isinstance(actions, list) else []


def total(answer: Mapping[str, object], *names: str) -> int:
    """The sum of some of the totals of a job's document. Raises BenchError."""
    totals = answer.get("totals")
    if not isinstance(totals, dict):
        raise BenchError("the document has no totals")
    return sum(int(totals[name]) for name in names)
