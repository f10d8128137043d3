"""Two folders to sync, on a real disk or on a simulated one, and somebody who edits them.

A `Machine` holds `local`, `remote` and `keep` (the local side's trash) on some `FileSystem`, and a
real directory for the state database. `Machine.run` is one run of the real code, put together as
`syncer.jobs` does it, with a fault of `faults` in its way. Paths below are relative to the
machine: `local/d/x`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFMT

from syncer.engine import sync
from syncer.engine.check import check
from syncer.engine.gitignore import compile_rules
from syncer.engine.model import Action, Outcome, Policy, Side
from syncer.engine.report import CheckDifference, RunReport
from syncer.errors import SyncerError
from syncer.exit_codes import exit_code
from syncer.jobs.root_identity import admit
from syncer.state import State, open_state
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Trash
from tests.simulation.disk import Disk, DiskClock
from tests.simulation.faults import Calls, Fault, SimulatedCrash, Watched
from tests.simulation.inodes import Committed

TAG = "5eed5eed"
NAMES = {Side.LOCAL: "local", Side.REMOTE: "remote"}


class FastClock:
    """The system's time, but sleeping only moves the hands."""

    def __init__(self) -> None:
        self._ahead = 0

    def now_ns(self) -> int:
        return time.time_ns() + self._ahead

    def monotonic(self) -> float:
        return self.now_ns() / 1e9

    def sleep(self, seconds: float) -> None:
        self._ahead += int(seconds * 1e9)


class Silent:
    """A reporter nobody listens to."""

    def scanning(self, directories: int) -> None:
        return

    def transferring(self, files: int, size: int) -> None:
        return

    def finished(self, action: Action, outcome: Outcome) -> None:
        return

    def moved(self, side: Side, size: int) -> None:
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended: a report, an error, or neither (it died)."""

    calls: Calls
    report: RunReport | None = None
    error: SyncerError | None = None

    @property
    def exit_code(self) -> int | None:
        if self.error is not None:
            return exit_code(self.error)
        return self.report.exit_code if self.report else None

    def __str__(self) -> str:
        if self.report is None:
            return f"error: {self.error}" if self.error else "died"
        bad = [f"{type(r.action).__name__} {r.action.path}: {r.outcome}" for r in self.report.failures]
        return f"exit {self.exit_code} {bad} {self.report.problems} {self.report.holds}"


@dataclass(frozen=True, slots=True)
class Node:
    """One name as it stands on the disk; `kind` is "file", "directory" or "symlink"."""

    kind: str
    data: bytes
    executable: bool
    mtime_ns: int
    inode: int
    ctime_ns: int


Tree = dict[str, Node]


class Machine:
    """Where a story happens. `base` is the machine's directory on `fs`, `state` a real one.

    `there`: what the disk of the remote side does otherwise.
    """

    def __init__(
        self,
        fs: FileSystem,
        clock: FastClock | DiskClock,
        base: str,
        state: Path,
        there: FileSystem | None = None,
    ) -> None:
        self.fs = fs
        self.there = there or fs
        self.clock = clock
        self.base = base
        self.state = state

    # -- runs ------------------------------------------------------------------

    def run(self, fault: Fault | None = None, *, looks: bool = False, policy: Policy | None = None) -> End:
        """One run of the real code. Never raises what a run may raise."""
        calls = Calls(fault, looks=looks)
        try:
            with self._pair(calls, policy or Policy()) as pair:
                return End(calls=calls, report=sync.sync(pair))
        except SyncerError as error:
            return End(calls=calls, error=error)
        except SimulatedCrash:
            return End(calls=calls)

    def differences(self) -> list[CheckDifference]:
        """What `syncer check` finds."""
        with self._pair(Calls(), Policy()) as pair:
            return list(check(pair))

    @contextmanager
    def _pair(self, calls: Calls, policy: Policy) -> Iterator[sync.SyncContext]:
        opened: list[State] = []
        commit = self._commit_hook(calls, opened)
        state = open_state(self.state, commit=commit, now_ns=self.clock.now_ns)
        opened.append(state)
        local, remote = self.open_stores(calls)
        try:
            admit(state.memory, local, remote, names=NAMES, accept=False)
            yield sync.SyncContext(
                local=local, remote=remote, memory=state.memory, policy=policy, clock=self.clock,
                reporter=Silent(), compiler=compile_rules, workers=1,
            )  # fmt: skip
        finally:
            local.close()
            remote.close()
            state.database.abandon() if calls.dead else state.close()

    def open_stores(self, calls: Calls) -> tuple[FolderStore, FolderStore]:
        here = Watched(self.fs, calls, "local")
        there = Watched(self.there, calls, "remote")
        keep = Trash.at(self.path("keep"), fs=here, clock=self.clock, run="r")
        inside = Trash.inside(self.path("remote"), fs=there, clock=self.clock, run="r")
        return (
            FolderStore(self.path("local"), fs=here, clock=self.clock, tag=TAG, trash=keep),
            FolderStore(self.path("remote"), fs=there, clock=self.clock, tag=TAG, trash=inside),
        )

    def _commit_hook(self, calls: Calls, opened: list[State]) -> Callable[[Callable[[], None]], None]:
        return calls.commit

    def path(self, path: str) -> str:
        return f"{self.base}/{path}" if path else self.base

    # -- what stands there -------------------------------------------------------

    def tree(self) -> Tree:
        """Everything on the machine but its state database."""
        found: Tree = {}
        for top in ("local", "remote", "keep"):
            fd = self.fs.open_root(self.path(top))
            self._read(fd, top, found)
        return found

    def _read(self, fd: int, directory: str, found: Tree) -> None:
        for name, st in list(self.fs.scan(fd)):
            path, kind = f"{directory}/{name}", S_IFMT(st.st_mode)
            data, what = b"", "directory"
            if kind == S_IFLNK:
                data, what = os.fsencode(self.fs.readlink(name, fd)), "symlink"
            elif kind != S_IFDIR:
                data, what = self._content(name, fd), "file"
            executable = what == "file" and bool(st.st_mode & 0o100)
            found[path] = Node(what, data, executable, st.st_mtime_ns, st.st_ino, st.st_ctime_ns)
            if what == "directory":
                self._read(self.fs.open_directory(name, fd), path, found)
        self.fs.close(fd)

    def _content(self, name: str, dir_fd: int) -> bytes:
        fd = self.fs.open_read(name, dir_fd)
        data = b""
        while chunk := self.fs.read(fd, 1 << 22):
            data += chunk
        self.fs.close(fd)
        return data

    def write_into(self, path: str, data: bytes) -> None:
        """As an editor that opens the file itself and truncates it."""
        raise NotImplementedError


class RealMachine(Machine):
    """On the real disk, below an empty directory."""

    def __init__(self, home: Path) -> None:
        for name in ("local", "remote", "keep", "state"):
            (home / name).mkdir(parents=True)
        super().__init__(FileSystem(), FastClock(), str(home), home / "state")

    def write_into(self, path: str, data: bytes) -> None:
        Path(self.path(path)).write_bytes(data)


class SimulatedMachine(Machine):
    """On a simulated disk; every commit of the database is in the disk's log."""

    def __init__(self, disk: Disk, state: Path, image: bytes = b"") -> None:
        super().__init__(disk, disk.clock, "", state)
        self.disk = disk
        if image:
            self.set_image(image)

    @classmethod
    def fresh(cls, state: Path) -> SimulatedMachine:
        disk = Disk()
        fd = disk.open_root("/")
        for name in ("local", "remote", "keep"):
            disk.mkdir(name, fd, 0o755)
        disk.close(fd)
        for old in state.glob("state.db*"):
            old.unlink()
        return cls(disk, state)

    def set_image(self, image: bytes) -> None:
        """Let the state database be these bytes."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.state}/state.db{suffix}").unlink(missing_ok=True)
        (self.state / "state.db").write_bytes(image)

    def image(self) -> bytes:
        return (self.state / "state.db").read_bytes()

    def _commit_hook(self, calls: Calls, opened: list[State]) -> Callable[[Callable[[], None]], None]:
        def hook(commit: Callable[[], None]) -> None:
            def durably() -> None:
                commit()
                if opened:
                    self.disk.log.append(Committed(opened[0].database.serialize()))

            calls.commit(durably)

        return hook

    def write_into(self, path: str, data: bytes) -> None:
        directory, _, name = self.path(path).rpartition("/")
        fd = self.disk.open_root(directory)
        self.disk.overwrite(name, fd, data)
        self.disk.close(fd)
