"""Another Syncer's folder as a store under the contract: the real server of `syncer serve`, in a thread.

One server for all tests of a process, each with a folder of its own below; the disk behind it can be hooked
into, and its clock is never waited for.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from requests.auth import HTTPBasicAuth

from syncer.engine.interfaces import Store
from syncer.server import runner
from syncer.server.api_keys import Credentials, KeyFile
from syncer.server.app import Application
from syncer.server.auth import Keys
from syncer.server.folder import ServedFolder
from syncer.server.state_dir import prepare
from syncer.stores.http.client import HttpSession
from syncer.stores.peer.store import PeerStore
from tests.contract.doubles import HookedDisk, SteppingClock, once_before
from tests.contract.rigs import Rig

_PATIENCE = 20  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A server in a thread of this process."""

    folder: Path
    state: Path
    url: str
    credentials: Credentials
    disk: HookedDisk

    def session(self) -> HttpSession:
        login = HTTPBasicAuth(self.credentials.token, self.credentials.password)
        return HttpSession(self.url, login, clock=SteppingClock())


@cache
def server() -> Thread:
    """The server, started when it is first asked for, gone with the process."""
    base = Path(tempfile.mkdtemp(prefix="peer-rig-"))
    folder, state = base / "folder", base / "state"
    folder.mkdir()
    keys = KeyFile(base / "keys")
    credentials = keys.add("rig")
    sockets = runner.bind("127.0.0.1", 0, tls=False, insecure=False)
    url = runner.url_of("127.0.0.1", sockets, tls=False)
    ready, stop = threading.Event(), threading.Event()

    prepare(state)
    clock = SteppingClock()
    served = ServedFolder(Path(os.path.realpath(folder)), state, clock=clock)
    disk = HookedDisk(real=served.fs)
    served.fs = disk  # type: ignore[assignment]
    app = Application(served, Keys(keys, clock))

    def serve() -> None:
        runner.run(app, sockets, tls=None, ready=ready.set, stopped=stop.is_set)

    thread = threading.Thread(target=serve, name="server", daemon=True)
    thread.start()
    assert ready.wait(_PATIENCE), "the server did not start"

    def leave() -> None:
        stop.set()
        thread.join(_PATIENCE)
        app.close()
        shutil.rmtree(base, ignore_errors=True)

    atexit.register(leave)
    return Thread(folder=folder, state=state, url=url, credentials=credentials, disk=disk)


class PeerRig(Rig):
    def __init__(self, base: Path) -> None:
        self.server = server()
        self.below = f"{base.parent.name}-{base.name}"[-100:]
        self.root = self.server.folder / self.below
        self.server.disk.calls.clear()
        self._caches = (base / f"cache{number}" for number in itertools.count())
        self.store = self.another()
        self.store.create_root()
        self.store.mark("ab" * 16)

    def another(self) -> Store:
        return PeerStore(self.server.session(), self.below, cache=next(self._caches))

    def write(self, path: str, data: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def link(self, path: str, target: str) -> None:
        (self.root / path).symlink_to(target)

    def mkdir(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)

    def remove(self, path: str) -> None:
        full = self.root / path
        if full.is_dir() and not full.is_symlink():
            shutil.rmtree(full)
        else:
            full.unlink()

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def kept(self) -> list[bytes]:
        everything = (self.server.state / "trash" / self.below).rglob("*")
        return [
            os.fsencode(os.readlink(p)) if p.is_symlink() else p.read_bytes()
            for p in everything
            if p.is_symlink() or p.is_file()
        ]

    def during_read(self, act: Callable[[], None]) -> None:
        self.server.disk.before = once_before("read", act)

    def drop_root(self) -> None:
        shutil.rmtree(self.root)
