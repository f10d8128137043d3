"""The lists of directories that clients ask about again and again, so that only a name has to cross.

In memory, under their BLAKE2b-256; the least recently asked for go first. A list that is gone is sent
again by the client.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.server.extension.packing import said
from syncer.wire import values
from syncer.wire.frames import Json

MOST = 16 << 20  # bytes of JSON that all lists had together; in memory they take three times as much


class Lists:
    """Path and fingerprint of directories, by the name of the list. Safe to share between threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._held = 0
        self._lists: OrderedDict[bytes, tuple[Mapping[RelPath, bytes], int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: bytes) -> Mapping[RelPath, bytes] | None:
        """The list of this name, if it is still there."""
        with self._lock:
            if name not in self._lists:
                return None
            self._lists.move_to_end(name)
            return self._lists[name][0]

    def keep(self, name: bytes, given: Json) -> Mapping[RelPath, bytes]:
        """A list as a client sent it. Raises PermanentError for one that is none, or has another name."""
        text = said(given)
        known = dict(map(_pair, values.take(given, list, "a list of directories")))
        if blake2b(text, digest_size=32).digest() != name:
            raise values.malformed("a list under its own name")
        with self._lock:
            if name not in self._lists:
                self._lists[name] = known, len(text)
                self._held += len(text)
            self._lists.move_to_end(name)
            while self._held > self._most and len(self._lists) > 1:
                _, (_, size) = self._lists.popitem(last=False)
                self._held -= size
        return known


def _pair(value: Json) -> tuple[RelPath, bytes]:
    if not isinstance(value, list) or len(value) != 2:
        raise values.malformed("a directory with its fingerprint")
    return values.path(value[0]), values.octets(value[1], "a fingerprint", most=64)
