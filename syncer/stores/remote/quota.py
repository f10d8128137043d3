"""Free space of a service, asked for once in a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

from syncer.engine.interfaces import Clock
from syncer.errors import AuthError, StoreError

SECONDS = 30.0  # for which an answer is used


class FreeSpace:
    """Bytes that can still be written; `read` may raise StoreError. Safe to share between threads."""

    def __init__(self, read: Callable[[], int | None], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, int | None] | None = None

    def get(self) -> int | None:
        """None where the service does not say, or cannot be asked now. Raises AuthError."""
        with self._lock:
            now = self._clock.monotonic()
            if self._known is None or now - self._known[0] > SECONDS:
                try:
                    free = self._read()
                except AuthError:
                    raise
                except StoreError:
                    free = None
                self._known = (now, free)
            return self._known[1]
