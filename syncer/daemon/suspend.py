"""Detects that the machine was suspended or its clock set: then everything has to be scanned again."""

from __future__ import annotations

import time
from collections.abc import Callable

MIN_JUMP = 3.0  # seconds by which the clocks have to diverge before it counts


def _boottime() -> float:
    """Seconds including suspend, never set (CLOCK_BOOTTIME on Linux; elsewhere wall time)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


class SuspendDetector:
    """Compares three clocks between two calls of `news`."""

    def __init__(
        self,
        *,
        awake: Callable[[], float] = time.monotonic,
        always: Callable[[], float] = _boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`awake` stops during suspend, `always` does not, `wall` can be set."""
        self._awake = awake
        self._always = always
        self._wall = wall
        self._suspended, self._set = self._differences()

    def news(self) -> str:
        """What happened since the last call, as text; "" for nothing."""
        before, (self._suspended, self._set) = (self._suspended, self._set), self._differences()
        if self._suspended - before[0] > MIN_JUMP:
            return f"the machine slept for {self._suspended - before[0]:.0f} s"
        if abs(self._set - before[1]) > MIN_JUMP:
            return f"the clock was set by {self._set - before[1]:+.0f} s"
        return ""

    def _differences(self) -> tuple[float, float]:
        always = self._always()
        return always - self._awake(), self._wall() - always
