"""Deadlines on bodies and answers: who sends or takes too slowly is let go, known or not.

ASGI middleware around everything, so it is armed before the gate. Only the time spent waiting for
the client counts, never our own. Heads and connections are bounded in `http_protocol`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_network

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncer.server.errors import Refused
from syncer.wire.versions import ROOT

_FRAMED = ("put", "delta")


def neighbourhood(address: str) -> str:
    """Whom an address is counted with: of IPv6 everybody has a /64, so that is one client (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


ABORT = "syncer.abort"
"""Among the extensions of a scope: ends the connection at once, whatever is still to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """What a client may cost. Times in seconds, rates in bytes per second.

    A body is cut off that comes at less than `rate`, once it is `grace` seconds behind; likewise an
    answer that nobody takes. A stream of frames may pause for `silence`: a client that makes a delta
    of a huge file that hardly changed has signs of life to send, and nothing else.
    """

    head_bytes: int = 64 << 10
    head_seconds: float = 15.0
    headers: int = 100
    grace: float = 30.0
    rate: float = 1024.0
    silence: float = 120.0
    connections: int = 1024
    """In all. Until a key was seen a connection is a stranger's, and the next three are for those."""
    strangers: int = 256
    per_address: int = 128
    handshakes: int = 128
    """Of TLS, before a connection counts as one."""
    pipelined: int = 16
    """Requests that may wait behind one another on a connection."""
    queue_seconds: float = 10.0
    """How long a request waits for its turn before its client is told to come again."""
    requests: int = 96
    """Of the SmartFile API that are worked on at once; the rest waits, without a thread."""
    requests_per_key: int = 32
    calls: int = 48
    """The same of the extension: each has a thread and a few MiB."""
    calls_per_key: int = 12
    listeners: int = 1000
    """Clients that wait for news."""
    listeners_per_key: int = 256
    uploads: int = 16
    """Threads that read bodies of the SmartFile API as they come."""
    uploads_per_key: int = 8
    searches: int = 8
    """Deltas and signatures that are made at once."""
    searches_per_key: int = 4
    tasks_per_key: int = 20
    """Tasks that wait or run."""
    memory: int = 112 << 20
    """Bytes for requests that are being read and searched, beyond what each has for itself."""
    memory_per_key: int = 64 << 20
    linger_seconds: float = 15.0
    """How long the rest of a body is read that nobody wants any more, so that the answer arrives."""
    linger_bytes: int = 64 << 20
    stop_seconds: float = 4.0
    """How long requests in flight may take when the server stops."""


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
    """Ends a request whose client does not keep up: 408 while it sends, silence while it takes."""

    def __init__(self, app: ASGIApp, limits: Timeouts) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limits = self._limits
        sending = _Patience(limits.grace, limits.rate)
        if scope["path"].startswith(f"/{ROOT}") and scope["path"].rpartition("/")[2] in _FRAMED:
            sending = _Patience(limits.silence, 1 / limits.silence)  # a byte is enough
        taking = _Patience(limits.grace, limits.rate)

        whole = False

        async def received() -> Message:
            nonlocal whole
            if whole:  # what is awaited now is the end of the connection, which may take as long as it likes
                return await receive()
            async with sending as timeout:
                message = await receive()
            if timeout.expired():
                raise Refused(408, "The body came too slowly.", headers={"Connection": "close"})
            sending.credit(len(message.get("body", b"")))
            whole = not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            async with taking as timeout:
                await send(message)
            if timeout.expired():
                scope.get("extensions", {}).get(ABORT, _nothing)()
                raise TimeoutError("the answer was taken too slowly")
            taking.credit(len(message.get("body", b"")))

        await self._app(scope, received, sent)


def _nothing() -> None:
    """Where no protocol of ours is below, there is nothing to abort."""


class _Patience:
    """How long one direction of one request may still keep us waiting."""

    def __init__(self, grace: float, rate: float) -> None:
        self._rate = rate
        self._most = self._left = grace
        self._began = 0.0
        self._timeout: asyncio.Timeout | None = None

    def credit(self, size: int) -> None:
        self._left = min(self._left + size / self._rate, self._most)

    async def __aenter__(self) -> asyncio.Timeout:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._timeout = asyncio.timeout(max(self._left, 0))
        return await self._timeout.__aenter__()

    async def __aexit__(self, *error: object) -> bool:
        assert self._timeout is not None
        self._left -= asyncio.get_running_loop().time() - self._began
        try:
            await self._timeout.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            return True
        return False
