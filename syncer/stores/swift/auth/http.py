"""One HTTP request to a login service: what comes back as a value, what went wrong in our words.

Redirects are not followed, since the request carries secrets; `.netrc` is not asked. No message
holds more of a URL than its host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, ConfigError, PermanentError, TransientError
from syncer.stores.http.origins import in_the_clear, origin, place
from syncer.wire.bounded_json import TooLarge, loads

TIMEOUT = (15.0, 60.0)  # seconds to connect, and between two pieces of the answer
# Too slow, too early, too often (Swift's 498, and 529 of newer ones): the next try may do.
_FOR_THE_MOMENT = {408, 425, 429, 498}

_VALUES = 32 << 20  # bytes that the values of an answer may take

Secret = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthAnswer:
    """What a service answered. `headers` are found in any case of their letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    host: str

    @property
    def fine(self) -> bool:
        """Any 2xx: Ceph answers a login with 204."""
        return 200 <= self.status < 300

    def fields(self) -> Mapping[str, object] | None:
        """The JSON object in the body; None where there is none (HTML, nothing, a list)."""
        try:
            found = loads(self.body, most=_VALUES)
        except (ValueError, TooLarge):
            return None
        return found if isinstance(found, dict) else None

    def text(self, name: str) -> str:
        """A text of the JSON object, "" where there is none."""
        found = (self.fields() or {}).get(name)
        return found if isinstance(found, str) else ""


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    form: list[tuple[str, str]] | None = None,
    basic: tuple[str, str] | None = None,
) -> AuthAnswer:
    """Asks once. Raises TransientError (no answer, or one that says: later), AuthError (no such service)."""
    from requests.auth import HTTPBasicAuth

    from syncer.stores.http.adapter import LOGIN_BYTES, LOGIN_SECONDS, Session
    from syncer.stores.http.content import whole
    from syncer.stores.http.failures import reaching
    from syncer.stores.retry_policy import counted

    host, request = host_of(url), f"{method} {url}"
    # Without an `auth` of ours requests would look for one in ~/.netrc.
    auth = HTTPBasicAuth(*basic) if basic else lambda request: request
    try:
        with reaching(url, request=request), Session(connections=1) as session:
            found = session.request(
                method,
                url,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                params=dict(query or {}),
                data=form,
                auth=auth,
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            )
            body = whole(found, most=LOGIN_BYTES, seconds=LOGIN_SECONDS, what=f"{place(url)}: the login")
            answer = AuthAnswer(status=found.status_code, headers=found.headers, body=body, host=host)
    except PermanentError as error:
        raise AuthError(error.message, hint=error.hint) from None
    except ValueError as error:  # of requests, for headers that are none
        raise AuthError(
            f"{host}: cannot ask for a login ({type(error).__name__})", hint="check the URL"
        ) from None
    if answer.status >= 500 or answer.status in _FOR_THE_MOMENT:
        error_later = TransientError(
            f"{place(url)}: the login service answers {answer.status}",
            retry_after=retry_after(answer.headers),
        )
        raise counted(error_later, request)
    return answer


def host_of(url: str) -> str:
    """What messages say of a URL."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the login service"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After`; the form with a date is left alone."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def storage_of(url: str, *, insecure: bool = False) -> str:
    """A storage URL as `Access` holds it. Raises AuthError for what is none, or goes by plain http."""
    if origin(url) is None:
        raise AuthError(
            "the login succeeded, but no storage URL came with it", hint="check auth_url and region"
        )
    if in_the_clear(url) and not insecure:
        raise AuthError(
            f"the login hands out a storage URL without TLS (http, {place(url)}): the token and all files "
            "would cross the network unencrypted",
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
