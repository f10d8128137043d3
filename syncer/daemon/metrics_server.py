"""`/metrics` on a port of this machine, for a Prometheus that cannot read a unix socket. Nothing else.

Loopback only, and only under a loopback name: a web page whose name is made to point here (DNS rebinding)
comes with a Host of its own and is refused.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from syncer.clock import SystemClock
from syncer.daemon.control_api import exposition, guarded, refusal
from syncer.daemon.http_server import HttpRequest, HttpResponse, HttpServer
from syncer.daemon.status import DaemonStatus
from syncer.engine.interfaces import Clock
from syncer.errors import SyncerError, UsageError

_PATH: Final = "/metrics"
_HINT: Final = "write HOST:PORT, for example 127.0.0.1:9187; port 0: a free one"


class MetricsServer:
    """Answers at `address` until `stop`."""

    def __init__(self, sock: socket.socket, listener: HttpServer) -> None:
        host, port = sock.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._listener = listener

    def stop(self) -> None:
        """Within a second. Again: nothing."""
        self._listener.stop()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve_metrics(
    address: str,
    standing: Callable[[], DaemonStatus],
    *,
    clock: Clock | None = None,
    patience: float = 5.0,
) -> MetricsServer:
    """Raises UsageError for an address that is none or not of this machine, SyncerError for a taken one."""
    time = clock or SystemClock()

    def answer(request: HttpRequest) -> HttpResponse:
        if not _ours(request.host):
            return refusal(HTTPStatus.BAD_REQUEST, "the Host is not this machine: ask for 127.0.0.1")
        if urlsplit(request.target).path != _PATH:
            return refusal(HTTPStatus.NOT_FOUND, f"there is only {_PATH}")
        if request.method not in ("GET", "HEAD"):
            told = refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{_PATH} is asked for with GET")
            return HttpResponse(status=told.status, body=told.body, allow="GET, HEAD")
        return guarded(lambda _: exposition(standing(), time), request)

    sock = _bound(*loopback(address))
    return MetricsServer(sock, HttpServer(sock, answer, refusal, timeout=patience))


def loopback(text: str) -> tuple[str, int]:
    """HOST and PORT of `HOST:PORT` or `[IPv6]:PORT`. Raises UsageError if others could reach it."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"metrics: {text!r} names no address", hint=_HINT)
    host = host.removeprefix("[").removesuffix("]")
    if not _is_loopback(host):
        raise UsageError(
            f"metrics: {host} is not a loopback address: other machines could ask there", hint=_HINT
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ours(host: str) -> bool:
    """Whether a Host header names this machine, whatever its port."""
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return _is_loopback(name)


def _bound(host: str, port: int) -> socket.socket:
    numeric = "127.0.0.1" if host.lower() == "localhost" else host
    family = socket.AF_INET6 if ":" in numeric else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((numeric, port))
        made.listen(16)
    except OSError as error:
        made.close()
        raise SyncerError(
            f"metrics: cannot listen on {host}:{port}: {error.strerror}",
            hint="another process may hold that port: name another one",
        ) from None
    return made
