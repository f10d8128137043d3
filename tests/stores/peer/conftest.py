"""`syncer serve` as a process, and machines that sync with a folder of their own below what it serves."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from syncer.cli.main import main
from tests.cli.conftest import Answer
from tests.server.conftest import Serving, add_key, program, serving

_NUMBERS = count(1)


@dataclass(slots=True, kw_only=True)
class Machine:
    """One client: a folder, a state directory, an account that names the server."""

    home: Path
    url: str
    key: str
    password: str
    below: str
    read: Callable[[], tuple[str, str]]
    extra: str = ""
    account: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def local(self) -> Path:
        return self.home / "local"

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    def configure(self) -> None:
        """Writes the config anew, from what the fields say now."""
        self.local.mkdir(parents=True, exist_ok=True)
        text = (
            f'state_dir = "{self.home}/state"\n[accounts.far]\ntype = "smartfile"\nurl = "{self.url}"\n'
            f'key = "{self.key}"\npassword = "{self.password}"\n{self.account}\n'
            f'[jobs.docs]\nlocal = "{self.local}"\nremote = "far:{self.below}"\nsettle = 0\n{self.extra}\n'
        )
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def call(self, *words: str) -> Answer:
        """The program in this process."""
        self.read()
        code = main(("--config", str(self.config), *words))
        out, err = self.read()
        return Answer(code=code, out=out, err=err)

    def sync(self, *words: str) -> Any:
        """The job's document of a run that went well."""
        answer = self.call("sync", "--json", *words)
        assert answer.code == 0, answer.out + answer.err
        return answer.job

    def words(self) -> list[str]:
        """A run as a process of its own."""
        return program("--config", str(self.config), "sync", "--json")

    def write(self, path: str, data: bytes) -> Path:
        place = self.local / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def tree(self) -> dict[str, bytes]:
        return tree(self.local)

    def forget_sketches(self) -> None:
        """What the client keeps for its next delta is lost."""
        for kept in self.home.glob("state/pairs/*/cache"):
            shutil.rmtree(kept)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file by path, our own left out."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".syncer" not in str(p.relative_to(folder))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def actions(job: Any) -> list[tuple[str, str]]:
    return [(a["action"], a["path"]) for a in job["actions"]]


def eventually(look: Callable[[], Any], seconds: float = 20) -> Any:
    """What `look` answers once it is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it never came")


FENCED = "fenced/in"  # what the key `fenced` is confined to


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A server, and keys that were made before it started: one may only read, one only see `FENCED`."""

    server: Serving
    reader: tuple[str, str]
    fenced: tuple[str, str]


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server for all tests that do not break it."""
    base = tmp_path_factory.mktemp("serving")
    folder, state = base / "folder", base / "state"
    (folder / FENCED).mkdir(parents=True)
    reader = add_key(folder, state, "reader", "--read-only")
    fenced = add_key(folder, state, "fenced", "--under", FENCED)
    with serving(folder, state=state) as found:
        yield Process(server=found, reader=reader, fenced=fenced)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A server, and a folder of it that is this test's."""

    base: Path
    process: Process
    below: str
    read: Callable[[], tuple[str, str]]

    @property
    def server(self) -> Serving:
        return self.process.server

    @property
    def remote(self) -> Path:
        return self.server.folder / self.below

    def machine(self, name: str = "one", **more: str) -> Machine:
        """Another machine with the same remote folder."""
        server = self.server
        values = {"url": server.url, "key": server.key, "password": server.password, "below": self.below}
        made = Machine(home=self.base / name, read=self.read, **{**values, **more})
        made.configure()
        return made

    def kept(self) -> list[bytes]:
        """What the server took out of the way in this folder."""
        return [p.read_bytes() for p in (self.server.state / "trash" / self.below).rglob("*") if p.is_file()]

    def sketched(self) -> None:
        """Waits until the server kept its sketches."""
        eventually(lambda: list((self.server.state / "sketches").glob("*.sketch")))


@pytest.fixture
def world(
    tmp_path: Path, process: Process, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> World:
    for name in [n for n in os.environ if n.startswith("SMARTFILE_")]:
        monkeypatch.delenv(name)
    return World(base=tmp_path, process=process, below=f"test{next(_NUMBERS)}", read=capsys.readouterr)


@pytest.fixture
def machine(world: World) -> Machine:
    return world.machine()
