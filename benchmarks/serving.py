"""Servers beside which `syncer serve` is measured, each as a process on a free loopback port.

`syncer serve` with a key of its own, `rsync --daemon`, `rclone serve webdav`. They run for as long as a
block does; what their clients do is the business of `serve`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.running import BenchError
from benchmarks.syncers import REPOSITORY

_PATIENCE = 20.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A process that listens; `key` and `password` are "" where anybody may come."""

    folder: Path
    state: Path
    port: int
    pid: int
    key: str = ""
    password: str = ""

    @property
    def peak(self) -> int:
        """The largest memory it had so far, in bytes (proc(5): VmHWM). Raises OSError."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def syncer(base: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """`syncer serve` on the folder `served`, which may be there already. Raises BenchError."""
    folder, state = base / "served", base / "state"
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "syncer", "serve", str(folder), "--state", str(state), "--json"]
    made = json.loads(
        subprocess.run(
            [*words, "--add-key", "bench"], env=environment, capture_output=True, check=True
        ).stdout
    )
    with started([*words, "--quiet", "--listen", "127.0.0.1:0"], environment, base) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchError("syncer serve does not start")
        port = int(json.loads(line)["url"].rstrip("/").rpartition(":")[2])
        yield Server(
            folder=folder, state=state, port=port, pid=process.pid, key=made["key"], password=made["password"]
        )


@contextmanager
def rsync(base: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """`rsync --daemon` with one module, `files`, that may be written. Raises BenchError."""
    folder, port = base / "served", free_port()
    folder.mkdir(parents=True)
    owner = f"uid = {os.getuid()}\ngid = {os.getgid()}\n" if os.getuid() == 0 else ""
    config = base / "rsyncd.conf"
    config.write_text(
        f"use chroot = no\nlog file = {base}/log\npid file = {base}/pid\n{owner}"
        f"[files]\npath = {folder}\nread only = no\n"
    )
    words = [
        "rsync",
        "--daemon",
        "--no-detach",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--config={config}",
    ]
    with started(words, environment, base) as process:
        _await(port)
        yield Server(folder=folder, state=base, port=port, pid=process.pid)


@contextmanager
def webdav(base: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """`rclone serve webdav`. Raises BenchError."""
    folder, port = base / "served", free_port()
    folder.mkdir(parents=True)
    with started(
        ["rclone", "serve", "webdav", str(folder), "--addr", f"127.0.0.1:{port}"], environment, base
    ) as p:
        _await(port)
        yield Server(folder=folder, state=base, port=port, pid=p.pid)


@contextmanager
def started(
    words: Sequence[str], environment: Mapping[str, str], base: Path, *, heard: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """A process for as long as the block takes; what it says lands in `base`/output.

    What it prints on stdout is for the caller to read, if it is `heard`.
    """
    with (base / "output").open("w") as output:
        process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else output,
            stderr=output,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_PATIENCE)
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    """A port of this machine on which nobody listens at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _await(port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise BenchError("a server does not start")
