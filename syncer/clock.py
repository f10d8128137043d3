"""The real clock (`engine.ports.Clock`). Nothing else in Syncer asks the system for the time."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time for names and for the age of stamps, monotonic time for waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
