"""Saved logins: fill in the secrets of an account that `syncer login` saved.

The config comes first, then the environment, then the saved login. A saved login is bound to the service and
the application that issued it (`purpose`), so an account that now points elsewhere has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from syncer.config.secrets import Secret
from syncer.errors import AuthError
from syncer.state.credentials import CredentialStore
from syncer.stores.context import Wallet
from syncer.stores.orange.token import Token

if TYPE_CHECKING:
    from syncer.config.accounts import Account


def wallet_of(state_dir: Path, account: Account) -> CredentialStore:
    """The credential store of an account."""
    return CredentialStore(state_dir, account.name)


def completed(account: Account, wallet: CredentialStore, environ: Mapping[str, str]) -> Account:
    """The account with the secrets that `syncer login` saved. Raises AuthError, StateError."""
    wanted = {field: name for field, name in _fields(account).items() if _missing(account, field, environ)}
    if not wanted:
        return account
    kept = wallet.load(purpose(account, environ)) or {}
    found = {field: Secret("text", kept[name]) for field, name in wanted.items() if kept.get(name)}
    return account.model_copy(update=found) if found else account


def purpose(account: Account, environ: Mapping[str, str]) -> str:
    """The service and application that a login of the account belongs to, as text without secrets."""
    from syncer.config.accounts import Orange, SmartFile, SwiftHubic, SwiftOvh

    parts: list[str] = []
    kind = account.type
    match account:
        case Orange():
            from syncer.stores.orange.oauth import AUTH_URL

            urls = [account.auth_url or AUTH_URL, account.api_url or "", account.content_url or ""]
            parts = [*urls, account.client_id]
        case SwiftHubic():
            from syncer.stores.swift.auth.hubic import API_URL

            api_url = account.api_url or environ.get("HUBIC_API_URL") or API_URL
            parts = [api_url, account.client_id or environ.get("HUBIC_CLIENT_ID", "")]
        case SwiftOvh():
            from syncer.stores.swift.auth.ovh import OvhLogin

            login = OvhLogin(endpoint=account.endpoint, conf_file=account.conf_file)
            key = account.application_key or login.configured("application_key")
            parts = [login.chosen_endpoint(), key, account.project or login.configured("project")]
        case SmartFile():
            kind = "smartfile"  # also of type `syncer`
            url = account.url or environ.get("SMARTFILE_API_URL", "")
            client = account.client_token or environ.get("SMARTFILE_CLIENT_TOKEN", "")
            parts = [url.rstrip("/"), client]
    return " ".join([kind, *parts])


_HUBIC = {"refresh_token": "refresh_token"}
_OVH = {"consumer_key": "consumer_key"}
_SMARTFILE = {"access_token": "access_token", "access_secret": "access_secret"}


def _fields(account: Account) -> Mapping[str, str]:
    """The keys of an account that a saved login can provide, with their names in the credential store."""
    from syncer.config.accounts import SmartFile, SwiftHubic, SwiftOvh

    match account:
        case SwiftHubic():
            return _HUBIC
        case SwiftOvh() if account.client_id is None:
            return _OVH
        case SmartFile() if account.key is None and account.password is None:
            return _SMARTFILE
    return {}


def _missing(account: Account, field: str, environ: Mapping[str, str]) -> bool:
    from syncer.config.accounts import SmartFile, SwiftHubic, SwiftOvh

    if getattr(account, field) is not None:
        return False
    match account:
        case SwiftHubic():
            from syncer.stores.swift.auth.hubic import fitting

            return not fitting(environ, account.api_url).get(f"HUBIC_{field.upper()}")
        case SwiftOvh():
            from syncer.stores.swift.auth.ovh import OvhLogin

            return not OvhLogin(endpoint=account.endpoint, conf_file=account.conf_file).configured(field)
        case SmartFile():
            from syncer.stores.smartfile.auth import fitting as fitting_url

            environ = fitting_url(environ, account.url)
    # Either half from elsewhere is about another login, and so is a key and a password.
    theirs = ("ACCESS_TOKEN", "ACCESS_SECRET", "API_KEY", "API_PASSWORD")
    return not any(environ.get(f"SMARTFILE_{name}") for name in theirs)


class OrangeTokens:
    """`stores.orange.token.Tokens` in a wallet."""

    def __init__(self, wallet: Wallet, purpose: str) -> None:
        self._wallet = wallet
        self._purpose = purpose

    def load(self) -> Token | None:
        """As `Tokens.load`."""
        kept = self._wallet.load(self._purpose)
        if kept is None:
            return None
        ends = kept.get("expires_ns", "")
        if not kept.get("access") or (ends and not ends.isdecimal()):
            raise AuthError(
                f"the login that was kept for {self._wallet.account} is not whole",
                hint=f"log in again: syncer login {self._wallet.account}",
            )
        return Token(
            access=kept["access"], refresh=kept.get("refresh", ""), expires_ns=int(ends) if ends else None
        )

    def save(self, token: Token) -> None:
        """As `Tokens.save`."""
        self.keep(token)

    def keep(self, token: Token) -> str:
        """Save the token; answers where, as `CredentialStore.save` does."""
        ends = "" if token.expires_ns is None else str(token.expires_ns)
        values = {"access": token.access, "refresh": token.refresh, "expires_ns": ends}
        return self._wallet.save(self._purpose, values)
