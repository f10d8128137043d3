"""Runs an ASGI app on a free loopback port in a thread, for as long as a test wants it.

    with Served(app) as served:
        requests.get(served.url + "ping")

An app finds its connection in `scope["extensions"]["transport"]`, to end it (`tests.doubles.wire`).
An exception that leaves the app is a mistake in the double: it is answered by 500 and raised again
from `stop`, so that no test passes over it. This module does not misbehave; see `faults`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.doubles import wire

_PATIENCE = 20  # seconds; a thread that has not started or ended by then never will


class Served:
    """One app, one port, one thread. The port is bound from the start, so its number never changes hands."""

    def __init__(self, app: ASGIApp, *, keep_alive: int = 30) -> None:
        self._app = app
        self._keep_alive = keep_alive
        self._socket = _listener()
        self.port: int = self._socket.getsockname()[1]
        self.crashes: list[Exception] = []
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self._in_flight = 0
        self._calm = threading.Condition()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, with the slash at its end."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> Self:
        """Returns once the app answers."""
        config = uvicorn.Config(
            self._entered,
            http=self._protocol(),
            interface="asgi3",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._keep_alive,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="double", daemon=True
        )
        self._thread.start()
        assert self._server.ready.wait(_PATIENCE), "the server of the double did not start"
        return self

    def stop(self) -> None:
        """Ends every connection and the thread; raises what the app did not expect."""
        if self._server is not None and self._thread is not None:
            self._server.leave(self._sever)
            self._thread.join(_PATIENCE)
            assert not self._thread.is_alive(), "the server of the double did not stop"
        self._socket.close()
        if self.crashes:
            raise ExceptionGroup("the double itself failed", self.crashes)

    def rest(self) -> None:
        """Waits until no request is being worked on: after a client hung up, its effects are then there."""
        with self._calm:
            assert self._calm.wait_for(lambda: self._in_flight == 0, _PATIENCE), "a request never ended"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _entered(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        transport = self._transports.get(scope["client"])
        if transport is None:
            return  # the client hung up before its request was looked at
        scope.setdefault("extensions", {})["transport"] = transport
        with self._calm:
            self._in_flight += 1
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            pass  # an app that reads a body need not care
        except Exception as error:
            self.crashes.append(error)
            raise
        finally:
            with self._calm:
                self._in_flight -= 1
                self._calm.notify_all()

    def _sever(self) -> None:
        for transport in list(self._transports.values()):
            wire.reset(transport)

    def _protocol(self) -> type[asyncio.Protocol]:
        transports = self._transports

        class Known(H11Protocol):
            """Its connection can be found by the address of the client, which ASGI passes on."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                super().connection_made(transport)
                assert self.client is not None
                transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client is not None and transports.get(self.client) is self.transport:
                    del transports[self.client]

        return Known


def _listener() -> socket.socket:
    """With its protocol named: asyncio sets TCP_NODELAY for no other, and each answer would wait 40 ms."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


class _Server(uvicorn.Server):
    """Starts and stops at once: the original looks at its flag ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._left: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._left, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self.ready.set()
        while not self._left.is_set():
            await self.on_tick(0)  # the date header
            try:
                await asyncio.wait_for(self._left.wait(), 1.0)
            except TimeoutError:
                pass

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Every connection is severed by now: there is nothing to wait for but what is at work."""
        for server in self.servers:
            server.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round

    def leave(self, sever: object) -> None:
        """From any thread: `sever()` in the loop, then out."""
        assert self._loop is not None and self._left is not None and callable(sever)
        self._loop.call_soon_threadsafe(sever)
        self._loop.call_soon_threadsafe(self._left.set)
