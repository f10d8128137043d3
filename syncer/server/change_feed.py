"""Change feed: the directories of the served folder that changed since a client's cursor.

A cursor is a position in the order of changes. One from another run of the server, or from too long ago, is
unknown, and its client has to scan everything. The feed says where to scan, never what is there: a directory
too many is harmless. A waiting client takes no thread. `watcher` adds the changes that others make on the
disk.

Directories are nodes of a tree, each with the number of the last change in it and below it, and with the
most recently changed child last. So a request costs as much as its result is long, however old the cursor. A
cursor is encrypted with its root, and moves only with changes of that root: it tells nothing about other
roots.
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
GATHER = 0.03  # seconds after a change in which others may follow, so that a batch is sent at once
ECHO = 0.1  # seconds that a change noticed on the disk waits for the server's own report of it
SPREAD, LATEST = 0.01, 1.0  # seconds from waking one client to waking the next, and until the last one


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeNews:
    """The directories that changed since a cursor, relative to a root; `reset`: scan everything."""

    cursor: str
    changed: tuple[RelPath, ...] = ()
    reset: bool = False


@dataclass(slots=True, eq=False)
class _Node:
    """A directory: `own` is the number of the last change in it (0: none), `latest` that in it or below."""

    parent: _Node | None = None
    name: str = ""
    own: int = 0
    latest: int = 0
    children: OrderedDict[str, _Node] = field(default_factory=OrderedDict)


@dataclass(slots=True, eq=False)
class _Waiter:
    below: RelPath
    position: int
    loop: asyncio.AbstractEventLoop
    event: asyncio.Event


class ChangeFeed:
    """The order of changes in the whole served folder; each root sees its part of it. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._instance = secrets.token_hex(8)
        self._secret = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._top = _Node()
        self._last: OrderedDict[RelPath, _Node] = OrderedDict()  # least recently changed first
        self._now = 0
        self._forgotten = 0  # the number of the last change that is not remembered
        self._waiting: dict[_Waiter, None] = {}  # in the order of their arrival

    def changed(self, below: RelPath, directories: Iterable[RelPath], *, noticed: bool = False) -> None:
        """Note that something changed in these directories of a root; `below`: the root in the served folder.

        `noticed`: by the watch of the disk. If the server made the change, it reports it itself in a moment.
        """
        with self._lock:
            for directory in directories:
                self._now += 1
                self._touch(join(below, directory) if directory else below)
            while len(self._last) > self._most:
                _, node = self._last.popitem(last=False)
                self._forgotten = node.own
                # It has no change left to report; nor have directories above that are there for it only.
                node.own = 0
                while node.parent is not None and not node.own and not node.children:
                    del node.parent.children[node.name]
                    node = node.parent
            waiting = [w for w in self._waiting if self._visible(w.below) > w.position]
        _wake(waiting, ECHO if noticed else 0.0)

    def lost(self) -> None:
        """Changes may have gone unnoticed: every client has to scan everything."""
        with self._lock:
            self._now += 1
            self._forgotten = self._now
            self._last.clear()
            self._top = _Node()
            waiting = list(self._waiting)
        _wake(waiting, 0.0)

    def since(self, below: RelPath, cursor: str | None) -> ChangeNews:
        """The changes in a root since a cursor; with the cursor for the next call."""
        with self._lock:
            number = self._encrypted(below, self._visible(below), range(4))
            now = f"{self._instance}.{number:016x}"
            position = self._position(below, cursor)
            if position is None:
                return ChangeNews(cursor=now, reset=True)
            return ChangeNews(cursor=now, changed=tuple(self._changes(below, position)))

    async def wait(self, below: RelPath, cursor: str | None, seconds: float) -> ChangeNews:
        """The changes in a root since a cursor, as soon as there is one, or none after that time."""
        news = self.since(below, cursor)
        if news.reset or news.changed:
            return news
        event = asyncio.Event()
        with self._lock:
            waiter = _Waiter(below, self._position(below, cursor) or 0, asyncio.get_running_loop(), event)
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
        """Whether a client waits."""
        with self._lock:
            return bool(self._waiting)

    def _touch(self, directory: RelPath) -> None:
        """Make the latest change one in this directory."""
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

    def _find(self, below: RelPath) -> tuple[int, _Node | None]:
        """The last change in the directories above the root, and the root's node, if there is one."""
        node, above = self._top, 0
        for name in parts(below):
            above = max(above, node.own)
            child = node.children.get(name)
            if child is None:
                return above, None
            node = child
        return above, node

    def _visible(self, below: RelPath) -> int:
        """The position of a client of this root that has seen all changes so far.

        Where nothing changes for long, it moves with the changes of other roots in large steps: otherwise it
        would be forgotten, and the client would have to scan everything.
        """
        above, node = self._find(below)
        # `lost` and the limit forget changes up to `_forgotten`; a cursor below it is unknown. Steps of a
        # quarter of the limit keep a quiet root's cursor above it, and show no more of other roots than how
        # busy all are.
        step = max(self._most // 4, 1)
        own = node.latest if node is not None else 0
        return max(above, own, self._forgotten, self._now - self._now % step)

    def _changes(self, below: RelPath, then: int) -> Iterator[RelPath]:
        """Yield the directories that changed since, relative to the root; one above counts as the root."""
        above, node = self._find(below)
        # A directory above the root was changed: the root itself may have been exchanged.
        if above > then and (node is None or node.own <= then):
            yield ""
        pending: list[tuple[RelPath, _Node]] = [("", node)] if node is not None else []
        while pending:
            path, node = pending.pop()
            if node.own > then:
                yield path
            for name, child in reversed(node.children.items()):
                if child.latest <= then:
                    break  # the others changed earlier: children are ordered by their latest change
                pending.append((join(path, name) if path else name, child))

    # -- cursors -----------------------------------------------------------------

    def _position(self, below: RelPath, cursor: str | None) -> int | None:
        """The position of a cursor of this root; None if it is unknown."""
        instance, _, text = (cursor or "").partition(".")
        if instance != self._instance or len(text) != 16:
            return None
        try:
            position = self._encrypted(below, int(text, 16), range(3, -1, -1))
        except ValueError:
            return None
        return position if self._forgotten <= position <= self._now else None

    def _encrypted(self, below: RelPath, number: int, rounds: Iterable[int]) -> int:
        """Encrypt 64 bits with a secret and the root (a Feistel network); with the rounds reversed,
        decrypt.
        """
        left, right = number >> 32, number & 0xFFFFFFFF
        root = below.encode("utf-8", "surrogateescape")
        for turn in rounds:
            mixed = blake2b(
                right.to_bytes(4) + root, key=self._secret, digest_size=4, person=bytes([turn])
            ).digest()
            left, right = right, left ^ int.from_bytes(mixed)
        return right << 32 | left


def _wake(waiting: Iterable[_Waiter], delay: float) -> None:
    """Wake the clients one after the other, so that their next requests do not come at once."""
    for turn, waiter in enumerate(waiting):
        after = delay + min(turn * SPREAD, LATEST)
        try:
            if after:
                waiter.loop.call_soon_threadsafe(waiter.loop.call_later, after, waiter.event.set)
            else:
                waiter.loop.call_soon_threadsafe(waiter.event.set)
        except RuntimeError:
            continue  # its event loop is closed
