"""The lists of directories that clients ask about again and again, so that only a name has to cross.

In memory, packed, under their root and BLAKE2b-256; the least recently asked for go first. A list that is
gone is sent again by the client. Each root has its own: who asks about one learns nothing of others.

A client at work has another list after each run, and never asks for the one before: lists that were not
asked for yet have a quarter of the room, so that they do not fill all of it, nor push out the others.
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

MOST = 24 << 20  # bytes of all lists together; the last ones are kept in any case

Known = Iterable[tuple[RelPath, bytes]]


class Lists:
    """Path and fingerprint of directories, by root and name of the list. Safe to share between threads."""

    def __init__(self, most: int = MOST) -> None:
        self._new = _Kept(most // 4)
        self._asked = _Kept(most - most // 4)
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes of all lists."""
        return self._new.held + self._asked.held

    def get(self, root: RelPath, name: bytes) -> Known | None:
        """The list of this name for a root (below the served folder), if it is still there."""
        with self._lock:
            found = self._asked.take((root, name)) or self._new.take((root, name))
            if found is None:
                return None
            self._asked.put((root, name), found)
        return zip(*marshal.loads(found), strict=True)

    def keep(self, root: RelPath, name: bytes, given: Json) -> Known:
        """A list as a client sent it. Raises PermanentError for one that is none, or has another name."""
        known = dict(map(_pair, values.take(given, list, "a list of directories")))
        if blake2b(said(given), digest_size=32).digest() != name:
            raise values.malformed("a list under its own name")
        # Our own bytes, which nobody else can write: a tenth of what the objects would take
        packed = marshal.dumps((tuple(known), tuple(known.values())))
        with self._lock:
            again = self._asked.take((root, name)) is not None
            (self._asked if again else self._new).put((root, name), packed)
        return known.items()


class _Kept:
    """Packed lists up to so many bytes, the one put last behind the others. For one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0  # bytes
        self._lists: OrderedDict[tuple[RelPath, bytes], bytes] = OrderedDict()

    def take(self, key: tuple[RelPath, bytes]) -> bytes | None:
        found = self._lists.pop(key, None)
        self.held -= len(found or b"")
        return found

    def put(self, key: tuple[RelPath, bytes], packed: bytes) -> None:
        self.take(key)
        self._lists[key] = packed
        self.held += len(packed)
        while self.held > self._most and len(self._lists) > 1:
            self.held -= len(self._lists.popitem(last=False)[1])


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
