"""Cooperative cancellation: a run checks a `CancelToken` between two steps."""

from __future__ import annotations

from syncer.clock import SystemClock
from syncer.errors import Interrupted

_NAP = 0.1  # seconds


class CancelToken:
    """Set by a signal handler or a thread that cancels the run; `check` is called from any thread."""

    __slots__ = ("signum",)

    def __init__(self) -> None:
        self.signum = 0

    def ask(self, signum: int) -> None:
        self.signum = signum

    def check(self) -> None:
        """Raise Interrupted if the run was cancelled."""
        if self.signum:
            raise Interrupted(self.signum)


class StoppableClock(SystemClock):
    """The system clock, whose sleep ends with Interrupted on cancellation: back-offs may be long."""

    def __init__(self, stop: CancelToken) -> None:
        self._stop = stop

    def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            self._stop.check()
            super().sleep(min(left, _NAP))
        self._stop.check()
