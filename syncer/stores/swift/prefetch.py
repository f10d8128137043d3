"""Prefetch of tiny new objects: GET instead of HEAD, so that the download needs no second request.

For objects of at most 4 KiB, whose HEAD is hardly shorter. The content is kept until its file is read (64 MiB
in total, this run only); before it is handed out the object is found to be unchanged (`download.Ahead`).
Content whose MD5 differs from the ETag is discarded.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from typing import IO

from syncer.engine.model import Kind, Version
from syncer.stores.swift.objects import EMPTY, ListingRow, ObjectHead

TINY = 4 << 10  # bytes of an object
MOST = 64 << 20  # bytes of all of them
_IN_MEMORY = 8 << 20  # bytes before they go to a file


class TinyObjectPrefetch:
    """Safe to share between threads. `most` bytes are held."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._places: dict[str, tuple[Version, int, int]] = {}
        self._end = 0

    def wanted(self, row: ListingRow) -> bool:
        """Whether the object is worth it. One that is empty for the listing may be a dynamic large one."""
        # Ceph lists a large object with the size of its manifest and the MD5 of nothing.
        tiny = 0 < row.size <= TINY and row.stamp.etag != EMPTY
        return tiny and not row.linked and not row.is_marker and self._end < self._most

    def keep(self, name: str, head: ObjectHead, content: bytes) -> None:
        """What was just fetched. A file's only, where the version says all that its content depends on."""
        if head.kind(name) is not Kind.FILE or not head.plain or head.linked:
            return
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != head.etag:
            return
        with self._lock:
            self._file.seek(self._end)
            self._file.write(content)
            self._places[name] = head.version, self._end, len(content)
            self._end += len(content)

    def has(self, name: str, version: Version) -> bool:
        """Whether this version of the object can be had."""
        with self._lock:
            return name in self._places and self._places[name][0] == version

    def take(self, name: str, version: Version) -> bytes | None:
        """The content of this version, once."""
        with self._lock:
            found = self._places.pop(name, None)
            if not self._places:
                self._end = 0  # nothing is left: its room is free
            if found is None or found[0] != version:
                return None
            self._file.seek(found[1])
            return self._file.read(found[2])

    def forget(self) -> None:
        """Discard all content: it was of another run."""
        with self._lock:
            self._places.clear()
            self._end = 0

    def close(self) -> None:
        self._file.close()
