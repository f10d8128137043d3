"""ASGI endpoint of the protocol's calls: permissions, worker threads, statuses, streamed responses.

A call is handled by a thread, and its response is sent while it is made. The number of calls at once is
limited, in all and for each key (`Timeouts`); the others wait without a thread, and are answered 503 after a
while. `docs/extension.md` lists the statuses.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from syncer.server.extension.context import SharedState
from syncer.server.extension.request import CallRequest, CallResponse, Handler, TooLarge, error_json
from syncer.server.extension.streams import (
    TIMEOUT,
    ClientGone,
    Message,
    Receive,
    RequestStream,
    ResponseStream,
    Send,
)
from syncer.server.fair_shares import FairSemaphore, NameReservation, Reserved
from syncer.server.folder import Key, ServedFolder, counting
from syncer.server.timeouts import Timeouts
from syncer.wire import compression, schema, versions
from syncer.wire.bounded_json import Json, dumps

_log = logging.getLogger("syncer.server")

_RETRY_AFTER = 2  # seconds, of a call that found no thread in time
_LONGEST_QUERY = 16 << 10
_NAME = (
    100  # bytes of memory of a name with its version, beside its characters (`stores.local.packed_listing`)
)
_TRIM_EVERY = 2.0  # seconds: under load, 40 MB of freed buffers gathered between two turns of `maintenance`
_LARGE = 16 << 20  # bytes reserved by a call; after a larger one the freed memory is returned to the system
_JSON = b"application/json"


class NoSuchCall(PermanentError):
    """There is no call of this name in this version."""


class Forbidden(AuthError):
    """The key has no permission for this call."""


class Endpoint:
    """`POST …/{call}?root=…` of the calls in `handlers`; a read-only key may not use those in `changing`."""

    def __init__(
        self,
        served: ServedFolder,
        shared: SharedState,
        handlers: Mapping[str, Handler],
        *,
        changing: frozenset[str],
        limits: Timeouts,
        timeout: float = TIMEOUT,
    ) -> None:
        self._served = served
        self._trimmed = time.monotonic()
        self.shared = shared
        self._handlers = handlers
        self._changing = changing
        self._changers = [handlers[name] for name in changing]
        self._timeout = timeout
        self._slots = FairSemaphore(limits.calls, limits.calls_per_key, timeout=limits.queue_seconds)
        self._threads = ThreadPoolExecutor(limits.calls, thread_name_prefix="syncer-call")

    @property
    def working(self) -> int:
        """The number of calls that have a thread."""
        return self._slots.taken

    def close(self) -> None:
        """Wait for the threads. Their calls end with their connections, which are closed before."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        response = ResponseStream(loop, timeout=self._timeout)
        body = RequestStream(loop, timeout=self._timeout)
        try:
            handler, call = self._parse(scope, body)
            await self._slots.acquire(call.key.name)
        except SyncerError as error:
            return await send_error(send, error)
        reserved = Reserved(self.shared.budget, call.key.name)
        names = self.shared.listings.names(call.key.name, _NAME)
        call = replace(call, reserve=reserved, hold=names.hold)
        work = loop.run_in_executor(
            self._threads,
            self._handle,
            handler,
            call,
            response,
            b"zstd" in map(bytes.strip, _header(scope, b"accept-encoding").split(b",")),
            reserved,
            names,
        )

        def handled(work: asyncio.Future[None]) -> None:
            self._slots.release(call.key.name)
            if not work.cancelled() and (error := work.exception()) is not None:
                _log.error("unhandled error in a call of the protocol", exc_info=error)

        def received(pump: asyncio.Task[None]) -> None:
            # The client has left, or its body came too slowly (an exception). In both cases the thread that
            # reads the body must not wait; only a client that left takes no response either.
            body.break_off()
            if not pump.cancelled() and pump.exception() is None:
                response.close()

        work.add_done_callback(handled)
        pump = asyncio.create_task(body.pump(receive))
        pump.add_done_callback(received)
        try:
            await response.send_all(send)
        finally:
            pump.cancel()
            body.break_off()
            response.close()

    def _handle(
        self,
        handler: Handler,
        call: CallRequest,
        response: ResponseStream,
        compress: bool,
        reserved: Reserved,
        names: NameReservation,
    ) -> None:
        """In a thread. A read for a client that left is ended; a change is completed."""
        reads = handler not in self._changers
        with reserved, names, counting(names), self._served.fs.cancellable(lambda: reads and response.gone):
            _respond(handler, call, response, compress)
            large = reserved.size > _LARGE
        if large or time.monotonic() - self._trimmed > _TRIM_EVERY:
            self._trimmed = time.monotonic()
            allocator.trim()

    def _parse(self, scope: Message, body: RequestStream) -> tuple[Handler, CallRequest]:
        """The handler and the request, before anything of the body is read. Raises SyncerError."""
        name = str(scope["path_params"]["call"])
        handler = self._handlers.get(name)
        if handler is None:
            raise NoSuchCall("there is no such call")
        key: Key = scope["state"]["key"]
        if key.read_only and name in self._changing:
            raise Forbidden("this key may not change anything", hint="add one without --read-only")
        encoding = _header(scope, b"content-encoding")
        if encoding not in (b"", b"identity", b"zstd"):
            raise schema.malformed("a body without an encoding, or with zstd")
        return handler, CallRequest(
            served=self._served,
            shared=self.shared,
            key=key,
            root=root_of(scope),
            body=body.pieces(),
            compressed=encoding == b"zstd",
        )


class UnknownVersion:
    """Answers a call of a protocol version that is not supported: 404, and the versions that are."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        error = NoSuchCall("this server does not support this version of the protocol")
        await send_json(send, 404, {**error_json(error), "versions": [*versions.SPOKEN]})


def _respond(handler: Handler, call: CallRequest, response: ResponseStream, compress: bool) -> None:
    """Handle the call and push its response.

    An error before the first piece becomes a status, a later one breaks the response off.
    """
    complete = False
    begun = False
    result: CallResponse | None = None
    try:
        result = handler(call)
        pieces = compression.compress(result.pieces, prompt=result.prompt) if compress else result.pieces
        for piece in pieces:
            if not begun:
                headers = [
                    (b"content-type", result.media_type.encode("ascii")),
                    (b"cache-control", b"no-store"),
                ]
                response.begin(200, [*headers, (b"content-encoding", b"zstd")] if compress else headers)
                begun = True
            response.push(piece, wait=result.waits)
        complete = True
    except SyncerError as error:
        if not begun:
            response.begin(status(error), _headers(status(error)))
            response.push(dumps(call.error_json(error)), wait=False)
            complete = True
        elif not isinstance(error, StoreError):
            _log.warning("a response was broken off: %s", error.message)
    except ClientGone:
        pass
    except BaseException:
        if not begun:
            response.begin(500, [(b"content-type", _JSON)])
            response.push(b'{"error":{"code":"store-error","message":"internal server error"}}', wait=False)
            complete = True
        raise
    finally:
        response.end(complete=complete)
    if result is not None and result.after is not None:
        result.after()


_STATUSES: tuple[tuple[type[SyncerError], int], ...] = (
    (TooLarge, 413),
    (Forbidden, 403),
    (Unholdable, 403),  # a root that is hidden or refused; the same for both
    (Unreadable, 403),
    (NotFound, 409),
    (PermanentError, 400),
    (TransientError, 503),
    (SyncerError, 503),
)


def status(error: SyncerError) -> int:
    """The HTTP status of an error before the first piece of the response."""
    return next(code for kind, code in _STATUSES if isinstance(error, kind))


async def send_error(send: Send, error: SyncerError) -> None:
    """Send the error of a call that no handler has seen. Here 404 means that there is no such call."""
    code = 404 if isinstance(error, NoSuchCall) else status(error)
    await send_json(send, code, error_json(error))


async def send_json(send: Send, code: int, fields: dict[str, Json]) -> None:
    """Send one JSON object."""
    await send({"type": "http.response.start", "status": code, "headers": _headers(code)})
    await send({"type": "http.response.body", "body": dumps(fields)})


def _headers(code: int) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", _JSON)]
    return [*headers, (b"retry-after", str(_RETRY_AFTER).encode())] if code == 503 else headers


def root_of(scope: Message) -> RelPath:
    """PATH of the query `root=PATH`, which has no other parameter. Raises PermanentError."""
    query: bytes = scope["query_string"]
    if not query:
        return ""
    name, _, value = query.partition(b"=")
    if name != b"root" or b"&" in value or len(query) > _LONGEST_QUERY:
        raise schema.malformed("one root")
    return schema.path_in(os.fsdecode(unquote_to_bytes(value)))


def _header(scope: Message, name: bytes) -> bytes:
    return b",".join(value for key, value in scope["headers"] if key == name).strip().lower()
