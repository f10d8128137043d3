"""What changed in the served folder, for clients that wait: directories, ordered by their last change.

A cursor is a place in that order; one from another run of the server, or from too long ago, is unknown, and
its owner has to look at everything. What is told says where to look, never what is there; too
much is harmless. Waiting takes no thread. Who notices changes on the disk: `watching`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from syncer.engine.model import RelPath
from syncer.engine.paths import is_below, join

MOST = 1 << 16  # directories that are remembered
GATHER = 0.02  # seconds after a change in which others may follow: a batch is told once


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The directories that changed since a cursor, relative to a root; `reset`: look at everything."""

    cursor: str
    changed: tuple[RelPath, ...] = ()
    reset: bool = False


class Feed:
    """One order for the whole served folder; each root is shown its part of it. Safe to share."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._instance = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._last: OrderedDict[RelPath, int] = OrderedDict()  # directory below the folder: when
        self._now = 0
        self._forgotten = 0  # up to here
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def changed(self, below: RelPath, directories: Iterable[RelPath]) -> None:
        """Something changed in these directories of the root `below` the served folder."""
        with self._lock:
            for directory in directories:
                self._now += 1
                self._last[join(below, directory) if directory else below] = self._now
                self._last.move_to_end(join(below, directory) if directory else below)
            while len(self._last) > self._most:
                _, self._forgotten = self._last.popitem(last=False)
            waiting = list(self._waiting)
        self._wake(waiting)

    def lost(self) -> None:
        """Changes may have gone unnoticed: whoever asks has to look at everything."""
        with self._lock:
            self._now += 1
            self._forgotten = self._now
            self._last.clear()
            waiting = list(self._waiting)
        self._wake(waiting)

    def since(self, below: RelPath, cursor: str | None) -> News:
        """What changed in the root `below` since then."""
        with self._lock:
            now = f"{self._instance}.{self._now}"
            then = self._place(cursor)
            if then is None:
                return News(cursor=now, reset=True)
            found: list[RelPath] = []
            for directory, when in reversed(self._last.items()):
                if when <= then:
                    break
                seen = _within(directory, below)
                if seen is not None:
                    found.append(seen)
        return News(cursor=now, changed=tuple(dict.fromkeys(found)))

    async def wait(self, below: RelPath, cursor: str | None, seconds: float) -> News:
        """The same, as soon as there is any, or nothing after that time."""
        news = self.since(below, cursor)
        if news.reset or news.changed:
            return news
        event = asyncio.Event()
        waiter = asyncio.get_running_loop(), event
        with self._lock:
            self._waiting.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                while not (news := self.since(below, cursor)).changed and not news.reset:
                    await event.wait()
                    event.clear()
                await asyncio.sleep(GATHER)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.discard(waiter)
        return self.since(below, cursor)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        with self._lock:
            return bool(self._waiting)

    def _place(self, cursor: str | None) -> int | None:
        instance, _, number = (cursor or "").partition(".")
        if instance != self._instance or not number.isdecimal() or not number.isascii():
            return None
        place = int(number[:20])
        return place if self._forgotten <= place <= self._now else None

    def _wake(self, waiting: Iterable[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        for loop, event in waiting:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                continue  # that loop is closed


def _within(directory: RelPath, below: RelPath) -> RelPath | None:
    """The directory as the root `below` names it; what holds the root itself counts as the root."""
    if directory == below or is_below(below, directory):
        return ""
    if not is_below(directory, below):
        return None
    return directory[len(below) + 1 :] if below else directory
