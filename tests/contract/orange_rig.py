"""The rig of the Orange store, against the double of the service.

The double's files are dated from a day ago on, ten seconds apart, so every write has a date of its own and
is old when it is looked at; what young dates do is tested beside the store.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from syncer.stores.base import StoreWrapper
from syncer.stores.orange.api import OrangeApi
from syncer.stores.orange.oauth import OAuth2Application, refresh
from syncer.stores.orange.session import OrangeSession
from syncer.stores.orange.store import OrangeStore
from syncer.stores.orange.token import Bearer, Token
from tests.contract.doubles import SteppingClock
from tests.contract.rigs import Rig
from tests.doubles.faults import Meanwhile
from tests.doubles.orange import Options, OrangeDouble


class KeptTokens:
    """`orange.tokens.Tokens` in memory."""

    def __init__(self, token: Token | None) -> None:
        self.token = token
        self.saved: list[Token] = []

    def load(self) -> Token | None:
        return self.token

    def save(self, token: Token) -> None:
        self.token = token
        self.saved.append(token)


class OwnDouble(StoreWrapper):
    """A store whose service ends with it."""

    def __init__(self, double: OrangeDouble, inner: OrangeStore) -> None:
        super().__init__(inner)
        self._double = double

    def close(self) -> None:
        self.inner.close()
        self._double.__exit__(None, None, None)


class OrangeRig(Rig):
    """`options` are the double's; unless it is `root`, the root is not the account's own."""

    any_bytes = False
    exclusive = False  # the service has no conditions
    replaces_at_once = False
    many = 60
    executable = False

    def __init__(self, base: Path, options: Options | None = None, root: str = "base/root") -> None:
        self.base, self.root = base, root
        self.double = OrangeDouble(options)
        self.double.__enter__()
        steps = itertools.count(int(time.time()) - 86_400, 10)
        self.double.set_clock(lambda: float(next(steps)))
        self.clock = SteppingClock()
        granted = self.double.login.grant()
        self.tokens = KeptTokens(
            Token(access=str(granted["access_token"]), refresh=str(granted["refresh_token"]))
        )
        if root:
            self.double.mkdir(root.rpartition("/")[0])
        self._caches = (f"cache{number}" for number in itertools.count())
        self.orange = self.opened("cache")
        self.store = OwnDouble(self.double, self.orange)
        self.store.create_root()
        self.store.write_root_id("ab" * 16)

    @property
    def application(self) -> OAuth2Application:
        login = self.double.login
        return OAuth2Application(
            client_id=login.client_id,
            client_secret=lambda: login.client_secret,
            redirect_uri=login.redirect_uri,
            account="cloud",
            auth_url=self.double.auth_url,
        )

    def opened(self, cache: str, tag: str = "0123abcd") -> OrangeStore:
        """Another client, as of another run or (by its cache) another machine."""
        application = self.application
        bearer = Bearer(
            self.tokens,
            partial(refresh, application, clock=self.clock),
            clock=self.clock,
            again=application.again,
        )
        api = OrangeApi(
            OrangeSession(bearer, clock=self.clock),
            api_url=self.double.api_url,
            content_url=self.double.content_url,
        )
        return OrangeStore(
            api, self.root, identity="orange:rig", clock=self.clock, cache=self.base / cache, tag=tag
        )

    def another(self) -> OrangeStore:
        return self.opened(next(self._caches))

    def at(self, path: str) -> str:
        """The account's path."""
        return f"{self.root}/{path}" if self.root else path

    def write(self, path: str, data: bytes) -> None:
        self.double.write(self.at(path), data)

    def link(self, path: str, target: str) -> None:
        raise NotImplementedError("the service holds no symlinks")

    def mkdir(self, path: str) -> None:
        self.double.mkdir(self.at(path))

    def remove(self, path: str) -> None:
        self.double.remove(self.at(path))

    def read(self, path: str) -> bytes:
        return self.double.read(self.at(path))

    def kept(self) -> list[bytes]:
        found = self.double.files(self.at(".syncer/trash"))
        return [data for path, data in found.items() if "/.syncer/root-id" not in path]

    def during_read(self, act: Callable[[], None]) -> None:
        self.double.misbehave("GET", "/content/v1/", Meanwhile(hand=act, after=True))

    def drop_root(self) -> None:
        if self.root:
            self.double.remove(self.root)
        else:
            self.double.drive.exists = False
