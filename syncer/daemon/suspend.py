"""Noticing that the machine slept or that its clock was set: then what was believed is looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable

SLEPT = 3.0  # seconds by which the clocks must part before it counts


def _asleep_too() -> float:
    """A clock that goes on while the machine sleeps, and that nobody sets (Linux; elsewhere wall time)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


class SuspendDetector:
    """Compares three clocks from one call to the next."""

    def __init__(
        self,
        *,
        awake: Callable[[], float] = time.monotonic,
        always: Callable[[], float] = _asleep_too,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`awake` stands still in sleep, `always` does not, `wall` may be set by anybody."""
        self._awake = awake
        self._always = always
        self._wall = wall
        self._slept, self._set = self._parted()

    def news(self) -> str:
        """What happened since the last call, in words; "" for nothing."""
        before, (self._slept, self._set) = (self._slept, self._set), self._parted()
        if self._slept - before[0] > SLEPT:
            return f"the machine slept for {self._slept - before[0]:.0f} s"
        if abs(self._set - before[1]) > SLEPT:
            return f"the clock was set by {self._set - before[1]:+.0f} s"
        return ""

    def _parted(self) -> tuple[float, float]:
        always = self._always()
        return always - self._awake(), self._wall() - always
