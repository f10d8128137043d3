"""SIGINT and SIGTERM: the first stops a run between two steps, the second at once.

Handlers are set only while something runs that can stop cleanly.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from syncer.errors import Interrupted
from syncer.jobs import SystemClock

_NAP = 0.1  # seconds
_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stop:
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

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            self._stop.check()
            super().sleep(min(left, _NAP))
        self._stop.check()


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn signals into a `Stop` for the time of the block."""
    stop = Stop()

    def handle(signum: int, frame: FrameType | None) -> None:
        if stop.signum:
            os._exit(128 + signum)
        stop.ask(signum)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, handle) for signum in _STOPPING}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
