"""Login data for SmartFile: from the account, the environment, or netrc; OAuth 1.0a.

HTTP Basic with key and password, or OAuth 1.0a with PLAINTEXT signatures (RFC 5849, 3.4.4). Nothing
is sent from here, and no secret gets into a message, a log or a repr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from requests.auth import AuthBase, HTTPBasicAuth

from syncer.errors import AuthError, ConfigError, TransientError
from syncer.stores.http.errors import LOGIN_HINT
from syncer.stores.http.login import login_request
from syncer.stores.http.origins import bound, in_the_clear, origin

if TYPE_CHECKING:
    pass


_SECRETS = (
    "SMARTFILE_API_KEY",
    "SMARTFILE_API_PASSWORD",
    "SMARTFILE_CLIENT_TOKEN",
    "SMARTFILE_CLIENT_SECRET",
    "SMARTFILE_ACCESS_TOKEN",
    "SMARTFILE_ACCESS_SECRET",
)
SHORTEST = 30  # characters of any key, token or secret; the official client refuses shorter ones, too

Secret = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Settings of the account; None where one is not set. Secrets are read when needed."""

    url: str | None = None
    key: str | None = None
    password: Secret | None = field(default=None, repr=False)
    client_token: str | None = None
    client_secret: Secret | None = field(default=None, repr=False)
    access_token: Secret | None = field(default=None, repr=False)
    access_secret: Secret | None = field(default=None, repr=False)
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """URL and credentials. `name` identifies the login and is no secret."""

    url: str
    name: str
    auth: AuthBase = field(repr=False)


def find(given: Given, *, environ: Mapping[str, str], netrc_file: Path | None = None) -> Login:
    """Raises AuthError where nothing complete is found, ConfigError without a URL.

    `netrc_file`: else what NETRC names, else `.netrc` in the home directory.
    """
    environ = fitting(environ, given.url)
    url = _base(given.url or environ.get("SMARTFILE_API_URL", ""), insecure=given.insecure)
    if given.key or given.password:
        return _basic(url, given, environ)
    if given.client_token or given.client_secret or given.access_token or given.access_secret:
        return _oauth(url, given, environ)
    if environ.get("SMARTFILE_API_KEY") or environ.get("SMARTFILE_API_PASSWORD"):
        return _basic(url, given, environ)
    if environ.get("SMARTFILE_CLIENT_TOKEN") or environ.get("SMARTFILE_ACCESS_TOKEN"):
        return _oauth(url, given, environ)
    return _from_netrc(url, netrc_file or _netrc_place(environ))


def fitting(environ: Mapping[str, str], url: str | None) -> Mapping[str, str]:
    """The environment, without the secrets that were exported for another URL than the account's."""
    return bound(environ, "SMARTFILE_API_URL", url, *_SECRETS)


def _base(url: str, *, insecure: bool) -> str:
    parts = urlsplit(url)
    if origin(url) is None or parts.query or parts.username:
        raise ConfigError(
            "the SmartFile account has no url" if not url else "the url of the SmartFile account is no URL",
            hint="set the account's `url`, or SMARTFILE_API_URL, for example to https://files.example/",
        )
    if in_the_clear(url) and not insecure:
        raise ConfigError(
            f"the url of the account is {url}: its secrets would cross the network unencrypted",
            hint="write https://, or `insecure = true` in the account to accept that",
        )
    return url if url.endswith("/") else url + "/"


def _basic(url: str, given: Given, environ: Mapping[str, str]) -> Login:
    key = _value("key", given.key, "SMARTFILE_API_KEY", environ)
    password = _value("password", given.password, "SMARTFILE_API_PASSWORD", environ)
    return _with_basic(url, key, password)


def _with_basic(url: str, key: str, password: str) -> Login:
    return Login(url=url, name=key, auth=HTTPBasicAuth(key.encode(), password.encode()))


def _oauth(url: str, given: Given, environ: Mapping[str, str]) -> Login:
    from requests_oauthlib import OAuth1

    client = _value("client_token", given.client_token, "SMARTFILE_CLIENT_TOKEN", environ)
    auth = OAuth1(
        client,
        client_secret=_value("client_secret", given.client_secret, "SMARTFILE_CLIENT_SECRET", environ),
        resource_owner_key=_value("access_token", given.access_token, "SMARTFILE_ACCESS_TOKEN", environ),
        resource_owner_secret=_value(
            "access_secret", given.access_secret, "SMARTFILE_ACCESS_SECRET", environ
        ),
        signature_method="PLAINTEXT",
    )
    return Login(url=url, name=client, auth=auth)


def _value(name: str, given: str | Secret | None, variable: str, environ: Mapping[str, str]) -> str:
    """The first value that is set, stripped; one that is too short was truncated when it was copied."""
    value = given() if callable(given) else given
    value = (value or environ.get(variable, "")).strip()
    if not value:
        raise AuthError(
            f"the SmartFile account has no {name}", hint=f"set the account's `{name}`, or {variable}"
        )
    return _long_enough(value, f"`{name}` ({variable})")


def _long_enough(value: str, what: str) -> str:
    if len(value) < SHORTEST:
        raise AuthError(
            f"{what} of the SmartFile account is shorter than {SHORTEST} characters",
            hint="copy it again, whole",
        )
    return value


def _netrc_place(environ: Mapping[str, str]) -> Path:
    named = environ.get("NETRC")
    return Path(named) if named else Path(environ.get("HOME") or "~").expanduser() / ".netrc"


def _from_netrc(url: str, place: Path) -> Login:
    """The entry for host:port, else for the host; `default` is not used, it is meant for other services."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        entries = netrc(str(place)).hosts
    except FileNotFoundError:
        raise AuthError("the SmartFile account has no login", hint=LOGIN_HINT) from None
    except (OSError, NetrcParseError, UnicodeDecodeError) as error:
        # what the parser says of a line may hold a piece of a password
        why = error.strerror if isinstance(error, OSError) else "it cannot be understood"
        raise AuthError(f"cannot read {place}: {why}", hint=LOGIN_HINT) from None
    for machine in (parts.netloc, f"{host}:{parts.port}", host):
        if machine in entries:
            user, _, password = entries[machine]
            what = f"of {machine} in {place}"
            return _with_basic(
                url,
                _long_enough(user.strip(), f"the login {what}"),
                _long_enough((password or "").strip(), f"the password {what}"),
            )
    raise AuthError(
        f"the SmartFile account has no login; {place} names none for {parts.netloc}", hint=LOGIN_HINT
    )


# --------------------------------------------------------------------------------
#
# SmartFile's three-legged login: a request token, a person who allows it, an access token in return.
#
# OAuth 1.0a (RFC 5849, 2) with PLAINTEXT signatures, which are no more than the secrets themselves: it goes
# by https, or not off this machine. Nothing is kept here.


_ANSWER_BYTES = 64 << 10
_CLIENT_HINT = "check the account's client_token and client_secret (SMARTFILE_CLIENT_TOKEN, …)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth1Application:
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


def request_token(application: OAuth1Application) -> Pair:
    """Step 1 of OAuth 1.0a: a request token. Raises AuthError, TransientError."""
    return _asked(application, "request_token", "the application", _CLIENT_HINT, callback_uri="oob")


def authorize_url(application: OAuth1Application, request: Pair) -> str:
    """Step 2: the page where the user consents and gets a verification code."""
    return f"{application.url}oauth/authorize/?{urlencode({'oauth_token': request.token})}"


def access_token(application: OAuth1Application, request: Pair, verifier: str) -> Pair:
    """Step 3: the access token. Raises AuthError (also for a wrong or used code), TransientError."""
    return _asked(
        application,
        "access_token",
        "the verification code",
        "log in again, and paste all of the code",
        resource_owner_key=request.token,
        resource_owner_secret=request.secret,
        verifier=verifier,
    )


def _asked(application: OAuth1Application, leg: str, what: str, hint: str, **more: Any) -> Pair:
    from requests_oauthlib import OAuth1

    host = urlsplit(application.url).hostname or "the service"
    if in_the_clear(application.url):
        raise AuthError(f"{host}: a login must go by https", hint="check the account's url")
    response = login_request(
        "POST",
        f"{application.url}oauth/{leg}/",
        auth=OAuth1(
            application.client_token,
            client_secret=application.client_secret(),
            signature_method="PLAINTEXT",
            **more,
        ),
        ca_file=str(application.ca_file) if application.ca_file else None,
    )
    if response.is_temporary:
        raise TransientError(f"{host}: the login service answers {response.status}")
    found = parse_qs(response.body.decode("utf-8", "replace")) if response.ok else {}
    token, secret = found.get("oauth_token", [""])[0], found.get("oauth_token_secret", [""])[0]
    if not token or not secret:
        raise AuthError(f"{host}: refuses {what} ({response.status})", hint=hint)
    return Pair(token=token, secret=secret)
