"""One HTTP request to a login service: what comes back as a value, what went wrong in our words.

Redirects are not followed, since the request carries secrets; `.netrc` is not asked. No message
holds more of a URL than its host.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from syncer.engine.ports import Clock
from syncer.errors import AuthError, StoreError, TransientError

TIMEOUT = (15.0, 60.0)  # seconds to connect, and between two pieces of the answer
# Too slow, too early, too often (Swift's 498, and 529 of newer ones): the next try may do.
_FOR_THE_MOMENT = {408, 425, 429, 498}

Secret = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
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
            found = json.loads(self.body)
        except ValueError:
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
) -> Answer:
    """Asks once. Raises TransientError (no answer, or one that says: later), AuthError (no such service)."""
    import requests
    from requests.auth import HTTPBasicAuth

    host = host_of(url)
    # Without an `auth` of ours requests would look for one in ~/.netrc.
    auth = HTTPBasicAuth(*basic) if basic else lambda request: request
    try:
        with requests.request(
            method,
            url,
            headers=dict(headers or {}),
            params=dict(query or {}),
            data=form,
            auth=auth,
            timeout=TIMEOUT,
            allow_redirects=False,
        ) as found:
            answer = Answer(status=found.status_code, headers=found.headers, body=found.content, host=host)
    except requests.exceptions.SSLError as error:
        raise untrusted(host, error, "check the URL; REQUESTS_CA_BUNDLE names a private authority") from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise TransientError(f"{host}: no answer to a login ({type(error).__name__})") from None
    except (requests.RequestException, UnicodeError, ValueError) as error:
        raise AuthError(
            f"{host}: cannot ask for a login ({type(error).__name__})", hint="check the URL"
        ) from None
    if answer.status >= 500 or answer.status in _FOR_THE_MOMENT:
        raise TransientError(
            f"{host}: the login service answers {answer.status}", retry_after=retry_after(answer.headers)
        )
    return answer


def untrusted(host: str, error: Exception, hint: str) -> StoreError:
    """AuthError for a certificate that is not trusted; a handshake that broke off may do next time."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):  # OpenSSL's name for it, kept by everyone above
        return AuthError(f"{host}: its certificate could not be verified", hint=hint)
    return TransientError(f"{host}: no TLS connection", hint="is it https there?")


def host_of(url: str) -> str:
    """What messages say of a URL."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the login service"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After`; the form with a date is left alone."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def storage_of(url: str) -> str:
    """A storage URL as `Access` holds it. Raises AuthError for what is none."""
    if not url.startswith(("http://", "https://")):
        raise AuthError(
            "the login succeeded, but no storage URL came with it", hint="check auth_url and region"
        )
    return url.rstrip("/")


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
