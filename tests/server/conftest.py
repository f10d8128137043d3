"""`syncer serve` as a process of its own, for tests that talk to it as any client does.

    with serving(tmp_path / "folder", state=tmp_path / "state") as server:
        server.get("api/2/ping/")

The port is a free one on loopback; the process is stopped, by SIGTERM, when the block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from syncer.server.api_keys import KeyFile
from syncer.server.state_dir import KEYS

ROOT = Path(__file__).parent.parent.parent
_PATIENCE = 20  # seconds


@dataclass(slots=True, kw_only=True)
class Serving:
    """A running server, and a key that lets into all of it."""

    folder: Path
    state: Path
    url: str
    key: str
    password: str
    process: subprocess.Popen[str]
    ca: Path | None = None
    log: list[str] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """With the key, unless `auth` says otherwise; `path` as it is to be sent."""
        options.setdefault("auth", (self.key, self.password))
        options.setdefault("timeout", _PATIENCE)
        if self.ca is not None:
            options.setdefault("verify", str(self.ca))
        return self.session.request(method, self.url + path, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, data: Any, **options: Any) -> requests.Response:
        return self.request("PUT", path, data=data, **options)

    def task(self, path: str, data: Any) -> Any:
        """Begins a task and waits for its result."""
        answer = self.post(path, data=data)
        assert answer.status_code == 200, answer.text
        return self.finished(answer.json())

    def finished(self, started: Any) -> Any:
        """The result of a task that was begun."""
        return eventually(lambda: self._ended(started["url"].lstrip("/")))

    def _ended(self, url: str) -> Any:
        result = self.get(url).json()["result"]
        return result if result["status"] in ("SUCCESS", "FAILURE") else None

    def add_key(self, name: str, *options: str) -> tuple[str, str]:
        """Another key, made by the program."""
        return add_key(self.folder, self.state, name, *options)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Asks it to stop; answers its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(_PATIENCE)

    def names(self) -> list[str]:
        """What a user sees in the folder."""
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))

    def kept(self) -> list[bytes]:
        """The contents in the trash."""
        places = (self.state / "trash", self.folder / ".syncer/trash")
        return [p.read_bytes() for place in places for p in place.rglob("*") if p.is_file()]


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` answers once it is something."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it never came")


def program(*words: str) -> list[str]:
    return [sys.executable, "-m", "syncer", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The program to its end."""
    return subprocess.run(program(*words), env=environment(), capture_output=True, text=True, timeout=60)


def add_key(folder: Path, state: Path, name: str, *options: str) -> tuple[str, str]:
    """Key and password."""
    done = run("serve", str(folder), "--state", str(state), "--add-key", name, "--json", *options)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return made["key"], made["password"]


@contextmanager
def serving(folder: Path, *options: str, state: Path, ca: Path | None = None) -> Iterator[Serving]:
    """Runs `syncer serve FOLDER` with these further options; both directories are made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    made = KeyFile(state / KEYS).add(f"test-{time.monotonic_ns()}")
    words = program(
        "serve", str(folder), "--listen", "127.0.0.1:0", "--state", str(state), "--json", *options
    )
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    log: list[str] = []
    reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        if not line:
            process.wait(_PATIENCE)
            reader.join(_PATIENCE)
            raise AssertionError(f"the server did not start: {''.join(log)}")
        server = Serving(
            folder=folder, state=state, url=json.loads(line)["url"], key=made.token, password=made.password,
            process=process, ca=ca, log=log,
        )  # fmt: skip
        try:
            yield server
        finally:
            server.session.close()
    finally:
        _end(process)
        reader.join(_PATIENCE)
        process.stdout.close()
        process.stderr.close()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_PATIENCE)
        raise


def emptied(server: Serving) -> Serving:
    """The same server with nothing in its folder: for tests that share one."""
    for path in server.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    server.log.clear()
    return server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """A server of an empty folder."""
    with serving(tmp_path / "folder", state=tmp_path / "state") as found:
        yield found
