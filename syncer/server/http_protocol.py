"""Connections before there is a request: how many, how slow, how large and how exact a head may be.

uvicorn's protocol on llhttp, which refuses what two parsers could read in two ways (both lengths, bare
LF, folded lines, odd chunk sizes; RFC 9112, 11.2). What it lets pass and we have no use for is refused here.
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
_COLLECTED = 32  # handshakes that gave way, until their memory is collected
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"})


class MalformedRequest(Exception):
    """A request that is refused with 400 before it is one."""


class ConnectionLimiter:
    """Who is connected: strangers, by address, and those that had a key."""

    def __init__(self, limits: Timeouts) -> None:
        self.limits = limits
        self._all = 0
        self._strangers = 0
        self._by_address: Counter[str] = Counter()
        self._shaking: OrderedDict[object, socket.socket] = OrderedDict()  # by their peer
        self._ending: set[object] = set()  # those that gave way, and are still there
        self._given_way = 0

    def shake(self, peer: object, connection: socket.socket) -> None:
        """A handshake begins; where there are too many, the oldest one ends."""
        self._shaking[peer] = connection
        if len(self._shaking) > self.limits.handshakes:
            ending, oldest = self._shaking.popitem(last=False)
            self._ending.add(ending)
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
            self._given_way += 1
            if self._given_way % _COLLECTED == 0:
                # asyncio's half of a handshake refers to itself, buffer of 256 KiB and all
                asyncio.get_running_loop().call_later(0.05, gc.collect)

    def shaken(self, peer: object) -> None:
        """It is over, well or not."""
        self._shaking.pop(peer, None)
        self._ending.discard(peer)

    @property
    def may_shake(self) -> bool:
        """Whether those that gave way are gone: they come in bursts, and end one by one."""
        return len(self._ending) < self.limits.handshakes

    def enter(self, address: str) -> bool:
        """Counts a connection, as a stranger's; False if it is one too many."""
        self._all += 1
        self._strangers += 1
        self._by_address[address] += 1
        limits = self.limits
        return (
            self._all <= limits.connections
            and self._strangers <= limits.strangers
            and self._by_address[address] <= limits.per_address
        )

    def known(self, address: str) -> None:
        """A connection turned out to be one of a key: no longer a stranger's."""
        self._strangers -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def leave(self, address: str, *, known: bool) -> None:
        """Forgets one."""
        self._all -= 1
        if not known:
            self.known(address)


class Entrance(socket.socket):
    """A listening socket for TLS. So many handshakes go on at once; beyond that the oldest one gives way.

    One that is never ended costs some 300 KiB, and nobody needs a key for it.
    """

    def __init__(self, listening: socket.socket, doors: ConnectionLimiter) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._doors = doors

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, whose handshake begins. Raises ConnectionAbortedError: it was let go."""
        found, peer = super().accept()
        if not self._doors.may_shake:
            found.close()
            raise ConnectionAbortedError
        shaking = _Shaking(found.family, found.type, found.proto, fileno=found.detach())
        shaking.ended = lambda: self._doors.shaken(peer)
        self._doors.shake(peer, shaking)
        return shaking, peer


class _Shaking(socket.socket):
    """A connection that tells when it is closed."""

    ended: Callable[[], None]

    def close(self) -> None:
        self.ended()
        super().close()


class HardenedProtocol(HttpToolsProtocol):
    """One connection. `doors` is set by `guarded`."""

    doors: ConnectionLimiter

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = self.doors.limits
        self._in_head = True
        self._unheeded = 0  # bytes since the head began, or since the last byte of a body
        self._surplus = 0  # bytes of a body that nobody wants any more
        self._timer: asyncio.TimerHandle | None = None
        self._address = ""
        self._known = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head, or says that there are too many connections."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # asyncio does so only where the listening socket named its protocol; head and body are two writes
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address = neighbourhood(self.client[0]) if self.client else ""
        self.doors.shaken(transport.get_extra_info("peername"))
        if self.doors.enter(self._address):
            self._arm(self._limits.head_seconds)
        else:
            transport.write(_BUSY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets the next one in; what waits behind the present request is never begun."""
        self._disarm()
        self.doors.leave(self._address, known=self._known)
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Counts what is not body, and waits no longer than is allowed."""
        if self.transport.is_closing():
            return
        if self._in_head and self._timer is None:
            self._arm(self._limits.head_seconds)
        self._unheeded += len(data)
        super().data_received(data)
        if self._unheeded > self._limits.head_bytes and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response("The head is too large.")
            else:
                self.transport.abort()  # endless extensions of chunks, or trailers

    def on_message_begin(self) -> None:
        """Gives the app a way to end the connection at once."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort, KNOWN: self._is_known}  # type: ignore[dict-item]

    def _is_known(self) -> None:
        if not self._known and self.parser is not None:  # the connection is there
            self._known = True
            self.doors.known(self._address)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bounds their number; trailers mean nothing here, and must not pass for headers."""
        if not self._in_head:
            return
        if len(self.headers) >= self._limits.headers:
            raise MalformedRequest("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: from here on the deadlines of `timeouts` count."""
        self._check()
        self._disarm()
        if len(self.pipeline) >= self._limits.pipelined:
            raise MalformedRequest("too many requests at once")
        self._in_head = False
        self._unheeded = self._surplus = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bounds what is read in vain."""
        self._unheeded = 0
        super().on_body(body)
        if self.cycle.response_complete:
            self._surplus += len(body)
            if self._surplus > self._limits.linger_bytes:
                self.transport.abort()

    def on_message_complete(self) -> None:
        """The next head may come."""
        super().on_message_complete()
        self._disarm()
        self._in_head = True
        self._unheeded = 0

    def on_response_complete(self) -> None:
        """What is still to come of the body is read for a while only, so that the answer arrives."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # what waits is answered before more is read
        unread = not self._in_head and self.cycle.response_complete
        if unread and not self.transport.is_closing():
            self._arm(self._limits.linger_seconds)

    def send_400_response(self, msg: str) -> None:
        """Ends the connection; told to the log, since no app hears of it.

        Where an answer is on its way there is no place for another one.
        """
        write(AccessLine(method="-", path="-", status=400, note=msg))
        self.pipeline.clear()
        begun: RequestResponseCycle | None = self.cycle
        if begun is not None and begun.response_started and not begun.response_complete:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _check(self) -> None:
        names = [name for name, _ in self.headers]
        if any(names.count(name) > 1 for name in _ONCE):
            raise MalformedRequest("a header that may be sent once came twice")
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
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(1, self.transport.abort)


def guarded(limits: Timeouts) -> type[HardenedProtocol]:
    """The protocol of one server."""

    class Door(HardenedProtocol):
        doors = ConnectionLimiter(limits)

    return Door
