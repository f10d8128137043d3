"""A clock that a test turns by hand."""

from __future__ import annotations

import time


class HandClock:
    """Time stands still but for `later` and `sleep`; wall time begins at the real one."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []
        self._start_ns = time.time_ns()

    def now_ns(self) -> int:
        return self._start_ns + int(self.passed * 1e9)

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.later(seconds)

    def later(self, seconds: float) -> None:
        self.passed += seconds
