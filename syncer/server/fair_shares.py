"""Limits on concurrent work and on memory, with a share for each API key, so that no key starves another.

`FairSemaphore` is for the event loop: at most so many jobs at once, so many of one key, a queue for the
rest, and no thread for those that wait. `Budget` is for worker threads: bytes that are reserved before they
are used. Both count by the name of a key.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

from syncer.delta.rsync import SearchBudget
from syncer.errors import PermanentError, TransientError

SEARCHING = SearchBudget(grace=0.7, per_mib=0.06, work=1 << 29)
"""For deltas against signatures from clients: one that is made to collide costs a second or two."""
QUEUE_SECONDS = 10.0
"""Seconds in a queue after which a request fails with TransientError."""


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: str
    ready: asyncio.Future[None]


class FairSemaphore:
    """A semaphore of `most` slots, at most `each` for one owner, first come first served. For one event
    loop.
    """

    def __init__(
        self,
        most: int,
        each: int,
        *,
        waiting: int = 256,
        waiting_each: int = 64,
        timeout: float = QUEUE_SECONDS,
    ) -> None:
        self._most = most
        self._each = each
        self._waiting_most = waiting
        self._waiting_each = waiting_each
        self._timeout = timeout
        self._taken: Counter[str] = Counter()
        self._queue: list[_Waiter] = []
        self.taken = 0

    async def acquire(self, owner: str) -> None:
        """Take a slot, waiting for one if need be. Raises TransientError if the queue is full or too slow."""
        if self._may(owner):  # a waiter that could use this slot would have it already
            return self._give(owner)
        own = sum(waiter.owner == owner for waiter in self._queue)
        if len(self._queue) >= self._waiting_most or own >= self._waiting_each:
            raise TransientError("too many requests of this key wait", retry_after=self._timeout)
        waiter = _Waiter(owner, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        try:
            async with asyncio.timeout(self._timeout):
                await waiter.ready
        except BaseException as error:
            if waiter in self._queue:
                self._queue.remove(waiter)  # it gave up, or was cancelled, before it had a slot
            elif not waiter.ready.cancelled():
                self.release(owner)  # it was given at this very moment
            if isinstance(error, TimeoutError):
                raise TransientError("too many requests at once", retry_after=2) from None
            raise

    def release(self, owner: str) -> None:
        """Give a slot back, to the first waiter that may have it."""
        self.taken -= 1
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]
        for waiter in list(self._queue):
            if self.taken >= self._most:
                return
            if self._may(waiter.owner):
                self._queue.remove(waiter)
                if waiter.ready.done():
                    continue  # cancelled, and about to leave the queue itself
                self._give(waiter.owner)
                waiter.ready.set_result(None)

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """A slot for as long as the block runs. Raises TransientError."""
        await self.acquire(owner)
        try:
            yield
        finally:
            self.release(owner)

    def _may(self, owner: str) -> bool:
        return self.taken < self._most and self._taken[owner] < self._each

    def _give(self, owner: str) -> None:
        self.taken += 1
        self._taken[owner] += 1


@dataclass(slots=True)
class Budget:
    """Bytes of memory for requests, reserved before they are used. Thread-safe.

    One owner has at most `share` of the `most`, unless it has a single request, which may have all.
    """

    most: int
    share: int
    timeout: float = QUEUE_SECONDS
    _taken: Counter[str] = field(default_factory=Counter)
    _all: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def reserve(self, owner: str, size: int, *, held: int = 0) -> None:
        """Wait until so many bytes are free, and take them; `held`: bytes that the same request has already.

        Raises TransientError if that takes too long, PermanentError if it is more than the budget.
        """
        if held + size > self.most:
            raise PermanentError("the request takes more memory than the server has for one")

        def fits() -> bool:
            mine = self._taken[owner]
            # A request that holds all of its owner's bytes may exceed the share: nothing of this owner would
            # ever be released for it to wait for.
            return self._all + size <= self.most and (mine == held or mine + size <= self.share)

        with self._changed:
            if not self._changed.wait_for(fits, self.timeout):
                raise TransientError("the server has no memory for the request now", retry_after=2)
            self._all += size
            self._taken[owner] += size

    def release(self, owner: str, size: int) -> None:
        """Give bytes back."""
        with self._changed:
            self._all -= size
            self._taken[owner] -= size
            if not self._taken[owner]:
                del self._taken[owner]
            self._changed.notify_all()


class Reserved:
    """The reservation of one request, which grows piece by piece. For one thread; a context manager."""

    def __init__(self, budget: Budget, owner: str) -> None:
        self._budget = budget
        self._owner = owner
        self.size = 0

    def __call__(self, size: int) -> None:
        """Reserve so many bytes more. Raises TransientError, PermanentError."""
        if size > 0:
            self._budget.reserve(self._owner, size, held=self.size)
            self.size += size

    def close(self) -> None:
        """Give all bytes back."""
        if self.size:
            self._budget.release(self._owner, self.size)
            self.size = 0

    def __enter__(self) -> Reserved:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_LISTINGS, _LISTING_SECONDS = 8, 60.0  # directories of very many names at once; seconds in the queue
_UNHELD = 1 << 20  # bytes of names that need no reservation
ENTRY = 480
"""Bytes of memory of a name with its entry, beside its characters."""


class TooManyNames(OSError):
    """A directory has more names than the memory budget ever allows; `folder` makes it a PermanentError."""

    def __init__(self) -> None:
        super().__init__(errno.ENOMEM, "more names in one directory than the server has memory for")


class ListingBudget:
    """Memory for directories of very many names, one directory at a time for each owner.

    Several half-read directories of one owner would wait for each other's memory for ever.
    """

    def __init__(self, memory: Budget) -> None:
        self.memory = memory
        self.turns = Budget(_LISTINGS, 1, timeout=_LISTING_SECONDS)

    def names(self, owner: str, each: int) -> NameReservation:
        """The reservation of one request. `each`: bytes of a name beside its characters."""
        return NameReservation(self, owner, each)


class NameReservation:
    """Memory for the names of one directory after the other: that of the largest so far. For one thread.

    A context manager, and a callback for `folder.counting`.
    """

    def __init__(self, listings: ListingBudget, owner: str, each: int) -> None:
        self._listings = listings
        self._owner = owner
        self._each = each
        self._held: tuple[Reserved, Reserved] | None = None  # a turn and memory; few requests need them

    def __call__(self, count: int, chars: int) -> None:
        """Reserve memory for names by count and characters. Raises TransientError, TooManyNames."""
        self.hold(count * self._each + chars)

    def hold(self, size: int) -> None:
        """Reserve bytes for the present directory; 0: it is done. Raises TransientError, TooManyNames."""
        if not size:
            return self.close()
        if size <= _UNHELD:
            return
        if self._held is None:
            turn = Reserved(self._listings.turns, self._owner)
            turn(1)
            self._held = turn, Reserved(self._listings.memory, self._owner)
        memory = self._held[1]
        try:
            memory(size - memory.size)
        except PermanentError:
            raise TooManyNames from None

    def close(self) -> None:
        """Give the memory and the turn back."""
        for reserved in self._held or ():
            reserved.close()
        self._held = None

    def __enter__(self) -> NameReservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
