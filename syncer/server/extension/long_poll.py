"""The call `feed`: long polling for changes, without a thread for a waiting client.

The first call starts the file-system watch; `server.change_feed` has the changes.
"""

from __future__ import annotations

import asyncio

from syncer.errors import SyncerError
from syncer.server.change_feed import ChangeFeed, ChangeNews
from syncer.server.extension.endpoint import root_of, send_error, send_json
from syncer.server.extension.request import error_json
from syncer.server.extension.streams import Message, Receive, Send
from syncer.server.fair_shares import FairSemaphore
from syncer.server.folder import ServedFolder
from syncer.server.timeouts import Timeouts
from syncer.server.watcher import ChangeWatcher
from syncer.wire import schema

LONGEST = 120.0  # seconds that one call waits
_BODY = 4096  # bytes
_BODY_TIMEOUT = 30.0  # seconds


class LongPoll:
    """`POST …/feed?root=…`."""

    def __init__(
        self, served: ServedFolder, feed: ChangeFeed, watch: ChangeWatcher, limits: Timeouts
    ) -> None:
        self._served = served
        self._feed = feed
        self._watch = watch
        self._slots = FairSemaphore(limits.listeners, limits.listeners_per_key, waiting=0)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        owner = scope["state"]["key"].name
        try:
            await self._slots.acquire(owner)
        except SyncerError as error:
            return await send_error(send, error)
        try:
            async with asyncio.timeout(_BODY_TIMEOUT):
                cursor, seconds = feed_request_in(await _body(receive))
            key, root = scope["state"]["key"], root_of(scope)

            def path_of_root() -> str:
                with self._served.store(key, root) as store:  # its absence is an error
                    return store.below

            below = await asyncio.to_thread(path_of_root)
            await asyncio.to_thread(self._watch.start)
            news = await self._news(receive, below, cursor, seconds)
        except SyncerError as error:
            return await send_error(send, error)
        except TimeoutError:
            return await send_json(
                send, 408, error_json(SyncerError("the request body did not arrive in time"))
            )
        finally:
            self._slots.release(owner)
        if news is not None:
            await send_json(
                send, 200, {"cursor": news.cursor, "changed": list(news.changed), "reset": news.reset}
            )

    async def _news(
        self, receive: Receive, below: str, cursor: str | None, seconds: float
    ) -> ChangeNews | None:
        """The changes since the cursor; None if the client went away."""
        wait = asyncio.create_task(self._feed.wait(below, cursor, seconds))

        async def disconnected() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        def stop_waiting(task: asyncio.Task[None]) -> None:
            # After an exception nothing is known of the client: it may still be there.
            if not task.cancelled() and task.exception() is None:
                wait.cancel()

        gone = asyncio.create_task(disconnected())
        gone.add_done_callback(stop_waiting)
        try:
            return await wait
        except asyncio.CancelledError:
            if gone.cancelled() or not gone.done():
                raise  # the server stops
            return None
        finally:
            gone.cancel()


def feed_request_in(body: bytes) -> tuple[str | None, float]:
    """The cursor and the seconds to wait. Raises PermanentError."""
    fields = schema.object_in(body)
    seconds = fields.get("wait", 0)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise schema.malformed("seconds to wait")
    cursor = schema.optional(fields.get("cursor"), lambda v: schema.take(v, str, "a cursor"))
    return cursor, float(min(seconds, LONGEST))  # `min` first: an integer of 400 digits is no float


async def _body(receive: Receive) -> bytes:
    data, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise SyncerError("the client went away")
        data += message.get("body", b"")
        more = bool(message.get("more_body", False))
        if len(data) > _BODY:
            raise schema.malformed("a short request")
    return data
