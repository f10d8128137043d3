"""Accounts of type `swift`: token provider and store from the config; the environment fills in the rest.

The logins themselves are in `stores.swift.auth`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncer.config.accounts import Account, SwiftHubic, SwiftKeystone, SwiftOvh, SwiftToken, SwiftV1
from syncer.engine.interfaces import Clock, Store
from syncer.errors import ConfigError
from syncer.stores.context import StoreContext

if TYPE_CHECKING:
    from syncer.config.secrets import Secret
    from syncer.stores.swift.auth import Login, TokenProvider


def door(account: Account, clock: Clock, *, environ: Mapping[str, str] = os.environ) -> TokenProvider:
    """The token provider of an account of type `swift`; nothing is sent yet.

    Raises AuthError if neither the account nor the environment says enough, ConfigError for another type.
    """
    from syncer.stores.swift.auth.session import RenewingTokenProvider
    from syncer.stores.swift.auth.token import StaticTokenProvider

    if isinstance(account, SwiftToken):
        return StaticTokenProvider(
            storage_url=account.storage_url, token=account.token.reveal, insecure=account.insecure
        )
    return RenewingTokenProvider(_login(account, clock, environ), clock=clock)


def default_container(account: Account) -> str:
    """The container meant where a job's PATH names none; "" where it must name one."""
    if not isinstance(account, SwiftHubic):
        return ""
    from syncer.stores.swift.auth.hubic import CONTAINER

    return CONTAINER


def _login(account: Account, clock: Clock, environ: Mapping[str, str]) -> Login:
    match account:
        case SwiftV1():
            return _v1(account, clock, environ)
        case SwiftKeystone():
            return _keystone(account, clock, environ)
        case SwiftHubic():
            return _hubic(account, clock, environ)
        case SwiftOvh():
            return _ovh(account)
    raise ConfigError(f"accounts.{account.name}: not a Swift account")


def _v1(account: SwiftV1, clock: Clock, environ: Mapping[str, str]) -> Login:
    from syncer.stores.swift.auth.v1 import V1Login

    return V1Login.settled(
        environ,
        clock=clock,
        auth_url=account.auth_url,
        user=account.user,
        key=_asked(account.key),
        insecure=account.insecure,
    )


def _keystone(account: SwiftKeystone, clock: Clock, environ: Mapping[str, str]) -> Login:
    from syncer.stores.swift.auth.keystone import Files, KeystoneLogin

    return KeystoneLogin.settled(
        environ,
        clock=clock,
        cloud=account.cloud,
        files=Files(clouds=account.clouds_file, secure=account.secure_file),
        insecure=account.insecure,
        auth_url=account.auth_url,
        username=account.username or account.user,
        password=_asked(account.password),
        project_name=account.project,
        user_domain_name=account.user_domain,
        project_domain_name=account.project_domain,
        region_name=account.region,
        interface=account.interface,
        application_credential_id=account.application_credential_id,
        application_credential_secret=_asked(account.application_credential_secret),
    )


def _hubic(account: SwiftHubic, clock: Clock, environ: Mapping[str, str]) -> Login:
    from syncer.stores.swift.auth.hubic import HubicLogin

    return HubicLogin.settled(
        environ,
        clock=clock,
        client_id=account.client_id,
        username=account.username,
        api_url=account.api_url,
        redirect_uri=account.redirect_uri,
        client_secret=_asked(account.client_secret),
        password=_asked(account.password),
        refresh_token=_asked(account.refresh_token),
        insecure=account.insecure,
    )


def _ovh(account: SwiftOvh) -> Login:
    from syncer.stores.swift.auth.ovh import OvhLogin

    return OvhLogin(
        endpoint=account.endpoint,
        application_key=account.application_key,
        application_secret=_asked(account.application_secret),
        consumer_key=_asked(account.consumer_key),
        client_id=account.client_id,
        client_secret=_asked(account.client_secret),
        project=account.project,
        region=account.region,
        conf_file=account.conf_file,
        insecure=account.insecure,
    )


def _asked(secret: Secret | None) -> Callable[[], str] | None:
    return secret.reveal if secret else None


# --------------------------------------------------------------------------------
#
# The store: container and prefix from the path. Nothing is sent before the first call.
#
# The identity names the account by what the config or the environment says of it, not by the storage URL:
# that is known only behind the door, and a service may hand out another one after each login.


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
    from syncer.stores.remote.object_names import wrong
    from syncer.stores.swift.client import Connection
    from syncer.stores.swift.names import ContainerPath
    from syncer.stores.swift.store import SwiftStore
    from syncer.stores.swift.trash import KEPT_DAYS

    place = ContainerPath.of(path, default=default_container(account))
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


class SwiftType:
    """The account type `swift` (`config.account_types.AccountType`), with a model for each `auth`."""

    @staticmethod
    def config_model(table: Mapping[str, Any]) -> type[Account]:
        """The model for the login that the table names. Raises WrongType."""
        from syncer.config.account_types import one_of
        from syncer.config.accounts import SWIFT_LOGINS

        return SWIFT_LOGINS[one_of(table, "auth", list(SWIFT_LOGINS))]

    @classmethod
    def open(cls, config: Account, path: str, *, context: StoreContext) -> Store:
        """The store of a container, or of a prefix in one. Raises what `connecting` does."""
        return connecting(
            config,
            path,
            clock=context.clock,
            cache=context.cache,
            tag=context.tag,
            trash_days=context.trash_days,
        )


def _whereabouts(account: Account, environ: Mapping[str, str]) -> str:
    """The identity of the account, without secrets."""

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
