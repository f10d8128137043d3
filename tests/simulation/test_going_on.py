"""Runs over a line that breaks: the next one goes on with a large file; nobody hears of what lies there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncer.engine.execute import LASTING
from syncer.engine.interfaces import Capabilities, Entry, Source, Store
from syncer.engine.model import RelPath
from syncer.engine.paths import TEMPORARY
from syncer.errors import TransientError
from syncer.stores.base import StoreWrapper
from tests.contract.doubles import FarSource
from tests.simulation.faults import Calls
from tests.simulation.hands import Hands
from tests.simulation.machines import RealMachine
from tests.simulation.oracle import Oracle

BIG = bytes(range(256)) * (LASTING // 256) + b"and some more"
PIECE = 1 << 20


class Far(StoreWrapper):
    """A folder beyond a line; `breaks` bytes into a file the line breaks."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.breaks: int | None = None
        self.error: BaseException = TransientError("the line broke")
        self.sources: list[FarSource] = []

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, local=False)

    def open(self, path: RelPath, expected: Entry) -> Source:
        data = b"".join(self.inner.open(path, expected).chunks())
        source = _Opened(data, piece=PIECE, breaks=self.breaks, error=self.error)
        source.found = replace(expected, digest=source.digest())
        self.sources.append(source)
        return source

    def open_many(self, wanted: list[tuple[RelPath, Entry]]) -> list[Source]:
        return [self.open(*one) for one in wanted]


class _Opened(FarSource):
    found: Entry | None = None

    def digest(self) -> bytes | None:
        return super().entry.digest

    @property
    def entry(self) -> Entry:
        assert self.found is not None
        return self.found


class FarMachine(RealMachine):
    """Whose remote side is far away."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.far: list[Far] = []
        self.breaks: int | None = None
        self.error: BaseException = TransientError("the line broke")

    def open_stores(self, calls: Calls) -> tuple[Store, Store]:  # type: ignore[override]
        local, remote = super().open_stores(calls)
        far = Far(remote)
        far.breaks, far.error = self.breaks, self.error
        self.far.append(far)
        return local, far

    def partials(self) -> list[Path]:
        return [p for p in Path(self.base).rglob(f"{TEMPORARY}*") if "trash" not in p.parts]


@pytest.fixture
def machine(tmp_path: Path) -> FarMachine:
    return FarMachine(tmp_path / "machine")


def begin(machine: FarMachine) -> Oracle:
    """A large file on the far side, and the line breaks in the middle of it."""
    hands = Hands(machine)
    hands.mkdir("remote/d")
    hands.write("remote/d/big", BIG)
    hands.write("local/small", "a small one\n")
    oracle = Oracle(machine, hands, "a line that breaks")
    oracle.begin()
    machine.clock.sleep(10)
    machine.breaks = 5 * PIECE
    end = machine.run()
    machine.breaks = None
    assert end.exit_code == 3, str(end)
    oracle.right_after(end)
    assert [p.stat().st_size for p in machine.partials()] == [5 * PIECE]
    return oracle


def test_the_next_run_goes_on_where_the_line_broke(machine: FarMachine) -> None:
    oracle = begin(machine)
    machine.clock.sleep(10)
    assert machine.run().exit_code == 0
    (source,) = machine.far[-1].sources
    assert source.starts == [5 * PIECE] and source.sent == len(BIG) - 5 * PIECE
    oracle.heals(runs=1)


def test_ctrl_c_in_a_large_file_costs_nothing_of_it(machine: FarMachine) -> None:
    oracle = begin(machine)
    machine.breaks, machine.error = 7 * PIECE, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        machine.run()
    machine.breaks = None
    machine.clock.sleep(10)
    assert machine.run().exit_code == 0
    assert machine.far[-1].sources[0].starts == [7 * PIECE]
    oracle.heals(runs=1)


def test_content_that_changed_meanwhile_is_begun_anew_and_the_old_part_is_swept_in_time(
    machine: FarMachine,
) -> None:
    oracle = begin(machine)
    before = machine.tree()
    oracle.hands.write("remote/d/big", BIG[::-1])
    oracle.renounce(before, machine.tree())
    machine.clock.sleep(10)
    assert machine.run().exit_code == 0
    assert machine.far[-1].sources[0].starts == [0] and len(machine.partials()) == 1
    for _ in range(2):  # nobody hears of what still lies there
        machine.clock.sleep(10)
        end = machine.run()
        assert end.exit_code == 0 and end.report is not None
        assert end.report.actions == () and end.report.problems == () and machine.differences() == []
    machine.clock.sleep(8 * 24 * 3600)
    assert machine.run().exit_code == 0 and machine.partials() == []
    oracle.heals(runs=1)


def test_a_directory_deleted_over_a_part_goes(machine: FarMachine) -> None:
    oracle = begin(machine)
    before = machine.tree()
    oracle.hands.rmtree("remote/d")
    oracle.renounce(before, machine.tree())
    machine.clock.sleep(10)
    oracle.heals(runs=1)
    assert not (Path(machine.base) / "local/d").exists()


def test_a_directory_renamed_with_a_part_in_it_is_renamed(machine: FarMachine) -> None:
    oracle = begin(machine)
    oracle.hands.rename("remote/d", "remote/e")
    machine.clock.sleep(10)
    assert machine.run().exit_code == 0
    assert (Path(machine.base) / "local/e/big").read_bytes() == BIG
    machine.clock.sleep(8 * 24 * 3600)
    machine.run()
    oracle.heals(runs=1)
