"""Requests to the login services of Swift; checks of URLs, expiry times and settings that logins share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, ConfigError, PermanentError, TransientError
from syncer.stores.http.login import TIMEOUT, LoginResponse, host_of, login_request
from syncer.stores.http.origins import host_port, in_the_clear, origin
from syncer.stores.retry_policy import counted, retry_after

__all__ = [
    "TIMEOUT",
    "LoginResponse",
    "Secret",
    "ask",
    "by_date",
    "by_seconds",
    "guarded",
    "host_of",
    "missing_hint",
    "storage_of",
    "wanted",
]

Secret = Callable[[], str]


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    form: list[tuple[str, str]] | None = None,
    basic: tuple[str, str] | None = None,
) -> LoginResponse:
    """`login_request` for a Swift login. Raises AuthError, and TransientError also for a temporary status."""
    from requests.auth import HTTPBasicAuth

    auth = HTTPBasicAuth(*basic) if basic else None
    try:
        response = login_request(method, url, headers=headers, query=query, data=form, auth=auth)
    except PermanentError as error:
        raise AuthError(error.message, hint=error.hint) from None
    except ValueError as error:  # of requests, for headers that cannot be sent
        raise AuthError(
            f"{host_of(url)}: cannot ask for a login ({type(error).__name__})", hint="check the URL"
        ) from None
    if response.is_temporary:
        error_later = TransientError(
            f"{host_port(url)}: the login service answers {response.status}",
            retry_after=retry_after(response.headers),
        )
        raise counted(error_later, f"{method} {url}")
    return response


def storage_of(url: str, *, insecure: bool = False) -> str:
    """A storage URL as `Access` holds it. Raises AuthError for what is none, or goes by plain http."""
    if origin(url) is None:
        raise AuthError(
            "the login succeeded, but no storage URL came with it", hint="check auth_url and region"
        )
    if in_the_clear(url) and not insecure:
        raise AuthError(
            f"the login hands out a storage URL without TLS (http, {host_port(url)}): the token and all "
            "files would cross the network unencrypted",
            hint="tell who runs the service; `insecure = true` in the account accepts it",
        )
    return url.rstrip("/")


def guarded(service: str, url: str, *, key: str, insecure: bool) -> str:
    """The URL, if secrets may be sent there; `key` is its name in the account. Raises ConfigError."""
    if in_the_clear(url) and not insecure:
        raise ConfigError(
            f"{service}: {key} is {url.partition('?')[0]}: secrets would cross the network unencrypted",
            hint="write https://, or `insecure = true` in the account to accept that",
        )
    return url


def by_date(expires: datetime | None, clock: Clock) -> float | None:
    """The monotonic time of a date with its zone. The wall clock only tells how far off it is."""
    if expires is None or expires.tzinfo is None:
        return None
    return clock.monotonic() + expires.timestamp() - clock.now_ns() / 1e9


def by_seconds(seconds: object, clock: Clock) -> float | None:
    """The monotonic time after so many seconds, given as a number or its text; None where it is neither."""
    try:
        left = float(str(seconds))
    except ValueError:
        return None
    return clock.monotonic() + left if 0 < left < 1e9 else None


def wanted(service: str, **values: object) -> None:
    """Raises AuthError unless every value is there; keywords are config keys, the hint names them."""
    missing = [key for key, value in values.items() if not value]
    if missing:
        raise AuthError(f"{service}: {' and '.join(missing)} missing", hint=missing_hint(service, missing))


def missing_hint(service: str, missing: list[str]) -> str:
    """What to set: keys of the account, or variables."""
    prefix, names = VARIABLES[service]
    variables = ", ".join(f"{prefix}{names.get(key, key.upper())}" for key in missing)
    return f"set {', '.join(missing)} in the account, or export {variables}"


# How the keys of an account are called in the environment.
VARIABLES: dict[str, tuple[str, dict[str, str]]] = {
    "swift v1": ("ST_", {"auth_url": "AUTH"}),
    "keystone": ("OS_", {"project": "PROJECT_NAME", "region": "REGION_NAME"}),
    "hubic": ("HUBIC_", {}),
    "ovh": ("OVH_", {}),
}
