"""A user's machine in a temporary directory: two folders, a config, and the program called in-process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from syncer.cli.main import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def job(self) -> Any:
        """The only job of a `sync` or `plan` document."""
        [job] = self.document["jobs"]
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Two folders, a config file with the job `docs`, and the program."""

    home: Path
    call: Callable[..., Answer]

    @property
    def local(self) -> Path:
        return self.home / "local"

    @property
    def remote(self) -> Path:
        return self.home / "remote"

    @property
    def state(self) -> Path:
        return self.home / "state/syncer"

    @property
    def config(self) -> Path:
        return self.home / "config/syncer/config.toml"

    def write(self, side: str, path: str, text: str, mtime: float | None = None) -> Path:
        """A file on one side ("local", "remote"), its mtime in seconds since 1970."""
        file = self.home / side / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if mtime is not None:
            os.utime(file, (mtime, mtime))
        return file

    def configure(self, text: str) -> None:
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text, encoding="utf-8")
        self.config.chmod(0o600)

    def job(self, extra: str = "", name: str = "docs") -> str:
        """The text of a job over the two folders."""
        return f'[jobs.{name}]\nlocal = "{self.local}"\nremote = "local:{self.remote}"\nsettle = 0\n{extra}\n'

    def everything(self) -> dict[str, bytes]:
        """Every file of both roots by path, our own left out."""
        files = [p for side in (self.local, self.remote) for p in side.rglob("*") if p.is_file()]
        return {str(p.relative_to(self.home)): p.read_bytes() for p in files if ".syncer" not in p.parts}

    def kept(self) -> list[bytes]:
        """The contents in the trash under the state directory."""
        return [p.read_bytes() for p in self.state.glob("pairs/*/*/trash/**/*") if p.is_file()]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Machine:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Answer:
        capsys.readouterr()
        code = main(words)
        out, err = capsys.readouterr()
        return Answer(code=code, out=out, err=err)

    found = Machine(home=tmp_path, call=call)
    found.local.mkdir()
    found.configure(found.job())
    return found
