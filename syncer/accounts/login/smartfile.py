"""Login to SmartFile: OAuth 1.0a with a code that the user pastes from the page of the service."""

from __future__ import annotations

from collections.abc import Mapping

from syncer.accounts.credentials import purpose
from syncer.accounts.login import oauth_redirect
from syncer.accounts.login.base import Dialogue, LoggedIn
from syncer.accounts.login.oauth_redirect import Strange
from syncer.config.accounts import SmartFile
from syncer.errors import AuthError, ConfigError
from syncer.stores.smartfile import auth


def wanted(account: SmartFile, environ: Mapping[str, str]) -> bool:
    """Whether there is anything to log in to: an application, and no key or token that makes it needless."""
    if account.key or account.password or account.access_token or environ.get("SMARTFILE_ACCESS_TOKEN"):
        return False
    keyed = environ.get("SMARTFILE_API_KEY") or environ.get("SMARTFILE_API_PASSWORD")
    return bool(account.client_token or (environ.get("SMARTFILE_CLIENT_TOKEN") and not keyed))


def log_in(account: SmartFile, dialogue: Dialogue) -> LoggedIn:
    """Raises AuthError (wrong application, wrong code), TransientError, StateError."""
    application = application_of(account, dialogue.environ)
    request = auth.request_token(application)
    url = auth.authorize_url(application, request)
    dialogue.person.tell(f"Open this page in a browser, log in and allow it:\n  {url}")
    if dialogue.browser:
        oauth_redirect.browse_aside(dialogue, url)
    try:
        verifier = oauth_redirect.verifier(dialogue.person.answer("Paste the verification code"))
    except Strange as error:
        raise oauth_redirect.unusable(error) from None
    access = auth.access_token(application, request, verifier)
    values = {"access_token": access.token, "access_secret": access.secret}
    kept = dialogue.wallet.save(purpose(account, dialogue.environ), values)
    return LoggedIn(message="logged in to SmartFile", kept=kept)


def application_of(account: SmartFile, environ: Mapping[str, str]) -> auth.OAuth1Application:
    """What the account and SMARTFILE_* say. Raises AuthError, ConfigError."""
    url = account.url or environ.get("SMARTFILE_API_URL", "")
    if not url:
        raise ConfigError(
            f"accounts.{account.name}: no url", hint="set the account's `url`, or SMARTFILE_API_URL"
        )
    token = account.client_token or environ.get("SMARTFILE_CLIENT_TOKEN", "")
    given = account.client_secret
    secret = given.reveal if given else (lambda: environ.get("SMARTFILE_CLIENT_SECRET", ""))
    if not token or not secret():
        raise AuthError(
            "the SmartFile account has no client_secret",
            hint="set the account's `client_secret`, or SMARTFILE_CLIENT_SECRET",
        )
    return auth.OAuth1Application(
        url=url.rstrip("/") + "/", client_token=token, client_secret=secret, ca_file=account.ca_file
    )
