"""Two real folders, a config file and a state directory: where a test is a user of the command line.

`World.sync` and its like call the very command line in this process, which is quick; `World.start`
makes a real process of it (for signals, locks and other users). Paths are relative to the world:
`local/d/x`. What stands on a side is read by `Snapshot`s, which leave Syncer's private names out.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any

from syncer.cli.main import main
from syncer.engine.paths import PRIVATE, TEMPORARY

SIDES = ("local", "remote")
FIRST_MTIME_NS = 1_600_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Node:
    """What a name stands for: "file", "directory", "symlink" or "other", and what is in it."""

    kind: str
    data: bytes = b""
    executable: bool = False
    mtime_ns: int = 0
    inode: int = 0

    @property
    def content(self) -> tuple[str, bytes, bool]:
        return self.kind, self.data, self.executable


Snapshot = dict[str, Node]


def snapshot(root: Path) -> Snapshot:
    """Every name below a root but the private ones; directories without mtime, since it is not synced."""
    found: Snapshot = {}
    _read(os.fsencode(root), "", found)
    return found


def _read(root: bytes, directory: str, found: Snapshot) -> None:
    with os.scandir(os.path.join(root, os.fsencode(directory))) as names:
        listed = sorted(names, key=lambda entry: entry.name)
    for entry in listed:
        name = os.fsdecode(entry.name)
        if name.startswith(TEMPORARY) or (not directory and name == PRIVATE):
            continue
        path = f"{directory}/{name}" if directory else name
        found[path] = node_at(entry.path)
        if found[path].kind == "directory":
            _read(root, path, found)


def node_at(place: bytes) -> Node:
    """One name, never followed, and never opened unless it is a file."""
    st = os.lstat(place)
    if S_ISDIR(st.st_mode):
        return Node("directory", inode=st.st_ino)
    if S_ISLNK(st.st_mode):
        return Node("symlink", os.readlink(place), mtime_ns=st.st_mtime_ns, inode=st.st_ino)
    if not S_ISREG(st.st_mode):
        return Node("other", inode=st.st_ino)
    with open(place, "rb") as file:
        data = file.read()
    return Node("file", data, bool(st.st_mode & 0o100), st.st_mtime_ns, st.st_ino)


def contents(tree: Snapshot) -> dict[str, tuple[str, bytes, bool]]:
    """What must be equal on both sides: no stamps, no inodes."""
    return {path: node.content for path, node in tree.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How one call of the command line ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def job(self) -> dict[str, Any]:
        (job,) = self.document["jobs"]
        return dict(job)

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(a["action"], a["path"]) for a in self.job["actions"]]

    @property
    def codes(self) -> set[str]:
        """The codes of the problems."""
        return {p["code"] for p in self.job["problems"]}

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


def call(*words: str) -> Ran:
    """The command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


class World:
    """A job "it" from `local` to `remote` below `home`, with its own state directory."""

    def __init__(self, home: Path, **keys: str) -> None:
        """`keys` are further keys of the job, as TOML text."""
        self.home = home
        self._seconds = 0
        for side in SIDES:
            (home / side).mkdir(parents=True)
        self.configure(**keys)

    def configure(self, remote: str = "", **keys: str) -> None:
        """Write the config file anew."""
        lines = [f'state_dir = "{self.home}/state"', "[jobs.it]", f'local = "{self.home}/local"']
        lines += [f'remote = "local:{remote or self.home / "remote"}"']
        lines += [f"{key} = {value}" for key, value in {"settle": "0", **keys}.items()]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def pair(self) -> Path:
        """The pair's directory in the state directory; there must be one."""
        (only,) = (self.home / "state" / "pairs").iterdir()
        return only

    @property
    def database(self) -> Path:
        return self.pair / "state.db"

    # -- the command line ---------------------------------------------------------

    def words(self, *words: str) -> tuple[str, ...]:
        return ("--config", str(self.config), *words)

    def sync(self, *words: str) -> Ran:
        return call(*self.words("sync", "--json", *words))

    def plan(self, *words: str) -> Ran:
        return call(*self.words("plan", "--json", *words))

    def status(self) -> dict[str, Any]:
        return call(*self.words("status", "--json")).job

    def check(self) -> Ran:
        return call(*self.words("check", "--json"))

    def settle(self) -> Ran:
        """A run that must end in sync, with nothing left to do for the next one."""
        ran = self.sync()
        assert ran.code == 0, ran
        assert self.sync().actions == []
        return ran

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The command line as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "syncer", *self.words(*words)],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # -- the user ------------------------------------------------------------------

    def path(self, path: str) -> Path:
        return self.home / path

    def write(self, path: str, data: str | bytes, *, mtime_ns: int | None = None) -> Path:
        """Make or overwrite a file, with directories above it; every file gets an mtime of its own."""
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        self._seconds += 1
        stamp = FIRST_MTIME_NS + self._seconds * 10**9 if mtime_ns is None else mtime_ns
        os.utime(place, ns=(stamp, stamp))
        return place

    def fill(self, side: str, count: int, directory: str = "") -> list[str]:
        """So many small files; their paths relative to the side."""
        above = f"{directory}/" if directory else ""
        names = [f"{above}file-{number:03}" for number in range(count)]
        for name in names:
            self.write(f"{side}/{name}", f"content of {name}")
        return names

    def read(self, path: str) -> bytes:
        return (self.home / path).read_bytes()

    def side(self, side: str) -> Snapshot:
        return snapshot(self.home / side)

    def equal(self) -> bool:
        return contents(self.side("local")) == contents(self.side("remote"))

    def everything(self) -> set[bytes]:
        """All file contents under a user's name on a side, or in a trash."""
        trashes = [*self.home.glob("state/pairs/*/*/trash"), *self.home.glob("*/.syncer/trash")]
        places = [*(self.home / side for side in SIDES), *trashes]
        return {data for place in places if place.is_dir() for data in every_content(place)}


def every_content(root: Path) -> Iterator[bytes]:
    """File contents and link targets below a directory, private names left out."""
    return (node.data for node in snapshot(root).values() if node.kind in ("file", "symlink"))


def as_nobody(act: Callable[[], int]) -> int:
    """What `act` answers in a child process without root's rights; 99 if it raised."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os._exit(act())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def open_to_nobody(world: World) -> None:
    """Give the world to the user of `as_nobody`, and let that user pass through the directories above."""
    for above in world.home.parents:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    if os.geteuid() == 0:
        for place, _, names in os.walk(world.home):
            for path in (place, *(os.path.join(place, name) for name in names)):
                os.chown(path, 65534, 65534, follow_symlinks=False)
