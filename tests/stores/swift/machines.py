"""Machines that sync a folder with one container, put together as `syncer.jobs` does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from syncer.clock import SystemClock
from syncer.engine import sync
from syncer.engine.gitignore import compile_rules
from syncer.engine.model import Action, Failed, Outcome, Policy, Side
from syncer.engine.report import RunReport
from syncer.engine.scope import EVERYTHING, Scope
from syncer.jobs.root_identity import admit
from syncer.state import open_state
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Trash
from syncer.stores.retry import RetryingStore
from syncer.stores.retry_policy import RetryPolicy
from syncer.stores.swift.auth import TokenProvider
from syncer.stores.swift.client import Connection
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.store import SwiftStore

TAG = "0123abcd"
NAMES = {Side.LOCAL: "local", Side.REMOTE: "remote"}


class Silent:
    """A reporter that keeps what it hears to itself."""

    def scanning(self, directories: int) -> None: ...

    def transferring(self, files: int, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None: ...

    def moved(self, side: Side, size: int) -> None: ...


class Machine:
    """One home with a folder, a state and a cache."""

    def __init__(
        self,
        home: Path,
        door: TokenProvider,
        place: ContainerPath,
        clock: SystemClock | None = None,
        thresholds: LayoutLimits | None = None,
    ) -> None:
        self.home, self.door, self.place = home, door, place
        self.clock, self.thresholds = clock or SystemClock(), thresholds
        self.connect: Callable[[], Connection] = lambda: Connection(self.door, clock=self.clock)
        self.local = home / "local"
        self.local.mkdir(parents=True)
        (home / "trash").mkdir()

    def remote(self) -> SwiftStore:
        """The container as a run sees it."""
        connection = self.connect()
        cache = self.home / "cache"
        return SwiftStore(
            connection,
            self.place,
            whereabouts="here",
            clock=self.clock,
            cache=cache,
            tag=TAG,
            thresholds=self.thresholds,
        )

    def run(self, policy: Policy | None = None, scope: Scope = EVERYTHING) -> RunReport:
        """One run. Raises what it raises."""
        with self._pair(policy or Policy(host=self.home.name)) as pair:
            return sync.sync(pair, sync.find_changed_directories(pair, scope))

    def settled(self) -> None:
        """Runs until there is nothing to do."""
        for _ in range(5):
            report = self.run()
            bad = [a for a in report.actions if isinstance(a.outcome, Failed)]
            assert not bad, bad
            if not report.actions and not report.problems:
                return
        raise AssertionError(f"no end: {report}")

    def write(self, path: str, data: bytes) -> Path:
        file = self.local / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def tree(self) -> dict[str, bytes]:
        """Files by path."""
        found = (p for p in sorted(self.local.rglob("*")) if p.is_file() and ".syncer" not in p.parts)
        return {str(p.relative_to(self.local)): p.read_bytes() for p in found}

    @contextmanager
    def _pair(self, policy: Policy) -> Iterator[sync.SyncContext]:
        fs = FileSystem()
        state = open_state(self.home / "state", now_ns=self.clock.now_ns)
        trash = Trash.at(str(self.home / "trash"), fs=fs, clock=self.clock, run="r")
        local = FolderStore(str(self.local), fs=fs, clock=self.clock, tag=TAG, trash=trash)
        patience = RetryPolicy(tries=4, first=0.05, longest=0.5)
        remote = RetryingStore(self.remote(), sleep=self.clock.sleep, policy=patience)
        try:
            found = admit(state.memory, local, remote, names=NAMES, accept=False)
            yield sync.SyncContext(
                local=local, remote=remote, memory=state.memory, policy=policy, clock=self.clock,
                reporter=Silent(), compiler=compile_rules, roots=found,
            )  # fmt: skip
        finally:
            local.close()
            remote.close()
            state.close()
