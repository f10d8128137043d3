"""ASGI middleware: disconnect clients that send a body or read a response too slowly, authenticated or not.

It is outside of the authentication. Only the time spent waiting for the client counts, not the server's own.
`http_protocol` limits request heads and connections.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_network

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncer.server.errors import HttpError
from syncer.wire.versions import ROOT

_FRAMED = ("put", "delta")  # calls whose body is frames


def neighbourhood(address: str) -> str:
    """The text under which an address is counted: its /64 for IPv6, which is one customer (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


ABORT = "syncer.abort"
"""Extension of an ASGI scope: a function that aborts the connection, whatever is still to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits on what clients may use. Times in seconds, rates in bytes per second.

    A body that arrives at less than `rate` is cut off once it is `grace` seconds behind; likewise a response
    that is not read. A stream of frames may pause for `silence`: a client that makes a delta of a huge file
    that hardly changed has nothing to send but keep-alives.
    """

    head_bytes: int = 64 << 10
    head_seconds: float = 15.0
    headers: int = 100
    grace: float = 30.0
    rate: float = 1024.0
    silence: float = 120.0
    connections: int = 1024
    """In all. The next three limits are for connections that were not authenticated yet."""
    strangers: int = 256
    per_address: int = 128
    handshakes: int = 128
    """TLS handshakes at once, before they count as connections."""
    pipelined: int = 16
    """Pipelined requests that may wait on a connection."""
    queue_seconds: float = 10.0
    """How long a request waits for a slot until it is answered 503."""
    requests: int = 96
    """Requests of the SmartFile API at once; the rest waits without a thread."""
    requests_per_key: int = 32
    calls: int = 48
    """Calls of Syncer's own protocol at once: each has a thread and a few MiB."""
    calls_per_key: int = 12
    listeners: int = 1000
    """Clients that wait for changes (long polls)."""
    listeners_per_key: int = 256
    uploads: int = 16
    """Threads that read bodies of the SmartFile API while they arrive."""
    uploads_per_key: int = 8
    searches: int = 8
    """Deltas and signatures that are computed at once."""
    searches_per_key: int = 4
    tasks_per_key: int = 20
    """Tasks that wait or run."""
    memory: int = 112 << 20
    """Bytes for the bodies, listings and searches of all requests, beyond the few KiB that each may use."""
    memory_per_key: int = 64 << 20
    linger_seconds: float = 15.0
    """How long the rest of a body is read and dropped after its response, so that the response arrives."""
    linger_bytes: int = 64 << 20
    stop_seconds: float = 4.0
    """How long requests in flight may take after the server was told to stop."""


SETTINGS = (
    *(
        "connections",
        "strangers",
        "per_address",
        "handshakes",
        "requests",
        "requests_per_key",
        "calls",
        "calls_per_key",
    ),
    *("listeners", "listeners_per_key", "uploads", "uploads_per_key", "searches", "searches_per_key"),
    *("tasks_per_key", "memory", "memory_per_key"),
)
"""The limits that `serve --limit` can change."""


class Deadlines:
    """Ends a request whose client is too slow: with 408 while it sends, by an abort while it reads."""

    def __init__(self, app: ASGIApp, limits: Timeouts) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limits = self._limits
        sending = _TimeAllowance(limits.grace, limits.rate)
        if scope["path"].startswith(f"/{ROOT}") and scope["path"].rpartition("/")[2] in _FRAMED:
            sending = _TimeAllowance(limits.silence, 1 / limits.silence)  # any byte renews it
        reading = _TimeAllowance(limits.grace, limits.rate)

        whole = False

        async def received() -> Message:
            nonlocal whole
            if whole:  # awaited now is the end of the connection, for which there is no deadline
                return await receive()
            async with sending as timeout:
                message = await receive()
            if timeout.expired():
                raise HttpError(408, "The body came too slowly.", headers={"Connection": "close"})
            sending.credit(len(message.get("body", b"")))
            whole = not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            async with reading as timeout:
                await send(message)
            if timeout.expired():
                scope.get("extensions", {}).get(ABORT, lambda: None)()
                raise TimeoutError("the response was read too slowly")
            reading.credit(len(message.get("body", b"")))

        await self._app(scope, received, sent)


class _TimeAllowance:
    """The time that one direction of a request may still be waited for; bytes add to it (`credit`)."""

    def __init__(self, grace: float, rate: float) -> None:
        self._rate = rate
        self._most = self._seconds = grace
        self._started = 0.0
        self._timeout: asyncio.Timeout | None = None

    def credit(self, size: int) -> None:
        self._seconds = min(self._seconds + size / self._rate, self._most)

    async def __aenter__(self) -> asyncio.Timeout:
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        self._timeout = asyncio.timeout(max(self._seconds, 0))
        return await self._timeout.__aenter__()

    async def __aexit__(self, *error: object) -> bool:
        assert self._timeout is not None
        self._seconds -= asyncio.get_running_loop().time() - self._started
        try:
            await self._timeout.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            return True
        return False
