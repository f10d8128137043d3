"""SmartFile's three-legged login: a request token, a person who allows it, an access token in return.

OAuth 1.0a (RFC 5849, 2) with PLAINTEXT signatures, which are no more than the secrets themselves: it goes
by https, or not off this machine. Nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from syncer.errors import AuthError, TransientError
from syncer.stores.http.failures import reaching
from syncer.stores.http.origins import in_the_clear
from syncer.stores.smartfile.session import CONNECT_SECONDS, READ_SECONDS

if TYPE_CHECKING:
    from requests_oauthlib import OAuth1

_ANSWER_BYTES = 64 << 10
_CLIENT_HINT = "check the account's client_token and client_secret (SMARTFILE_CLIENT_TOKEN, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What was registered with the service; `url` is the base of its API, with a slash at its end."""

    url: str
    client_token: str
    client_secret: Callable[[], str] = field(repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A token (request or access) and its secret."""

    token: str = field(repr=False)
    secret: str = field(repr=False)


def request_token(application: Application) -> Pair:
    """The first leg; the verifier is to be shown to the person. Raises AuthError, TransientError."""
    return _asked(application, "request_token", "the application", _CLIENT_HINT, callback_uri="oob")


def authorize_url(application: Application, request: Pair) -> str:
    """The page where a person allows it and gets a verifier."""
    return f"{application.url}oauth/authorize/?{urlencode({'oauth_token': request.token})}"


def access_token(application: Application, request: Pair, verifier: str) -> Pair:
    """The last leg. Raises AuthError (a wrong or used verifier too), TransientError."""
    return _asked(
        application,
        "access_token",
        "the verification code",
        "log in again, and paste all of the code",
        resource_owner_key=request.token,
        resource_owner_secret=request.secret,
        verifier=verifier,
    )


def _asked(application: Application, leg: str, what: str, hint: str, **more: str) -> Pair:
    from syncer.stores.http.adapter import Session

    host = urlsplit(application.url).hostname or "the service"
    _guard(application.url, host)
    with (
        reaching(application.url),
        Session(connections=1) as session,
        session.post(
            f"{application.url}oauth/{leg}/",
            auth=_signing(application, more),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,  # it carries secrets
            stream=True,
            verify=str(application.ca_file) if application.ca_file else True,
        ) as response,
    ):
        text = response.raw.read(_ANSWER_BYTES, decode_content=True).decode("utf-8", "replace")
        status = response.status_code
    if status == 429 or status >= 500:
        raise TransientError(f"{host}: the login service answers {status}")
    found = parse_qs(text) if 200 <= status < 300 else {}
    token, secret = found.get("oauth_token", [""])[0], found.get("oauth_token_secret", [""])[0]
    if not token or not secret:
        raise AuthError(f"{host}: refuses {what} ({status})", hint=hint)
    return Pair(token=token, secret=secret)


def _signing(application: Application, more: Mapping[str, Any]) -> OAuth1:
    from requests_oauthlib import OAuth1

    return OAuth1(
        application.client_token,
        client_secret=application.client_secret(),
        signature_method="PLAINTEXT",
        **more,
    )


def _guard(url: str, host: str) -> None:
    if in_the_clear(url):
        raise AuthError(f"{host}: a login must go by https", hint="check the account's url")
