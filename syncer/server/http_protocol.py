"""Hardened HTTP/1.1 protocol for uvicorn: limits on connections, handshakes, request heads and pipelining.

llhttp, the parser below, refuses what two parsers could read in two ways (both lengths, bare LF, folded
lines, odd chunk sizes; RFC 9112, 11.2). What it accepts and this server has no use for is refused here.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from syncer.server.access_log import AccessLine, write
from syncer.server.auth import KNOWN
from syncer.server.timeouts import ABORT, Timeouts, neighbourhood

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: application/json\r\n"
    b"content-length: 85\r\nconnection: close\r\n\r\n"
    b'{"error":{"code":"transient","message":"too many connections","hint":"","path":""}}\r\n'
)
_COLLECT_EVERY = 32  # aborted handshakes, until their memory is collected
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"})


class MalformedRequest(Exception):
    """A request that is refused with 400 by the parser's callbacks."""


class ConnectionLimiter:
    """Counts connections: all, unauthenticated ones in all and by address, and TLS handshakes."""

    def __init__(self, limits: Timeouts) -> None:
        self.limits = limits
        self._all = 0
        self._unauthenticated = 0
        self._by_address: Counter[str] = Counter()
        self._handshakes: OrderedDict[object, socket.socket] = OrderedDict()  # by their peer, oldest first
        self._ending: set[object] = set()  # aborted ones that are still there
        self._aborted = 0

    def begin_handshake(self, peer: object, connection: socket.socket) -> None:
        """Count a handshake; if there are too many, abort the oldest one."""
        self._handshakes[peer] = connection
        if len(self._handshakes) > self.limits.handshakes:
            ending, oldest = self._handshakes.popitem(last=False)
            self._ending.add(ending)
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
            self._aborted += 1
            if self._aborted % _COLLECT_EVERY == 0:
                # asyncio's objects of a handshake refer to each other, with a buffer of 256 KiB
                asyncio.get_running_loop().call_later(0.05, gc.collect)

    def end_handshake(self, peer: object) -> None:
        """A handshake is over, successful or not."""
        self._handshakes.pop(peer, None)
        self._ending.discard(peer)

    @property
    def accepts_handshakes(self) -> bool:
        """Whether few enough aborted handshakes are still there: they come in bursts, and end one by one."""
        return len(self._ending) < self.limits.handshakes

    def enter(self, address: str) -> bool:
        """Count a connection as unauthenticated; False if it is one too many."""
        self._all += 1
        self._unauthenticated += 1
        self._by_address[address] += 1
        limits = self.limits
        return (
            self._all <= limits.connections
            and self._unauthenticated <= limits.strangers
            and self._by_address[address] <= limits.per_address
        )

    def authenticated(self, address: str) -> None:
        """A connection has sent a valid key: it does not count as unauthenticated any more."""
        self._unauthenticated -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def leave(self, address: str, *, authenticated: bool) -> None:
        """A connection is closed."""
        self._all -= 1
        if not authenticated:
            self.authenticated(address)


class TlsListener(socket.socket):
    """A listening socket for TLS that limits the handshakes at once: the oldest one is aborted.

    A handshake that is never finished takes some 300 KiB, and a client needs no key for it.
    """

    def __init__(self, listening: socket.socket, limiter: ConnectionLimiter) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._limiter = limiter

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, whose handshake begins. Raises ConnectionAbortedError if it was closed at
        once.
        """
        found, peer = super().accept()
        if not self._limiter.accepts_handshakes:
            found.close()
            raise ConnectionAbortedError
        connection = _HandshakeSocket(found.family, found.type, found.proto, fileno=found.detach())
        connection.on_close = lambda: self._limiter.end_handshake(peer)
        self._limiter.begin_handshake(peer, connection)
        return connection, peer


class _HandshakeSocket(socket.socket):
    """A connection with a callback for its close."""

    on_close: Callable[[], None]

    def close(self) -> None:
        self.on_close()
        super().close()


class HardenedProtocol(HttpToolsProtocol):
    """One connection. `limiter` is set by `protocol_class`."""

    limiter: ConnectionLimiter

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = self.limiter.limits
        self._in_head = True
        self._overhead = 0  # bytes since the head began, or since the last byte of a body
        self._unwanted = 0  # bytes of a body whose response is complete
        self._timer: asyncio.TimerHandle | None = None
        self._address = ""
        self._authenticated = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, or send 503 if there are too many connections."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only if the listening socket names its protocol; head and body are two writes
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = neighbourhood(self.client[0]) if self.client else ""
        self.limiter.end_handshake(transport.get_extra_info("peername"))
        if self.limiter.enter(self._address):
            self._arm(self._limits.head_seconds)
        else:
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Uncount the connection, and drop pipelined requests that have not begun."""
        self._disarm()
        self.limiter.leave(self._address, authenticated=self._authenticated)
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Count the bytes that are not body, and set the deadline of a head."""
        if self.transport.is_closing():
            return
        if self._in_head and self._timer is None:
            self._arm(self._limits.head_seconds)
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > self._limits.head_bytes and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response("The head is too large.")
            else:
                self.transport.abort()  # endless extensions of chunks, or trailers

    def on_message_begin(self) -> None:
        """Give the application functions that abort the connection, and that mark it as authenticated."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort, KNOWN: self._mark}  # type: ignore[dict-item]

    def _mark(self) -> None:
        if not self._authenticated and self.parser is not None:  # it is not closed
            self._authenticated = True
            self.limiter.authenticated(self._address)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Limit the number of headers. Trailers are ignored: they must not be taken for headers."""
        if not self._in_head:
            return
        if len(self.headers) >= self._limits.headers:
            raise MalformedRequest("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: from here on the deadlines of `timeouts` count. Raises MalformedRequest."""
        self._check_head()
        self._disarm()
        # Each waiting request holds its head: without a limit a client could queue them without end.
        if len(self.pipeline) >= self._limits.pipelined:
            raise MalformedRequest("too many requests at once")
        self._in_head = False
        self._overhead = self._unwanted = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Limit the body of a request whose response is complete."""
        self._overhead = 0
        super().on_body(body)
        if self.cycle.response_complete:
            # The client still sends although it has its response.
            self._unwanted += len(body)
            if self._unwanted > self._limits.linger_bytes:
                self.transport.abort()

    def on_message_complete(self) -> None:
        """The body is complete; the next head may come."""
        super().on_message_complete()
        self._disarm()
        self._in_head = True
        self._overhead = 0

    def on_response_complete(self) -> None:
        """Read the rest of the body for a while, so that the response arrives before the connection is
        closed.
        """
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # pipelined requests are handled before more is read
        unread = not self._in_head and self.cycle.response_complete
        if unread and not self.transport.is_closing():
            self._arm(self._limits.linger_seconds)

    def send_400_response(self, msg: str) -> None:
        """Log the request, which the application does not see, send 400 and close the connection.

        If the response of an earlier request has begun, the connection is aborted instead.
        """
        write(AccessLine(method="-", path="-", status=400, note=msg))
        self.pipeline.clear()
        begun: RequestResponseCycle | None = self.cycle
        if begun is not None and begun.response_started and not begun.response_complete:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _check_head(self) -> None:
        """Raise MalformedRequest for heads that another HTTP parser could read in another way."""
        names = [name for name, _ in self.headers]
        if any(names.count(name) > 1 for name in _SINGLE):
            raise MalformedRequest("a header that may be sent once was sent twice")
        coding = dict(self.headers).get(b"transfer-encoding")
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or (version == "1.1" and b"host" not in names):
            raise MalformedRequest("this is neither HTTP/1.1 with a Host nor HTTP/1.0")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise MalformedRequest("the only transfer coding is chunked")
        if not self.url.startswith(b"/"):
            raise MalformedRequest("the target is no path")

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        """Close the connection when its deadline has passed, and abort it if the client does not let go."""
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(1, self.transport.abort)


def protocol_class(limits: Timeouts) -> type[HardenedProtocol]:
    """The protocol class of one server, whose connections are counted together."""

    class ServerProtocol(HardenedProtocol):
        limiter = ConnectionLimiter(limits)

    return ServerProtocol
