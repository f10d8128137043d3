"""Requests to login services: bounded, without redirects and `.netrc`; messages show a URL's host only.

Used by every login of `stores`: OAuth 1.0a (SmartFile), OAuth 2 (Orange, Hubic), Swift's v1, OVH. Libraries
that send by themselves (keystoneauth1, ovh) use `adapter.GuardedAdapter` for the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from syncer.stores.http.origins import host_port
from syncer.wire.bounded_json import TooLarge, loads

if TYPE_CHECKING:
    from requests.auth import AuthBase

TIMEOUT = (15.0, 60.0)  # seconds to connect, and between two pieces of the response
_MAX_VALUES = 32 << 20  # bytes that the values of the JSON in a response may take
_TEMPORARY = frozenset({408, 425, 429, 498})  # too slow, too early, too many requests (498 is Swift's)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResponse:
    """What a login service answered. Names of `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    host: str

    @property
    def ok(self) -> bool:
        """Any 2xx: Ceph answers a login with 204."""
        return 200 <= self.status < 300

    @property
    def is_temporary(self) -> bool:
        """Whether the service failed for the moment: the same login may succeed later."""
        return self.status >= 500 or self.status in _TEMPORARY

    def fields(self) -> Mapping[str, object] | None:
        """The JSON object in the body; None where there is none (HTML, nothing, a list)."""
        try:
            document = loads(self.body, most=_MAX_VALUES)
        except (ValueError, TooLarge):
            return None
        return document if isinstance(document, dict) else None

    def text(self, name: str) -> str:
        """A text of the JSON object, "" where there is none."""
        value = (self.fields() or {}).get(name)
        return value if isinstance(value, str) else ""


def host_of(url: str) -> str:
    """What messages show of a URL: host and port, no user, no path, no query."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the login service"


def login_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    data: str | list[tuple[str, str]] | None = None,
    auth: AuthBase | None = None,
    ca_file: str | None = None,
    account: str = "",
) -> LoginResponse:
    """Send once; any status is a response. The URL was checked with `origins.in_the_clear` before.

    Raises PermanentError (TLS, a URL that cannot be used, a response beyond 2 MiB), TransientError for other
    network errors, ValueError (of requests) for headers that cannot be sent.
    """
    from syncer.stores.http.adapter import LOGIN_BYTES, LOGIN_SECONDS, Session
    from syncer.stores.http.bodies import read_bounded
    from syncer.stores.http.failures import reaching

    with (
        reaching(url, account=account, request=f"{method} {url}"),
        Session(connections=1) as session,
        session.request(
            method,
            url,
            headers={"Accept-Encoding": "identity", **(headers or {})},
            params=dict(query or {}),
            data=data,
            auth=auth or (lambda request: request),  # without one requests would look into ~/.netrc
            timeout=TIMEOUT,
            allow_redirects=False,  # the request carries secrets
            stream=True,
            verify=ca_file or True,
        ) as response,
    ):
        body = read_bounded(
            response, max_bytes=LOGIN_BYTES, seconds=LOGIN_SECONDS, what=f"{host_port(url)}: the login"
        )
        return LoginResponse(
            status=response.status_code, headers=response.headers, body=body, host=host_of(url)
        )
