"""Trying again: how often, how long, and never twice what took effect."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from syncer.engine.interfaces import (
    DeleteRequest,
    MkdirRequest,
    RenameRequest,
    Results,
    RootState,
    SetAttributesRequest,
    WriteRequest,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Stale
from syncer.errors import AuthError, PermanentError, SyncerError, TransientError
from syncer.exit_codes import exit_code
from syncer.stores.retry import RetryingStore
from syncer.stores.retry_policy import RetryPolicy
from syncer.testing.faulty_store import Fault, FaultyStore
from syncer.testing.memory_store import MemoryStore
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order

LATER = TransientError("later")


class World:
    """A memory store behind scripted faults behind retries."""

    def __init__(self, *faults: Fault, tries: int = 4) -> None:
        self.slept: list[float] = []
        self.memory = MemoryStore()
        self.faulty = FaultyStore(self.memory, faults)
        patience = RetryPolicy(tries=tries, first=1.0, longest=20.0)
        self.store = RetryingStore(self.faulty, sleep=self.slept.append, policy=patience)

    def put(self, path: str, data: bytes, expected: Entry | None = None) -> object:
        item = WriteRequest(
            path=path, kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=expected
        )
        return in_order(self.store.put([item]), 1)[0]


def fault(method: str, error: SyncerError = LATER, **more: object) -> Fault:
    return Fault(method=method, error=error, **more)


def test_a_passing_trouble_is_not_seen() -> None:
    world = World(fault("list", times=3), fault("root"), fault("stat"), fault("with_digests"))
    entry = world.memory.write("f", b"x")
    assert list(world.store.list("").entries) == ["f"]
    assert world.store.root() is not None and isinstance(world.store.stat("f"), Entry)
    assert len(list(world.store.with_digests([("f", entry), ("f", entry)]))) == 2
    assert len(world.slept) == 6


def test_trouble_that_stays_is_raised_after_so_many_tries() -> None:
    world = World(fault("list", times=None), tries=3)
    with pytest.raises(TransientError):
        world.store.list("")
    assert len(world.slept) == 2


def test_waits_grow_with_jitter_and_have_a_cap() -> None:
    world = World(fault("list", times=None), tries=12)
    with pytest.raises(TransientError):
        world.store.list("")
    assert all(0 <= wait <= 20 for wait in world.slept) and len(set(world.slept)) > 5


@pytest.mark.parametrize("asked", [7.0, 60.0, 0.0])
def test_what_the_other_side_asks_for_is_honoured(asked: float) -> None:
    world = World(fault("list", TransientError("busy", retry_after=asked)))
    world.store.list("")
    assert world.slept == [asked]


@pytest.mark.parametrize("asked", [61.0, 3600.0, 1e300, float("inf")])
def test_a_pause_longer_than_a_run_waits_fails_at_once_and_says_the_time(asked: float) -> None:
    """It was cut to thirty seconds, and asked five times: minutes of silence, and never in time."""
    world = World(fault("list", TransientError("busy", retry_after=asked), times=None))
    with pytest.raises(TransientError, match=r"busy; it asks to wait .+, until \d\d:\d\d, .* 1m at most"):
        world.store.list("")
    assert world.slept == [] and world.faulty.calls.count(("list", "")) == 1


@pytest.mark.parametrize("asked", [-1.0, float("nan")])
def test_a_pause_that_is_none_is_left_aside(asked: float) -> None:
    world = World(fault("list", TransientError("busy", retry_after=asked)))
    world.store.list("")
    assert len(world.slept) == 1 and 0 < world.slept[0] <= 20


def test_what_a_layer_below_gave_up_is_not_tried_again() -> None:
    below = TransientError("five times in vain")
    below.attempts, below.request = 5, "GET /"
    world = World(fault("list", below, times=None), fault("put", below, times=None), tries=5)
    with pytest.raises(TransientError, match="in vain"):
        world.store.list("")
    assert isinstance(world.put("f", b"x"), Failed) and world.slept == []


def test_tries_of_a_layer_below_count_with_our_own() -> None:
    below = TransientError("three times in vain")
    below.attempts, below.request = 3, "GET /"
    world = World(fault("list", below, times=None), tries=5)
    with pytest.raises(TransientError):
        world.store.list("")
    assert len(world.slept) == 1


def test_a_permanent_trouble_is_not_tried_again() -> None:
    world = World(fault("put", PermanentError("no"), times=None), fault("list", PermanentError("no")))
    assert isinstance(world.put("f", b"x"), Failed)
    with pytest.raises(PermanentError):
        world.store.list("")
    assert world.slept == []


@pytest.mark.parametrize("after", [False, True])
def test_a_put_whose_reply_was_lost_is_done_once(after: bool) -> None:
    world = World(fault("put", after=after))
    old = world.memory.write("f", b"old")
    outcome = world.put("f", b"new", expected=old)
    assert isinstance(outcome, Done) and world.memory.tree() == {"f": b"new"}
    assert world.memory.kept == [("f", b"old")]


@pytest.mark.parametrize("theirs", [b"theirs", b"them"], ids=["of another size", "of the same size"])
def test_a_put_that_somebody_was_faster_with_is_stale(theirs: bytes) -> None:
    world = World(fault("put"))
    world.memory.write("f", theirs)
    assert isinstance(world.put("f", b"mine"), Stale) and world.memory.content("f") == theirs


@pytest.mark.parametrize("after", [False, True])
def test_every_change_is_repeated_without_harm(after: bool) -> None:
    methods = ("delete", "make_directories", "remove_directories", "rename", "set_attributes")
    world = World(*(fault(method, after=after) for method in methods))
    write, store = world.memory.write, world.store
    gone, moved, touched = write("gone", b"1"), write("moved", b"2"), write("touched", b"3")
    results = [
        store.delete([DeleteRequest(path="gone", expected=gone)]),
        store.make_directories([MkdirRequest(path="new")]),
        store.rename([RenameRequest(origin="moved", path="new/place", expected=moved)]),
        store.set_attributes(
            [SetAttributesRequest(path="touched", expected=touched, mtime_ns=5, executable=None)]
        ),
    ]
    assert all(isinstance(in_order(result, 1)[0], Done) for result in results)
    world.memory.make_directory("empty")
    assert isinstance(in_order(store.remove_directories(["empty"]), 1)[0], Done)
    assert world.memory.tree() == {"touched": b"3", "new": None, "new/place": b"2"}


def test_one_item_that_stays_in_trouble_does_not_hold_up_the_others() -> None:
    world = World(fault("put", path="b", times=None))
    items = [
        WriteRequest(path=name, kind=Kind.FILE, source=BytesSource(b"x"), size=1, expected=None)
        for name in ("a", "b", "c")
    ]
    kinds = [type(outcome) for outcome in in_order(world.store.put(items), 3)]
    assert kinds == [Done, Failed, Done]


def silent(*methods: str) -> list[Fault]:
    """From now on these are not answered."""
    return [fault(method, times=None) for method in methods]


ALL = ("root", "list", "stat", "put", "delete", "with_digests", "read", "read_file", "make_directories")


def items(count: int) -> list[WriteRequest]:
    return [
        WriteRequest(path=f"f{n:04}", kind=Kind.FILE, source=BytesSource(b"x"), size=1, expected=None)
        for n in range(count)
    ]


def test_of_many_items_only_the_first_few_wait_for_a_dead_line() -> None:
    world = World(*silent(*ALL))
    outcomes = in_order(world.store.put(items(2000)), 2000)
    assert all(isinstance(o, Failed) and isinstance(o.error, TransientError) for o in outcomes)
    assert len(world.slept) == 3 * 3 and len(world.faulty.calls) < 2100
    assert "does not answer" in str(outcomes[-1].error) and "memory" in str(outcomes[-1].error)


def test_a_dead_line_is_not_asked_once_more_for_each_item() -> None:
    class Dead(MemoryStore):
        tried = 0

        def put(self, items: Sequence[WriteRequest]) -> Results:
            for index in range(len(items)):
                self.tried += 1
                yield index, Failed(error=LATER)

        def root(self) -> RootState | None:
            raise LATER

    dead = Dead()
    store = RetryingStore(dead, sleep=lambda seconds: None, policy=RetryPolicy(tries=2))
    assert len(in_order(store.put(items(500)), 500)) == 500 and dead.tried == 6


def test_after_that_the_next_batch_ends_the_run() -> None:
    world = World(*silent(*ALL))
    in_order(world.store.put(items(5)), 5)
    slept, calls = len(world.slept), len(world.faulty.calls)
    with pytest.raises(TransientError, match="does not answer") as raised:
        list(world.store.put(items(2000)))
    assert exit_code(raised.value) == 3
    entry = Entry(kind=Kind.FILE, size=1, version=b"v")
    for ask in (
        lambda: list(world.store.delete([DeleteRequest(path="f", expected=entry)])),
        lambda: list(world.store.make_directories([MkdirRequest(path="d")])),
        lambda: list(world.store.with_digests([("f", entry)])),
        lambda: world.store.list(""),
        lambda: world.store.stat("f"),
        lambda: world.store.read_file("f", 9),
        lambda: list(world.store.open("f", entry).chunks()),
    ):
        with pytest.raises(TransientError, match="does not answer"):
            ask()
    assert (len(world.slept), [c for c in world.faulty.calls[calls:] if c[0] != "read"]) == (slept, [])
    assert list(world.store.put([])) == []


def test_calls_that_are_given_up_count_like_items() -> None:
    world = World(*silent(*ALL), tries=2)
    for _ in range(3):
        with pytest.raises(TransientError, match="later"):
            world.store.list("")
    with pytest.raises(TransientError, match="does not answer"):
        world.store.list("")
    assert len(world.slept) == 3


def test_downloads_that_are_given_up_count_too_and_the_rest_is_not_begun() -> None:
    world = World(*silent(*ALL))
    entry = world.memory.write("f", b"x")
    sources = world.store.open_many([("f", entry)] * 9)
    for source in sources[:3]:
        with pytest.raises(TransientError, match="later"):
            list(source.chunks())
    for source in sources[3:]:
        with pytest.raises(TransientError, match="does not answer"):
            list(source.chunks())


def test_a_success_in_between_sets_the_count_back() -> None:
    world = World(*(fault("put", path=f"f{n:04}", times=None) for n in (0, 1, 3, 4, 6, 7)), *silent("root"))
    outcomes = [in_order(world.store.put([item]), 1)[0] for item in items(9)]
    assert [type(outcome) for outcome in outcomes] == [Failed, Failed, Done] * 3
    assert len(world.slept) == 6 * 3


def test_where_the_other_side_answers_trouble_with_many_items_stops_no_other() -> None:
    """Files that cannot be read here fail their uploads just so: one try each must do for them."""
    world = World(*(fault("put", path=f"f{n:04}", times=None) for n in range(8)))
    outcomes = in_order(world.store.put(items(20)), 20)
    assert [type(outcome) for outcome in outcomes] == [Failed] * 8 + [Done] * 12
    assert len(world.slept) == 3 * 3


def test_one_that_comes_back_is_found_by_the_look_at_its_root() -> None:
    world = World(*silent(*ALL))
    in_order(world.store.put(items(4)), 4)
    world.faulty.faults.clear()
    with pytest.raises(TransientError):
        world.store.list("")
    assert world.store.root() is not None and dict(world.store.list("").entries) == {}
    assert [type(o) for o in in_order(world.store.put(items(4)), 4)] == [Done] * 4


def test_refused_credentials_are_an_answer() -> None:
    world = World(*silent("put"), fault("root", AuthError("expired"), times=None))
    assert [type(o) for o in in_order(world.store.put(items(5)), 5)] == [Failed] * 5
    assert dict(world.store.list("").entries) == {}
