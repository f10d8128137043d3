"""Metrics port: `/metrics` for a Prometheus that cannot read a unix socket, on a loopback address only.

A request whose Host header is not a loopback name is refused: it may come from a web page whose own name was
made to resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import replace
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
    """Serves `http://{address}/metrics` until `stop`."""

    def __init__(self, sock: socket.socket, server: HttpServer) -> None:
        host, port = sock.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = server

    def stop(self) -> None:
        """Stop within a second. Idempotent."""
        self._server.stop()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve_metrics(
    address: str,
    status: Callable[[], DaemonStatus],
    *,
    clock: Clock | None = None,
    patience: float = 5.0,
) -> MetricsServer:
    """Listen at `HOST:PORT`. Raises UsageError if it is no loopback address, SyncerError if in use."""
    time = clock or SystemClock()

    def answer(request: HttpRequest) -> HttpResponse:
        host = request.host
        name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        if not _is_loopback(name):
            return refusal(HTTPStatus.BAD_REQUEST, "the Host is not this machine: ask for 127.0.0.1")
        if urlsplit(request.target).path != _PATH:
            return refusal(HTTPStatus.NOT_FOUND, f"there is only {_PATH}")
        if request.method not in ("GET", "HEAD"):
            refused = refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"{_PATH} needs the method GET")
            return replace(refused, allow="GET, HEAD")
        return guarded(lambda _: exposition(status(), time), request)

    host, port = loopback(address)
    numeric = "127.0.0.1" if host.lower() == "localhost" else host
    sock = socket.socket(socket.AF_INET6 if ":" in numeric else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((numeric, port))
        sock.listen(16)
    except OSError as error:
        sock.close()
        raise SyncerError(
            f"metrics: cannot listen on {host}:{port}: {error.strerror}",
            hint="another process may hold that port: name another one",
        ) from None
    return MetricsServer(sock, HttpServer(sock, answer, refusal, timeout=patience))


def loopback(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`. Raises UsageError if other machines could reach it."""
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
