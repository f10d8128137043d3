"""Carrying out: what may be remembered and when, failures in the middle, roots that go during a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.clock import SystemClock
from syncer.engine import cycle
from syncer.engine.model import Action, BaseEntry, Done, Entry, Kind, Outcome, Policy, RelPath, Side
from syncer.engine.ports import Drop, Fact, Put, Relocate, Remember, Results
from syncer.engine.report import RunReport
from syncer.errors import GuardTripped, PermanentError, TransientError
from syncer.ignore import compile_rules
from syncer.state import open_state
from syncer.state.memory import StateMemory
from syncer.stores.faults import Fault, FaultyStore
from syncer.stores.memory import MemoryStore
from syncer.stores.wrapping import Wrapped

EARLY, LATE = 1_000_000_000, 2_000_000_000


class Honest:
    """A memory that is told facts, and finds out whether they are true at that moment."""

    def __init__(self, inner: StateMemory, stores: dict[Side, MemoryStore]) -> None:
        self.inner = inner
        self.stores = stores
        self.may_forget = False  # what is newly ignored is forgotten and stays

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def record(self, facts: Iterable[Fact]) -> None:
        told = list(facts)
        for fact in told:
            for store in self.stores.values():
                self.judge(fact, store)
        self.inner.record(told)

    def judge(self, fact: Fact, store: MemoryStore) -> None:
        found = store.look(fact.path)
        match fact:
            case Remember():
                assert isinstance(found, Entry) and found.kind is fact.entry.kind, f"not there: {fact}"
                if fact.entry.kind is Kind.FILE:
                    assert blake3(store.content(fact.path)).digest() == fact.entry.digest, f"not so: {fact}"
            case Relocate():
                assert found is not None and store.look(fact.origin) is None, f"did not move: {fact}"
            case Drop():
                assert found is None or self.may_forget, f"still there: {fact}"


class Ears:
    """Hears of finished actions; `then` acts at the first."""

    def __init__(self) -> None:
        self.then: Callable[[], None] | None = None

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None: ...

    def moved(self, side: Side, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None:
        act, self.then = self.then, None
        if act is not None:
            act()


class Desk:
    """Two stores in memory, a real state database, and the whole engine between them."""

    def __init__(self, memory: StateMemory, policy: Policy) -> None:
        self.local, self.remote = MemoryStore(name="here"), MemoryStore(name="there")
        self.memory = Honest(memory, {Side.LOCAL: self.local, Side.REMOTE: self.remote})
        self.far = FaultyStore(self.remote)
        self.ears = Ears()
        for side, store in (("local", self.local), ("remote", self.remote)):
            store.mark(side)
            self.memory.inner.set(**{f"{side}_root": side})
        self.pair = cycle.Pair(
            local=self.local,
            remote=self.far,
            memory=self.memory,
            policy=policy,
            clock=SystemClock(),
            reporter=self.ears,
            compiler=compile_rules,
        )

    def run(self) -> RunReport:
        return cycle.run(self.pair)

    def agree(self, tree: dict[RelPath, bytes]) -> None:
        """Bring both sides, and the memory, to this tree."""
        for path, data in tree.items():
            self.local.write(path, data, mtime_ns=EARLY)
        assert self.run().exit_code == 0
        assert self.local.tree() == self.remote.tree()

    def rows(self) -> dict[RelPath, BaseEntry]:
        """Everything that is remembered, without the stamps."""
        found = {}
        for directory, _, _ in self.memory.inner.directories():
            for name, entry in self.memory.inner.rows(directory).items():
                path = f"{directory}/{name}" if directory else name
                found[path] = replace(entry, local_version=None, remote_version=None)
        return found

    def comes_to_rest(self) -> None:
        self.far.faults.clear()
        assert self.run().exit_code == 0
        assert self.run().actions == () and self.local.tree() == self.remote.tree()


@contextmanager
def desk_in(place: Path, policy: Policy) -> Iterator[Desk]:
    with open_state(place) as state:
        yield Desk(state.memory, policy)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path, Policy()) as made:
        yield made


AGREED = {"keep": b"kept", "f": b"first", "d/g": b"second", "d/h": b"third", "e/i": b"fourth"}


def edit(desk: Desk) -> None:
    desk.local.write("f", b"edited", mtime_ns=LATE)


def delete(desk: Desk) -> None:
    desk.local.remove("f")


def make_directory(desk: Desk) -> None:
    desk.local.make_directory("new")


def remove_directory(desk: Desk) -> None:
    desk.remote.remove("e/i")
    desk.local.remove("e")


def make_executable(desk: Desk) -> None:
    desk.local.write("f", b"first", mtime_ns=EARLY, executable=True)


def rename(desk: Desk) -> None:
    desk.local.remove("f")
    desk.local.write("renamed", b"first", mtime_ns=EARLY)


def rename_directory(desk: Desk) -> None:
    desk.local.remove("d")
    desk.local.write("moved/g", b"second", mtime_ns=EARLY)
    desk.local.write("moved/h", b"third", mtime_ns=EARLY)


def conflict(desk: Desk) -> None:
    desk.local.write("f", b"edited here", mtime_ns=LATE)
    desk.remote.write("f", b"edited there", mtime_ns=EARLY)


CHANGES = [
    (edit, "put"),
    (delete, "delete"),
    (make_directory, "make_directories"),
    (remove_directory, "remove_directories"),
    (make_executable, "amend"),
    (rename, "rename"),
    (rename_directory, "rename"),
    (conflict, "rename"),
]


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_nothing_is_remembered_of_what_did_not_happen(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    before = desk.rows()
    change(desk)
    fault = Fault(method=method, error=PermanentError("the disk says no"), times=None)
    desk.far.faults.append(fault)
    assert desk.run().exit_code == 3
    after = desk.rows()
    gone = {"e/i"} if change is remove_directory else set()
    assert {path: row for path, row in before.items() if path not in gone} == after
    desk.comes_to_rest()


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_what_is_remembered_is_true_on_both_sides_at_that_moment(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    change(desk)
    assert desk.run().exit_code == 0
    desk.comes_to_rest()


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_where_only_the_good_news_was_lost_the_next_run_settles_it(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    change(desk)
    desk.far.faults.append(Fault(method=method, error=TransientError("the reply was lost"), after=True))
    assert desk.run().exit_code == 3
    wanted = {b"edited here", b"edited there"} if change is conflict else set()
    desk.comes_to_rest()
    assert wanted <= set(desk.local.tree().values())


class Mute(Wrapped):
    """A store that does not say what digest it took, as most services do not."""

    def put(self, items: Sequence[Put]) -> Results:
        for index, outcome in self.inner.put(items):
            told = isinstance(outcome, Done) and outcome.entry is not None
            yield index, replace(outcome, entry=replace(outcome.entry, digest=None)) if told else outcome


def test_the_digest_that_is_remembered_is_that_of_the_bytes_that_were_read(desk: Desk) -> None:
    desk.pair = replace(desk.pair, remote=Mute(desk.remote))
    desk.local.write("f", b"bytes")
    desk.run()
    assert desk.rows()["f"].digest == blake3(b"bytes").digest()


def test_a_loser_that_cannot_step_aside_is_not_replaced(desk: Desk) -> None:
    desk.agree(AGREED)
    conflict(desk)
    desk.far.faults.append(Fault(method="rename", error=PermanentError("no")))
    desk.run()
    assert (desk.local.content("f"), desk.remote.content("f")) == (b"edited here", b"edited there")
    assert desk.remote.kept == []


def test_a_loser_whose_copy_does_not_arrive_is_no_success(desk: Desk) -> None:
    desk.agree(AGREED)
    conflict(desk)
    refusing = FaultyStore(desk.local, [Fault(method="put", error=PermanentError("no"))])
    desk.pair = replace(desk.pair, local=refusing)
    assert desk.run().exit_code == 3
    assert b"edited there" in desk.remote.tree().values()
    desk.comes_to_rest()


@pytest.mark.parametrize("when", ["another", "gone"])
def test_a_root_that_is_another_one_by_the_time_of_the_deletions_loses_nothing(desk: Desk, when: str) -> None:
    desk.agree(AGREED)
    desk.local.write("new", b"comes first")
    desk.local.remove("f")

    def swap() -> None:
        if when == "another":
            desk.local.mark("somebody else's")
        else:
            desk.local.exists = False

    desk.ears.then = swap
    with pytest.raises(GuardTripped):
        desk.run()
    assert desk.remote.content("f") == b"first" and desk.remote.content("new") == b"comes first"
