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

from syncer.jobs.stopping import Stop

_STOPPING = (signal.SIGINT, signal.SIGTERM)


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
