"""What the store in memory can be told to lack."""

from __future__ import annotations

import pytest

from syncer.engine.interfaces import Capabilities, WriteRequest
from syncer.engine.model import BlockedEntry, Done, Entry, Failed, Kind
from syncer.errors import QuotaExceeded, Unholdable, Unreadable
from syncer.testing.memory_store import MemoryStore
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order


def put(store: MemoryStore, path: str, data: bytes, **more: object) -> object:
    item = WriteRequest(
        path=path,
        kind=Kind.FILE,
        source=BytesSource(data),
        size=len(data),
        expected=more.pop("expected", None),
        **more,
    )
    return in_order(store.put([item]), 1)[0]


def test_a_full_store_takes_no_more_and_keeps_what_it_has() -> None:
    store = MemoryStore(quota=10)
    store.write("f", b"12345678")
    outcome = put(store, "g", b"123")
    assert isinstance(outcome, Failed) and isinstance(outcome.error, QuotaExceeded)
    assert store.tree() == {"f": b"12345678"} and store.free_space() == 2


def test_a_store_that_folds_takes_two_spellings_for_one_name() -> None:
    store = MemoryStore(able=Capabilities(folds_case=True, folds_form=True))
    store.write("Caf\u00e9", b"x")
    assert isinstance(store.stat("CAFE\u0301"), Entry)
    assert not isinstance(put(store, "caf\u00e9", b"y"), Done)
    assert list(store.list("").entries) == ["Caf\u00e9"]


def test_what_a_store_cannot_hold_is_left_out_or_refused() -> None:
    store = MemoryStore(
        able=Capabilities(
            symlinks=False, executable=False, mtime_granularity_ns=0, any_bytes=False, forbidden=":"
        )
    )
    outcome = put(store, "f", b"x", mtime_ns=5, executable=True)
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert (outcome.entry.mtime_ns, outcome.entry.executable) == (None, None)
    for path in ("a:b", "\udce9"):
        refused = put(store, path, b"x")
        assert isinstance(refused, Failed) and isinstance(refused.error, Unholdable)
    link = WriteRequest(path="l", kind=Kind.SYMLINK, source=None, size=1, expected=None, target="t")
    assert isinstance(in_order(store.put([link]), 1)[0], Failed)


def test_times_are_held_as_coarsely_as_told() -> None:
    store = MemoryStore(able=Capabilities(mtime_granularity_ns=1000))
    outcome = put(store, "f", b"x", mtime_ns=123_456)
    assert isinstance(outcome, Done) and outcome.entry is not None and outcome.entry.mtime_ns == 123_000


def test_an_unreadable_directory_or_file_says_so() -> None:
    store = MemoryStore()
    entry = store.write("d/f", b"x")
    store.deny("d/f")
    with pytest.raises(Unreadable):
        list(store.open("d/f", entry).chunks())
    assert isinstance(next(iter(store.with_digests([("d/f", entry)]))), BlockedEntry)
    store.deny("d")
    with pytest.raises(Unreadable):
        store.list("d")


def test_digests_are_known_where_told() -> None:
    store = MemoryStore(able=Capabilities(digests=True))
    assert store.write("f", b"x").digest is not None
