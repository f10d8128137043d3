"""What changed in the served folder, for clients that wait: directories, ordered by their last change.

A cursor is a place in that order; one from another run of the server, or from too long ago, is unknown, and
its owner has to look at everything. What is told says where to look, never what is there; too
much is harmless. Waiting takes no thread. Who notices changes on the disk: `watcher`.

Directories are nodes of a tree, each with the last change in it and below it, the children with the latest
change last: what a root has to be told costs as much as it is, however old the cursor. A cursor is
blinded with the root it is for, and moves only where that root is concerned: it says nothing of others.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.engine.paths import join, parts

MOST = 1 << 16  # directories that are remembered
GATHER = 0.03  # seconds after a change in which others may follow: a batch is told once
ECHO = 0.1  # seconds that the disk's word of a change waits for the server's own
SPREAD, LATEST = 0.01, 1.0  # seconds from waking one client to waking the next, and until the last one


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNews:
    """The directories that changed since a cursor, relative to a root; `reset`: look at everything."""

    cursor: str
    changed: tuple[RelPath, ...] = ()
    reset: bool = False


@dataclass(slots=True, eq=False)
class _Node:
    """A directory: its name's parent, the number of the last change in it (0: none), and in all below."""

    parent: _Node | None = None
    name: str = ""
    own: int = 0
    latest: int = 0
    children: OrderedDict[str, _Node] = field(default_factory=OrderedDict)


@dataclass(slots=True, eq=False)
class _Waiter:
    below: RelPath
    then: int
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event


class Feed:
    """One order for the whole served folder; each root is shown its part of it. Safe to share."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._instance = secrets.token_hex(8)
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._top = _Node()
        self._last: OrderedDict[RelPath, _Node] = OrderedDict()  # by their last change
        self._now = 0
        self._forgotten = 0  # up to here
        self._waiting: dict[_Waiter, None] = {}  # in the order they came

    def changed(self, below: RelPath, directories: Iterable[RelPath], *, noticed: bool = False) -> None:
        """Something changed in these directories of the root `below` the served folder.

        `noticed`: on the disk, and perhaps by the server itself, which then tells the same in a moment.
        """
        with self._lock:
            for directory in directories:
                self._now += 1
                self._enter(join(below, directory) if directory else below)
            while len(self._last) > self._most:
                _, node = self._last.popitem(last=False)
                self._forgotten = node.own
                _forget(node)
            waiting = [w for w in self._waiting if self._shown(w.below) > w.then]
        _wake(waiting, ECHO if noticed else 0.0)

    def lost(self) -> None:
        """Changes may have gone unnoticed: whoever asks has to look at everything."""
        with self._lock:
            self._now += 1
            self._forgotten = self._now
            self._last.clear()
            self._top = _Node()
            waiting = list(self._waiting)
        _wake(waiting, 0.0)

    def since(self, below: RelPath, cursor: str | None) -> ChangeNews:
        """What changed in the root `below` since then."""
        with self._lock:
            now = self._cursor(below, self._shown(below))
            then = self._place(below, cursor)
            if then is None:
                return ChangeNews(cursor=now, reset=True)
            return ChangeNews(cursor=now, changed=tuple(self._told(below, then)))

    async def wait(self, below: RelPath, cursor: str | None, seconds: float) -> ChangeNews:
        """The same, as soon as there is any, or nothing after that time."""
        news = self.since(below, cursor)
        if news.reset or news.changed:
            return news
        event = asyncio.Event()
        with self._lock:
            waiter = _Waiter(below, self._place(below, cursor) or 0, asyncio.get_running_loop(), event)
            self._waiting[waiter] = None
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
                self._waiting.pop(waiter, None)
        return self.since(below, cursor)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        with self._lock:
            return bool(self._waiting)

    def _enter(self, directory: RelPath) -> None:
        """The latest change is in this directory."""
        node = self._top
        node.latest = self._now
        for name in parts(directory):
            child = node.children.get(name)
            if child is None:
                child = node.children[name] = _Node(parent=node, name=name)
            node.children.move_to_end(name)
            node = child
            node.latest = self._now
        node.own = self._now
        self._last[directory] = node
        self._last.move_to_end(directory)

    def _way(self, below: RelPath) -> tuple[int, _Node | None]:
        """The last change in what holds the root, and the root's node, if there is one."""
        node, above = self._top, 0
        for name in parts(below):
            above = max(above, node.own)
            child = node.children.get(name)
            if child is None:
                return above, None
            node = child
        return above, node

    def _shown(self, below: RelPath) -> int:
        """The place of a root that has heard of everything so far.

        Quiet for long, it moves with the others now and then: what it stands at is not to be forgotten.
        """
        above, node = self._way(below)
        step = max(self._most // 4, 1)
        own = node.latest if node is not None else 0
        return max(above, own, self._forgotten, self._now - self._now % step)

    def _told(self, below: RelPath, then: int) -> Iterator[RelPath]:
        """The directories that changed since, as the root names them; a change above is one of the root."""
        above, node = self._way(below)
        if above > then and (node is None or node.own <= then):
            yield ""
        ahead: list[tuple[RelPath, _Node]] = [("", node)] if node is not None else []
        while ahead:
            path, node = ahead.pop()
            if node.own > then:
                yield path
            for name, child in reversed(node.children.items()):
                if child.latest <= then:
                    break
                ahead.append((join(path, name) if path else name, child))

    # -- cursors -----------------------------------------------------------------

    def _cursor(self, below: RelPath, place: int) -> str:
        return f"{self._instance}.{self._blinded(below, place, range(4)):016x}"

    def _place(self, below: RelPath, cursor: str | None) -> int | None:
        instance, _, text = (cursor or "").partition(".")
        if instance != self._instance or len(text) != 16:
            return None
        try:
            place = self._blinded(below, int(text, 16), range(3, -1, -1))
        except ValueError:
            return None
        return place if self._forgotten <= place <= self._now else None

    def _blinded(self, below: RelPath, number: int, rounds: Iterable[int]) -> int:
        """A number of 64 bits as another one, by a secret and the root (a Feistel network); and back."""
        left, right = number >> 32, number & 0xFFFFFFFF
        root = below.encode("utf-8", "surrogateescape")
        for turn in rounds:
            mixed = blake2b(
                right.to_bytes(4) + root, key=self._secret, digest_size=4, person=bytes([turn])
            ).digest()
            left, right = right, left ^ int.from_bytes(mixed)
        return right << 32 | left


def _forget(node: _Node) -> None:
    """Takes away a directory that has nothing left to tell, and those above that were there for it only."""
    node.own = 0
    while node.parent is not None and not node.own and not node.children:
        del node.parent.children[node.name]
        node = node.parent


def _wake(waiting: Iterable[_Waiter], delay: float) -> None:
    """One after the other: what all of them ask next need not come at once."""
    for turn, waiter in enumerate(waiting):
        after = delay + min(turn * SPREAD, LATEST)
        try:
            if after:
                waiter.loop.call_soon_threadsafe(waiter.loop.call_later, after, waiter.event.set)
            else:
                waiter.loop.call_soon_threadsafe(waiter.event.set)
        except RuntimeError:
            continue  # that loop is closed
