"""Older content at hand for a download, as a reader has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass
class Held:
    """See `engine.interfaces.LocalBasis`. `during` is called at each read."""

    data: bytes
    start: int = 0
    digest: bytes | None = None
    during: Callable[[], None] = lambda: None

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        self.during()
        return self.data[offset : offset + size]


def edited(data: bytes, at: int = 100_000, by: bytes = b"an edit") -> bytes:
    """With a few bytes put in."""
    return data[:at] + by + data[at:]


OLD = os.urandom(MEBIBYTE + 12_345)
NEW = edited(OLD)
