"""The lists of directories that clients ask about again and again, so that only a name has to cross.

In memory, packed, under their root and BLAKE2b-256; the least recently asked for go first. A list that is
gone is sent again by the client. Each root has its own: who asks about one learns nothing of others.

A client at work has another list after each run, and hardly ever asks for the one before: only so many of
one root are kept, so that it neither fills all of the room nor pushes out those of others.
"""

from __future__ import annotations

import marshal
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.server.change_feed import Feed
from syncer.server.extension.index_builder import BackgroundIndexer
from syncer.server.extension.packing import said
from syncer.server.fair_shares import Budget, Listings
from syncer.wire import schema
from syncer.wire.bounded_json import Json

MOST = 24 << 20  # bytes of all lists together; the last one is kept in any case
PER_ROOT = 32  # lists; clients that are in step have the same one

Known = Iterable[tuple[RelPath, bytes]]


class Lists:
    """Path and fingerprint of directories, by root and name of the list. Safe to share between threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.held = 0  # bytes
        self._lists: dict[RelPath, OrderedDict[bytes, bytes]] = {}  # by root and name
        self._order: OrderedDict[tuple[RelPath, bytes], None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: RelPath, name: bytes) -> Known | None:
        """The list of this name for a root (below the served folder), if it is still there."""
        with self._lock:
            found = self._take(root, name)
            if found is None:
                return None
            self._put(root, name, found)
        return zip(*marshal.loads(found), strict=True)

    def keep(self, root: RelPath, name: bytes, given: Json) -> Known:
        """A list as a client sent it. Raises PermanentError for one that is none, or has another name."""
        known = dict(map(_pair, schema.take(given, list, "a list of directories")))
        if blake2b(said(given), digest_size=32).digest() != name:
            raise schema.malformed("a list under its own name")
        # Our own bytes, which nobody else can write: a tenth of what the objects would take
        packed = marshal.dumps((tuple(known), tuple(known.values())))
        with self._lock:
            self._take(root, name)
            self._put(root, name, packed)
            while len(self._lists[root]) > PER_ROOT:
                self._take(root, next(iter(self._lists[root])))
            while self.held > self._most and len(self._order) > 1:
                self._take(*next(iter(self._order)))
        return known.items()

    def _put(self, root: RelPath, name: bytes, packed: bytes) -> None:
        """Behind all others."""
        self._lists.setdefault(root, OrderedDict())[name] = packed
        self._order[root, name] = None
        self.held += len(packed)

    def _take(self, root: RelPath, name: bytes) -> bytes | None:
        found = self._lists.get(root, OrderedDict()).pop(name, None)
        if found is not None:
            self.held -= len(found)
            del self._order[root, name]
            if not self._lists[root]:
                del self._lists[root]
        return found


def _pair(value: Json) -> tuple[RelPath, bytes]:
    if not isinstance(value, list) or len(value) != 2:
        raise schema.malformed("a directory with its fingerprint")
    return spelt(schema.path(value[0])), schema.octets(value[1], "a fingerprint", most=64)


def spelt(path: RelPath) -> RelPath:
    """The path, if it stands for bytes: JSON has surrogates that stand for none. Raises PermanentError."""
    if not path.isascii():
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise schema.malformed("a path") from None
    return path


# --------------------------------------------------------------------------------
#
# What all calls of one served folder share: the feed, the known lists, the kept sketches, the memory.


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Each of its parts is safe to share between threads."""

    feed: Feed
    lists: Lists
    sketches: BackgroundIndexer
    budget: Budget
    listings: Listings
    searches: Budget  # places, not bytes
