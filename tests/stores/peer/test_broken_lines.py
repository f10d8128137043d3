"""Connections that break, before and after each request takes effect: everything arrives, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from requests.auth import HTTPBasicAuth

from syncer.engine.interfaces import (
    DeleteRequest,
    MkdirRequest,
    RenameRequest,
    SetAttributesRequest,
    WriteRequest,
)
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Outcome, Stale
from syncer.errors import ChangedUnderUs, TransientError
from syncer.stores.http.client import HttpSession
from syncer.stores.peer.store import PeerStore
from syncer.stores.retry import RetryingStore
from syncer.testing.scans import changed_directories
from tests.contents import Held, noise
from tests.contract.doubles import BytesSource, SteppingClock
from tests.contract.peer_rig import PeerRig
from tests.contract.rigs import in_order
from tests.doubles.proxy import Direction, Proxy

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Basis(Held):
    """What the reader has."""

    start: int = 0
    digest: bytes | None = None


class BrokenRig(PeerRig):
    """The store speaks through a proxy."""

    def __init__(self, base: Path, proxy: Proxy) -> None:
        super().__init__(base)
        self.proxy = proxy
        self.store.close()
        login = HTTPBasicAuth(self.server.credentials.token, self.server.credentials.password)
        self.session = HttpSession(proxy.url, login, clock=SteppingClock())
        self.store = PeerStore(self.session, self.below, cache=base / "cache")
        assert self.store.capabilities.digests  # asked before anything breaks
        in_order(self.store.put([self.item("first", b"")]), 1)

    def many(self, count: int, size: int) -> list[WriteRequest]:
        return [self.item(f"f{n:03}", noise(n, size)) for n in range(count)]

    def holds(self, items: list[WriteRequest]) -> None:
        """Every item is there, once, and nothing had to be taken away for it."""
        for item in items:
            assert isinstance(item.source, BytesSource)
            assert self.read(item.path) == item.source.data
        assert self.kept() == []


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokenRig]:
    from tests.contract.peer_rig import server

    port = int(server().url.rstrip("/").rpartition(":")[2])
    with Proxy("127.0.0.1", port) as proxy:
        built = BrokenRig(tmp_path, proxy)
        yield built
        built.store.close()


def all_done(outcomes: list[Outcome]) -> None:
    assert [o for o in outcomes if not isinstance(o, Done)] == []


@pytest.mark.parametrize("after", [0, 1, 500, 4_000, 100_000, 400_000])
@pytest.mark.parametrize("rst", [False, True])
def test_a_put_of_many_whose_request_broke_off_is_finished(rig: BrokenRig, after: int, rst: bool) -> None:
    items = rig.many(50, 10_000)
    rig.proxy.cut(Direction.UP, after=after, rst=rst)
    all_done(in_order(rig.store.put(items), len(items)))
    rig.holds(items)


@pytest.mark.parametrize("after", [0, 10, 200, 2_000])
def test_a_put_of_many_whose_answer_was_lost_is_not_done_twice(rig: BrokenRig, after: int) -> None:
    items = rig.many(50, 10_000)
    rig.proxy.cut(Direction.DOWN, after=after)
    all_done(in_order(rig.store.put(items), len(items)))
    rig.holds(items)


def test_a_replacement_whose_answer_was_lost_is_done_once(rig: BrokenRig) -> None:
    rig.write("f", b"old")
    old = rig.entry("f")
    rig.proxy.cut(Direction.DOWN, after=0)
    assert isinstance(rig.put("f", b"new", expected=old), Done)
    assert rig.read("f") == b"new" and rig.kept() == [b"old"]


def test_another_content_of_the_same_size_is_not_taken_for_the_put_that_was_lost(rig: BrokenRig) -> None:
    rig.write("f", b"theirs")
    rig.proxy.cut(Direction.DOWN, after=0)
    assert isinstance(rig.put("f", b"ours!!"), Stale)
    assert rig.read("f") == b"theirs" and rig.kept() == []


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("what", ["delete", "make", "remove", "rename", "amend"])
def test_a_change_whose_request_or_answer_was_lost_takes_effect_once(
    rig: BrokenRig, what: str, direction: Direction
) -> None:
    rig.write("f", b"x")
    rig.mkdir("d")
    entry = rig.entry("f")
    rig.proxy.cut(direction, after=0)
    results = {
        "delete": lambda: rig.store.delete([DeleteRequest(path="f", expected=entry)]),
        "make": lambda: rig.store.make_directories([MkdirRequest(path="new")]),
        "remove": lambda: rig.store.remove_directories(["d"]),
        "rename": lambda: rig.store.rename([RenameRequest(origin="f", path="g", expected=entry)]),
        "amend": lambda: rig.store.set_attributes(
            [SetAttributesRequest(path="f", expected=entry, mtime_ns=10**18, executable=True)]
        ),
    }[what]()
    all_done(in_order(results, 1))
    names = {"delete": ["d", "first"], "make": ["d", "f", "first", "new"], "remove": ["f", "first"],
             "rename": ["d", "first", "g"], "amend": ["d", "f", "first"]}[what]  # fmt: skip
    assert sorted(rig.store.list("").entries) == names
    assert rig.kept() == ([b"x"] if what == "delete" else [])


@pytest.mark.parametrize("after", [0, 300, 50_000, 300_000])
def test_many_files_come_through_a_line_that_breaks(rig: BrokenRig, after: int) -> None:
    for n in range(60):
        rig.write(f"f{n:03}", noise(n, 10_000))
    wanted = [(f"f{n:03}", rig.entry(f"f{n:03}")) for n in range(60)]
    sources = rig.store.open_many(wanted)
    rig.proxy.cut(Direction.DOWN, after=after)
    assert [b"".join(s.chunks()) for s in sources] == [noise(n, 10_000) for n in range(60)]


def test_sources_that_are_skipped_or_read_again_give_what_they_should(rig: BrokenRig) -> None:
    for n in range(30):
        rig.write(f"f{n:03}", noise(n, 5_000 * (n % 4 * 10 + 1)))
    wanted = [(f"f{n:03}", rig.entry(f"f{n:03}")) for n in range(30)]
    sources = rig.store.open_many(wanted)
    for n in (2, 3, 7, 3, 20, 19, 21, 29, 0):
        assert b"".join(sources[n].chunks()) == noise(n, 5_000 * (n % 4 * 10 + 1))
    begun = sources[5].chunks()
    next(begun)
    assert b"".join(sources[6].chunks()) == noise(6, 5_000 * 21)


def test_a_large_file_goes_on_after_each_break(rig: BrokenRig) -> None:
    data = noise(1, 8 * MIB)
    rig.write("large", data)
    source = rig.store.open("large", rig.entry("large"))
    rig.proxy.zero()
    for at in (MIB, 3 * MIB, 5 * MIB):
        rig.proxy.cut(Direction.DOWN, after=at)
    assert b"".join(source.chunks()) == data
    assert rig.proxy.down.body < 10 * MIB


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("after", [0, 100, 20_000])
def test_a_delta_down_survives_a_break(rig: BrokenRig, direction: Direction, after: int) -> None:
    old = noise(1, 4 * MIB)
    new = old[:MIB] + noise(2, 40_000) + old[MIB:]
    rig.write("large", new)
    source = rig.store.open("large", rig.entry("large"))
    rig.proxy.cut(direction, after=after)
    assert b"".join(source.chunks(Basis(old))) == new
    assert source.traffic is not None and source.traffic.method is Method.DELTA


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("after", [0, 300, 20_000])
def test_a_delta_up_survives_a_break(rig: BrokenRig, direction: Direction, after: int) -> None:
    old = noise(1, 4 * MIB)
    new = old[:MIB] + noise(2, 40_000) + old[MIB:]
    rig.write("large", old)
    expected = rig.entry("large")
    rig.proxy.cut(direction, after=after)
    outcome = rig.put("large", new, expected=expected)
    assert isinstance(outcome, Done) and outcome.method in (Method.DELTA, Method.WHOLE)
    assert rig.read("large") == new and rig.kept() == [old]


@pytest.mark.parametrize("after", [0, 50, 1_000])
def test_listings_come_through_a_line_that_breaks(rig: BrokenRig, after: int) -> None:
    for n in range(40):
        rig.write(f"d{n:02}/sub/f", b"x")
    rig.proxy.cut(Direction.DOWN, after=after)
    retrying = RetryingStore(rig.store, sleep=SteppingClock().sleep)
    with retrying.scan([]) as scan:
        found = [sorted(scan.list(f"d{n:02}/sub").entries) for n in range(40)]
    assert found == [["f"]] * 40
    known = [(f"d{n:02}/sub", b"x" * 16) for n in range(40)]
    rig.proxy.cut(Direction.DOWN, after=after)
    assert changed_directories(retrying, known) == [p for p, _ in known]


def test_one_stream_brings_a_new_tree_and_one_question_all_changed_directories(rig: BrokenRig) -> None:
    for n in range(40):
        rig.write(f"top/d{n:02}/f", b"x")
    rig.proxy.zero()
    with rig.store.scan([]) as scan:
        assert len(scan.list("top").entries) == 40
        for n in range(40):
            assert list(scan.list(f"top/d{n:02}").entries) == ["f"]
    assert rig.proxy.up.messages == 1
    known = [(f"top/d{n:02}", b"old fingerprint!") for n in range(40)]
    with rig.store.scan(known) as scan:
        assert len(list(scan.changed())) == 40
        rig.proxy.zero()
        for path, _ in known[::3]:
            assert list(scan.list(path).entries) == ["f"]
    assert rig.proxy.up.messages == 1


def test_known_directories_that_came_without_a_fingerprint_are_listed_by_one_question(rig: BrokenRig) -> None:
    for n in range(40):
        rig.write(f"top/d{n:02}/f", b"x")
    rig.proxy.zero()
    with rig.store.scan([(f"top/d{n:02}", None) for n in range(40)]) as scan:
        assert list(scan.changed()) == [] and rig.proxy.up.messages == 0
        for n in range(0, 40, 3):
            assert list(scan.list(f"top/d{n:02}").entries) == ["f"]
    assert rig.proxy.up.messages == 1


def test_all_calls_go_through_one_connection(rig: BrokenRig) -> None:
    old = noise(1, 2 * MIB)
    rig.write("large", old + b"new")
    rig.write("small", b"x")
    entries = {name: rig.entry(name) for name in ("large", "small")}
    rig.proxy.zero()
    rig.store.list("")
    assert b"".join(rig.store.open("large", entries["large"]).chunks()) == old + b"new"
    known = Basis(old, digest=b"k" * 32)
    assert b"".join(rig.store.open("large", entries["large"]).chunks(known)) == old + b"new"
    for source in rig.store.open_many(list(entries.items())):
        list(source.chunks())
    rig.put("new", b"1")
    rig.put("large", old, expected=entries["large"])
    rig.store.read_file("small", 5)
    rig.store.root()
    assert rig.proxy.connections <= 1  # a signature is asked for while its delta is sent: that needs a second


def test_what_was_sent_ahead_is_of_no_use_after_the_scan(rig: BrokenRig) -> None:
    rig.write("d/f", b"x")
    with rig.store.scan([]) as scan:
        scan.list("")
        rig.write("d/g", b"x")
        assert sorted(rig.store.list("d").entries) == ["f", "g"]
    with rig.store.scan([]) as scan:
        assert sorted(scan.list("d").entries) == ["f", "g"]


def test_known_directories_are_named_and_not_sent_again(rig: BrokenRig) -> None:
    known = [(f"some/long/directory/{n}", bytes([n]) * 16) for n in range(200)]
    changed_directories(rig.store, known)
    rig.proxy.zero()
    assert len(changed_directories(rig.store, known)) == 200
    assert rig.proxy.up.body < 200


def test_a_server_that_is_gone_fails_what_was_asked_and_says_so(rig: BrokenRig) -> None:
    rig.write("f", b"x")
    entry = rig.entry("f")
    rig.proxy.refuse()
    rig.proxy.reset_now()
    outcomes = in_order(rig.store.put(rig.many(3, 10)), 3)
    outcomes += in_order(rig.store.delete([DeleteRequest(path="f", expected=entry)]), 1)
    assert all(isinstance(o, Failed) and isinstance(o.error, TransientError) for o in outcomes)
    with pytest.raises(TransientError):
        list(rig.store.open("f", entry).chunks())
    rig.proxy.accept()
    assert isinstance(rig.put("g", b"again"), Done)


def test_two_clients_that_put_one_name_at_once_do_not_overwrite_each_other(rig: BrokenRig) -> None:
    other = PeerStore(rig.server.session(), rig.below, cache=Path("/nonexistent"))
    rig.write("f", b"agreed")
    expected = rig.entry("f")
    first = rig.put("f", b"one", expected=expected)
    item = WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(b"two"), size=3, expected=expected)
    [(_, second)] = other.put([item])
    other.close()
    assert isinstance(first, Done) and not isinstance(second, Done)
    assert rig.read("f") == b"one" and rig.kept() == [b"agreed"]


def test_the_quota_and_the_feed_answer(rig: BrokenRig) -> None:
    store = PeerStore(rig.server.session(), rig.below, cache=Path("/nonexistent"))
    quota = store.quota()
    assert quota.free is not None and quota.free > 0 and store.free_space() is not None
    news = store.feed(None, 0)
    rig.make("d")
    rig.put("d/f", b"x")
    later = store.feed(news.cursor, 5)
    assert later.reset or "d" in later.changed or "" in later.changed
    assert isinstance(rig.entry("d/f"), Entry)
    assert store.feed("no such cursor", 0).reset
    store.close()


def test_middling_files_without_an_older_version_share_a_stream(rig: BrokenRig) -> None:
    for n in range(12):
        rig.write(f"f{n:02}", noise(n, 100_000))
    sources = rig.store.open_many([(f"f{n:02}", rig.entry(f"f{n:02}")) for n in range(12)])
    rig.proxy.zero()
    assert [b"".join(source.chunks()) for source in sources] == [noise(n, 100_000) for n in range(12)]
    assert rig.proxy.up.messages == 1


def test_middling_files_with_an_older_version_are_not_sent_whole(rig: BrokenRig) -> None:
    for n in range(12):
        rig.write(f"f{n:02}", noise(n, 100_000) + b"new")
    sources = rig.store.open_many([(f"f{n:02}", rig.entry(f"f{n:02}")) for n in range(12)])
    rig.proxy.zero()
    for n, source in enumerate(sources):
        assert b"".join(source.chunks(Basis(noise(n, 100_000)))) == noise(n, 100_000) + b"new"
    assert rig.proxy.down.body < 12 * 20_000


def test_a_file_larger_than_it_was_planned_on_is_not_read_on_for_ever(rig: BrokenRig) -> None:
    rig.write("f", b"x" * 100)
    entry = rig.entry("f")
    rig.write("f", b"x" * 5_000_000)
    rig.proxy.zero()
    with pytest.raises(ChangedUnderUs):
        list(rig.store.open("f", entry).chunks())
    assert rig.proxy.down.body < 10_000
