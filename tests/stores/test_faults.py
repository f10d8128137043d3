"""Scripted failures: which call, before or after it took effect."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import MkdirRequest
from syncer.engine.model import Done, Failed
from syncer.errors import AuthError, TransientError
from syncer.testing.faulty_store import Fault, FaultyStore
from syncer.testing.memory_store import MemoryStore
from tests.contract.rigs import in_order

LATER = TransientError("later")


def make(store: FaultyStore, *names: str) -> list[type]:
    items = [MkdirRequest(path=name) for name in names]
    return [type(outcome) for outcome in in_order(store.make_directories(items), len(items))]


def test_only_the_call_that_is_meant_fails() -> None:
    store = FaultyStore(MemoryStore(), [Fault(method="list", error=LATER, call=2, times=2)])
    store.list("")
    for _ in range(2):
        with pytest.raises(TransientError):
            store.list("")
    store.list("")
    assert store.calls == [("list", "")] * 4


@pytest.mark.parametrize("after", [False, True])
def test_the_effect_happens_or_not_as_scripted(after: bool) -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, [Fault(method="make_directories", path="b", error=LATER, after=after)])
    assert make(store, "a", "b", "c") == [Done, Failed, Done]
    assert ("b" in memory.tree()) is after


def test_a_lost_name_is_left_out_and_the_listing_has_no_fingerprint() -> None:
    memory = MemoryStore()
    memory.write("d/f", b"x")
    memory.write("d/g", b"x")
    store = FaultyStore(memory)
    store.missing.add("d/f")
    assert list(store.list("d").entries) == ["g"] and store.list("d").fingerprint is None


@pytest.mark.parametrize("after", [False, True])
def test_a_read_breaks_off_before_its_end(after: bool) -> None:
    memory = MemoryStore()
    entry = memory.write("f", b"x" * (2 << 20))
    store = FaultyStore(memory, [Fault(method="read", error=LATER, after=after)])
    got: list[bytes] = []
    with pytest.raises(TransientError):
        got.extend(store.open("f", entry).chunks())
    assert len(got) == (1 if after else 0) or got == []


def test_missing_credentials_are_raised_and_not_an_outcome() -> None:
    store = FaultyStore(MemoryStore(), [Fault(method="make_directories", error=AuthError("expired"))])
    with pytest.raises(AuthError):
        make(store, "a")
