"""Two stores in memory, a real state database, and the whole engine between them.

The memory is an honest one: every fact it is told must be true on both sides at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from syncer.clock import SystemClock
from syncer.engine import sync
from syncer.engine.gitignore import compile_rules
from syncer.engine.interfaces import Fact, ForgetBase, MoveBase, SetBase
from syncer.engine.model import Action, BaseEntry, Entry, Kind, Outcome, Policy, RelPath, Side
from syncer.engine.report import RunReport
from syncer.state import open_state
from syncer.state.base import BaseTable
from syncer.testing.faulty_store import FaultyStore
from syncer.testing.memory_store import MemoryStore

EARLY, LATE = 1_000_000_000, 2_000_000_000


class Honest:
    """A memory that is told facts, and finds out whether they are true at that moment."""

    def __init__(self, inner: BaseTable, stores: dict[Side, MemoryStore]) -> None:
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
        found = store.stat(fact.path)
        match fact:
            case SetBase():
                assert isinstance(found, Entry) and found.kind is fact.entry.kind, f"not there: {fact}"
                if fact.entry.kind is Kind.FILE:
                    assert blake3(store.content(fact.path)).digest() == fact.entry.digest, f"not so: {fact}"
            case MoveBase():
                assert found is not None and store.stat(fact.origin) is None, f"did not move: {fact}"
            case ForgetBase():
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

    def __init__(self, memory: BaseTable, policy: Policy) -> None:
        self.local, self.remote = MemoryStore(name="here"), MemoryStore(name="there")
        self.memory = Honest(memory, {Side.LOCAL: self.local, Side.REMOTE: self.remote})
        self.far = FaultyStore(self.remote)
        self.ears = Ears()
        for side, store in (("local", self.local), ("remote", self.remote)):
            store.write_root_id(side)
            self.memory.inner.set(**{f"{side}_root": side})
        self.pair = sync.SyncContext(
            local=self.local,
            remote=self.far,
            memory=self.memory,
            policy=policy,
            clock=SystemClock(),
            reporter=self.ears,
            compiler=compile_rules,
        )

    def run(self) -> RunReport:
        return sync.sync(self.pair)

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
