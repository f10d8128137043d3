"""Scripted misbehaviour of any double, and the log of what was asked of it.

    faults.add("POST", "/path/sync/patch/", Lost())              # the first one takes effect unanswered
    faults.add("GET", "/path/data/", Cut(after=1000), skip=2)    # the third download ends too early

A rule waits for requests of a method and a path, lets `skip` of them pass and then acts on `times`.
Several rules may act on one request; the one added first is the outermost. Paths are compared decoded,
with repeated slashes made one. What a service answers when all is well is settled by its app.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.doubles import wire


class Fault(Protocol):
    """What happens to a request instead of, before or after its proper handling."""

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(slots=True, kw_only=True)
class Request:
    """One line of the log. Bytes are those of the bodies, as far as they were read or handed out."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int | None = None  # None: it was never answered
    received: int = 0
    sent: int = 0


@dataclass(slots=True, kw_only=True)
class Rule:
    """When a fault acts. `times=None`: until it is withdrawn."""

    method: str
    path: re.Pattern[str]
    fault: Fault
    skip: int = 0
    times: int | None = 1
    acted: int = 0

    def fits(self, scope: Scope) -> bool:
        """Whether such a request is waited for."""
        return self.method in ("*", scope["method"]) and self.path.search(scope["path"]) is not None

    def due(self) -> bool:
        """Counts one fitting request and says whether to act on it."""
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.acted >= self.times:
            return False
        self.acted += 1
        return True


class Faults:
    """The app behind its rules. May be told new ones at any moment, from any thread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Condition()  # told of whatever the log learns
        self._rules: list[Rule] = []
        self.log: list[Request] = []

    def add(self, method: str, path: str, fault: Fault, *, skip: int = 0, times: int | None = 1) -> Rule:
        """`method` may be "*"; `path` is a regular expression searched in the path of the URL."""
        rule = Rule(method=method, path=re.compile(path), fault=fault, skip=skip, times=times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def withdraw(self, rule: Rule) -> None:
        """It acts no more."""
        with self._lock:
            self._rules.remove(rule)

    def behave(self) -> None:
        """Withdraws all rules."""
        with self._lock:
            self._rules.clear()

    def asked(self, method: str = "*", path: str = "") -> list[Request]:
        """What the log holds of a method and a pattern of the path, in the order of arrival."""
        return [r for r in list(self.log) if method in ("*", r.method) and re.search(path, r.path)]

    def wait_until(self, true: Callable[[list[Request]], object], seconds: float = 20) -> None:
        """Returns once `true(log)`; looks again whenever a request arrives or bytes of it pass."""
        with self._lock:
            assert self._lock.wait_for(lambda: true(self.log), seconds), f"never came true of {self.log}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = re.sub("/{2,}", "/", scope["path"])
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        with self._lock:
            self.log.append(request)
            self._lock.notify_all()
            faults = [rule.fault for rule in self._rules if rule.fits(scope) and rule.due()]
        app = self._app
        for fault in reversed(faults):
            app = _behind(fault, app)
        await app(scope, self._counted_in(request, receive), self._counted_out(request, send))

    def _counted_in(self, request: Request, receive: Receive) -> Receive:
        async def counting() -> Message:
            message = await receive()
            with self._lock:
                request.received += len(message.get("body", b""))
                self._lock.notify_all()
            return message

        return counting

    def _counted_out(self, request: Request, send: Send) -> Send:
        async def counting(message: Message) -> None:
            with self._lock:
                if message["type"] == "http.response.start":
                    request.status = message["status"]
                request.sent += len(message.get("body", b""))
                self._lock.notify_all()
            await send(message)

        return counting


def _behind(fault: Fault, app: ASGIApp) -> ASGIApp:
    async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
        await fault.act(app, scope, receive, send)

    return faulty


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Another answer than the proper one.

    `after`: bytes of the request's body that are read before it (None: all of them);
    `effect`: the request is carried out all the same.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: int | None = None
    effect: bool = False

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads or carries out, then answers. What is still to be read is read by the server, unheeded."""
        if self.effect:
            await app(scope, receive, _nowhere)
        else:
            await _read(receive, self.after)
        headers = {"content-type": "text/plain", **self.headers, "content-length": str(len(self.body))}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection ends after `after` bytes of the request's body (None: all of it), without any effect."""

    after: int | None = None
    rst: bool = True

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads so much, then hangs up."""
        await _read(receive, self.after)
        await _hang_up(scope, receive, rst=self.rst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """The connection breaks within an upload as the app sees it: it gets `after` bytes, then the end."""

    after: int

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The app decides what remains of it."""
        pieces = _limited(receive, self.after)

        async def broken() -> Message:
            piece = await anext(pieces, None)
            if piece is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": True}

        await app(scope, broken, _nowhere)
        await _hang_up(scope, receive, rst=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The request takes effect, the answer never arrives."""

    rst: bool = True

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Carries out, then hangs up."""
        await app(scope, receive, _nowhere)
        await _hang_up(scope, receive, rst=self.rst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The answer's body ends after so many bytes, short of its Content-Length.

    With `rst` even those may be lost on the way.
    """

    after: int
    rst: bool = False

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets so much through; the app does not hear of it."""
        left = self.after
        ended = False

        async def cutting(message: Message) -> None:
            nonlocal left, ended
            if ended:
                return
            body = message.get("body", b"")
            if message["type"] == "http.response.start" or len(body) < left:
                left -= len(body)
                await send(message)
                return
            ended = True
            await send({"type": "http.response.body", "body": body[:left], "more_body": True})

        await app(scope, receive, cutting)
        await _hang_up(scope, receive, rst=self.rst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The request waits for so many seconds before it is worked on."""

    seconds: float

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits."""
        await asyncio.sleep(self.seconds)
        await app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The request waits, before it is worked on, until the test sets the event."""

    until: threading.Event

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits in a thread, for a minute at most: other requests are served meanwhile."""
        await asyncio.to_thread(self.until.wait, 60)
        await app(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanwhile:
    """Another client acts before the request is worked on, or `after` it and before its answer leaves."""

    hand: Callable[[], object]
    after: bool = False

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The hand works in a thread: it may ask the double over HTTP."""
        if not self.after:
            await asyncio.to_thread(self.hand)
            await app(scope, receive, send)
            return
        messages: list[Message] = []
        await app(scope, receive, _into(messages))
        await asyncio.to_thread(self.hand)
        for message in messages:
            await send(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Altered:
    """The proper answer with another body (and a Content-Length that fits it)."""

    change: Callable[[bytes], bytes]

    async def act(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits for the whole answer, then sends what `change` makes of it."""
        messages: list[Message] = []
        await app(scope, receive, _into(messages))
        body = self.change(b"".join(message.get("body", b"") for message in messages))
        start = messages[0]
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": body})


async def _nowhere(message: Message) -> None:
    """An answer that nobody gets."""


def _into(messages: list[Message]) -> Callable[[Message], Awaitable[None]]:
    async def keep(message: Message) -> None:
        messages.append(message)

    return keep


async def _read(receive: Receive, limit: int | None) -> None:
    async for _ in _limited(receive, limit):
        pass


async def _limited(receive: Receive, limit: int | None) -> AsyncIterator[bytes]:
    """The body's pieces, up to so many bytes of it."""
    left = limit
    while left is None or left > 0:
        message = await receive()
        piece = message.get("body", b"")
        if left is not None:
            piece, left = piece[:left], left - len(piece)
        if piece:
            yield piece
        if not message.get("more_body", False):
            return


async def _hang_up(scope: Scope, receive: Receive, *, rst: bool) -> None:
    transport = scope["extensions"]["transport"]
    (wire.reset if rst else wire.close)(transport)
    while (await receive())["type"] != "http.disconnect":
        pass  # until the server knows it too: it would try to answer otherwise
