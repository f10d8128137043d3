"""One call of a store, as a process of its own: prints how it ended, and the most memory that it took.

python -m tests.stores.client_process KIND CALL URL
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from requests.auth import HTTPBasicAuth

from syncer.engine.interfaces import Store, WriteRequest
from syncer.engine.model import Entry, Kind
from syncer.errors import SyncerError
from syncer.testing.scans import changed_directories
from tests.contents import Held, noise
from tests.contract.doubles import BytesSource, SteppingClock

CLOCK = SteppingClock()
OLD = Entry(kind=Kind.FILE, size=1 << 40, version=b"v1")


def _session(url: str) -> Any:
    from syncer.stores.http.client import HttpSession as Session

    return Session(url, HTTPBasicAuth("k" * 30, "p" * 30), clock=CLOCK)


def _peer(url: str, home: Path) -> Store:
    from syncer.stores.peer.store import PeerStore

    return PeerStore(_session(url), "root", cache=home)


def _smartfile(url: str, home: Path) -> Store:
    from syncer.stores.smartfile import connecting

    return connecting(_session(url), "root", clock=CLOCK, tag="a" * 8)


def _swift(url: str, home: Path) -> Store:
    from syncer.stores.swift.auth.token import StaticTokenProvider
    from syncer.stores.swift.client import Connection
    from syncer.stores.swift.names import ContainerPath
    from syncer.stores.swift.store import SwiftStore

    connection = Connection(
        StaticTokenProvider(storage_url=url + "/v1/AUTH_a", token=lambda: "t"), clock=CLOCK
    )
    place = ContainerPath.of("box", default="")
    return SwiftStore(connection, place, whereabouts="w", clock=CLOCK, cache=home / "swift", tag="a" * 8)


def _orange(url: str, home: Path) -> Store:
    from syncer.stores.orange.api import OrangeApi
    from syncer.stores.orange.session import OrangeSession as Session
    from syncer.stores.orange.store import OrangeStore

    class Bearer:
        again = "log in again"

        def living(self) -> str:
            return "token"

        def renewed(self, spent: str) -> str:
            return "token"

    api = OrangeApi(Session(Bearer(), clock=CLOCK), api_url=url, content_url=url)  # type: ignore[arg-type]
    return OrangeStore(api, "root", identity="o", clock=CLOCK, cache=home, tag="a" * 8)


def _login(kind: str, url: str) -> object:
    if kind == "v1":
        from syncer.stores.swift.auth.v1 import V1Login

        return V1Login(auth_url=url, user="u", key=lambda: "k", clock=CLOCK).log_in()
    if kind == "keystone":
        from syncer.stores.swift.auth.keystone import KeystoneLogin

        words = {"username": "u", "project_name": "p"}
        return KeystoneLogin(auth_url=url + "/v3", secret=lambda: "s", clock=CLOCK, **words).log_in()
    if kind == "hubic":
        from syncer.stores.swift.auth.hubic import HubicApplication, HubicLogin

        application = HubicApplication(
            client_id="i", client_secret=lambda: "s", refresh_token=lambda: "r", api_url=url
        )
        return HubicLogin(application, clock=CLOCK).log_in()
    if kind == "ovh":
        from syncer.stores.swift.auth.ovh import OvhLogin

        return OvhLogin(
            endpoint=url + "/1.0", application_key="a", application_secret=lambda: "s",
            consumer_key=lambda: "c", project="p", region="R",
        ).log_in()  # fmt: skip
    from syncer.stores.orange.oauth import OAuth2Application as Registered
    from syncer.stores.orange.oauth import exchange

    registered = Registered(
        client_id="i", client_secret=lambda: "s", redirect_uri="http://localhost/", auth_url=url
    )
    return exchange(registered, "code", clock=CLOCK)


def _put(store: Store) -> object:
    data = noise(1, 200_000)
    item = WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=OLD)
    return list(store.put([item]))


def _delta(store: Store) -> object:
    class Basis(Held):
        start = 0
        digest = b"d" * 32

    basis: Any = Basis(noise(1, 2 << 20))
    return sum(len(piece) for piece in store.open("f", OLD).chunks(basis))


CALLS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: len(store.list("").entries),
    "root": lambda store: store.root(),
    "look": lambda store: store.stat("f"),
    "changed": lambda store: changed_directories(store, [("", b"f")]),
    "small": lambda store: store.read_file("f", 1000),
    "read": lambda store: sum(len(piece) for piece in store.open("f", OLD).chunks()),
    "delta": _delta,
    "put": _put,
    "all": lambda store: len(changed_directories(store, [])) + len(store.list("").entries),
}
STORES: dict[str, Callable[[str, Path], Store]] = {
    "peer": _peer,
    "smartfile": _smartfile,
    "swift": _swift,
    "orange": _orange,
}


def main() -> None:
    """See above."""
    kind, call, url = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        try:
            ended = repr(_login(kind, url) if call == "login" else CALLS[call](STORES[kind](url, Path(home))))
        except SyncerError as error:
            ended = f"refused: {type(error).__name__}: {error}"
    print(json.dumps({"ended": ended[:300], "peak": _peak()}))


def _peak() -> int:
    """Bytes. Linux hands a parent's own peak on by `getrusage`, but not by /proc."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
