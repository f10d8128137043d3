"""The app on a socket: addresses, TLS, uvicorn, a stop that lets requests end.

Signals are the caller's: it says when to stop. A head, a connection, is bounded by `http_protocol`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import uvicorn

from syncer import allocator
from syncer.errors import ConfigError, SyncerError, UsageError
from syncer.server.app import Application
from syncer.server.http_protocol import Entrance, HardenedProtocol, guarded
from syncer.stores.local.filesystem import raise_descriptor_limit

_BACKLOG = 256
_HINT_TLS = "give --cert and --key; --insecure sends keys and files readable over the network"


def address(text: str) -> tuple[str, int]:
    """HOST and PORT of `HOST:PORT` or `[IPv6]:PORT`. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"--listen {text} names no address",
            hint="write HOST:PORT, for example 127.0.0.1:8765; port 0: a free one",
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def bind(host: str, port: int, *, tls: bool, insecure: bool) -> list[socket.socket]:
    """Listening sockets on every address of the host. Raises UsageError, SyncerError.

    Refuses an address that others can reach, where neither TLS nor `insecure` is asked for.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"--listen: {host} is no address of a machine ({error.strerror})") from None
    open_to_others = [
        a for *_, a in found if not ipaddress.ip_address(str(a[0]).partition("%")[0]).is_loopback
    ]
    if open_to_others and not tls and not insecure:
        raise UsageError(f"{host} can be reached by other machines, and there is no TLS", hint=_HINT_TLS)
    made: list[socket.socket] = []
    for family, _, _, _, where in dict.fromkeys(found):
        # One port for all addresses of the host, also where it was left to the system.
        chosen = made[0].getsockname()[1] if made else port
        made.append(_listening(family, (where[0], chosen, *where[2:])))
    return made


def _listening(family: int, where: tuple[object, ...]) -> socket.socket:
    try:
        return socket.create_server(where, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SyncerError(
            f"cannot listen on {where[0]} port {where[1]}: {error.strerror}",
            hint="another program may use the port; choose another, or 0 for a free one",
        ) from error


def url_of(host: str, sockets: list[socket.socket], *, tls: bool) -> str:
    """Where a client finds the server; ends with a slash."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{sockets[0].getsockname()[1]}/"


def check_tls(cert: Path, key: Path) -> None:
    """Raises ConfigError for a pair that cannot be used."""

    def refuse() -> NoReturn:
        raise ConfigError(
            f"{key} is protected by a passphrase", hint="store the key without one, readable by you only"
        )

    try:
        _context().load_cert_chain(cert, key, password=refuse)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate {cert} and the key {key} cannot be used: {error.strerror or error}",
            hint="both are PEM files; the certificate file holds the chain too",
        ) from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class ServerRunner(uvicorn.Server):
    """uvicorn, whose signals are ours."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: Application,
        *,
        ready: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._application = app
        self._ready = ready
        self._stopped = stopped

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: whoever started us looks for them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells once requests are taken."""
        await super().startup(sockets)
        allocator.settle()
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Whoever has not ended when the patience is over finds its connection gone, and ends by that."""
        patience = max((self.config.timeout_graceful_shutdown or 0) - 1.5, 0)  # uvicorn cancels after that
        timer = asyncio.get_running_loop().call_later(patience, self._sever)
        await super().shutdown(sockets)
        timer.cancel()

    def _sever(self) -> None:
        self._application.stop()
        for connection in list(self.server_state.connections):
            if isinstance(connection, HardenedProtocol):
                connection.transport.abort()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._application.look()
        return self._stopped() or await super().on_tick(counter)


def run(
    app: Application,
    sockets: list[socket.socket],
    *,
    tls: tuple[Path, Path] | None,
    ready: Callable[[], None],
    stopped: Callable[[], bool],
) -> None:
    """Serves until `stopped()`; requests in flight have a few seconds then."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what it could tell is in our own log
    allocator.spare()
    raise_descriptor_limit()
    protocol = guarded(app.limits)
    if tls is not None:
        sockets = [Entrance(sock, protocol.doors) for sock in sockets]
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(app.limits.stop_seconds),
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        asyncio.run(ServerRunner(config, app, ready=ready, stopped=stopped).serve(sockets))
    finally:
        for sock in sockets:
            sock.close()
