"""Retry policy: how often a request is tried, the backoff between attempts, `Retry-After`.

Several layers retry: an HTTP client (requests that the service did not carry out), a store decorator (items
that did not take effect, after a look), a download (the rest of a file). All of them count failures in the
same `Attempts`, under the request that failed, so that their attempts add up to `RetryPolicy.tries` and never
multiply.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

from syncer.errors import TransientError
from syncer.formatting import show_duration

_log = logging.getLogger("syncer.http")
_LONGEST_SAID = 30 * 86_400.0  # seconds; a longer pause is shown as this one


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`tries`: attempts of one request over all layers. Times in seconds.

    The backoff doubles from `first` to `longest`, with jitter; no attempt is begun after `lasting`. A pause
    that the service asks for (`Retry-After`) is taken as it is, up to `willing`: beyond that the request is
    given up at once, and the message says when to come back.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 30.0
    willing: float = 60.0
    lasting: float = 150.0

    def backoff(self, failed: int) -> float:
        """Seconds before the next attempt, after `failed` + 1 failed ones."""
        pause: float = min(self.first * 2.0**failed, self.longest)
        return random.uniform(pause / 2, pause)


POLICY = RetryPolicy()


class Attempts:
    """Counts the failures of the requests of one operation. For one thread at a time."""

    def __init__(
        self,
        policy: RetryPolicy = POLICY,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.most = policy.tries  # a circuit breaker lowers this while the service seems to be down
        self._failed: dict[str, int] = {}
        self._last: dict[str, TransientError] = {}
        self._now = now
        self._begun = now()

    def failed(self, error: TransientError, count: int = 1) -> int:
        """Count failures of a request; return their number so far."""
        self._failed[error.request] = self._failed.get(error.request, 0) + count
        self._last[error.request] = error
        return self._failed[error.request]

    def progress(self) -> None:
        """Reset all counts: some data arrived, so the service works."""
        self._failed.clear()
        self._last.clear()
        self._begun = self._now()

    def check(self, request: str) -> None:
        """Raise the last error of a request that was given up already in this operation.

        Called before a request is sent: one caller may go on without the response, and another one then ask
        for the same again.
        """
        error = self._last.get(request)
        if error is not None and self._failed.get(request, 0) >= self.most:
            raise self._given_up(error)

    def pause(self, error: TransientError, failed: int = 0) -> float:
        """Seconds to wait before the next attempt; raises TransientError if there is to be none.

        `failed`: failures in a row as the caller counts them, of whichever request.
        """
        count = failed
        if error.attempts:
            # It failed on the network, or a layer below gave it up. Counted by another `Attempts` it is added
            # here once; counted by this one its number is already in.
            counted_here = error.counted_by is self
            count = max(count, error.attempts if counted_here else self.failed(error, error.attempts))
        if count >= self.most or self._now() - self._begun > self.policy.lasting:
            raise self._given_up(error) from error
        asked = error.retry_after
        if asked is None or not asked >= 0:  # a server may send -1 or NaN
            return self.policy.backoff(max(count - 1, 0))
        if asked > self.policy.willing:
            raise self._postponed(error, asked) from error
        return asked

    def wait(self, error: TransientError, sleep: Callable[[float], None], failed: int = 0) -> None:
        """Sleep before the next attempt; raises as `pause` does."""
        pause = self.pause(error, failed)
        _log.info("%s; tried again in %.1f s", error.message, pause)
        sleep(pause)

    def _given_up(self, error: TransientError) -> TransientError:
        """A copy of the error that tells the layers above not to retry; the original may be raised again."""
        final = copy(error)
        final.attempts = max(error.attempts, self.policy.tries)
        return final

    def _postponed(self, error: TransientError, asked: float) -> TransientError:
        final = self._given_up(error)
        asked = min(asked, _LONGEST_SAID)
        until = time.strftime("%H:%M", time.localtime(time.time() + asked))
        final.message = (
            f"{error.message}; it asks to wait {show_duration(int(asked))}, until {until}, "
            f"and a run waits {show_duration(self.policy.willing)} at most"
        )
        final.args = (final.message,)
        final.hint = error.hint or "run again after that"
        return final

    @contextmanager
    def shared(self) -> Iterator[Attempts]:
        """Context in which requests of this thread are counted here. Must not be held across a `yield`."""
        before = _thread.attempts
        _thread.attempts = self
        try:
            yield self
        finally:
            _thread.attempts = before


class _Thread(threading.local):
    attempts: Attempts | None = None


_thread = _Thread()


@contextmanager
def attempts() -> Iterator[Attempts]:
    """The `Attempts` of the operation that this thread is in, else new ones."""
    if _thread.attempts is not None:
        yield _thread.attempts
        return
    with Attempts().shared() as fresh:
        yield fresh


def counted(error: TransientError, request: str) -> TransientError:
    """The error of a request that failed on the network, with its number; `request` is the key."""
    error.request = request
    error.attempts = _thread.attempts.failed(error) if _thread.attempts is not None else 1
    error.counted_by = _thread.attempts
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header; None where there is none, or a date (by which clock?)."""
    value = headers.get("Retry-After", "").strip()
    return float(value) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) else None
