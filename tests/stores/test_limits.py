"""Bytes per second, on a clock that is only told the time."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Done, Kind
from syncer.stores.rate_limit import Bucket, LimitedStore
from syncer.testing.memory_store import MemoryStore
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order


class ToldClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now_ns(self) -> int:
        return int(self.time * 1e9)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_second_s_worth_goes_at_once_and_then_the_pace_holds() -> None:
    clock = ToldClock()
    bucket = Bucket(100.0, clock)
    bucket.take(100)
    assert clock.time == 1000.0
    for _ in range(50):
        bucket.take(100)
    assert clock.time == pytest.approx(1050.0)


def test_idle_time_is_not_saved_up() -> None:
    clock = ToldClock()
    bucket = Bucket(100.0, clock)
    clock.time += 3600
    bucket.take(100)
    bucket.take(100)
    assert clock.time == pytest.approx(4601.0)


@pytest.mark.parametrize("direction", ["read", "write"])
def test_reading_and_writing_are_paced_apart(direction: str) -> None:
    clock, memory = ToldClock(), MemoryStore()
    data = b"x" * 500_000
    entry = memory.write("f", data)
    limit = {"read_limit": 10_000.0} if direction == "read" else {"write_limit": 10_000.0}
    store = LimitedStore(memory, clock=clock, **limit)
    item = WriteRequest(path="g", kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=None)
    assert isinstance(in_order(store.put([item]), 1)[0], Done)
    wrote = clock.time
    assert b"".join(store.open("f", entry).chunks()) == data
    assert wrote - 1000 == pytest.approx(49 if direction == "write" else 0)
    assert clock.time - wrote == pytest.approx(49 if direction == "read" else 0)
