"""Asking a service whether the credentials of an account work, and what it says of itself.

Nothing is changed there. A login that was kept is used as a run would use it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.accounts.credentials import completed, wallet_of
from syncer.accounts.registry import store_of
from syncer.config.accounts import (
    Account,
    SmartFile,
    SwiftHubic,
    SwiftKeystone,
    SwiftOvh,
    SwiftToken,
    SwiftV1,
)
from syncer.engine.interfaces import Capabilities, Clock, Store
from syncer.errors import ConfigError, StoreError
from syncer.formatting import show_size

if TYPE_CHECKING:
    from syncer.stores.swift.client import Connection

_TAG = "00000000"  # no run's: nothing is written
_QUOTAS = ("X-Account-Quota-Bytes", "X-Account-Meta-Quota-Bytes", "X-Account-Meta-Quota")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """What a service answered to the credentials of an account. Sizes in bytes, None where it does not say.

    `storage`: the URL that content goes to, where that is another one than the account names.
    """

    storage: str = ""
    free: int | None = None
    used: int | None = None
    limits: str = ""
    window: str = ""


def standing(account: Account, state_dir: Path, *, clock: Clock) -> AccountStatus:
    """Raises AuthError where the credentials do not work, other errors where that cannot be told."""
    if account.type == "swift":
        return _swift(account, state_dir, clock)
    with visited(account, "", state_dir, clock=clock) as store:
        store.root()
        able = store.capabilities
        return AccountStatus(free=store.free_space(), limits=_limits(able), window=able.window)


@contextmanager
def visited(account: Account, path: str, state_dir: Path, *, clock: Clock) -> Iterator[Store]:
    """The store of a path of an account, to look at. Raises AuthError, ConfigError, StateError."""
    with tempfile.TemporaryDirectory(prefix="syncer-") as cache:
        store = store_of(account, path, state_dir=state_dir, clock=clock, cache=Path(cache), tag=_TAG)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def connected(account: Account, state_dir: Path, *, clock: Clock) -> Iterator[Connection]:
    """Requests to a whole Swift account, containers and all. Raises AuthError, ConfigError, StateError."""
    from syncer.accounts.swift import door
    from syncer.stores.swift.client import Connection

    told = completed(account, wallet_of(state_dir, account), os.environ)
    connection = Connection(door(told, clock), clock=clock)
    try:
        yield connection
    finally:
        connection.close()


def _swift(account: Account, state_dir: Path, clock: Clock) -> AccountStatus:
    from syncer.stores.swift.capabilities import ClusterInfo
    from syncer.stores.swift.client import Call
    from syncer.stores.swift.context import WINDOW_OF_CEPH
    from syncer.stores.swift.names import ContainerPath
    from syncer.stores.swift.store import CAPABILITIES

    with connected(account, state_dir, clock=clock) as connection:
        headers = connection.ask(Call(method="HEAD", path="", about="the account")).headers
        offered = ClusterInfo(connection, ContainerPath(container="")).limits
        bulk = f"{offered.bulk_delete:,} deletes at once" if offered.bulk_delete else "no bulk deletes"
        return AccountStatus(
            storage=connection.account(),
            free=_least(_left(headers), _told(connection)),
            used=_number(headers.get("X-Account-Bytes-Used")),
            limits=f"objects up to {show_size(offered.max_file_size)}, {bulk}; {_limits(CAPABILITIES)}",
            window=WINDOW_OF_CEPH if offered.is_ceph else CAPABILITIES.window,
        )


def _told(connection: Connection) -> int | None:
    try:
        return connection.tokens.free_space()
    except StoreError:  # Hubic has an endpoint of its own for it, and an application may have no right to it
        return None


def _left(headers: Mapping[str, str]) -> int | None:
    used = _number(headers.get("X-Account-Bytes-Used")) or 0
    quotas = [quota for quota in (_number(headers.get(name)) for name in _QUOTAS) if quota is not None]
    return max(0, quotas[0] - used) if quotas else None


def _least(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _limits(able: Capabilities) -> str:
    """What cannot be held there, in words."""
    granularity = able.mtime_granularity_ns
    words = [
        f"names up to {able.max_name_bytes} bytes",
        "" if able.symlinks else "no symlinks",
        "" if able.executable else "no executable bit",
        "" if able.any_bytes else "names in UTF-8 only",
        f"no {' '.join(able.forbidden)} in names" if able.forbidden else "",
        "folds case" if able.folds_case else "",
        "no modification times" if not granularity else "",
        "" if able.moves else "renames are sent anew",
    ]
    return ", ".join(filter(None, words))


def addresses(account: Account, environ: Mapping[str, str]) -> Iterator[str]:
    """The URLs that the account names, as far as they are known without a login."""
    from syncer.config.accounts import Orange

    match account:
        case Orange():
            from syncer.stores.orange import api, oauth

            yield account.auth_url or oauth.AUTH_URL
            yield account.api_url or api.API_URL
            yield account.content_url or api.CONTENT_URL
        case SwiftHubic():
            from syncer.stores.swift.auth.hubic import API_URL

            yield account.api_url or API_URL
        case SwiftOvh():
            yield from _ovh(account)
        case SwiftV1():
            yield from filter(None, [account.auth_url or environ.get("ST_AUTH")])
        case SwiftKeystone() if not account.cloud:
            yield from filter(None, [account.auth_url or environ.get("OS_AUTH_URL")])
        case SwiftToken():
            yield account.storage_url
        case SmartFile():
            yield from filter(None, [account.url or environ.get("SMARTFILE_API_URL")])


def _ovh(account: SwiftOvh) -> Iterator[str]:
    from ovh.client import ENDPOINTS

    from syncer.stores.swift.auth.ovh import OvhLogin

    named = OvhLogin(endpoint=account.endpoint).chosen_endpoint()
    url = ENDPOINTS.get(named, named)
    if url.startswith(("http://", "https://")):
        yield url


def known(accounts: Mapping[str, Account], name: str, origin: str) -> Account:
    """The account of that name. Raises ConfigError."""
    from syncer.formatting import near, quoted

    if name not in accounts:
        names = ", ".join(accounts) or "none"
        raise ConfigError(
            f"{origin}: there is no account {quoted(name)}{near(name, accounts)}",
            hint=f"accounts of this config: {names}; write an [accounts.{name}] table",
        )
    return accounts[name]
