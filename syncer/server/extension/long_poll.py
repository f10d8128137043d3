"""`feed`: a client waits for news without holding a thread.

The first call of a server's life begins to watch the folder; `server.change_feed` has what there is to tell.
"""

from __future__ import annotations

import asyncio

from syncer.errors import SyncerError
from syncer.server.change_feed import ChangeNews, Feed
from syncer.server.extension.endpoint import answer_json, refuse, root_of
from syncer.server.extension.packing import parsed
from syncer.server.extension.request import trouble
from syncer.server.extension.streams import Message, Receive, Send
from syncer.server.fair_shares import Places
from syncer.server.folder import Key, ServedFolder
from syncer.server.timeouts import Timeouts
from syncer.server.watcher import Watch
from syncer.wire import schema
from syncer.wire.bounded_json import Json

LONGEST = 120.0  # seconds that one call waits at most
_BODY = 4096  # bytes
_SLOW = 30.0  # seconds in which the body has to come


class LongPoll:
    """`POST …/feed?root=…`."""

    def __init__(self, served: ServedFolder, feed: Feed, watch: Watch, limits: Timeouts) -> None:
        self._served = served
        self._feed = feed
        self._watch = watch
        self._places = Places(limits.listeners, limits.listeners_per_key, waiting=0)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        owner = scope["state"]["key"].name
        try:
            await self._places.take(owner)
        except SyncerError as error:
            return await refuse(send, error)
        try:
            async with asyncio.timeout(_SLOW):
                cursor, seconds = _asked(await _body(receive))
            below = await asyncio.to_thread(self._below, scope["state"]["key"], root_of(scope))
            await asyncio.to_thread(self._watch.start)
            news = await self._news(receive, below, cursor, seconds)
        except SyncerError as error:
            return await refuse(send, error)
        except TimeoutError:
            return await answer_json(send, 408, trouble(SyncerError("the body did not come")))
        finally:
            self._places.leave(owner)
        if news is not None:
            await answer_json(
                send, 200, {"cursor": news.cursor, "changed": list(news.changed), "reset": news.reset}
            )

    def _below(self, key: Key, root: str) -> str:
        with self._served.store(key, root) as store:
            return store.below

    async def _news(
        self, receive: Receive, below: str, cursor: str | None, seconds: float
    ) -> ChangeNews | None:
        """None if the client went away."""
        wait = asyncio.create_task(self._feed.wait(below, cursor, seconds))
        gone = asyncio.create_task(_gone(receive))
        gone.add_done_callback(lambda task: _left(task, wait))
        try:
            return await wait
        except asyncio.CancelledError:
            if gone.cancelled() or not gone.done():
                raise  # the server stops
            return None
        finally:
            gone.cancel()


def _left(gone: asyncio.Task[None], wait: asyncio.Task[ChangeNews]) -> None:
    """Who cannot be watched any more may still be there."""
    if not gone.cancelled() and gone.exception() is None:
        wait.cancel()


def _asked(body: bytes) -> tuple[str | None, float]:
    fields = parsed(body)
    cursor: Json = fields.get("cursor")
    seconds = fields.get("wait", 0)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise schema.malformed("seconds to wait")
    known = schema.optional(cursor, lambda v: schema.take(v, str, "a cursor"))
    return known, float(min(seconds, LONGEST))  # an integer of 400 digits is no float


async def _body(receive: Receive) -> bytes:
    data, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise SyncerError("the client went away")
        data += message.get("body", b"")
        more = bool(message.get("more_body", False))
        if len(data) > _BODY:
            raise schema.malformed("a short question")
    return data


async def _gone(receive: Receive) -> None:
    """Returns once the client went away."""
    while (await receive())["type"] != "http.disconnect":
        pass
