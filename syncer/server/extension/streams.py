"""Byte streams between the event loop and the thread that handles a call, with backpressure.

`RequestStream` hands the request's body to the thread, `ResponseStream` the thread's response to the client.
Both buffer a few MiB at most, and each side waits for the other a limited time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias

from syncer.errors import TransientError

Message: TypeAlias = MutableMapping[str, Any]  # ASGI 3.0
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY_BUFFER = 1 << 20  # bytes that wait for the thread
MAX_RESPONSE_BUFFER = 1 << 20  # bytes that wait for the client, if the thread may wait for it
MAX_UNREAD = (
    8 << 20
)  # bytes that wait for the client if the thread may not; beyond, the client is disconnected
TIMEOUT = 600.0  # seconds without a byte from either end: the delta of a huge file is made meanwhile


class RequestStream:
    """A request's body, read by one thread while it arrives."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout: float = TIMEOUT) -> None:
        self._loop = loop
        self._timeout = timeout
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._ended = False
        self._broken = False
        self._room = asyncio.Event()
        self.received = 0

    async def pump(self, receive: Receive) -> None:
        """Receive the body; return once the client disconnects, before its end or after it."""
        try:
            while (message := await receive())["type"] == "http.request":
                if self._ended:
                    continue
                with self._changed:
                    piece = message.get("body", b"")
                    self._pieces.append(piece)
                    self._buffered += len(piece)
                    self.received += len(piece)
                    self._ended = not message.get("more_body", False)
                    self._changed.notify()
                    full = self._buffered > MAX_BODY_BUFFER
                    if full:
                        self._room.clear()
                del message, piece  # not to be held while the next one is awaited
                if full:
                    await self._room.wait()
        except asyncio.CancelledError:
            # The call has its response. The task would keep this error, the error the stack frames that it
            # passed through, and one of them, which has a timeout, the task: a cycle that only the
            # collector would free.
            pass
        self.break_off()

    def break_off(self) -> None:
        """Nothing more will arrive. No effect on a complete body. CallRequest it in the loop."""
        with self._changed:
            self._broken = True
            self._changed.notify()

    def pieces(self) -> Iterator[bytes]:
        """In the thread: yield the body as it arrives. Raises TransientError if it is cut off."""
        while True:
            with self._changed:
                in_time = self._changed.wait_for(
                    lambda: self._pieces or self._ended or self._broken, self._timeout
                )
                complete = self._ended
                if not self._pieces:
                    break
                piece = self._pieces.popleft()
                before, self._buffered = self._buffered, self._buffered - len(piece)
                if before > MAX_BODY_BUFFER >= self._buffered:
                    self._loop.call_soon_threadsafe(self._room.set)
            yield piece
        if not complete:
            raise TransientError(
                "the client went away" if in_time else "the client sent nothing for too long"
            )


class ClientGone(Exception):
    """Raised in the thread when no client waits for its response any more."""


class ResponseStream:
    """A response, made by one thread and sent while it is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, timeout: float = TIMEOUT) -> None:
        self._loop = loop
        self._timeout = timeout
        self._changed = threading.Condition()
        self._start: Message | None = None
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._complete: bool | None = None  # None: more may come; False: it was broken off
        self._gone = False
        self._wakeup = asyncio.Event()
        self.sent = 0

    # -- in the thread -----------------------------------------------------------

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Set status and headers, once."""
        with self._changed:
            self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._wake()

    def push(self, piece: bytes, *, wait: bool = True) -> None:
        """Append a piece. With `wait`, wait while the buffer is full. Raises ClientGone."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._buffered <= MAX_RESPONSE_BUFFER or self._gone)
            if self._gone or self._buffered > MAX_UNREAD:
                raise ClientGone
            self._pieces.append(piece)
            self._buffered += len(piece)
            first = len(self._pieces) == 1
        if first:
            self._wake()

    def end(self, *, complete: bool) -> None:
        """Nothing more comes. A response that is not complete is cut off, so that the client notices."""
        with self._changed:
            self._complete = complete
        self._wake()

    @property
    def gone(self) -> bool:
        """Whether the client has left, or has all of the response."""
        return self._gone

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wakeup.set)
        except RuntimeError:
            return  # the loop is closed: no client waits

    # -- in the loop -----------------------------------------------------------------

    async def send_all(self, send: Send) -> None:
        """Send what the thread makes, to its end.

        Raises TimeoutError if the client does not read it, TransientError where the thread broke it off.
        """
        begun = False
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            with self._changed:
                start, pieces, complete = self._start, self._pieces, self._complete
                self._pieces = []
            if start is not None and not begun:
                begun = True
                await send(start)
            if pieces:
                body = b"".join(pieces) if len(pieces) > 1 else pieces[0]
                async with asyncio.timeout(self._timeout):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                self.sent += len(body)
                with self._changed:
                    self._buffered -= len(body)
                    self._changed.notify()
                del body, pieces  # not to be held while the next ones are awaited
            if complete is not None:
                if not complete:
                    raise TransientError("the response was broken off")
                return await send({"type": "http.response.body", "body": b""})

    def close(self) -> None:
        """The client has left, or has all: a thread that still works for it may stop."""
        with self._changed:
            self._gone = True
            self._changed.notify()
