"""Transport for requests: TCP keep-alive, one log line for each request, bounded login responses.

`Adapter` is for sessions of ours, which read and judge what comes back. `GuardedAdapter` is for libraries
that do that themselves (keystoneauth1, ovh): they get whole answers of bearable size, and no redirect to
another origin.
"""

from __future__ import annotations

import logging
import socket
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

import syncer
from syncer.engine.paths import printable
from syncer.errors import AuthError
from syncer.stores.http.bodies import read_bounded
from syncer.stores.http.origins import host_port, redirect_within_origin

_log = logging.getLogger("syncer.http")
_LONGEST_PATH = 200  # characters of one in the log
LOGIN_BYTES = 2 << 20  # of a response to a login: the largest service catalogues have some 200 KB
LOGIN_SECONDS = 120.0  # to read it


class Adapter(HTTPAdapter):
    """Connection pool with TCP keep-alive: a dead peer is noticed within two minutes."""

    def __init__(self, *, connections: int = 16) -> None:
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """As HTTPAdapter, with TCP keep-alive switched on."""
        options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):  # macOS calls the first one otherwise
                options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
        super().init_poolmanager(*args, socket_options=options, **more)

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """As HTTPAdapter; logs method, host, path, status and time, and nothing that could be a secret."""
        started = time.monotonic()
        try:
            response = super().send(request, *args, **more)
        except BaseException as error:
            _noted(request, type(error).__name__, started)
            raise
        _noted(request, str(response.status_code), started)
        return response

    def close(self) -> None:
        """Close all connections now: urllib3 keeps a pool open as long as an old response refers to it."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - a copy; it cannot be iterated itself
            pool = pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class Session(requests.Session):
    """A requests session without cookies and redirects, both of which the clients handle themselves.

    requests looks where a redirect leads even if it is not to follow it, and breaks on a port that is none.
    """

    def __init__(self, *, connections: int = 16) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update(
            {"User-Agent": f"Syncer/{syncer.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        )
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(connections=connections))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: redirects are not followed here."""
        return None


class GuardedAdapter(Adapter):
    """Adapter for libraries that follow redirects and read responses themselves. Raises AuthError instead."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """The whole response, bounded.

        A redirect to another origin is an error, since it would get the secrets.
        """
        url = request.url or ""
        more["stream"] = True
        response = super().send(request, *args, **more)
        location = response.headers.get("Location", "")
        if 300 <= response.status_code < 400 and location and redirect_within_origin(url, location) is None:
            response.close()
            raise AuthError(
                f"{host_port(url)}: the login service leads to another address, which is not followed",
                hint="check the URL of the account; secrets go nowhere else",
            )
        content = read_bounded(
            response, max_bytes=LOGIN_BYTES, seconds=LOGIN_SECONDS, what=f"{host_port(url)}: the login"
        )
        response._content = content  # so that `content` and `json()` work as after a plain request
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


def _noted(request: requests.PreparedRequest, how: str, started: float) -> None:
    if _log.isEnabledFor(logging.INFO):
        url = request.url or ""
        path = printable(urlsplit(url).path)  # no query: it may hold a signature or a code
        path = path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "…"
        seconds = time.monotonic() - started
        _log.info("%s %s%s: %s in %.3f s", request.method, host_port(url), path, how, seconds)
