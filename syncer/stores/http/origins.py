"""Origins (RFC 6454): which URLs secrets may be sent to. https, or this machine. Pure, no DNS.

A redirect or a login service could name any URL: a secret must not be sent to another origin, or unencrypted.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

Origin = tuple[str, str, int | None]

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> Origin | None:
    """Scheme, host and port (RFC 6454); None for what has none, such as a port that is no number."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port if port is not None else _PORTS[parts.scheme]


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same origin; a URL without one has the same origin as no other."""
    found = origin(one)
    return found is not None and found == origin(other)


def redirect_within_origin(url: str, location: str) -> str | None:
    """Where a redirect from `url` leads if it stays within its origin, else None."""
    try:
        target = urljoin(url, location)
    except ValueError:
        return None
    return target if same_origin(url, target) else None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its number or by the one name that cannot lead elsewhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        return socket.inet_aton(host)[0] == 127  # the old ways to write a number, such as 127.1
    except (OSError, ValueError):
        return host == "localhost"


def in_the_clear(url: str) -> bool:
    """Whether a request to the URL crosses a network unencrypted."""
    found = origin(url)
    return found is None or (found[0] == "http" and not is_loopback(found[1]))


def host_port(url: str) -> str:
    """`host:port`, always with the port: for error messages."""
    found = origin(url)
    if found is None:
        return "an address without a host"
    _, host, port = found
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound(
    environ: Mapping[str, str], variable: str, url: str | None, *secrets: str, public: str = ""
) -> Mapping[str, str]:
    """The environment without its secrets where they belong to another endpoint than the account's `url`.

    A password that was exported for one service must not be sent to another that an account names. `public`:
    the service's own endpoint, for which they are where `variable` names none; this machine may stand for it.
    """
    named = environ.get(variable, "")
    if not url or not (named or public) or same_origin(url, named or public):
        return environ
    if not named and (found := origin(url)) is not None and is_loopback(found[1]):
        return environ
    return {name: value for name, value in environ.items() if name not in secrets}
