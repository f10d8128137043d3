"""Lines: folders that running processes keep in step; what is changed at one end arrives at the other.

Each begins with equal trees, runs for as long as a block does, and is settled when the block begins: it has
looked at everything, and has nothing left to do. What is sent along it is the business of `daemon`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import serving
from benchmarks.ground import Ground, empty
from benchmarks.running import BenchError, Command
from benchmarks.syncers import Syncer, rest
from benchmarks.trees import clone

_MOST = 1800  # seconds that a first run may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`source` and `target` hold the same tree; `processes` by name."""

    name: str
    source: Path
    target: Path
    processes: Mapping[str, int]


Opened = Callable[[Ground, Path], AbstractContextManager[Line]]
"""Opens a line over copies of a tree."""


@contextmanager
def copies(place: Ground, tree: Path, name: str, *ends: str) -> Iterator[list[Path]]:
    """Copies of a tree below one new folder, which goes with them."""
    base = place.folder / name
    try:
        for end in ends:
            clone(tree, base / end)
        yield [base / end for end in ends]
    finally:
        empty(base)


@contextmanager
def folder(place: Ground, tree: Path) -> Iterator[Line]:
    """`syncer daemon` between two folders of this machine."""
    with copies(place, tree, "folder", "a", "b") as (source, target):
        user = _User.new(place, "folder")
        with user.daemon(source, f"local:{target}") as pid:
            for _ in range(2):
                user.settle()
            yield Line(name="folder", source=source, target=target, processes={"daemon": pid})


@contextmanager
def served(place: Ground, tree: Path) -> Iterator[Line]:
    """`syncer daemon` and a `syncer serve` here."""
    with ExitStack() as stack:
        enter = stack.enter_context
        source, target = enter(copies(place, tree, "served", "a", "served"))
        user = _User.new(place, "served")
        server = enter(serving.syncer(target.parent, user.syncer.environment()))
        processes = {"daemon": enter(user.daemon(source, "far:", server)), "server": server.pid}
        for _ in range(2):
            user.settle()
        yield Line(name="served", source=source, target=target, processes=processes)


@contextmanager
def across(place: Ground, tree: Path) -> Iterator[Line]:
    """Two `syncer daemon`s, each with a folder, and a `syncer serve` between them."""
    with ExitStack() as stack:
        enter = stack.enter_context
        source, middle, target = enter(copies(place, tree, "across", "a", "served", "b"))
        one, other = (_User.new(place, f"across-{end}") for end in "ab")
        server = enter(serving.syncer(middle.parent, one.syncer.environment()))
        processes = {
            "daemon": enter(one.daemon(source, "far:", server)),
            "other daemon": enter(other.daemon(target, "far:", server)),
            "server": server.pid,
        }
        for user in (one, other, one, other):
            user.settle()
        yield Line(name="across", source=source, target=target, processes=processes)


OWN: Mapping[str, Opened] = {"folder": folder, "served": served, "across": across}


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """Somebody with a config of one job, and a daemon that runs it."""

    syncer: Syncer
    config: Path

    @classmethod
    def new(cls, place: Ground, name: str) -> _User:
        """With a home that was not there before."""
        empty(place.home(name))
        syncer = Syncer.of(place, name)
        return cls(syncer=syncer, config=syncer.home / "config.toml")

    @contextmanager
    def daemon(self, local: Path, remote: str, server: serving.Server | None = None) -> Iterator[int]:
        """`syncer daemon` from its first sign of life on; its process id. Raises BenchError."""
        account = "" if server is None else (
            f'[accounts.far]\ntype = "smartfile"\nurl = "http://127.0.0.1:{server.port}/"\n'
            f'key = "{server.key}"\npassword = "{server.password}"\n'
        )  # fmt: skip
        self.config.write_text(
            f'state_dir = "{self.syncer.home}/state"\n{account}'
            f'[jobs.bench]\nlocal = "{local}"\nremote = "{remote}"\nsettle = 0\n'
        )
        self.config.chmod(0o600)
        words = self._command("daemon").argv
        with serving.started(words, self.syncer.environment(), self.syncer.home) as process:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise BenchError(f"syncer daemon does not start: {self._said()}")
            yield process.pid

    def settle(self) -> None:
        """Everything looked at once more, with stamps that are to be believed. Raises BenchError."""
        self.syncer.untimed(self._command("flush", "--wait", f"{_MOST}"))
        rest()

    def _command(self, *words: str) -> Command:
        return self.syncer.command("--config", str(self.config), *words)

    def _said(self) -> str:
        return " ".join((self.syncer.home / "output").read_text()[-600:].split())
