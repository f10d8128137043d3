"""Stopping cleanly: whoever works asks between two steps whether to go on."""

from __future__ import annotations

from syncer.clock import SystemClock
from syncer.errors import Interrupted

_NAP = 0.1  # seconds


class CancelToken:
    """Whether somebody asked to stop. `check` is called between steps, from any thread."""

    __slots__ = ("signum",)

    def __init__(self) -> None:
        self.signum = 0

    def ask(self, signum: int) -> None:
        self.signum = signum

    def check(self) -> None:
        """Raises Interrupted after a signal."""
        if self.signum:
            raise Interrupted(self.signum)


class StoppableClock(SystemClock):
    """The real clock, whose sleep ends early at a signal: a rate limit or a back-off may sleep for long."""

    def __init__(self, stop: CancelToken) -> None:
        self._stop = stop

    def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            self._stop.check()
            super().sleep(min(left, _NAP))
        self._stop.check()
