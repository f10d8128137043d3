"""inotify(7) binding: an instance, adding and removing watches of directories, reading events. Linux only.

Events of reading (open, access, close without writing) are not requested. What the events mean for a tree is
decided in `inotify_tree`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import threading
from typing import Final, NamedTuple

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8  # the only event for writes through mmap(2)
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
IS_DIRECTORY: Final = 0x40000000

_ONLY_DIRECTORIES, _NO_LINKS, _NOT_UNLINKED = 0x01000000, 0x02000000, 0x04000000
_ADD_TO_MASK = 0x20000000  # keeps the events that other folders asked for in the same directory
_INSIDE = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE
    | _ONLY_DIRECTORIES | _NO_LINKS | _NOT_UNLINKED | _ADD_TO_MASK
)  # fmt: skip
_ITSELF = DELETE_SELF | MOVE_SELF
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_BUFFER = 1 << 18  # bytes; an event without a name takes 16


class InotifyEvent(NamedTuple):
    """One event: the watch, the mask (constants above), and the name in the directory ("": the directory)."""

    watch: int
    mask: int
    name: str


class Instance:
    """An inotify instance: one queue in the kernel. One thread reads, any thread may wake it.

    The constructor raises OSError if the system has no instance or descriptor left.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._lock = threading.Lock()
        self._descriptor = self._call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # one descriptor; a pipe takes two
        except OSError:
            os.close(self._descriptor)
            raise
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def add(self, path: str, *, itself: bool = False) -> int:
        """Watch a directory, not following a symlink; `itself`: also whether it is moved or deleted.

        A directory that is watched already, under whatever name, keeps its watch number. Raises OSError.
        """
        mask = _INSIDE | _ITSELF if itself else _INSIDE
        return self._call("inotify_add_watch", self._descriptor, os.fsencode(path), ctypes.c_uint32(mask))

    def remove(self, watch: int) -> None:
        """Remove a watch; it is gone already if its directory is."""
        with contextlib.suppress(OSError):
            self._call("inotify_rm_watch", self._descriptor, watch)

    def read(self, seconds: float | None = None) -> list[InotifyEvent]:
        """Wait for events, for `wake`, or so many seconds; the list may be empty."""
        self._poll.poll(None if seconds is None else seconds * 1000)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._woken)
        try:
            data = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return []
        events: list[InotifyEvent] = []
        at = 0
        while at + _HEAD.size <= len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            events.append(InotifyEvent(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
            at += length
        return events

    def wake(self) -> None:
        """End the current `read`, or the next one."""
        with self._lock:
            if self._descriptor >= 0:
                os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Remove all watches. Only in the thread that reads. Idempotent."""
        with self._lock:
            if self._descriptor >= 0:
                for descriptor in (self._descriptor, self._woken):
                    os.close(descriptor)
                self._descriptor = -1

    def _call(self, name: str, *arguments: object) -> int:
        call = getattr(self._libc, name)
        result: int = call(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
