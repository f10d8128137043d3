"""Count the stack frames between `main` and the first byte of one edited file.

Two runs are traced: an edit synced into a folder (the first write into the temporary file), and an edit of a
large file sent as a delta to a real `syncer serve` (the first read of the file by the upload, with the thread
that reads and the thread that waits for it). Only frames of the package count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = str(Path(__file__).parent.parent / "syncer") + os.sep
LARGE = 8 << 20  # bytes: above the size from which a delta is made


def _stack(frame: FrameType | None) -> list[str]:
    """`file:function` of the package's frames, outermost first."""
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            names.append(f"{frame.f_code.co_filename[len(PACKAGE) :]}:{frame.f_code.co_name}")
        frame = frame.f_back
    return names[::-1]


@contextmanager
def _at_first(
    function: str, wanted: Callable[[Any, list[str]], bool], stacks: list[list[str]]
) -> Iterator[None]:
    """Store the stack of each thread at the first call of a FileSystem method that `wanted` accepts.

    `wanted` gets the call's second argument (data, or a size) and the stack of the calling thread.
    """
    from syncer.stores.local.filesystem import FileSystem

    real = getattr(FileSystem, function)

    def spy(self: FileSystem, *arguments: Any) -> Any:
        frames = sys._current_frames()
        calling = _stack(frames.pop(threading.get_ident()))
        if not stacks and wanted(arguments[1], calling):
            stacks.append(calling)
            stacks.extend(stack for stack in map(_stack, frames.values()) if stack and "main" in stack[0])
        return real(self, *arguments)

    setattr(FileSystem, function, spy)
    try:
        yield
    finally:
        setattr(FileSystem, function, real)


def _sync(*arguments: str) -> None:
    from syncer.cli.main import main

    if code := main(["sync", "--quiet", *arguments]):
        raise RuntimeError(f"syncer sync {' '.join(arguments)} ended with {code}")


def _edit(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    os.utime(file, (1, 1))  # at rest: no settle time to wait for


def into_folder(work: Path) -> list[list[str]]:
    """The stacks at the first byte that is written for a file edited here, into a folder."""
    local, remote = work / "local", work / "remote"
    local.mkdir()
    remote.mkdir()
    _edit(local / "file", b"before")
    _sync(str(local), f"local:{remote}")
    _edit(local / "file", b"after!!")
    stacks: list[list[str]] = []
    with _at_first("write", lambda data, _: bytes(data) == b"after!!", stacks):
        _sync(str(local), f"local:{remote}")
    return stacks


def to_server(work: Path) -> list[list[str]]:
    """The stacks at the first byte read for a delta to `syncer serve`: reading thread, then waiting ones."""
    served, local, state = work / "served", work / "client", work / "server-state"
    served.mkdir()
    local.mkdir()
    command = [sys.executable, "-m", "syncer", "serve", str(served), "--state", str(state), "--json"]
    key = json.loads(subprocess.run([*command, "--add-key", "trace"], capture_output=True, check=True).stdout)
    server = subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        config = work / "config.toml"
        config.write_text(
            f'[accounts.box]\ntype = "smartfile"\nurl = "{url}"\nkey = "{key["key"]}"\n'
            f'password = "{key["password"]}"\n'
        )
        config.chmod(0o600)
        os.environ["SYNCER_CONFIG"] = str(config)
        content = bytearray(os.urandom(LARGE))
        _edit(local / "file", bytes(content))
        _sync(str(local), "box:", "--config", str(config))
        content[LARGE // 2] ^= 1
        _edit(local / "file", bytes(content))
        stacks: list[list[str]] = []
        with _at_first("read", lambda _, stack: any("stores/peer" in frame for frame in stack), stacks):
            _sync(str(local), "box:", "--config", str(config))
        return stacks
    finally:
        server.terminate()
        server.wait()


def show_frames() -> None:
    """Trace both runs and print each stack."""
    with tempfile.TemporaryDirectory() as work:
        os.environ["XDG_STATE_HOME"] = os.environ["HOME"] = work
        for title, trace in (("edit to a folder", into_folder), ("edit to a server", to_server)):
            stacks = trace(Path(work))
            print(f"{title}: {' + '.join(str(len(stack)) for stack in stacks)} frames")
            for stack in stacks:
                print("  " + "\n  ".join(stack))
