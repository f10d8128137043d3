"""Login to Hubic: by user and password if the account has them, else in a browser; saves a refresh token.

With it user and password are not needed any more. A login voids the refresh token that the same user and
application had before.
"""

from __future__ import annotations

from secrets import token_urlsafe

from syncer.accounts.credentials import purpose
from syncer.accounts.login import oauth_redirect
from syncer.accounts.login.base import Dialogue, LoggedIn
from syncer.config.accounts import SwiftHubic


def log_in(account: SwiftHubic, dialogue: Dialogue) -> LoggedIn:
    """Raises AuthError (wrong password, denied, wrong code, too late), TransientError, StateError."""
    from syncer.stores.swift.auth.hubic import HubicApplication, HubicLogin

    application = HubicApplication.settled(
        dialogue.environ,
        client_id=account.client_id,
        username=account.username,
        api_url=account.api_url,
        redirect_uri=account.redirect_uri,
        client_secret=account.client_secret.reveal if account.client_secret else None,
        password=account.password.reveal if account.password else None,
        insecure=account.insecure,
    )
    code = ""
    if not application.by_password:
        state = token_urlsafe(32)
        url = application.authorization_url(state)
        code = oauth_redirect.code(dialogue, url, redirect_uri=application.redirect_uri, state=state)
    refresh = HubicLogin(application, clock=dialogue.clock).authorize(code)
    kept = dialogue.wallet.save(purpose(account, dialogue.environ), {"refresh_token": refresh})
    how = "by user and password" if application.by_password else "in the browser"
    return LoggedIn(message=f"logged in to Hubic {how}", kept=kept)
