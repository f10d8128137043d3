"""The ASGI side of the extension: a call is checked, answered by a thread, and its answer sent as it is made.

So many calls are worked on at once, and so many of one key (`limits`); the rest waits a while, without a
thread, and is then told to come again. What a call does is up to its handler; which statuses
there are, `docs/extension.md` says.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from urllib.parse import unquote_to_bytes

from syncer import allocator
from syncer.engine.model import RelPath
from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    StoreError,
    SyncerError,
    TransientError,
    Unholdable,
    Unreadable,
)
from syncer.server.extension.context import Shared
from syncer.server.extension.packing import packed, said
from syncer.server.extension.request import Answer, Call, Handler, TooLarge, trouble
from syncer.server.extension.streams import (
    PATIENCE,
    Gone,
    Message,
    Receive,
    RequestStream,
    ResponseStream,
    Send,
)
from syncer.server.fair_shares import Names, Places, Reserved
from syncer.server.folder import Key, ServedFolder, counting
from syncer.server.timeouts import Timeouts
from syncer.wire import schema, versions
from syncer.wire.bounded_json import Json

_log = logging.getLogger("syncer.server")

_AGAIN = 2  # seconds after which a call that found no thread may come again
_LONGEST_QUERY = 16 << 10
_NAME = 100  # bytes of a name with its version, beside its characters: see `stores.local.packed_listing`
_TRIM_EVERY = 2.0  # seconds: under load freed buffers came to 40 MB between two turns of the upkeep
_LARGE = 16 << 20  # bytes that a call had beyond the usual: they are given back when it ends
_JSON = b"application/json"


class NoSuchCall(PermanentError):
    """Of another version, perhaps."""


class Forbidden(AuthError):
    """The key may not do this, or not there."""


class Endpoint:
    """`POST …/{call}?root=…` for the calls it is given; `changes` are those that a read-only key may not."""

    def __init__(
        self,
        served: ServedFolder,
        shared: Shared,
        handlers: Mapping[str, Handler],
        *,
        changing: frozenset[str],
        limits: Timeouts,
        patience: float = PATIENCE,
    ) -> None:
        self._served = served
        self._trimmed = time.monotonic()
        self.shared = shared
        self._handlers = handlers
        self._changing = changing
        self._changers = [handlers[name] for name in changing]
        self._patience = patience
        self._places = Places(limits.calls, limits.calls_per_key, patience=limits.queue_seconds)
        self._threads = ThreadPoolExecutor(limits.calls, thread_name_prefix="syncer-call")

    @property
    def working(self) -> int:
        """Calls that are worked on."""
        return self._places.taken

    def close(self) -> None:
        """Waits for the threads. Their calls have ended with their connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        outlet = ResponseStream(loop, patience=self._patience)
        intake = RequestStream(loop, patience=self._patience)
        try:
            handler, call = self._understood(scope, intake)
        except SyncerError as error:
            return await refuse(send, error)
        try:
            await self._places.take(call.key.name)
        except SyncerError as error:
            return await refuse(send, error)
        reserved = Reserved(self.shared.budget, call.key.name)
        names = self.shared.listings.names(call.key.name, _NAME)
        call = replace(call, reserve=reserved, hold=names.hold)
        work = loop.run_in_executor(
            self._threads, self._work, handler, call, outlet, _likes_packed(scope), reserved, names
        )
        work.add_done_callback(partial(self._worked, call.key.name))
        pump = asyncio.create_task(intake.pump(receive))
        pump.add_done_callback(partial(_left, intake, outlet))
        try:
            await outlet.send_all(send)
        finally:
            pump.cancel()
            intake.break_off()
            outlet.close()

    def _worked(self, owner: str, work: asyncio.Future[None]) -> None:
        self._places.leave(owner)
        if not work.cancelled() and (error := work.exception()) is not None:
            _log.error("a call of the extension failed", exc_info=error)

    def _work(
        self,
        handler: Handler,
        call: Call,
        outlet: ResponseStream,
        pack: bool,
        reserved: Reserved,
        names: Names,
    ) -> None:
        """In a thread. A look for a client that left is ended; a change goes on to its end."""
        looks = handler not in self._changers
        with reserved, names, counting(names), self._served.fs.cancellable(lambda: looks and outlet.gone):
            _work(handler, call, outlet, pack)
            large = reserved.size > _LARGE
        if large or time.monotonic() - self._trimmed > _TRIM_EVERY:
            self._trimmed = time.monotonic()
            allocator.trim()

    def _understood(self, scope: Message, intake: RequestStream) -> tuple[Handler, Call]:
        name = str(scope["path_params"]["call"])
        handler = self._handlers.get(name)
        if handler is None:
            raise NoSuchCall("there is no such call")
        key: Key = scope["state"]["key"]
        if key.read_only and name in self._changing:
            raise Forbidden("this key may not change anything", hint="add one without --read-only")
        packing = _header(scope, b"content-encoding")
        if packing not in (b"", b"identity", b"zstd"):
            raise schema.malformed("a body as it is, or packed by zstd")
        body = intake.pieces()
        root = root_of(scope)
        packed_ = packing == b"zstd"
        call = Call(served=self._served, shared=self.shared, key=key, root=root, body=body, packed=packed_)
        return handler, call


class Unspoken:
    """Answers a call of a version of the extension that is not spoken here: 404, and which ones are."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        error = NoSuchCall("this version of the protocol is not spoken here")
        await answer_json(send, 404, {**trouble(error), "versions": [*versions.SPOKEN]})


def _work(handler: Handler, call: Call, outlet: ResponseStream, pack: bool) -> None:
    """The whole call, in a thread. Trouble is a status at first, then it breaks off what has begun."""
    whole = False
    begun = False
    answer: Answer | None = None
    try:
        answer = handler(call)
        for piece in packed(answer.pieces, prompt=answer.prompt) if pack else answer.pieces:
            if not begun:
                outlet.begin(200, _headers(answer, pack))
                begun = True
            outlet.push(piece, wait=answer.waits)
        whole = True
    except SyncerError as error:
        if not begun:
            outlet.begin(status(error), _retry(status(error)))
            outlet.push(said(call.trouble(error)), wait=False)
            whole = True
        elif not isinstance(error, StoreError):
            _log.warning("an answer was broken off: %s", error.message)
    except Gone:
        pass  # nobody waits for the rest
    except BaseException:
        if not begun:
            outlet.begin(500, [(b"content-type", _JSON)])
            outlet.push(b'{"error":{"code":"store-error","message":"the server made a mistake"}}', wait=False)
            whole = True
        raise
    finally:
        outlet.end(whole=whole)
    if answer is not None and answer.after is not None:
        answer.after()


def _left(intake: RequestStream, outlet: ResponseStream, pump: asyncio.Task[None]) -> None:
    """A client that left is told to both: to who reads its body, and to who waits until it takes more.

    A body that came too slowly ends in an exception; the call then ends by itself, for want of it.
    """
    intake.break_off()
    if not pump.cancelled() and pump.exception() is None:
        outlet.close()


def _headers(answer: Answer, pack: bool) -> list[tuple[bytes, bytes]]:
    found = [(b"content-type", answer.media.encode("ascii")), (b"cache-control", b"no-store")]
    return [*found, (b"content-encoding", b"zstd")] if pack else found


_STATUSES: tuple[tuple[type[SyncerError], int], ...] = (
    (TooLarge, 413),
    (Forbidden, 403),
    (Unholdable, 403),  # a root that is hidden or refused; one answer for both
    (Unreadable, 403),
    (NotFound, 409),
    (PermanentError, 400),
    (TransientError, 503),
    (SyncerError, 503),
)


def status(error: SyncerError) -> int:
    """Of a call that could not be begun."""
    return next(code for kind, code in _STATUSES if isinstance(error, kind))


async def refuse(send: Send, error: SyncerError) -> None:
    """Answers a call that is not even begun; here what is not found is the call itself."""
    code = 404 if isinstance(error, NoSuchCall) else status(error)
    await answer_json(send, code, trouble(error))


async def answer_json(send: Send, code: int, fields: dict[str, Json]) -> None:
    """One JSON object."""
    headers = _retry(code)
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": said(fields)})


def _retry(code: int) -> list[tuple[bytes, bytes]]:
    found = [(b"content-type", _JSON)]
    return [*found, (b"retry-after", str(_AGAIN).encode())] if code == 503 else found


def root_of(scope: Message) -> RelPath:
    """PATH of `?root=PATH`; nothing else may stand there. Raises PermanentError."""
    query: bytes = scope["query_string"]
    if not query:
        return ""
    name, _, value = query.partition(b"=")
    if name != b"root" or b"&" in value or len(query) > _LONGEST_QUERY:
        raise schema.malformed("one root")
    return schema.path(os.fsdecode(unquote_to_bytes(value)))


def _likes_packed(scope: Message) -> bool:
    return any(part.strip() == b"zstd" for part in _header(scope, b"accept-encoding").split(b","))


def _header(scope: Message, name: bytes) -> bytes:
    return b",".join(value for key, value in scope["headers"] if key == name).strip().lower()
