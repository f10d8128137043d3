"""Versions of the program as processes of their own: today's, a released one, and tomorrow's.

old = released(tmp_path)                                # out of the history; None in a shallow clone
with old.serving(folder, state=state) as server:
    TODAY.sync(home)
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compat import story
from tests.server.conftest import ROOT

COMMIT = "2f24304"
"""The version that people have."""
_PATIENCE = 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running `syncer serve`."""

    url: str
    process: subprocess.Popen[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One version: the directory that holds its `syncer` package, and the protocol versions it claims."""

    source: Path
    spoken: tuple[int, ...] = ()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(
            self._words(words), env=self._environment(), cwd="/", capture_output=True, text=True,
            timeout=_PATIENCE,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        """In the background; its stderr is thrown away."""
        return subprocess.Popen(
            self._words(words), env=self._environment(), cwd="/", stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def add_key(self, folder: Path, state: Path) -> tuple[str, str]:
        """Key and password of a server."""
        done = self.run("serve", str(folder), "--state", str(state), "--add-key", "k", "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        return made["key"], made["password"]

    @contextmanager
    def serving(self, folder: Path, *, state: Path) -> Iterator[Server]:
        """A server, until the block ends."""
        process = self.start("serve", str(folder), "--listen", "127.0.0.1:0", "--state", str(state), "--json")
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"the server did not start: {process.wait(_PATIENCE)}"
            yield Server(url=json.loads(line)["url"], process=process)
        finally:
            process.terminate()
            process.wait(_PATIENCE)
            process.stdout.close()

    def sync(self, home: Home, *words: str, code: int = 0) -> Any:
        """One run of the job of a home: its document. The exit code must be that one."""
        done = self.run("--config", str(home.config), "sync", "--json", *words)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)["jobs"][0]

    def _words(self, words: Sequence[str]) -> list[str]:
        if not self.spoken:
            return [sys.executable, "-m", "syncer", *words]
        spoken = (
            f"import sys; from syncer.wire import versions; versions.SPOKEN = {self.spoken!r}; "
            "from syncer.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        return [sys.executable, "-c", spoken, *words]

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SMARTFILE_", "XDG_"))}
        return {**kept, "PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}


TODAY = Program(source=ROOT)


def tomorrow(*spoken: int) -> Program:
    """Today's program, but for what it says of the protocol: it speaks these versions."""
    return Program(source=ROOT, spoken=spoken)


def released(directory: Path) -> Program | None:
    """The released program, unpacked below the directory; None where the history is not there."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", COMMIT, "syncer"], capture_output=True, timeout=_PATIENCE
    )
    if packed.returncode != 0:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(directory / COMMIT, filter="data")
    return Program(source=directory / COMMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A client: its folder, its state directory, its config with one job."""

    base: Path

    @property
    def local(self) -> Path:
        return self.base / "local"

    @property
    def config(self) -> Path:
        return self.base / "config.toml"

    def configure(self, url: str, key: str, password: str, *, below: str = "docs") -> Home:
        """The job: `local` with a folder of the server. The home itself."""
        self.local.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'state_dir = "{self.base}/state"\n[accounts.far]\ntype = "smartfile"\nurl = "{url}"\n'
            f'key = "{key}"\npassword = "{password}"\n'
            f'[jobs.docs]\nlocal = "{self.local}"\nremote = "far:{below}"\n',
            encoding="utf-8",
        )
        self.config.chmod(0o600)
        return self

    def write(self, path: str, content: bytes | None) -> None:
        """A file of the local folder; None: it is deleted."""
        story.write(self.local, path, content)


def tree(folder: Path) -> dict[str, bytes]:
    """The contents of all files by path, Syncer's own left out."""
    files = [p for p in folder.rglob("*") if p.is_file() and ".syncer" not in p.relative_to(folder).parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def trashed(*places: Path) -> list[bytes]:
    """The contents in the trashes below the places, sorted."""
    found = [p for place in places for p in place.rglob("*") if p.is_file() and "trash" in p.parts]
    return sorted(p.read_bytes() for p in found)


def removed(base: Path) -> Path:
    """The directory, empty."""
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    return base
