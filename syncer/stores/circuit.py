"""Whether the other side still answers: so that a dead line costs minutes, not hours.

Counts what was given up after all tries, in a row. From `MANY` on nothing is tried more than once, until
something works again; and if then the other side does not even answer a plain question, nothing
is asked any more. It asks nothing itself, and knows nothing of stores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from syncer.errors import SyncerError, TransientError

MANY = 3  # things given up in a row


class Circuit:
    """For several threads. `name`: who is to answer; `probe`: the plain question, which may raise."""

    def __init__(self, name: Callable[[], str], probe: Callable[[], object]) -> None:
        self._name = name
        self._probe = probe
        self._given_up = 0
        self._dead: TransientError | None = None
        self._lock = threading.Lock()

    @property
    def tired(self) -> bool:
        """Whether one try must do."""
        return self._given_up >= MANY

    @property
    def dead(self) -> TransientError | None:
        """Why nothing is to be asked; None while the other side answers."""
        return self._dead

    def check(self) -> None:
        """Raises TransientError if the other side does not answer any more."""
        if self._dead is not None:
            raise self._dead

    def worked(self) -> None:
        """Something did: all is well again."""
        with self._lock:
            self._given_up, self._dead = 0, None

    def gave_up(self, error: TransientError) -> None:
        """Something did not work, however often it was tried."""
        with self._lock:
            self._given_up += 1
        if self.tired and not self._answers():
            with self._lock:
                self._dead = self._dead or TransientError(
                    f"{self._name()} does not answer any more: {error.message}",
                    hint="what is left is done by the next run",
                )

    def _answers(self) -> bool:
        try:
            self._probe()
        except TransientError:
            return False
        except SyncerError:
            return True  # it says no, but it says something
        return True
