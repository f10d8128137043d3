"""What a service can tell of changes by itself: a feed, or a token that moves; many can tell nothing."""

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
    """A store that says where something changed, as soon as it did."""

    def feed(self, cursor: str | None, wait: float) -> News:
        """What changed since the cursor (None: from now on), after `wait` seconds at the latest.

        Raises StoreError.
        """
        ...


@runtime_checkable
class Pulsing(Protocol):
    """A store with a token that most changes move, to be had by one small request."""

    def pulse(self) -> bytes:
        """Another one than before: look. The same: probably nothing happened. Raises StoreError."""
        ...


def teller(store: Store) -> Feeding | Pulsing | None:
    """Whoever in the store can tell of changes; None if it has to be asked. May ask the service what it is.

    Raises StoreError.
    """
    while isinstance(store, StoreWrapper):
        store = store.inner
    return store if isinstance(store, Feeding | Pulsing) else None
