"""Executor for repeated calls: the threads that all watches of a process share.

One thread, the leader, makes all calls while they are quick. If one takes long (a network file system that
does not respond), a second thread, which waits for nothing else, takes over after half a second. So there are
two threads while there are calls, one more for each call that hangs, and none without calls.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable
from time import monotonic

_GRACE = 0.5  # seconds that a call may take before another thread makes the others
_LEAVE = 1.0  # seconds to wait for threads to end after the last call
_log = logging.getLogger("syncer.watch")


class Call:
    """A function called every `every` seconds (if not None) and after each `wake`; never concurrently."""

    def __init__(self, executor: Executor, act: Callable[[], None], every: float | None) -> None:
        self.act = act
        self.every = every
        self.at: float | None = None  # when it is due; guarded by the executor's lock, like all below
        self.thread: threading.Thread | None = None  # that makes the call now
        self.again = False  # woken while it is made: make it once more
        self.last: Callable[[], None] | None = None
        self.over = threading.Event()
        self._executor = executor

    def wake(self) -> None:
        """Make the call soon; if it is being made, once more afterwards."""
        self._executor.wake(self)

    def end(self, last: Callable[[], None], seconds: float) -> None:
        """Make no more calls; then run `last`, once the current call is over.

        If none is being made, `last` runs here. Else it runs in the thread that makes the call; that is
        waited for up to so many seconds, but never by that thread itself.
        """
        self._executor.end(self, last, seconds)


class Executor:
    """The threads and the calls that are due. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._calls: set[Call] = set()
        self._due: list[tuple[float, int, Call]] = []  # a heap; void where `Call.at` is another time
        self._number = itertools.count()
        self._threads: set[threading.Thread] = set()
        self._waiting = 0  # number of threads that wait for a call to be due
        self._leader: threading.Thread | None = None  # the thread that makes the calls that are due
        self._since: float | None = None  # when it began its current call

    def call(self, act: Callable[[], None], *, every: float | None = None) -> Call:
        """Add a call, first made after `every` seconds (None: only after `wake`).

        Raises RuntimeError if no thread can be started.
        """
        call = Call(self, act, every)
        with self._changed:
            if not self._waiting:  # the existing threads may hang
                self._begin_thread()
            self._calls.add(call)
            self._again(call)
        return call

    def wake(self, call: Call) -> None:
        """See `Call.wake`."""
        with self._changed:
            if call.thread is not None:
                call.again = True
            elif call in self._calls:
                self._put(call, monotonic())

    def end(self, call: Call, last: Callable[[], None], seconds: float) -> None:
        """See `Call.end`."""
        with self._changed:
            if call not in self._calls:
                return
            self._calls.remove(call)
            call.at, idle = None, call.thread is None
            if not idle:
                call.last = last
        if idle:
            self._finish(call, last)
        elif call.thread is not threading.current_thread():
            call.over.wait(seconds)
        with self._changed:  # after the last call the threads end
            threads = set() if self._calls else self._threads - {threading.current_thread()}
            self._changed.notify_all()
        deadline = monotonic() + _LEAVE
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))

    # -- the threads -------------------------------------------------------------------

    def _work(self) -> None:
        me = threading.current_thread()
        while (call := self._next(me)) is not None:
            try:
                call.act()
            except Exception:  # noqa: BLE001 - other calls have to go on
                _log.exception("unhandled error in a watch; continuing")
            with self._changed:
                call.thread = None
                if self._leader is me:
                    self._since = None
                last, ended = call.last, call not in self._calls
                if not ended:
                    self._again(call)
            if ended and last is not None:
                self._finish(call, last)

    def _next(self, me: threading.Thread) -> Call | None:
        """Wait for the next call of this thread; None if the thread is not needed any more."""
        with self._changed:
            # A thread stays if it leads, or if no other one waits to take over from a leader that hangs.
            while self._calls and not (self._waiting and self._leader not in (me, None)):
                self._leader = self._leader or me
                left = self._left(me, monotonic())
                if left <= 0:
                    call = heapq.heappop(self._due)[2]
                    call.at, call.thread, call.again = None, me, False
                    # This thread leads now; a former leader that hangs ends when its call returns.
                    self._leader, self._since = me, monotonic()
                    if not self._waiting:
                        try:
                            self._begin_thread()
                        except RuntimeError as error:  # no threads left: the other calls wait for this one
                            _log.debug("no second thread for the watches: %s", error)
                    return call
                self._waiting += 1
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
                self._waiting -= 1
            self._threads.discard(me)
            if self._leader is me:
                self._leader = self._since = None
            self._changed.notify_all()
            return None

    def _left(self, me: threading.Thread, now: float) -> float:
        """Seconds until this thread may have to make a call; 0 or less: now."""
        while self._due and self._due[0][2].at != self._due[0][0]:  # void
            heapq.heappop(self._due)
        if not self._due:
            return math.inf
        at = self._due[0][0]
        if self._leader is me:
            return at - now
        if self._since is None:  # the leader will make it; check again when that call should be over
            return max(at - now, 0.0) + _GRACE
        return max(at, self._since + _GRACE) - now

    def _begin_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.discard(thread)
            raise

    def _again(self, call: Call) -> None:
        if call.again:
            self._put(call, monotonic())
        elif call.every is not None:
            grid = call.every / 4  # aligned times: one wakeup for calls of about the same time
            at = monotonic() + call.every
            self._put(call, math.floor(at / grid) * grid if grid > 0 else at)

    def _put(self, call: Call, at: float) -> None:
        if call.at is None or at < call.at:
            call.at = at
            heapq.heappush(self._due, (at, next(self._number), call))
            self._changed.notify_all()

    def _finish(self, call: Call, last: Callable[[], None]) -> None:
        try:
            last()
        finally:
            call.over.set()


EXECUTOR = Executor("syncer-watch")  # of all folders that this process watches
