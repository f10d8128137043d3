"""Random histories of two real folders: edits on both sides, accidents, runs good, dying and failing.

After every run the oracle of `expectations` is asked, at the end of each history both sides
must come to rest. A failure prints the steps; the blob it prints replays it. `make test` tells a few
hundred histories, `make test-long` ten thousand.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from syncer.engine.model import ConflictPolicy, Mode
from tests.simulation.faults import Die, Fail
from tests.simulation.histories import History
from tests.simulation.manners import GENTLE, HARSH, ORDINARY, Manner

PATHS = ("a", "b", "c.txt", "d", "d/a", "d/b", "d/e", "d/e/a", "e", "e/a", "d/e/c")
NAMES_IGNORED = ("b", "e")
TIMES = (0, -5 * 10**18, 10**18, 4 * 10**18, 1_700_000_000 * 10**9, 1_700_000_000_123_456_789)
HISTORIES = 110
WHEN = ("before", "after", "half")
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)
LEAVES = ("a", "b", "c.txt", "d/a", "d/b", "d/e/a", "d/e/c", "e/a")
sides = st.sampled_from(("local", "remote"))
paths = st.sampled_from(PATHS)
numbers = st.integers(0, 11)  # of what stands there, as far as it goes
sizes = st.sampled_from((0, 12, 12, 12, 40))


class Folders(RuleBasedStateMachine):
    """The rules that every pair of policies shares."""

    conflict: ClassVar[ConflictPolicy] = ConflictPolicy.KEEP_BOTH
    mode: ClassVar[Mode] = Mode.TWO_WAY
    manner: ClassVar[Manner] = ORDINARY
    there: ClassVar[Manner | None] = None  # that of the remote side, where it is another one

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.conflict, self.mode, self.manner, self.there)

    def teardown(self) -> None:
        try:
            self.history.quiesce()
        finally:
            self.history.close()

    @initialize(known=st.sets(st.sampled_from(LEAVES), min_size=3))
    def begin(self, known: set[str]) -> None:
        self.history.clock.look_back(1)
        for path in sorted(known):
            self.history.write("local", path, self.history.fresh())
        self.history.run()

    # -- edits -----------------------------------------------------------------------------

    @rule(side=sides, path=paths, size=sizes, in_place=st.booleans())
    def write(self, side: str, path: str, size: int, in_place: bool) -> None:
        data = self.history.fresh(size) if size else b""
        self.history.written.add(data)
        self.history.write(side, path, data, in_place=in_place)

    @rule(path=paths, first=st.sampled_from(TIMES), second=st.sampled_from(TIMES), same=st.booleans())
    def write_on_both_sides(self, path: str, first: int, second: int, same: bool) -> None:
        data = self.history.fresh()
        for side, stamp in (("local", first), ("remote", second)):
            wrote = self.history.write(side, path, data if same else self.history.fresh())
            if wrote and not self.history.coarse:
                os.utime(self.history.place(side, path), ns=(stamp, stamp))

    @rule(side=sides, number=numbers)
    def edit(self, side: str, number: int) -> None:
        place = self.history.pick(side, number)
        if place and place.is_file() and not place.is_symlink():
            place.write_bytes(self.history.fresh())
            self.history.written_to(place)

    @precondition(lambda self: not self.history.coarse)
    @rule(side=sides, number=numbers)
    def edit_behind_the_same_size_and_mtime(self, side: str, number: int) -> None:
        place = self.history.pick(side, number)
        if place and place.is_file() and not place.is_symlink():
            before = place.stat()
            place.write_bytes(self.history.fresh(max(before.st_size, 12)))
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    @precondition(lambda self: not self.history.coarse)  # where nothing but the mtime tells of a write
    @rule(side=sides, number=numbers, stamp=st.sampled_from(TIMES))
    def set_mtime(self, side: str, number: int, stamp: int) -> None:
        place = self.history.pick(side, number)
        if place:
            os.utime(place, ns=(stamp, stamp), follow_symlinks=False)

    @rule(side=sides, number=numbers)
    def flip_executable(self, side: str, number: int) -> None:
        place = self.history.pick(side, number)
        if self.history.modes and place and place.is_file() and not place.is_symlink():
            place.chmod(place.stat().st_mode ^ 0o111)

    @rule(side=sides, number=numbers)
    def delete(self, side: str, number: int) -> None:
        place = self.history.pick(side, number)
        if place:
            self.history.remove(side, str(place.relative_to(self.history.home / side)))

    @rule(path=paths)
    def delete_on_both_sides(self, path: str) -> None:
        self.history.remove("local", path)
        self.history.remove("remote", path)

    @rule(side=sides, number=numbers, path=paths)
    def rename(self, side: str, number: int, path: str) -> None:
        place = self.history.pick(side, number)
        if place:
            self.history.rename(side, str(place.relative_to(self.history.home / side)), path)

    @rule(side=sides, number=numbers)
    def respell(self, side: str, number: int) -> None:
        place = self.history.pick(side, number)
        if place:
            self.history.respell(place)

    @rule(side=sides, one=paths, other=paths)
    def swap(self, side: str, one: str, other: str) -> None:
        self.history.swap(side, one, other)

    @rule(side=sides, path=paths)
    def make_directory(self, side: str, path: str) -> None:
        if self.history.reachable(side, path) and not os.path.lexists(self.history.place(side, path)):
            self.history.place(side, path).mkdir(parents=True)

    @rule(side=sides, path=paths, kind=st.sampled_from(("file", "directory", "symlink")))
    def change_type(self, side: str, path: str, kind: str) -> None:
        if not self.history.reachable(side, path):
            return
        self.history.remove(side, path)
        place = self.history.place(side, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "directory":
            place.mkdir()
            (place / "a").write_bytes(self.history.fresh())
        elif kind == "symlink" and self.history.symlinks:
            place.symlink_to(os.fsdecode(self.history.fresh()))
        else:
            place.write_bytes(self.history.fresh())
            self.history.written_to(place)

    # -- runs --------------------------------------------------------------------------------

    @rule(plan=st.booleans(), seconds=st.sampled_from((0, 1, 1)))
    def run(self, plan: bool, seconds: int) -> None:
        self.history.clock.look_back(seconds)
        self.history.run(plan=plan)

    @rule(deaths=st.lists(st.tuples(st.integers(1, 120), st.sampled_from(WHEN)), min_size=1, max_size=3))
    def run_and_die(self, deaths: list[tuple[int, str]]) -> None:
        """Dying again while it recovers, too."""
        for call, when in deaths:
            self.history.run(Die(call, when))

    @rule(call=st.integers(1, 120), code=st.sampled_from(CODES), for_ever=st.booleans())
    def run_and_fail(self, call: int, code: int, for_ever: bool) -> None:
        self.history.run(Fail(call, code, for_ever))

    @rule()
    def come_to_rest(self) -> None:
        self.history.quiesce()

    # -- accidents ---------------------------------------------------------------------------

    @rule(how=st.sampled_from(("lose", "cut", "zero", "save", "restore")))
    def database(self, how: str) -> None:
        with self.history.database() as file:
            if how == "save" and file.exists():
                self.history.saved = file.read_bytes()
            elif how == "restore" and self.history.saved:
                file.write_bytes(self.history.saved)
            elif how in ("cut", "zero") and file.exists():
                data = file.read_bytes()
                file.write_bytes(data[: len(data) // 2] if how == "cut" else bytes(len(data)))
            elif how == "lose":
                file.unlink(missing_ok=True)

    @rule()
    def wipe_trash(self) -> None:
        self.history.wipe_trash()


class TwoWay(Folders):
    """Both sides may change; unreadable places and ignore rules come on top."""

    @rule(side=sides, path=paths)
    def veil(self, side: str, path: str) -> None:
        self.history.cover(self.history.place(side, path))

    @precondition(lambda self: self.history.veil.veiled)
    @rule()
    def lift_the_veil(self) -> None:
        self.history.lift()

    @rule(names=st.sets(st.sampled_from(NAMES_IGNORED)))
    def ignore(self, names: set[str]) -> None:
        self.history.set_rules(tuple(sorted(names)))

    @rule(side=sides, names=st.sets(st.sampled_from(NAMES_IGNORED)))
    def write_syncignore(self, side: str, names: set[str]) -> None:
        data = "".join(f"{name}\n" for name in sorted(names)).encode()
        self.history.written.add(data)
        file = self.history.home / side / ".syncignore"
        file.write_bytes(data)
        self.history.written_to(file)
        self.history.base = None


def machine_for(conflict: ConflictPolicy, mode: Mode) -> type[Folders]:
    """The machine of one pair of settings, with a name that the report can show."""
    parent = TwoWay if mode is Mode.TWO_WAY else Folders
    return type(f"{mode.name}_{conflict.name}", (parent,), {"conflict": conflict, "mode": mode})


def machine_on(name: str) -> type[Folders]:
    """The machine of two sides with the manners of that file system; "to": of an ordinary one and that."""
    beside, _, there = name.partition("to ")
    odd = {**GENTLE, **HARSH}[there or beside]
    return type(f"TWO_WAY_on_{name}", (TwoWay,), {"there" if there else "manner": odd})


ODD = [*GENTLE, *HARSH, "to exfat", "to vfat", "to apfs"]
VARIANTS = [
    *((conflict, Mode.TWO_WAY) for conflict in ConflictPolicy if conflict is not ConflictPolicy.KEEP_BOTH),
    (ConflictPolicy.KEEP_BOTH, Mode.PUSH),
    (ConflictPolicy.KEEP_BOTH, Mode.PULL),
    (ConflictPolicy.LOCAL, Mode.PULL),
]


def tell(machine: type[Folders], histories: int) -> None:
    """So many histories of at most 30 steps. Not shrunk: that takes longer than reading thirty steps."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    wanted = settings(settings.default, max_examples=histories, stateful_step_count=30, phases=phases)
    run_state_machine_as_test(machine, settings=wanted)


def test_no_history_of_two_folders_loses_anything_and_all_come_to_rest() -> None:
    tell(TwoWay, HISTORIES)


@pytest.mark.parametrize(("conflict", "mode"), VARIANTS)
def test_every_policy_and_mode_keeps_what_it_promises(conflict: ConflictPolicy, mode: Mode) -> None:
    tell(machine_for(conflict, mode), 8)


def test_where_conflicts_ask_a_change_of_kind_on_one_side_was_expected_to_wait() -> None:
    """The oracle forgot the base: what only one side changed is no conflict."""
    machine = machine_for(ConflictPolicy.ASK, Mode.TWO_WAY)()
    machine.begin(known={"a", "b", "e/a"})
    machine.change_type("remote", "b", "directory")
    machine.swap("remote", "e", "a")
    machine.run(plan=True, seconds=1)
    machine.teardown()


@pytest.mark.parametrize("name", ODD)
def test_on_file_systems_unlike_ext4_nothing_is_lost_either_and_all_comes_to_rest(name: str) -> None:
    tell(machine_on(name), 8)


@pytest.mark.long
@pytest.mark.parametrize("name", ODD)
def test_a_thousand_histories_on_file_systems_unlike_ext4(name: str) -> None:
    tell(machine_on(name), 1_000)


@pytest.mark.long
def test_ten_thousand_histories_lose_nothing_and_come_to_rest() -> None:
    tell(TwoWay, 10_000)


@pytest.mark.long
@pytest.mark.parametrize(("conflict", "mode"), VARIANTS)
def test_a_thousand_histories_of_every_policy_and_mode(conflict: ConflictPolicy, mode: Mode) -> None:
    tell(machine_for(conflict, mode), 1_000)
