"""Accounts of type `swift`: which door, which container and prefix. Nothing is asked before the first call.

The identity names the account by what the config or the environment says of it, not by the storage URL:
that is known only behind the door, and a service may hand out another one after each login.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from syncer.config.accounts import Account, SwiftHubic, SwiftKeystone, SwiftOvh, SwiftToken, SwiftV1
from syncer.engine.ports import Clock, Store
from syncer.errors import ConfigError
from syncer.jobs.swift_doors import default_container, door
from syncer.jobs.where import Where

_CONTAINER_BYTES = 256


def connecting(
    account: Account,
    path: str,
    *,
    clock: Clock,
    cache: Path,
    tag: str,
    trash_days: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Store:
    """The store of a container of a Swift account, or of a prefix in one. Raises AuthError, ConfigError."""
    from syncer.stores.swift.connection import Connection
    from syncer.stores.swift.names import Place, wrong
    from syncer.stores.swift.store import SwiftStore
    from syncer.stores.swift.trash import KEPT_DAYS

    place = Place.of(path, default=default_container(account))
    if not place.container:
        raise ConfigError(
            f"accounts.{account.name}: the remote names no container",
            hint=f"write {account.name}:CONTAINER or {account.name}:CONTAINER/FOLDER",
        )
    if len(place.container.encode("utf-8", "surrogateescape")) > _CONTAINER_BYTES:
        raise ConfigError(f"the container's name is longer than {_CONTAINER_BYTES} bytes: {place.container}")
    if why := wrong(place.prefix.removesuffix("/")) or wrong(place.container):
        raise ConfigError(f"{account.name}:{path} cannot be a container and a folder in it: {why}")
    connection = Connection(door(account, clock, environ=environ), clock=clock, account=account.name)
    return SwiftStore(
        connection,
        place,
        whereabouts=_whereabouts(account, environ),
        clock=clock,
        cache=cache / "swift",
        tag=tag,
        trash_days=KEPT_DAYS if trash_days is None else trash_days,
    )


def swift(where: Where) -> Store:
    """The factory for accounts of type `swift`. Raises what `connecting` does."""
    return connecting(
        where.account,
        where.path,
        clock=where.clock,
        cache=where.cache,
        tag=where.tag,
        trash_days=where.trash_days,
    )


def _whereabouts(account: Account, environ: Mapping[str, str]) -> str:
    """The account, told from others, without secrets."""

    def said(given: str | None, *names: str) -> str:
        return given or next((environ[name] for name in names if environ.get(name)), "")

    words: tuple[str, ...]
    match account:
        case SwiftV1():
            words = (said(account.auth_url, "ST_AUTH"), said(account.user, "ST_USER"))
        case SwiftKeystone():
            words = (
                said(account.cloud, "OS_CLOUD"),
                said(account.auth_url, "OS_AUTH_URL"),
                said(account.project, "OS_PROJECT_NAME", "OS_PROJECT_ID", "OS_TENANT_NAME", "OS_TENANT_ID"),
                said(account.username or account.user, "OS_USERNAME", "OS_USER_ID"),
                said(account.application_credential_id, "OS_APPLICATION_CREDENTIAL_ID"),
                said(account.region, "OS_REGION_NAME"),
            )
        case SwiftHubic():
            words = (
                "hubic",
                said(account.api_url, "HUBIC_API_URL"),
                said(account.username, "HUBIC_USERNAME"),
                said(account.client_id, "HUBIC_CLIENT_ID"),
            )
        case SwiftOvh():
            words = (
                "ovh",
                said(account.endpoint, "OVH_ENDPOINT"),
                said(account.project, "OVH_PROJECT", "OVH_PROJECT_ID"),
                said(account.region, "OVH_REGION"),
            )
        case SwiftToken():
            words = (account.storage_url,)
        case _:
            raise ConfigError(f"accounts.{account.name}: not a Swift account")
    return "+".join(word.rstrip("/") for word in words if word)
