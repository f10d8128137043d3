"""OAuth 2 for Orange: the authorization page, the exchange of a code for a token, the refresh of a token.

Authorization code grant (RFC 6749, 4.1 and 6); the client authenticates by HTTP Basic. Nothing is kept here,
no browser is opened, and nothing of a request but its host gets into a message. A refresh names no scope:
Orange's token endpoint was seen to refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, StoreError, TransientError
from syncer.stores.http.login import login_request
from syncer.stores.http.origins import in_the_clear
from syncer.stores.orange.token import Token

if TYPE_CHECKING:
    from oauthlib.oauth2 import WebApplicationClient

AUTH_URL = "https://api.orange.com/oauth/v2"
OWN_FOLDER = ("openid", "cloud", "offline_access")
WHOLE_DRIVE = ("openid", "cloud", "cloudfullread", "cloudfullwrite", "offline_access")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Application:
    """An application registered with Orange. `account` is its name in the config, for hints."""

    client_id: str
    client_secret: Callable[[], str] = field(repr=False)
    redirect_uri: str
    account: str = "NAME"
    auth_url: str = AUTH_URL

    @property
    def again(self) -> str:
        """What to do when the login does not hold any more."""
        return f"log in again: syncer login {self.account}"


def authorization_url(
    application: OAuth2Application, state: str, *, scope: Sequence[str] = OWN_FOLDER, prompt: str = ""
) -> str:
    """The page to open in a browser; it leads back to `redirect_uri?code=…&state=…`.

    `state` must come back as it is. `offline_access` in the scope is what brings a refresh token.
    `prompt`: "", or any of `none`, `login`, `consent`. Raises AuthError for an address that is not https.
    """
    query = {
        "response_type": "code",
        "client_id": application.client_id,
        "redirect_uri": application.redirect_uri,
        "scope": " ".join(scope),
        "state": state,
    }
    if prompt:
        query["prompt"] = prompt
    return f"{_endpoint(application, 'authorize')}?{urlencode(query)}"


def exchange(application: OAuth2Application, code: str, *, clock: Clock) -> Token:
    """The token for the code that came back. Raises AuthError (a used or wrong code too), TransientError."""
    client = _client(application)
    body = client.prepare_request_body(
        code=code, redirect_uri=application.redirect_uri, include_client_id=False
    )
    return _token(application, client, body, clock, refresh="")


def refresh(application: OAuth2Application, token: Token, *, clock: Clock) -> Token:
    """A new access token; the refresh token stays where no other comes. Raises AuthError, TransientError."""
    if not token.refresh:
        raise AuthError(
            f"{_host(application)}: the login has expired and holds no refresh token", hint=application.again
        )
    client = _client(application)
    body = client.prepare_refresh_body(
        refresh_token=token.refresh, redirect_uri=application.redirect_uri, include_client_id=False
    )
    return _token(application, client, body, clock, refresh=token.refresh)


def _client(application: OAuth2Application) -> WebApplicationClient:
    from oauthlib.oauth2 import WebApplicationClient

    return WebApplicationClient(application.client_id)


def _token(
    application: OAuth2Application, client: WebApplicationClient, body: str, clock: Clock, *, refresh: str
) -> Token:
    from requests.auth import HTTPBasicAuth

    response = login_request(
        "POST",
        _endpoint(application, "token"),
        data=body,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        auth=HTTPBasicAuth(application.client_id, application.client_secret()),
        account=application.account,
    )
    if response.is_temporary:
        raise TransientError(f"{_host(application)}: the login service answers {response.status}")
    found = _parsed(application, client, response.status, response.body.decode("utf-8", "replace"))
    life = found.get("expires_in")
    lasts = isinstance(life, int | float) and 0 < life < 1e9
    return Token(
        access=str(found["access_token"]),
        refresh=str(found.get("refresh_token") or refresh),
        expires_ns=clock.now_ns() + int(float(str(life)) * 1e9) if lasts else None,
    )


def _parsed(
    application: OAuth2Application, client: WebApplicationClient, status: int, text: str
) -> dict[str, object]:
    from oauthlib.oauth2 import MissingTokenError, OAuth2Error

    try:
        found: dict[str, object] = dict(client.parse_request_body_response(text))
    except (MissingTokenError, ValueError, TypeError, AttributeError):
        raise _senseless(application, status) from None
    except OAuth2Error as error:
        raise _refused(application, status, str(error.error or "")) from None
    if not 200 <= status < 300 or not isinstance(found.get("access_token"), str):
        raise _senseless(application, status)
    return found


def _refused(application: OAuth2Application, status: int, said: str) -> AuthError:
    """The service's own words are shown where they are error codes of RFC 6749."""
    payload = f"{status}, {said}" if said.replace("_", "").isalpha() else f"{status}"
    ours = said in ("invalid_client", "unauthorized_client")
    return AuthError(
        f"{_host(application)}: the login is refused ({payload})",
        hint="check the account's client_id and client_secret" if ours else application.again,
    )


def _senseless(application: OAuth2Application, status: int) -> StoreError:
    """No answer of a token endpoint: a gateway's for the moment, or the wrong address."""
    message = f"{_host(application)}: what answers is no login service ({status})"
    if 200 <= status < 300:
        return TransientError(message)
    return AuthError(message, hint="check the account's auth_url")


def _endpoint(application: OAuth2Application, name: str) -> str:
    """Raises AuthError where secrets would cross a network in the clear."""
    url = application.auth_url.rstrip("/")
    if in_the_clear(url):
        raise AuthError(f"{_host(application)}: a login must go by https", hint="check auth_url")
    return f"{url}/{name}"


def _host(application: OAuth2Application) -> str:
    return urlsplit(application.auth_url).hostname or "the login service"
