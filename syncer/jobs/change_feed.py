"""Change notification of a store, an optional capability: a change feed, or a token that is polled."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from syncer.engine.interfaces import Store
from syncer.engine.model import RelPath
from syncer.stores.base import StoreWrapper


class News(Protocol):
    """What changed since a cursor: directories, or (`reset`) anything."""

    @property
    def cursor(self) -> str: ...

    @property
    def changed(self) -> tuple[RelPath, ...]: ...

    @property
    def reset(self) -> bool: ...


@runtime_checkable
class Feeding(Protocol):
    """A store with a change feed: it names changed directories as soon as they change."""

    def feed(self, cursor: str | None, wait: float) -> News:
        """Wait up to `wait` seconds for changes since the cursor (None: from now on).

        Raises StoreError.
        """
        ...


@runtime_checkable
class Pulsing(Protocol):
    """A store with a change token, read by one small request; most changes give another token."""

    def pulse(self) -> bytes:
        """The token now: if it differs from the one before, something changed. Raises StoreError."""
        ...


def teller(store: Store) -> Feeding | Pulsing | None:
    """The store behind its wrappers if it has a feed or a token, else None. May send a request.

    Raises StoreError.
    """
    while isinstance(store, StoreWrapper):
        store = store.inner
    return store if isinstance(store, Feeding | Pulsing) else None
