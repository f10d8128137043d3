"""The rig of the plain SmartFile store, against the double of the hosted service.

The double's clock stands a day back and goes on by two seconds whenever it is looked at, so every write
has a time of its own and is old when it is looked at; what young times do is tested beside the store.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from requests.auth import HTTPBasicAuth

from syncer.stores.base import StoreWrapper
from syncer.stores.http.client import HttpSession
from syncer.stores.smartfile import attributes
from syncer.stores.smartfile.store import SmartFileStore
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import Rig
from tests.doubles.faults import Meanwhile
from tests.doubles.smartfile import Options, SmartFileDouble
from tests.doubles.smartfile.listing import info

ROOT = "/base/root"


class OwnDouble(StoreWrapper):
    """A store whose service ends with it."""

    def __init__(self, double: SmartFileDouble, inner: SmartFileStore) -> None:
        super().__init__(inner)
        self._double = double

    def close(self) -> None:
        self.inner.close()
        self._double.__exit__(None, None, None)


class SmartFileRig(Rig):
    """`options` are the double's; the root is not the account's own, so that a mistaken path shows."""

    any_bytes = False
    replaces_at_once = False
    many = 60

    def __init__(self, base: Path, options: Options | None = None) -> None:
        self.double = SmartFileDouble(options)
        self.double.__enter__()
        steps = itertools.count(int(time.time()) - 86_400, 2)
        self.double.set_clock(lambda: float(next(steps)))
        self.double.mkdir("/base")
        self.clock = SteppingClock()
        self.store = OwnDouble(self.double, self.another())
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    def another(self) -> SmartFileStore:
        """Another client, as of another run or machine."""
        auth = HTTPBasicAuth(self.double.key, self.double.password)
        session = HttpSession(self.double.url, auth, clock=self.clock)
        return SmartFileStore(session, ROOT, clock=self.clock, tag="0123abcd")

    def write(self, path: str, data: bytes) -> None:
        self.double.write(f"{ROOT}/{path}", data)

    def link(self, path: str, target: str) -> None:
        self.write(path, attributes.target_bytes(target))
        node = self.double.site.tree.find(f"{ROOT}/{path}")
        mark = attributes.Mark(size=len(node.content), time=info(node, "")["time"], target=target)
        node.attributes.update(mark.attributes())

    def mkdir(self, path: str) -> None:
        self.double.mkdir(f"{ROOT}/{path}")

    def remove(self, path: str) -> None:
        self.double.remove(f"{ROOT}/{path}")

    def read(self, path: str) -> bytes:
        return self.double.read(f"{ROOT}/{path}")

    def kept(self) -> list[bytes]:
        trash = f"{ROOT}/.syncer/trash/"
        found = self.double.contents().items()
        return [
            data
            for path, data in found
            if data is not None
            and path.startswith(trash)
            and "/.syncer/root-id" not in path.removeprefix(trash)
        ]

    def during_read(self, act: Callable[[], None]) -> None:
        self.double.misbehave("GET", "/path/data/", Meanwhile(hand=act, after=True))

    def drop_root(self) -> None:
        self.double.remove(ROOT)
