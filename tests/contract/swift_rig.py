"""The rig of the Swift store, against the real Swift: who works behind its back speaks plain HTTP.

The root is a prefix in a container, so that a mistaken name shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import requests

from syncer.stores.swift.auth import TokenProvider
from syncer.stores.swift.client import Answer, Call, Connection, SwiftReply
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.slo.layout import LayoutLimits
from syncer.stores.swift.store import SwiftStore
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import Rig
from tests.swift.server import Swift

PREFIX = "pre fix/é/"


class Hands:
    """A user of the account with another tool: names are objects' names."""

    def __init__(self, storage_url: str, token: str, container: str) -> None:
        self.container = container
        self.url = f"{storage_url}/{quote(container)}"
        self.session = requests.Session()
        self.session.headers["X-Auth-Token"] = token

    def ask(
        self, method: str, name: str = "", *, fine: bool = True, query: str = "", **how: object
    ) -> requests.Response:
        url = f"{self.url}/{quote(name)}" if name else self.url
        answer = self.session.request(method, f"{url}?{query}" if query else url, **how)
        assert answer.ok or not fine, (method, name, answer.status_code, answer.text)
        return answer

    def put(self, name: str, data: bytes = b"", **headers: str) -> None:
        self.ask("PUT", name, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def names(self, prefix: str = "") -> list[str]:
        rows = self.ask("GET", query=f"format=json&prefix={quote(prefix, safe='')}").json()
        return [row["name"] for row in rows]

    def remove(self, name: str) -> None:
        """The object, and everything below it."""
        for found in {*self.names(f"{name}/"), name}:
            self.ask("DELETE", found, fine=False)


class HookedConnection(Connection):
    """Calls `between` before the second piece that is read; sends what `changed` makes of a call."""

    between: Callable[[], None] = staticmethod(lambda: None)
    changed: Callable[[Call], Call] = staticmethod(lambda call: call)

    def ask(self, call: Call) -> SwiftReply:
        return super().ask(self.changed(call))

    def stream(self, call: object) -> Answer:
        answer = super().stream(call)
        pieces = answer.pieces

        def hooked(size: int = 1 << 20) -> Iterator[bytes]:
            for index, piece in enumerate(pieces(size)):
                if index == 1:
                    act, self.between = self.between, lambda: None
                    act()
                yield piece

        answer.pieces = hooked
        return answer


class SwiftRig(Rig):
    """`door` opens the account in which `hands` work, too."""

    any_bytes = False
    exclusive = False  # two PUTs with If-None-Match may both find the name free
    many = 60
    thresholds: LayoutLimits | None = None

    def __init__(self, base: Path, door: TokenProvider, container: str, prefix: str = PREFIX) -> None:
        self.clock = SteppingClock()
        self.all_stores: list[SwiftStore] = []
        self.base, self.door, self.place = base, door, ContainerPath(container=container, prefix=prefix)
        access = door.open()
        self.hands = Hands(access.storage_url, access.token, container)
        self.connection = HookedConnection(door, clock=self.clock)
        self.store = self.opened(self.connection, base / "cache")
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    def opened(self, connection: Connection | None = None, cache: Path | None = None) -> SwiftStore:
        """Another store of the same root, as of another machine; ends with the rig."""
        store = SwiftStore(
            connection or Connection(self.door, clock=self.clock),
            self.place,
            whereabouts="here",
            clock=self.clock,
            cache=cache,
            tag="0123abcd",
            thresholds=self.thresholds,
        )
        self.all_stores.append(store)
        return store

    def another(self) -> SwiftStore:
        return self.opened(cache=self.base / f"cache{len(self.all_stores)}")

    def close(self) -> None:
        for store in self.all_stores:
            store.close()
        self.hands.session.close()

    def write(self, path: str, data: bytes) -> None:
        self.hands.put(self.place.name(path), data)

    def link(self, path: str, target: str) -> None:
        self.hands.put(self.place.name(path), os.fsencode(target), Content_Type="inode/symlink")

    def mkdir(self, path: str) -> None:
        for end in [i for i, c in enumerate(path) if c == "/"] + [len(path)]:
            self.hands.put(self.place.name(path[:end]), Content_Type="application/directory")

    def remove(self, path: str) -> None:
        self.hands.remove(self.place.name(path))

    def read(self, path: str) -> bytes:
        answer = self.hands.ask("GET", self.place.name(path), fine=False)
        if answer.status_code == 404:
            raise KeyError(path)
        return answer.content

    def kept(self) -> list[bytes]:
        names = self.hands.names(f"{self.place.private}trash/")
        return [self.hands.ask("GET", name).content for name in names]

    def during_read(self, act: Callable[[], None]) -> None:
        self.connection.between = act

    def drop_root(self) -> None:
        self.hands.remove(self.place.prefix.removesuffix("/"))


def tempauth_door(swift: Swift) -> TokenProvider:
    """Into the real Swift, by TempAuth."""
    from syncer.clock import SystemClock
    from syncer.stores.swift.auth.session import RenewingTokenProvider
    from syncer.stores.swift.auth.v1 import V1Login

    clock = SystemClock()
    login = V1Login(auth_url=swift.auth_url, user=swift.user, key=lambda: swift.key, clock=clock)
    return RenewingTokenProvider(login, clock=clock)
