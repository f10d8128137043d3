"""Login to Orange Cloud: OAuth 2 authorization code flow in a browser."""

from __future__ import annotations

from secrets import token_urlsafe

from syncer.accounts.credentials import OrangeTokens, purpose
from syncer.accounts.login import oauth_redirect
from syncer.accounts.login.base import Dialogue, LoggedIn
from syncer.accounts.orange import application
from syncer.config.accounts import Orange


def log_in(account: Orange, dialogue: Dialogue) -> LoggedIn:
    """Raises AuthError (denied, wrong code, too late), TransientError, StateError."""
    from syncer.stores.orange import oauth

    registered = application(account)
    state = token_urlsafe(32)
    url = oauth.authorization_url(registered, state)
    code = oauth_redirect.code(dialogue, url, redirect_uri=account.redirect_uri, state=state)
    token = oauth.exchange(registered, code, clock=dialogue.clock)
    kept = OrangeTokens(dialogue.wallet, purpose(account, dialogue.environ)).keep(token)
    lasting = "it is renewed by itself" if token.refresh else "it ends soon: no refresh token was granted"
    return LoggedIn(message=f"logged in to Orange Cloud; {lasting}", kept=kept)
