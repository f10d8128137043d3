"""Counts the bytes of HTTP/1.1 bodies in one direction of a connection, as they pass (RFC 9112).

It needs no whole message and keeps none. Chunk sizes and trailers count as heads, not as bodies.
What is not HTTP counts as a head that never ends.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum, auto

_BODILESS = (204, 304)
_FIRST_LINE = re.compile(r"[A-Z]+ \S+ HTTP/1\.[01]|HTTP/1\.[01] \d{3}( .*)?")
_LARGEST_HEAD = 256 * 1024  # bytes


class _At(Enum):
    HEAD = auto()
    SIZED = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    TO_THE_END = auto()
    FOREIGN = auto()


class Framing:
    """One direction.

    Requests note their methods in `methods`; answers take them from it, since those to HEAD have no
    body whatever they say.
    """

    def __init__(self, methods: deque[str], *, answers: bool) -> None:
        self.heads = 0
        self.body = 0
        self._methods = methods
        self._answers = answers
        self._at = _At.HEAD
        self._line = bytearray()
        self._left = 0

    @property
    def idle(self) -> bool:
        """No message is under way: what comes next begins one."""
        return self._at is _At.HEAD and not self._line

    def feed(self, data: bytes) -> None:
        """Whatever came next."""
        while data:
            match self._at:
                case _At.TO_THE_END:
                    self.body += len(data)
                    data = b""
                case _At.FOREIGN:
                    return
                case _At.SIZED | _At.CHUNK:
                    data = self._content(data)
                case _At.HEAD:
                    data = self._until(b"\r\n\r\n", data)
                case _:
                    data = self._until(b"\r\n", data)

    def _content(self, data: bytes) -> bytes:
        took = min(self._left, len(data))
        self.body += took
        self._left -= took
        if self._left == 0:
            self._at = _At.HEAD if self._at is _At.SIZED else _At.CHUNK_END
        return data[took:]

    def _until(self, end: bytes, data: bytes) -> bytes:
        """Gathers a line or a head; what is behind it is given back."""
        before = len(self._line)
        self._line += data
        found = self._line.find(end, max(0, before - len(end)))
        if found < 0:
            if len(self._line) > _LARGEST_HEAD:
                self._at = _At.FOREIGN
            return b""
        used = found + len(end) - before
        line = bytes(self._line[:found])
        self._line.clear()
        self._ended(line)
        return data[used:]

    def _ended(self, line: bytes) -> None:
        match self._at:
            case _At.HEAD:
                self._head(line)
            case _At.CHUNK_SIZE:
                self._left = int(line.partition(b";")[0], 16)
                self._at = _At.CHUNK if self._left else _At.TRAILER
            case _At.CHUNK_END:
                self._at = _At.CHUNK_SIZE
            case _At.TRAILER if not line:
                self._at = _At.HEAD
            case _:
                pass

    def _head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        if not _FIRST_LINE.fullmatch(first):
            self._at = _At.FOREIGN
            return
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self._answers:
            status = int(first.split()[1])
            if status < 200:
                return  # 100: the answer itself is still to come
            method = self._methods.popleft() if self._methods else ""
            empty = status in _BODILESS or method == "HEAD"
        else:
            self._methods.append(first.split()[0])
            empty = False
        self.heads += 1
        self._left = int(headers.get("content-length", "0"))
        if empty:
            self._at = _At.HEAD
        elif headers.get("transfer-encoding", "").lower().endswith("chunked"):
            self._at = _At.CHUNK_SIZE
        elif self._answers and "content-length" not in headers:
            self._at = _At.TO_THE_END
        else:
            self._at = _At.SIZED if self._left else _At.HEAD
