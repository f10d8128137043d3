"""Between the event loop and the thread that answers a call: the body comes in, the answer goes out.

`RequestStream` hands the request's body to the thread, `ResponseStream` the thread's answer to the client;
both hold a few MiB at most, and each side waits for the other a bounded time. Bytes only: what they mean is
`request`'s affair.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

from syncer.errors import TransientError

Message: TypeAlias = MutableMapping[str, Any]  # ASGI 3.0; its shape is looked at here only
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

ROOM = 1 << 20  # bytes that wait for the thread
WAITING = 1 << 20  # bytes of an answer that wait for the client
UNHEARD = 8 << 20  # bytes of an answer that waits for no client: one that takes nothing of it is let go then
PATIENCE = 600.0  # seconds that either end may show no sign of life: a delta of a huge file is made meanwhile


class RequestStream:
    """A request's body, read by one thread while it comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, patience: float = PATIENCE) -> None:
        self._loop = loop
        self._patience = patience
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = False
        self._room = asyncio.Event()
        self.received = 0

    async def pump(self, receive: Receive) -> None:
        """Takes in the body, and returns once the client is gone: before its end, or after it."""
        try:
            while (message := await receive())["type"] == "http.request":
                if not self._ended:
                    await self._give(message.get("body", b""), more=bool(message.get("more_body", False)))
        except asyncio.CancelledError:
            # The call has its answer. Its task would keep this error, the error the frames that it came
            # through, and one of them, which has a timeout, the task: a cycle that waits for the collector.
            pass
        self.break_off()

    async def _give(self, piece: bytes, *, more: bool) -> None:
        with self._changed:
            self._pieces.append(piece)
            self._held += len(piece)
            self.received += len(piece)
            self._ended = not more
            self._changed.notify()
            full = self._held > ROOM
            if full:
                self._room.clear()
        if full:
            await self._room.wait()

    def break_off(self) -> None:
        """Nothing more will come; without effect on a body that came whole. Called in the loop."""
        with self._changed:
            self._broken = True
            self._changed.notify()

    def pieces(self) -> Iterator[bytes]:
        """In the thread: the body as it comes. Raises TransientError if its end never does."""
        while (piece := self._next()) is not None:
            yield piece

    def _next(self) -> bytes | None:
        with self._changed:
            known = self._changed.wait_for(
                lambda: self._pieces or self._ended or self._broken, self._patience
            )
            if self._pieces:
                return self._taken()
            if self._ended:
                return None
        raise TransientError("the client went away" if known else "the client sent nothing for too long")

    def _taken(self) -> bytes:
        piece = self._pieces.popleft()
        was, self._held = self._held, self._held - len(piece)
        if was > ROOM >= self._held:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece


class Gone(Exception):
    """Raised in the thread when nobody waits for its answer any more."""


class ResponseStream:
    """An answer, made by one thread and sent as it is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, patience: float = PATIENCE) -> None:
        self._loop = loop
        self._patience = patience
        self._changed = threading.Condition()
        self._start: Message | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._whole: bool | None = None  # None: more may come; False: it was broken off
        self._gone = False
        self._news = asyncio.Event()
        self.sent = 0

    # -- in the thread -----------------------------------------------------------

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer's first line and headers, once."""
        with self._changed:
            self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._tell()

    def push(self, piece: bytes, *, wait: bool = True) -> None:
        """Waits while too much waits for the client; raises Gone. `wait` is False where it must not."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._held <= WAITING or self._gone)
            if self._gone or self._held > UNHEARD:
                raise Gone
            self._pieces.append(piece)
            self._held += len(piece)
            first = len(self._pieces) == 1
        if first:
            self._tell()

    def end(self, *, whole: bool) -> None:
        """Nothing more comes; an answer that is not whole is broken off for all to see."""
        with self._changed:
            self._whole = whole
        self._tell()

    @property
    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._gone

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            return  # the loop is closed: nobody waits

    # -- in the loop -----------------------------------------------------------------

    async def send_all(self, send: Send) -> None:
        """Sends what the thread makes until its end. Raises TimeoutError if the client does not take it,
        TransientError where the answer ends early.
        """
        begun = False
        while True:
            await self._news.wait()
            self._news.clear()
            with self._changed:
                start, pieces, whole = self._start, self._pieces, self._whole
                self._pieces = []
            if start is not None and not begun:
                begun = True
                await send(start)
            if pieces:
                await self._deliver(send, b"".join(pieces) if len(pieces) > 1 else pieces[0])
            if whole is not None:
                if not whole:
                    raise TransientError("the answer was broken off")
                return await send({"type": "http.response.body", "body": b""})

    async def _deliver(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        self.sent += len(body)
        with self._changed:
            self._held -= len(body)
            self._changed.notify()

    def close(self) -> None:
        """The client is gone, or has all: a thread that still makes something may stop."""
        with self._changed:
            self._gone = True
            self._changed.notify()
