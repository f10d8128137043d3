"""What in a store can tell of changes, however many decorators are around it."""

from __future__ import annotations

from typing import cast

from syncer.engine.interfaces import Store
from syncer.jobs.change_feed import Feeding, Pulsing, teller
from syncer.stores.base import StoreWrapper
from syncer.stores.peer.store import PeerStore
from syncer.testing.memory_store import MemoryStore


class Feeds(MemoryStore):
    def feed(self, cursor: str | None, wait: float) -> object:
        return None


class Pulses(MemoryStore):
    def pulse(self) -> bytes:
        return b""


def test_a_store_that_tells_nothing_has_no_teller() -> None:
    assert teller(MemoryStore()) is None
    assert teller(StoreWrapper(StoreWrapper(MemoryStore()))) is None


def test_whoever_tells_is_found_below_all_decorators() -> None:
    for told in (Feeds(), Pulses()):
        assert teller(told) is told
        assert teller(StoreWrapper(StoreWrapper(told))) is told


def test_a_decorator_does_not_pretend_to_tell() -> None:
    assert not isinstance(StoreWrapper(Feeds()), Feeding | Pulsing)


def test_the_store_of_our_own_server_has_a_feed() -> None:
    assert issubclass(PeerStore, Feeding)
    assert isinstance(teller(cast(Store, object.__new__(PeerStore))), Feeding)
