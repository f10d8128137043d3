"""A TCP proxy on loopback that counts what passes, and fails when it is told to.

    with Proxy("127.0.0.1", served.port) as proxy:
        ...                                     # a client with proxy.port
        assert proxy.up.body < 2000             # bytes of request bodies; .total has heads too
        proxy.cut(Direction.DOWN, after=1000)   # the connection that carries the next 1000th byte ends there

Counts are of TCP payload: neither its headers nor what is sent twice. TLS passes through, uncounted as
HTTP (`total` holds). It alters nothing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.doubles import wire
from tests.doubles.framing import Framing

_PATIENCE = 20  # seconds
_PIECE = 64 * 1024
T = TypeVar("T")


class Direction(Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


@dataclass(slots=True)
class Count:
    """What went one way since the last `Proxy.zero`: bytes, bytes of HTTP bodies, HTTP messages."""

    total: int = 0
    body: int = 0
    messages: int = 0


@dataclass(slots=True, kw_only=True)
class _Cut:
    """An order to end the connection that carries the byte number `left` from now."""

    direction: Direction
    left: int
    rst: bool


@dataclass(slots=True, eq=False)
class _Connection:
    """Two sockets back to back."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    methods: deque[str] = field(default_factory=deque)

    def end(self, *, rst: bool) -> None:
        for writer in (self.client, self.server):
            (wire.reset if rst else wire.close)(writer.transport)


class Proxy:
    """One listening port, one thread; all its methods may be called from any other thread.

    `sleep` is how a delay passes (seconds).
    """

    def __init__(
        self, host: str, port: int, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._target = (host, port)
        self._sleep = sleep
        self.port = 0
        self.up = Count()
        self.down = Count()
        self.connections = 0  # accepted since the last `zero`
        self._delay = 0.0
        self._cuts: list[_Cut] = []
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    @property
    def url(self) -> str:
        """The base URL of an HTTP server behind it, with the slash at its end."""
        return f"http://127.0.0.1:{self.port}/"

    def zero(self) -> None:
        """All counts begin again."""

        async def begin() -> None:
            self.up, self.down, self.connections = Count(), Count(), 0

        self._wait(begin())

    def delay(self, seconds: float) -> None:
        """Each HTTP request waits so long before it goes on."""
        self._delay = seconds

    def cut(self, direction: Direction, *, after: int, rst: bool = False) -> None:
        """Once: so many bytes more pass that way, then the connection that carried the last of them ends."""

        async def order() -> None:
            self._cuts.append(_Cut(direction=direction, left=after, rst=rst))

        self._wait(order())

    def cut_now(self) -> None:
        """Every connection ends by FIN."""
        self._wait(self._end_all(rst=False))

    def reset_now(self) -> None:
        """Every connection ends by RST."""
        self._wait(self._end_all(rst=True))

    def refuse(self) -> None:
        """New connections get ECONNREFUSED from now on; those that are open stay."""
        self._wait(self._deafen())

    def accept(self) -> None:
        """New connections are taken again, on the same port."""
        self._wait(self._listen())

    def _wait(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        """With a socket of our own: an `asyncio.Server` that is closed forgets whom it was accepting."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
            self._listener.setblocking(False)
            self.port = self._listener.getsockname()[1]
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        if self._listener is not None:
            with suppress(OSError):  # who called, hung up again
                client, _ = self._listener.accept()
                client.setblocking(False)
                self._tasks.add(self._loop.create_task(self._accepted(client)))

    async def _deafen(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _end_all(self, *, rst: bool) -> None:
        for connection in list(self._open):
            connection.end(rst=rst)

    async def _leave(self) -> None:
        await self._deafen()
        await self._end_all(rst=True)
        await asyncio.sleep(0)  # what was accepted a moment ago has begun by then, so it can end well
        for task in list(self._tasks):
            task.cancel()  # one that waits for a delay or a server
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round

    async def _accepted(self, sock: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        try:
            reader, client = await asyncio.open_connection(sock=sock)
        except (OSError, asyncio.CancelledError):
            sock.close()
            self._tasks.discard(task)
            return
        try:
            upstream, server = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            wire.reset(client.transport)  # nobody is there: the client shall not think that it was heard
            self._tasks.discard(task)
            return
        connection = _Connection(client, server)
        self._open.add(connection)
        try:
            await asyncio.gather(
                self._pump(connection, reader, server, Direction.UP),
                self._pump(connection, upstream, client, Direction.DOWN),
            )
        except asyncio.CancelledError:
            pass  # from `_leave`: the streams of asyncio would tell of it otherwise
        finally:
            connection.end(rst=False)
            self._open.discard(connection)
            self._tasks.discard(task)

    async def _pump(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
    ) -> None:
        framing = Framing(connection.methods, answers=direction is Direction.DOWN)
        try:
            while data := await reader.read(_PIECE):
                if direction is Direction.UP and self._delay and framing.idle:
                    await self._sleep(self._delay)
                cut = self._due(direction, len(data))
                passed = data if cut is None else data[: cut.left]
                self._count(direction, framing, passed)
                writer.write(passed)
                if cut is not None:
                    connection.end(rst=cut.rst)
                    return
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            connection.end(rst=True)  # one side is gone the hard way: so is the other

    def _due(self, direction: Direction, size: int) -> _Cut | None:
        for cut in self._cuts:
            if cut.direction is direction:
                if cut.left <= size:
                    self._cuts.remove(cut)
                    return cut
                cut.left -= size
        return None

    def _count(self, direction: Direction, framing: Framing, data: bytes) -> None:
        count = self.up if direction is Direction.UP else self.down
        body, heads = framing.body, framing.heads
        framing.feed(data)
        count.total += len(data)
        count.body += framing.body - body
        count.messages += framing.heads - heads
