"""How arrivals are timed: by a clock of the test's own, and a carrier that takes as long as it is told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from benchmarks.running import BenchError
from benchmarks.trees import DATA, Spec, clone, grow
from benchmarks.watching import POLL, Change, Kind, Timer, apply, arrivals, burst, chatter, drawn, quantile

DELAY = 0.25


class Carrier:
    """Time, in whose sleep what was changed in `source` is done in `target`, `delay` later."""

    def __init__(self, source: Path, target: Path, changes: Sequence[Change], delay: float = DELAY) -> None:
        self.time = 100.0
        self.delay = delay
        self.source, self.target = source, target
        self.waiting = list(changes)
        self.seen: dict[str, float] = {}

    def sleep(self, seconds: float) -> None:
        for change in list(self.waiting):
            path = self.source / change.path
            if path.exists() and path.read_bytes() == change.content:
                began = self.seen.setdefault(change.path, self.time)
                self.carry(change, self.time - began)
        self.time += seconds

    def carry(self, change: Change, waited: float) -> None:
        if waited >= self.delay:
            apply(self.target, change)
            self.waiting.remove(change)

    @property
    def timer(self) -> Timer:
        return Timer(now=lambda: self.time, sleep=self.sleep)


class Dribbling(Carrier):
    """Half of the content is there long before all of it, and the new name before the old one goes."""

    def carry(self, change: Change, waited: float) -> None:
        path = self.target / change.path
        if waited < self.delay / 2:
            path.write_bytes(change.content if change.origin else change.content[:500])
        super().carry(change, waited)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    grow(tmp_path / "source", Spec(files=130))
    clone(tmp_path / "source", tmp_path / "target")
    return tmp_path / "source", tmp_path / "target"


def test_changes_are_drawn_alike_of_all_kinds_and_no_file_twice(pair: tuple[Path, Path]) -> None:
    changes = drawn(pair[0], 30, Random(1))
    assert changes == drawn(pair[0], 30, Random(1))
    assert [change.kind for change in changes] == list(Kind) * 10
    touched = [change.origin or change.path for change in changes]
    assert len(set(touched)) == 30
    assert all(
        (change.kind is Kind.NEW) != (pair[0] / name).exists()
        for change, name in zip(changes, touched, strict=True)
    )
    again = {change.path for change in drawn(pair[0], 30, Random(1), turn="b") if change.kind is Kind.NEW}
    assert not again & {change.path for change in changes}
    assert all(name.startswith(f"{DATA}/") for name in touched)


def test_a_tree_with_too_few_files_is_said(tmp_path: Path) -> None:
    grow(tmp_path, Spec(files=3))
    with pytest.raises(BenchError, match="too few files"):
        drawn(tmp_path, 9, Random(1))


@pytest.mark.parametrize("kind", [Carrier, Dribbling])
def test_an_arrival_is_timed_from_the_change_until_the_content_is_right(
    pair: tuple[Path, Path], kind: type[Carrier]
) -> None:
    changes = drawn(pair[0], 12, Random(1))
    found = arrivals(*pair, changes, Random(2), timer=kind(*pair, changes).timer)
    assert sorted(one.kind.value for one in found) == sorted(change.kind.value for change in changes)
    assert all(DELAY <= one.seconds <= DELAY + 3 * POLL for one in found)


def test_the_writer_does_not_wait_for_arrivals(pair: tuple[Path, Path]) -> None:
    changes = drawn(pair[0], 12, Random(1))
    slow = Carrier(*pair, changes, delay=5.0)
    found = arrivals(*pair, changes, Random(2), timer=slow.timer)
    assert all(5.0 <= one.seconds <= 5.0 + 3 * POLL for one in found)
    assert slow.time < 100.0 + 5.0 + 12 * 1.5 + 1


def test_a_change_that_never_arrives_is_named(pair: tuple[Path, Path]) -> None:
    [change] = drawn(pair[0], 1, Random(1))
    with pytest.raises(BenchError, match=r"1 changes did not arrive, such as .*new-0000\.txt"):
        arrivals(*pair, [change], Random(2), timer=Carrier(*pair, []).timer, patience=5)


def test_a_burst_takes_as_long_as_its_last_arrival(pair: tuple[Path, Path]) -> None:
    changes = drawn(pair[0], 30, Random(1), kinds=[Kind.NEW])

    class Late(Carrier):
        def carry(self, change: Change, waited: float) -> None:
            super().carry(change, waited - 2.0 if change is changes[7] else waited)

    assert DELAY + 2.0 <= burst(*pair, changes, timer=Late(*pair, changes).timer) <= DELAY + 2.0 + 3 * POLL
    more = drawn(pair[0], 3, Random(1), turn="b")
    with pytest.raises(BenchError, match="3 of 3 changes at once"):
        burst(*pair, more, timer=Carrier(*pair, []).timer, patience=5)


def test_a_quantile_is_one_of_the_values_and_errs_upwards() -> None:
    hundred = [float(value) for value in range(100, 0, -1)]
    assert (quantile(hundred, 0.5), quantile(hundred, 0.95), quantile(hundred, 1.0)) == (50.0, 95.0, 100.0)
    assert (quantile([3.0], 0.5), quantile([3.0, 1.0], 0.95)) == (3.0, 3.0)


def test_a_busy_log_is_written_to_until_the_block_ends(tmp_path: Path) -> None:
    log = tmp_path / "busy.log"
    with chatter(log):
        while not log.exists() or log.stat().st_size < 40:
            time.sleep(0.01)
    size = log.stat().st_size
    time.sleep(0.2)
    assert log.stat().st_size == size
