"""Choose the login flow of an account for `syncer login`."""

from __future__ import annotations

from syncer.accounts.login.base import Dialogue, LoggedIn
from syncer.config.accounts import Account, Orange, SmartFile, SwiftHubic, SwiftOvh


def log_in(account: Account, dialogue: Dialogue) -> LoggedIn | None:
    """Log in; None if the account has all credentials that it needs.

    Raises AuthError, TransientError, PermanentError, ConfigError, StateError. Only a
    successful login is saved.
    """
    match account:
        case Orange():
            from syncer.accounts.login import orange

            return orange.log_in(account, dialogue)
        case SwiftHubic() if account.refresh_token is None and not dialogue.environ.get(
            "HUBIC_REFRESH_TOKEN"
        ):
            from syncer.accounts.login import hubic

            return hubic.log_in(account, dialogue)
        case SwiftOvh() if _keyless(account):
            from syncer.accounts.login import ovh

            return ovh.log_in(account, dialogue)
        case SmartFile():
            from syncer.accounts.login import smartfile

            return (
                smartfile.log_in(account, dialogue) if smartfile.wanted(account, dialogue.environ) else None
            )
    return None


def _keyless(account: SwiftOvh) -> bool:
    """A service account (OAuth 2) has no consumer key, and one that is set is not to be replaced."""
    from syncer.stores.swift.auth.ovh import OvhLogin

    known = OvhLogin(endpoint=account.endpoint, conf_file=account.conf_file)
    if account.client_id or (not account.application_key and known.configured("client_id")):
        return False
    return account.consumer_key is None and not known.configured("consumer_key")
