"""Accounts of type `orange`: the hosts of the service, the registered application, the saved login."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syncer.engine.interfaces import Store
from syncer.errors import AuthError, ConfigError
from syncer.stores.context import StoreContext

if TYPE_CHECKING:
    from syncer.config.accounts import Account
    from syncer.stores.orange.oauth import OAuth2Application
    from syncer.stores.orange.token import Tokens


class OrangeType:
    """The account type `orange` (`config.account_types.AccountType`)."""

    @staticmethod
    def config_model(table: Mapping[str, Any]) -> type[Account]:
        """The model of its accounts."""
        from syncer.config.accounts import Orange

        return Orange

    @classmethod
    def open(cls, config: Account, path: str, *, context: StoreContext) -> Store:
        """The store of a folder of the account. Raises AuthError, ConfigError."""
        from syncer.accounts.credentials import OrangeTokens, purpose

        if context.wallet is None:
            raise AuthError(f"accounts.{config.name}: there is nowhere to look for its login")
        return connecting(config, path, OrangeTokens(context.wallet, purpose(config, os.environ)), context)


def application(account: Account) -> OAuth2Application:
    """What an account says of the application, its secret still covered. Raises ConfigError."""
    from syncer.config.accounts import Orange
    from syncer.stores.orange.oauth import AUTH_URL, OAuth2Application

    if not isinstance(account, Orange):
        raise ConfigError(f"accounts.{account.name}: not an account of type orange")
    return OAuth2Application(
        client_id=account.client_id,
        client_secret=account.client_secret.reveal,
        redirect_uri=account.redirect_uri,
        account=account.name,
        auth_url=account.auth_url or AUTH_URL,
    )


def connecting(account: Account, path: str, tokens: Tokens, context: StoreContext) -> Store:
    """The store of a folder of an Orange account; nothing is sent yet. Raises ConfigError."""
    from functools import partial

    from syncer.config.accounts import Orange
    from syncer.stores.http.origins import in_the_clear
    from syncer.stores.orange.api import API_URL, CONTENT_URL, OrangeApi
    from syncer.stores.orange.oauth import refresh
    from syncer.stores.orange.session import OrangeSession
    from syncer.stores.orange.store import OrangeStore
    from syncer.stores.orange.token import Bearer

    registered = application(account)
    assert isinstance(account, Orange)
    for key, url in (("api_url", account.api_url), ("content_url", account.content_url)):
        if url and in_the_clear(url) and not account.insecure:
            raise ConfigError(
                f"accounts.{account.name}.{key}: {url}: the token would cross the network unencrypted",
                hint="write https://, or `insecure = true` in the account to accept that",
            )
    bearer = Bearer(
        tokens, partial(refresh, registered, clock=context.clock), clock=context.clock, again=registered.again
    )
    api = OrangeApi(
        OrangeSession(bearer, clock=context.clock, account=account.name),
        api_url=account.api_url or API_URL,
        content_url=account.content_url or CONTENT_URL,
    )
    return OrangeStore(
        api,
        path,
        identity=f"{account.identity}/{path.strip('/')}",
        clock=context.clock,
        cache=context.cache,
        tag=context.tag,
    )
