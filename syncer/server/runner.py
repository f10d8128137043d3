"""Run the application with uvicorn: listening sockets, TLS, graceful shutdown.

The caller handles signals and says when to stop. `http_protocol` limits connections and request heads.
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
from syncer.server.http_protocol import HardenedProtocol, TlsListener, protocol_class
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

    An address that other machines can reach needs TLS or `insecure`: else keys would cross the network
    readable.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise UsageError(f"--listen: {host} is no address of a machine ({error.strerror})") from None
    public = [a for *_, a in found if not ipaddress.ip_address(str(a[0]).partition("%")[0]).is_loopback]
    if public and not tls and not insecure:
        raise UsageError(f"{host} can be reached by other machines, and there is no TLS", hint=_HINT_TLS)
    sockets: list[socket.socket] = []
    for family, _, _, _, where in dict.fromkeys(found):
        # One port for all addresses of the host, also if the system chose it.
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(
                socket.create_server((where[0], chosen, *where[2:]), family=family, backlog=_BACKLOG)
            )
        except OSError as error:
            raise SyncerError(
                f"cannot listen on {where[0]} port {chosen}: {error.strerror}",
                hint="another program may use the port; choose another, or 0 for a free one",
            ) from error
    return sockets


def url_of(host: str, sockets: list[socket.socket], *, tls: bool) -> str:
    """The URL of the server; ends with a slash."""
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{sockets[0].getsockname()[1]}/"


def check_tls(cert: Path, key: Path) -> None:
    """Raise ConfigError for a certificate and a key that cannot be used."""

    def refuse() -> NoReturn:
        raise ConfigError(
            f"{key} is protected by a passphrase", hint="store the key without one, readable by you only"
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=refuse)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate {cert} and the key {key} cannot be used: {error.strerror or error}",
            hint="both are PEM files; the certificate file holds the chain too",
        ) from error


class ServerRunner(uvicorn.Server):
    """uvicorn, without its signal handlers, and with a shutdown that ends long requests."""

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
        """Do nothing: the command line handles signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `ready` once requests are accepted."""
        await super().startup(sockets)
        allocator.settle()
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end for a while, then abort their connections.

        A request whose connection is gone ends by itself, in order; uvicorn would cancel its task.
        """

        def abort() -> None:
            self._application.stop()
            for connection in list(self.server_state.connections):
                if isinstance(connection, HardenedProtocol):
                    connection.transport.abort()

        seconds = max((self.config.timeout_graceful_shutdown or 0) - 1.5, 0)  # uvicorn cancels after that
        timer = asyncio.get_running_loop().call_later(seconds, abort)
        await super().shutdown(sockets)
        timer.cancel()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True ends the server."""
        self._application.check_keys()
        return self._stopped() or await super().on_tick(counter)


def run(
    app: Application,
    sockets: list[socket.socket],
    *,
    tls: tuple[Path, Path] | None,
    ready: Callable[[], None],
    stopped: Callable[[], bool],
) -> None:
    """Serve until `stopped()`; requests in flight then have a few seconds."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the access log has what it would say
    allocator.spare()
    raise_descriptor_limit()
    protocol = protocol_class(app.limits)
    if tls is not None:
        sockets = [TlsListener(sock, protocol.limiter) for sock in sockets]
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
