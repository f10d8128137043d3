"""Contestants run in turns, A B A B, so that what else the machine does hits all alike.

A contest has our own contestant and peers beside it; each may prepare its ground before
every run, untimed. What it yields are `Row`s: one comparison each. It does not
know what is promised (`budgets`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.running import Command, Sample, run

Samples = Mapping[str, Sequence[Sample]]

OWN = "syncer"
SHORT_ROUNDS, LONG_ROUNDS = 5, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison. `beside` names what it is compared with, or what is measured.

    `own` and `other` are texts to be shown; `value` is what a budget is about, in `unit`: `x` for a ratio
    of medians, else `s`, `MiB`, `B`.
    """

    case: str
    files: int | None
    beside: str
    own: str
    other: str
    value: float
    unit: str = "x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`prepare` runs before each run and `check` after it, both untimed."""

    name: str
    command: Callable[[int], Command]  # of the round's number
    prepare: Callable[[int], None] = lambda _: None
    check: Callable[[Sample], None] = lambda _: None


Measure = Callable[["Contest", Samples], Iterable[Row]]


def ratios(contest: Contest, samples: Samples) -> Iterable[Row]:
    """One row for each peer: our median time over its."""
    own = seconds(samples[OWN])
    for peer in contest.peers:
        other = seconds(samples[peer.name])
        yield Row(
            case=contest.case, files=contest.files, beside=peer.name,
            own=show_seconds(own), other=show_seconds(other), value=own / other,
        )  # fmt: skip


def peak(contest: Contest, samples: Samples) -> Iterable[Row]:
    """One row: our largest peak of memory, in MiB."""
    own = max(sample.peak for sample in samples[OWN]) / 2**20
    yield Row(
        case=contest.case, files=contest.files, beside="peak memory",
        own=f"{own:.0f} MiB", other="", value=own, unit="MiB",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Our contestant, its peers, how often, and what is read from the samples."""

    case: str
    files: int | None
    own: Contestant
    peers: Sequence[Contestant] = ()
    rounds: int = SHORT_ROUNDS
    measures: Sequence[Measure] = (ratios,)

    def run(self, outputs: Path, told: Callable[[str], None], rounds: int | None = None) -> tuple[Row, ...]:
        """All rounds, then all rows; `rounds` overrules the contest's own number. Raises BenchError."""
        return self.rows(self.samples(outputs, told, rounds))

    def samples(self, outputs: Path, told: Callable[[str], None], rounds: int | None = None) -> Samples:
        """Every contestant's runs, taken in turns. Raises BenchError."""
        taken: dict[str, list[Sample]] = {one.name: [] for one in (self.own, *self.peers)}
        for number in range(rounds or self.rounds):
            for place, one in enumerate((self.own, *self.peers)):
                one.prepare(number)
                sample = run(one.command(number), outputs / f"{place}-{number}.out")
                one.check(sample)
                taken[one.name].append(sample)
            told("  ".join(f"{name} {_last(runs)}" for name, runs in taken.items()))
        return taken

    def rows(self, samples: Samples) -> tuple[Row, ...]:
        """What the measures read from the samples."""
        return tuple(row for measure in self.measures for row in measure(self, samples))


def _last(samples: Sequence[Sample]) -> str:
    return f"{show_seconds(samples[-1].seconds)} (cpu {samples[-1].cpu:.2f})"


def seconds(samples: Sequence[Sample]) -> float:
    """The median wall time."""
    return median(sample.seconds for sample in samples)


def show_seconds(value: float) -> str:
    """`0.034 s`, `1.25 s`, `83 s`: three digits."""
    digits = 3 if value < 1 else 2 if value < 10 else 1
    return f"{value:.{digits}f} s"
