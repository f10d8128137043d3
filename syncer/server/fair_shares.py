"""Fair shares of what a server has little of: places for work, and memory for requests that are being read.

`Places` is for the event loop: so many jobs at once, so many for one key, a queue for the rest; waiting
takes no thread. `Budget` is for worker threads: bytes that are reserved before they are used. Both are
counted by the name of a key, so that no key can take what another one needs.
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
"""For deltas against signatures from outside: one that is made to collide costs a second or two."""
PATIENCE = 10.0
"""Seconds in the queue after which a client is told to come again."""


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: str
    ready: asyncio.Future[None]


class Places:
    """`most` places in all, `each` for one owner, first come first served among those that may. One loop."""

    def __init__(
        self, most: int, each: int, *, waiting: int = 256, waiting_each: int = 64, patience: float = PATIENCE
    ) -> None:
        self._most = most
        self._each = each
        self._waiting_most = waiting
        self._waiting_each = waiting_each
        self._patience = patience
        self._taken: Counter[str] = Counter()
        self._queue: list[_Waiter] = []
        self.taken = 0

    async def take(self, owner: str) -> None:
        """Returns once there is a place, which `leave` gives back. Raises TransientError: none in time."""
        if self._may(owner):  # whoever waits may not have this one, or it had been given already
            return self._give(owner)
        own = sum(waiter.owner == owner for waiter in self._queue)
        if len(self._queue) >= self._waiting_most or own >= self._waiting_each:
            raise TransientError("too many requests of this key wait", retry_after=self._patience)
        waiter = _Waiter(owner, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        try:
            async with asyncio.timeout(self._patience):
                await waiter.ready
        except BaseException as error:
            if waiter in self._queue:
                self._queue.remove(waiter)
            elif not waiter.ready.cancelled():
                self.leave(owner)  # it was given at the very moment
            if isinstance(error, TimeoutError):
                raise TransientError("too many requests at once", retry_after=2) from None
            raise

    def leave(self, owner: str) -> None:
        """Gives a place back, to the first in the queue who may have it."""
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
                    continue
                self._give(waiter.owner)
                waiter.ready.set_result(None)

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """One place for as long as the block runs. Raises TransientError."""
        await self.take(owner)
        try:
            yield
        finally:
            self.leave(owner)

    def _may(self, owner: str) -> bool:
        return self.taken < self._most and self._taken[owner] < self._each

    def _give(self, owner: str) -> None:
        self.taken += 1
        self._taken[owner] += 1


@dataclass(slots=True)
class Budget:
    """Bytes of memory for requests, reserved before they are used. Safe to share between threads.

    One owner has `share` of the `most` at a time, or more with one request alone.
    """

    most: int
    share: int
    patience: float = PATIENCE
    _taken: Counter[str] = field(default_factory=Counter)
    _all: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def reserve(self, owner: str, size: int, *, held: int = 0) -> None:
        """Waits until they are free; `held` are those that the same request has already.

        Raises TransientError if that takes too long, PermanentError where there are never so many.
        """
        if held + size > self.most:
            raise PermanentError("the request takes more memory than the server has for one")
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(owner, size, held), self.patience):
                raise TransientError("the server has no memory for the request now", retry_after=2)
            self._all += size
            self._taken[owner] += size

    def release(self, owner: str, size: int) -> None:
        """Gives them back."""
        with self._changed:
            self._all -= size
            self._taken[owner] -= size
            if not self._taken[owner]:
                del self._taken[owner]
            self._changed.notify_all()

    def _fits(self, owner: str, size: int, held: int) -> bool:
        mine = self._taken[owner]
        return self._all + size <= self.most and (mine == held or mine + size <= self.share)


class Reserved:
    """What one request reserves of a budget, piece by piece. For one thread; use it as a context."""

    def __init__(self, budget: Budget, owner: str) -> None:
        self._budget = budget
        self._owner = owner
        self.size = 0

    def __call__(self, size: int) -> None:
        """Reserves so many bytes more. Raises TransientError."""
        if size > 0:
            self._budget.reserve(self._owner, size, held=self.size)
            self.size += size

    def close(self) -> None:
        """Gives all of them back."""
        if self.size:
            self._budget.release(self._owner, self.size)
            self.size = 0

    def __enter__(self) -> Reserved:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_LISTINGS, _LISTING_PATIENCE = 8, 60.0  # directories of very many names at once; seconds until one's turn
_UNHELD = 1 << 20  # bytes for names that are not asked for
ENTRY = 480
"""Bytes of a name with its entry, beside its characters."""


class Crowded(OSError):
    """A directory has more names than there is ever memory for; `folder` says so where it is listed."""

    def __init__(self) -> None:
        super().__init__(errno.ENOMEM, "more names in one directory than the server has memory for")


class Listings:
    """Memory for directories of very many names. One at a time for each owner: several that are half read
    would wait for each other's memory.
    """

    def __init__(self, memory: Budget) -> None:
        self.memory = memory
        self.turns = Budget(_LISTINGS, 1, patience=_LISTING_PATIENCE)

    def names(self, owner: str, each: int) -> Names:
        """For one request. `each`: bytes for a name beside its characters."""
        return Names(self, owner, each)


class Names:
    """Memory for the names of a directory at a time: reserved is what the largest one so far has taken.

    For one thread; use it as a context.
    """

    def __init__(self, listings: Listings, owner: str, each: int) -> None:
        self._listings = listings
        self._owner = owner
        self._each = each
        self._held: tuple[Reserved, Reserved] | None = None  # a turn, and memory: few requests need them

    def __call__(self, count: int, chars: int) -> None:
        """Of so many names. Raises TransientError, Crowded."""
        self.hold(count * self._each + chars)

    def hold(self, size: int) -> None:
        """So many bytes for the present one; none: it is over. Raises TransientError, Crowded."""
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
            raise Crowded from None

    def close(self) -> None:
        """Nothing is held any more."""
        for reserved in self._held or ():
            reserved.close()
        self._held = None

    def __enter__(self) -> Names:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
