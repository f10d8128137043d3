"""Accounts of type `syncer` (one's own `syncer serve`) and `smartfile`: URL, login, and the protocol spoken.

`syncer serve` announces its extension in the answer of ping: then the store speaks that, else the plain
SmartFile API. The first call decides, so that a store can be made without a network.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncer.engine.interfaces import Clock, Store
from syncer.errors import ConfigError, PermanentError, StoreError
from syncer.stores.base import StoreWrapper
from syncer.stores.context import StoreContext

if TYPE_CHECKING:
    from syncer.config.accounts import Account
    from syncer.stores.http.client import HttpSession
    from syncer.stores.smartfile.auth import Given

_PING = "api/2/ping/"


class SmartFileType:
    """The account type `smartfile` (`config.account_types.AccountType`): either server, found out by ping."""

    @staticmethod
    def config_model(table: Mapping[str, Any]) -> type[Account]:
        """The model of its accounts."""
        from syncer.config.accounts import SmartFile

        return SmartFile

    @classmethod
    def open(cls, config: Account, path: str, *, context: StoreContext) -> Store:
        """The store of a folder of the server. Raises AuthError, ConfigError."""
        return connecting(config, path, clock=context.clock, cache=context.cache, tag=context.tag)


class SyncerServerType(SmartFileType):
    """The account type `syncer`: a server of one's own, `syncer serve`. Another server is an error."""


def connecting(account: Account, path: str, *, clock: Clock, cache: Path, tag: str) -> Store:
    """The store of a folder of the server; nothing is sent yet. Raises AuthError, ConfigError."""
    from syncer.stores.http.client import HttpSession
    from syncer.stores.smartfile import auth

    login = auth.find(_given(account), environ=os.environ)
    ca_file: Path | None = getattr(account, "ca_file", None)
    if ca_file is not None and not ca_file.is_file():
        raise ConfigError(
            f"accounts.{account.name}.ca_file: {ca_file} is not a file",
            hint="name a file with the certificate that the server's own is signed by",
        )
    session = HttpSession(
        login.url, login.auth, str(ca_file) if ca_file else None, clock=clock, account=account.name
    )
    identity = f"smartfile:{login.url}{path.strip('/')}"
    only_ours = account.type == "syncer"

    def choose() -> Store:
        return _speaking(session, path, cache=cache, tag=tag, only_ours=only_ours)

    return AutodetectStore(choose, identity, session)


def _given(account: Account) -> Given:
    """What the config says of the login, its secrets still covered."""
    from syncer.config.accounts import SmartFile
    from syncer.stores.smartfile.auth import Given

    if not isinstance(account, SmartFile):
        raise ConfigError(f"accounts.{account.name}: not an account of type smartfile")

    def covered(name: str) -> Callable[[], str] | None:
        secret = getattr(account, name)
        return None if secret is None else secret.reveal

    return Given(
        url=account.url,
        key=account.key,
        password=covered("password"),
        client_token=account.client_token,
        client_secret=covered("client_secret"),
        access_token=covered("access_token"),
        access_secret=covered("access_secret"),
        insecure=account.insecure,
    )


def _speaking(session: HttpSession, path: str, *, cache: Path, tag: str, only_ours: bool) -> Store:
    """Ask the server once which protocol it speaks.

    Raises AuthError, TransientError, PermanentError, NoCommonVersion.
    """
    from syncer.stores import peer
    from syncer.stores.http.json import document

    response = session.request("GET", _PING, about="ping")
    try:
        told = document(response, "ping")
    except StoreError:
        told = None
    if not isinstance(told, dict):
        raise PermanentError("what answers there is no SmartFile API", hint="check the account's url")
    version = peer.agreed(told.get("syncer"), session.base_url)
    if version is not None:
        from syncer.stores.peer.store import PeerStore

        return PeerStore(session, path, cache=cache, version=version)
    if only_ours:
        raise PermanentError(
            f"{session.base_url} is not a Syncer server",
            hint='check the url of the account; for the SmartFile service write type = "smartfile"',
        )
    from syncer.stores.smartfile import connecting as plain

    return plain(session, path, clock=session.clock, tag=tag)


class AutodetectStore(StoreWrapper):
    """The store that the first call finds out to be the right one; until then only its identity is known."""

    def __init__(self, choose: Callable[[], Store], identity: str, session: HttpSession) -> None:
        self._choose = choose
        self._identity = identity
        self._session = session
        self._lock = threading.Lock()
        self._chosen: Store | None = None

    @property
    def inner(self) -> Store:
        """Raises what asking the server does; then the next call asks again."""
        with self._lock:
            if self._chosen is None:
                self._chosen = self._asked()
            return self._chosen

    @inner.setter
    def inner(self, store: Store) -> None:
        self._chosen = store

    def _asked(self) -> Store:
        """Trouble with the whole service must not look like trouble with the root, such as its absence."""
        try:
            return self._choose()
        except PermanentError as error:
            raise StoreError(error.message, hint=error.hint, path=self._identity) from error

    @property
    def identity(self) -> str:
        return self._identity

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()
        self._session.close()
