"""The one retry policy of the program: how often a request is tried, and how long is waited in between.

Several layers know what may be sent again: a session (what was surely not carried out), a store (what did
not take effect, after a look). Each of them asks the same `Attempts`, which counts the failures of every
request where it goes out, so that the layers add up to `RetryPolicy.tries` and never multiply.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

from syncer.errors import TransientError
from syncer.formatting import show_duration

_log = logging.getLogger("syncer.http")
_LONGEST_SAID = 30 * 86_400.0  # seconds: whoever asks for more says no


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`tries` of one request, all counted; times in seconds.

    Pauses double from `first` to `longest`, with jitter; no try is begun after `lasting`. A pause that the
    service asks for (`Retry-After`) is kept as it is, up to `willing`: beyond that the request is given up
    at once, and the time is said.
    """

    tries: int = 5
    first: float = 1.0
    longest: float = 30.0
    willing: float = 60.0
    lasting: float = 150.0

    def backoff(self, failed: int) -> float:
        """Before the next try, after one more than so many failed ones."""
        pause: float = min(self.first * 2.0**failed, self.longest)
        return random.uniform(pause / 2, pause)


POLICY = RetryPolicy()


class Attempts:
    """Failures of the requests of one operation. For one thread at a time."""

    def __init__(
        self,
        policy: RetryPolicy = POLICY,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.most = policy.tries  # fewer where the other side seems to be gone
        self._failed: dict[str, int] = {}
        self._last: dict[str, TransientError] = {}
        self._now = now
        self._begun = now()

    def failed(self, error: TransientError, count: int = 1) -> int:
        """Notes failures of a request; how many there are by now."""
        self._failed[error.request] = self._failed.get(error.request, 0) + count
        self._last[error.request] = error
        return self._failed[error.request]

    def progress(self) -> None:
        """Something came: what was in vain before counts no more."""
        self._failed.clear()
        self._last.clear()
        self._begun = self._now()

    def check(self, request: str) -> None:
        """Before a request is sent: raises what it failed with where it was given up in this operation.

        There are callers that do without an answer, and others that then ask for the same again.
        """
        error = self._last.get(request)
        if error is not None and self._failed.get(request, 0) >= self.most:
            raise self._given_up(error)

    def pause(self, error: TransientError, failed: int = 0) -> float:
        """Seconds to wait before the next try; raises what is to be said of it where there is to be none.

        `failed`: failures in a row as the caller counts them, whichever of its requests it was.
        """
        made = failed
        if error.attempts:  # it failed at the wire, or a layer below gave it up
            here = error.counted_by is self
            made = max(made, error.attempts if here else self.failed(error, error.attempts))
        if made >= self.most or self._now() - self._begun > self.policy.lasting:
            raise self._given_up(error) from error
        asked = error.retry_after
        if asked is None or not asked >= 0:  # a liar may say -1, or no number
            return self.policy.backoff(max(made - 1, 0))
        if asked > self.policy.willing:
            raise self._put_off(error, asked) from error
        return asked

    def wait(self, error: TransientError, sleep: Callable[[float], None], failed: int = 0) -> None:
        """Sleeps before the next try; raises as `pause` does."""
        pause = self.pause(error, failed)
        _log.info("%s; tried again in %.1f s", error.message, pause)
        sleep(pause)

    def _given_up(self, error: TransientError) -> TransientError:
        """The same for the layers above, which are not to try again. A copy: the error may be raised anew."""
        final = copy(error)
        final.attempts = max(error.attempts, self.policy.tries)
        return final

    def _put_off(self, error: TransientError, asked: float) -> TransientError:
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
        """Within, what goes out of this thread is counted here. Not to be held across a `yield`."""
        before = _here.attempts
        _here.attempts = self
        try:
            yield self
        finally:
            _here.attempts = before


class _Here(threading.local):
    attempts: Attempts | None = None


_here = _Here()


@contextmanager
def attempts() -> Iterator[Attempts]:
    """Those of the operation under way in this thread, else new ones."""
    if _here.attempts is not None:
        yield _here.attempts
        return
    with Attempts().shared() as made:
        yield made


def counted(error: TransientError, request: str) -> TransientError:
    """The error of a request that failed at the wire, with its number. `request` tells requests apart."""
    error.request = request
    error.attempts = _here.attempts.failed(error) if _here.attempts is not None else 1
    error.counted_by = _here.attempts
    return error
