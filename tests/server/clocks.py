"""A clock that moves when it is told to."""

from __future__ import annotations


class Moved:
    """`engine.interfaces.Clock`; wall time begins in 2026."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ns(self) -> int:
        return 1_780_000_000 * 10**9 + int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def pass_(self, seconds: float) -> None:
        """So much later."""
        self.seconds += seconds
