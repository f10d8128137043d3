"""State that all calls of a server share, and the cache of the directory lists that clients ask about.

With `changed` a client asks which of its known directories look different now. The list of those, with their
fingerprints, is the same in most runs: it is cached under its BLAKE2b-256, and the client sends that name
only.
"""

from __future__ import annotations

import marshal
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.server.change_feed import ChangeFeed
from syncer.server.extension.index_builder import BackgroundIndexer
from syncer.server.fair_shares import Budget, ListingBudget
from syncer.wire import schema
from syncer.wire.bounded_json import Json, dumps
from syncer.wire.validation import is_encodable

MOST = 24 << 20  # bytes of all lists; the last one is kept in any case
PER_ROOT = 32  # lists; clients that are in sync have the same one

Known = Iterable[tuple[RelPath, bytes]]


class DirectoryListCache:
    """Lists of directories with fingerprints, in memory, least recently used first out. Thread-safe.

    Each root has lists of its own: a call on one root learns nothing of others. A client that changes files
    has another list after each run and hardly ever asks for the one before, so only `PER_ROOT` of one root
    are kept: otherwise they would push out those of other roots.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.size = 0  # bytes
        self._lists: dict[RelPath, OrderedDict[bytes, bytes]] = {}  # by root and name
        self._order: OrderedDict[tuple[RelPath, bytes], None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: RelPath, name: bytes) -> Known | None:
        """The cached list of a root (below the served folder), by its name; None if there is none."""
        with self._lock:
            packed = self._take(root, name)
            if packed is None:
                return None
            self._put(root, name, packed)
        return zip(*marshal.loads(packed), strict=True)

    def keep(self, root: RelPath, name: bytes, given: Json) -> Known:
        """Cache a list as a client sent it. Raises PermanentError for a malformed one, or a wrong name."""
        known: dict[RelPath, bytes] = {}
        for pair in schema.take(given, list, "a list of directories"):
            if not isinstance(pair, list) or len(pair) != 2:
                raise schema.malformed("a directory with its fingerprint")
            directory = encodable(schema.path_in(pair[0]))
            known[directory] = schema.octets(pair[1], "a fingerprint", most=64)
        if blake2b(dumps(given), digest_size=32).digest() != name:
            raise schema.malformed("a list under its own name")
        # marshal takes a tenth of the memory of the objects; only this process reads what it wrote
        packed = marshal.dumps((tuple(known), tuple(known.values())))
        with self._lock:
            self._take(root, name)
            self._put(root, name, packed)
            while len(self._lists[root]) > PER_ROOT:
                self._take(root, next(iter(self._lists[root])))
            while self.size > self._most and len(self._order) > 1:
                self._take(*next(iter(self._order)))
        return known.items()

    def _put(self, root: RelPath, name: bytes, packed: bytes) -> None:
        """Add a list as the most recently used."""
        self._lists.setdefault(root, OrderedDict())[name] = packed
        self._order[root, name] = None
        self.size += len(packed)

    def _take(self, root: RelPath, name: bytes) -> bytes | None:
        packed = self._lists.get(root, OrderedDict()).pop(name, None)
        if packed is not None:
            self.size -= len(packed)
            del self._order[root, name]
            if not self._lists[root]:
                del self._lists[root]
        return packed


def encodable(path: RelPath) -> RelPath:
    """The path itself. Raises PermanentError if it holds surrogates that stand for no byte."""
    if not is_encodable(path):
        raise schema.malformed("a path")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """What all calls on one served folder share. Each part is thread-safe."""

    feed: ChangeFeed
    lists: DirectoryListCache
    indexer: BackgroundIndexer
    budget: Budget
    listings: ListingBudget
    searches: Budget  # counts searches, not bytes
