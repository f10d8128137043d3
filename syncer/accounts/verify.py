"""Verify the credentials of an account, and read what the service says about space and limits.

Nothing is changed there. A saved login is used as a run uses it.
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
from syncer.accounts.registry import check_usable, store_of
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
    """The answer of a service to the credentials of an account. Sizes in bytes, None where unknown.

    `storage`: the URL that content goes to, where that is another one than the account names.
    """

    storage: str = ""
    free: int | None = None
    used: int | None = None
    limits: str = ""
    window: str = ""


def standing(account: Account, state_dir: Path, *, clock: Clock) -> AccountStatus:
    """Verify an account. Raises AuthError if the credentials do not work, other errors if unknown."""
    if account.type == "swift":
        return _swift(account, state_dir, clock)
    with visited(account, "", state_dir, clock=clock) as store:
        store.root()
        able = store.capabilities
        return AccountStatus(free=store.free_space(), limits=_limits(able), window=able.window)


@contextmanager
def visited(account: Account, path: str, state_dir: Path, *, clock: Clock) -> Iterator[Store]:
    """Open the store of a path of an account, read-only. Raises AuthError, ConfigError, StateError."""
    with tempfile.TemporaryDirectory(prefix="syncer-") as cache:
        store = store_of(account, path, state_dir=state_dir, clock=clock, cache=Path(cache), tag=_TAG)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def connected(account: Account, state_dir: Path, *, clock: Clock) -> Iterator[Connection]:
    """Open a connection to a whole Swift account. Raises AuthError, ConfigError, StateError."""
    from syncer.accounts.swift import door
    from syncer.stores.swift.client import Connection

    complete = completed(account, wallet_of(state_dir, account), os.environ)
    connection = Connection(door(complete, clock), clock=clock)
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
        used = _number(headers.get("X-Account-Bytes-Used"))
        quotas = [quota for quota in (_number(headers.get(name)) for name in _QUOTAS) if quota is not None]
        free = [max(0, quotas[0] - (used or 0))] if quotas else []
        try:
            reported = connection.tokens.free_space()
        except StoreError:  # Hubic has an endpoint of its own for it, which an application may not be allowed
            reported = None
        if reported is not None:
            free.append(reported)
        offered = ClusterInfo(connection, ContainerPath(container="")).limits
        bulk = f"{offered.bulk_delete:,} deletes at once" if offered.bulk_delete else "no bulk deletes"
        return AccountStatus(
            storage=connection.account(),
            free=min(free, default=None),
            used=used,
            limits=f"objects up to {show_size(offered.max_file_size)}, {bulk}; {_limits(CAPABILITIES)}",
            window=WINDOW_OF_CEPH if offered.is_ceph else CAPABILITIES.window,
        )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _limits(able: Capabilities) -> str:
    """The limits of a store as text for `doctor`."""
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
    check_usable(accounts[name], origin)
    return accounts[name]
