"""A Swift account of the config to the door that it describes; what it leaves out comes from the environment.

Not here: how each login works (`syncer.stores.swift.auth`), nor the store behind the door.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from syncer.config.accounts import Account, SwiftHubic, SwiftKeystone, SwiftOvh, SwiftToken, SwiftV1
from syncer.engine.ports import Clock
from syncer.errors import ConfigError

if TYPE_CHECKING:
    from syncer.config.secrets import Secret
    from syncer.stores.swift.auth import Door, Login


def door(account: Account, clock: Clock, *, environ: Mapping[str, str] = os.environ) -> Door:
    """The door of an account of type `swift`; nothing is asked of the service yet.

    Raises AuthError if neither the account nor the environment says enough, ConfigError for another type.
    """
    from syncer.stores.swift.auth.renewing import RenewingDoor
    from syncer.stores.swift.auth.token import TokenDoor

    if isinstance(account, SwiftToken):
        return TokenDoor(
            storage_url=account.storage_url, token=account.token.reveal, insecure=account.insecure
        )
    return RenewingDoor(_login(account, clock, environ), clock=clock)


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
    from syncer.stores.swift.auth.clouds import Files
    from syncer.stores.swift.auth.keystone import KeystoneLogin

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
