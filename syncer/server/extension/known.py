"""The lists of directories that clients ask about again and again, so that only a name has to cross.

In memory, packed, under their root and BLAKE2b-256; the least recently asked for go first. A list that is
gone is sent again by the client. Each root has its own: who asks about one learns nothing of others.
"""

from __future__ import annotations

import marshal
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.server.extension.packing import said
from syncer.wire import values
from syncer.wire.frames import Json

MOST = 24 << 20  # bytes of all lists together; the last one is kept in any case

Known = Iterable[tuple[RelPath, bytes]]


class Lists:
    """Path and fingerprint of directories, by root and name of the list. Safe to share between threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = 0
        self._lists: OrderedDict[tuple[RelPath, bytes], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, root: RelPath, name: bytes) -> Known | None:
        """The list of this name for a root (below the served folder), if it is still there."""
        with self._lock:
            found = self._lists.get((root, name))
            if found is None:
                return None
            self._lists.move_to_end((root, name))
        return zip(*marshal.loads(found), strict=True)

    def keep(self, root: RelPath, name: bytes, given: Json) -> Known:
        """A list as a client sent it. Raises PermanentError for one that is none, or has another name."""
        known = dict(map(_pair, values.take(given, list, "a list of directories")))
        if blake2b(said(given), digest_size=32).digest() != name:
            raise values.malformed("a list under its own name")
        # Our own bytes, which nobody else can write: a tenth of what the objects would take
        packed = marshal.dumps((tuple(known), tuple(known.values())))
        with self._lock:
            before = self._lists.pop((root, name), b"")
            self._lists[root, name] = packed
            self._held += len(packed) - len(before)
            while self._held > self._most and len(self._lists) > 1:
                self._held -= len(self._lists.popitem(last=False)[1])
        return known.items()


def _pair(value: Json) -> tuple[RelPath, bytes]:
    if not isinstance(value, list) or len(value) != 2:
        raise values.malformed("a directory with its fingerprint")
    return spelt(values.path(value[0])), values.octets(value[1], "a fingerprint", most=64)


def spelt(path: RelPath) -> RelPath:
    """The path, if it stands for bytes: JSON has surrogates that stand for none. Raises PermanentError."""
    if not path.isascii():
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise values.malformed("a path") from None
    return path
