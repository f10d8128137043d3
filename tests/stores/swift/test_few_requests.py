"""How many requests looking takes: a few directories of many, and content that comes in place of a HEAD."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.interfaces import Source
from syncer.engine.model import BlockedEntry, Done, Entry, Kind, Listing
from syncer.errors import ChangedUnderUs, NotFound, StoreError, TransientError
from syncer.stores.swift.cache import CachedObject, ObjectCache
from syncer.stores.swift.consistency import GRACE_SECONDS
from syncer.stores.swift.listing import FEW
from syncer.stores.swift.objects import ListingRow, ObjectHead, Stamp
from syncer.stores.swift.prefetch import TINY, TinyObjectPrefetch
from syncer.testing.scans import changed_directories
from tests.contract.swift_rig import SwiftRig
from tests.swift.server import Swift

MANY = 5000  # objects elsewhere, known and not to be asked for
NAMES = [f"f{n:02}" for n in range(40)]


def read(source: Source) -> bytes:
    return b"".join(source.chunks())


def count(swift: Swift, **like: object) -> int:
    return len(swift.requests(**like))


# -- tiny new files -------------------------------------------------------------------


@pytest.fixture
def theirs(swift: Swift, rig: SwiftRig) -> list[tuple[str, Entry]]:
    """Tiny files of somebody else, just seen for the first time."""
    for name in NAMES:
        rig.hands.put(rig.place.name(f"d/{name}"), name.encode(), X_Object_Meta_Mtime="5.5")
    swift.clear()
    rig.store.list("")
    entries = rig.store.list("d").entries.items()
    return [(f"d/{name}", entry) for name, entry in entries if isinstance(entry, Entry)]


def test_a_new_file_goes_up_by_one_request(swift: Swift, rig: SwiftRig) -> None:
    rig.put("first", b"x")
    swift.clear()
    assert all(isinstance(o, Done) for o in rig.put_all([rig.item(name, b"content") for name in NAMES]))
    assert count(swift, kind="object", method="PUT") == count(swift, kind="object") == len(NAMES)
    assert count(swift, kind="container") == 1


def test_a_tiny_new_file_comes_down_by_one_request(
    swift: Swift, rig: SwiftRig, theirs: list[tuple[str, Entry]]
) -> None:
    sources = rig.store.open_many(theirs)
    assert [read(s) for s in sources] == [name.encode() for name in NAMES]
    assert count(swift, kind="object", method="GET") == count(swift, kind="object") == len(NAMES)
    assert {entry.mtime_ns for _, entry in theirs} == {5_500_000_000}
    assert [s.entry.digest for s in sources] == [blake3(name.encode()).digest() for name in NAMES]
    assert [s.traffic.received for s in sources if s.traffic] == [len(name) for name in NAMES]
    assert [read(s) for s in sources] == [name.encode() for name in NAMES], "it can be read again"


@pytest.mark.parametrize("many", [40, 5])
def test_what_came_early_and_changed_since_is_not_handed_out(
    rig: SwiftRig, theirs: list[tuple[str, Entry]], many: int
) -> None:
    rig.write("d/f03", b"edit")
    rig.remove("d/f04")
    sources: Sequence[Source] = rig.store.open_many(theirs[:many])
    for source in (sources[3], sources[4]):
        with pytest.raises((ChangedUnderUs, NotFound)):
            read(source)
    assert read(sources[2]) == b"f02"


def test_what_came_early_is_not_believed_where_nobody_confirms_it(
    swift: Swift, rig: SwiftRig, theirs: list[tuple[str, Entry]]
) -> None:
    rule = swift.rule("status", method="GET", kind="container", status=403, times=None)
    swift.clear()
    assert read(rig.store.open_many(theirs)[7]) == b"f07"
    assert rule.hits() == 1 and count(swift, kind="object", method="GET") >= 1


def test_content_that_arrives_damaged_is_fetched_again(swift: Swift, rig: SwiftRig) -> None:
    for name in NAMES:
        rig.write(name, b"content of " + name.encode())
    rule = swift.rule("corrupt", method="GET", kind="object", path="*/f09", at=3)
    entries = rig.store.list("").entries
    sources = rig.store.open_many([(n, e) for n, e in entries.items() if isinstance(e, Entry)])
    assert [read(s) for s in sources] == [b"content of " + name.encode() for name in NAMES]
    assert rule.hits() == 1


def test_what_came_early_must_have_the_digest_that_was_promised(rig: SwiftRig) -> None:
    etag = hashlib.md5(b"f").hexdigest()
    for name in ("honest", "lying"):
        digest = (blake3(b"f").digest() if name == "honest" else bytes(32)).hex()
        rig.hands.put(rig.place.name(name), b"f", X_Object_Meta_Syncer_Digest=f"{digest}/{etag}")
    entries = rig.store.list("").entries
    honest, lying = rig.store.open_many([(n, e) for n, e in entries.items() if isinstance(e, Entry)])
    assert read(honest) == b"f"
    with pytest.raises(TransientError):
        read(lying)


def test_what_came_early_in_one_run_is_not_held_for_the_next(
    swift: Swift, rig: SwiftRig, theirs: list[tuple[str, Entry]]
) -> None:
    rig.store.scan([]).close()
    swift.clear()
    assert [read(s) for s in rig.store.open_many(theirs)] == [name.encode() for name in NAMES]
    assert count(swift, kind="object", method="GET") == len(NAMES)


def test_only_what_is_tiny_and_new_comes_early(swift: Swift, rig: SwiftRig) -> None:
    from urllib.parse import quote

    rig.write("longer", b"x" * (TINY + 1))
    rig.write("empty", b"")
    rig.hands.put(rig.place.name(".syncer/parts/1"), b"x" * 100_000)
    manifest = quote(f"{rig.place.container}/{rig.place.name('.syncer/parts/')}")
    rig.hands.put(rig.place.name("dynamic"), X_Object_Manifest=manifest)
    rig.put("known", b"ours")
    rig.hands.ask("POST", rig.place.name("known"), headers={"X-Object-Meta-Mtime": "5.5"})
    swift.clear()
    assert len(rig.store.list("").entries) == 4
    assert count(swift, kind="object", method="GET") == 0
    assert count(swift, kind="object", method="HEAD") == 4


def test_a_tiny_file_that_grew_since_it_was_listed_is_asked_about(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"tiny")
    swift.lag(None)
    rig.write("f", b"x" * 3_000_000)
    swift.clear()
    entry = rig.store.list("").entries["f"]
    assert isinstance(entry, Entry) and entry.size == 3_000_000
    assert [asked.method for asked in swift.requests(kind="object")] == ["GET", "HEAD"], "not read to its end"


@pytest.mark.parametrize("how", [{"do": "status", "status": 409}, {"do": "cut", "bytes": 2}])
def test_a_tiny_object_that_cannot_be_read_is_still_seen(
    swift: Swift, rig: SwiftRig, how: dict[str, str]
) -> None:
    rig.write("f", b"tiny")
    swift.rule(**how, method="GET", kind="object", path="*/f", times=None)
    entry = rig.store.list("").entries["f"]
    assert isinstance(entry, Entry) and entry.size == 4


def test_what_is_held_early_is_bounded_and_handed_out_once() -> None:
    early, row = TinyObjectPrefetch(most=5), ListingRow(name="a", size=3)
    head = ObjectHead(stamp=Stamp(7, "900150983cd24fb0d6963f7d28e17f72"), size=3)
    assert early.wanted(row)
    early.keep("a", head, b"abc")
    early.keep("damaged", head, b"abd")
    assert early.wanted(row) and early.has("a", head.version) and not early.has("a", b"other")
    assert not early.has("damaged", head.version)
    early.keep("b", head, b"abc")
    assert not early.wanted(row), "so many bytes, and no more"
    assert [early.take("a", head.version), early.take("a", head.version)] == [b"abc", None]
    assert early.take("b", b"other") is None and early.take("b", head.version) is None
    assert early.wanted(row), "all was taken: there is room again"
    early.close()


# -- a few directories of many ------------------------------------------------------------


@pytest.fixture
def wide(swift: Swift, rig: SwiftRig) -> SwiftRig:
    """Three directories, and very many objects elsewhere that would be missed by whoever looked."""
    for directory in "abc":
        for n in range(3):
            rig.write(f"{directory}/f{n}", b"x" * n)
    rig.write("far/there", b"x")
    with rig.store.scan([]) as scan:
        scan.list("")  # learns of all objects
    known_too(rig, MANY)
    swift.clear()
    return rig


def known_too(rig: SwiftRig, many: int) -> None:
    """So many objects more were there once, as far as is known."""
    entry = Entry(kind=Kind.FILE, size=1, version=b"v" * 24)
    names = (rig.place.name(f"far/f{n}") for n in range(many))
    rig.store._context.known.remember(CachedObject(name=n, ticks=7, listed="e", entry=entry) for n in names)


def known_of(rig: SwiftRig) -> list[tuple[str, bytes]]:
    return [(path, rig.store.list(path).fingerprint or b"") for path in "abc"]


def test_a_few_directories_of_many_are_listed_alone(swift: Swift, wide: SwiftRig) -> None:
    known = known_of(wide)
    swift.clear()
    assert changed_directories(wide.store, known) == []
    assert count(swift) == count(swift, kind="container") == 2 * len(known)
    wide.write("b/f1", b"edited")
    wide.write("c/new/deep", b"new")
    swift.clear()
    with wide.store.scan(known) as scan:
        assert list(scan.changed()) == ["b", "c"]
        assert set(scan.list("b").entries) == {"f0", "f1", "f2"}
        assert set(scan.list("c").entries) == {"f0", "f1", "f2", "new"}
        assert set(scan.list("a").entries) == {"f0", "f1", "f2"}, "unchanged, from what is known"
    assert count(swift) == 2 * len(known) + 1, "the edit was asked about"
    assert count(swift, path=wide.place.container) == 2 * len(known)


def test_the_root_among_a_few_directories_is_listed_alone(swift: Swift, wide: SwiftRig) -> None:
    root = wide.store.list("")
    assert set(root.entries) == {"a", "b", "c", "far"}
    assert changed_directories(wide.store, [("", root.fingerprint or b"")]) == []
    wide.write("new", b"new")
    with wide.store.scan([("", root.fingerprint or b"")]) as scan:
        assert list(scan.changed()) == [""]
        assert set(scan.list("").entries) == {"a", "b", "c", "far", "new"}
    assert count(swift, kind="object", method="GET") == 1 and count(swift, kind="container") == 6


def test_all_directories_of_a_small_tree_are_listed_at_once(swift: Swift, rig: SwiftRig) -> None:
    for directory in "abc":
        rig.write(f"{directory}/f", b"x")
    known = [(path, rig.store.list(path).fingerprint or b"") for path in ("", *"abc")]
    swift.clear()
    assert changed_directories(rig.store, known) == []
    assert count(swift) == 2


def test_directories_that_hold_nearly_everything_are_listed_at_once(swift: Swift, wide: SwiftRig) -> None:
    assert wide.store._single_lister.cheaper(["a", "b"])
    assert not wide.store._single_lister.cheaper(["a", "far"])
    assert not wide.store._single_lister.cheaper([f"d{n}" for n in range(51)])


def test_a_listing_that_lags_hides_nothing_of_ours_in_a_few_directories(swift: Swift, wide: SwiftRig) -> None:
    known = known_of(wide)
    swift.lag(None)
    outcome = wide.put("a/ours", b"new")
    assert isinstance(outcome, Done)
    assert changed_directories(wide.store, known) == ["a"]
    assert set(wide.store.list("a").entries) == {"f0", "f1", "f2", "ours"}


def test_files_that_vanish_from_the_listing_alone_are_not_gone_from_a_few_directories(
    swift: Swift, wide: SwiftRig
) -> None:
    known = known_of(wide)
    rule = swift.rule("status", method="GET", kind="container", status=200, body="[]", times=None)
    assert changed_directories(wide.store, known) == [] and rule.hits() > 0


def test_files_missing_from_a_few_directories_are_waited_for_once(swift: Swift, wide: SwiftRig) -> None:
    known = known_of(wide)
    wide.remove("a/f1")
    wide.remove("b")
    swift.clear()
    with wide.store.scan(known) as scan:
        assert list(scan.changed()) == ["a", "b"]
        assert sum(wide.clock.slept) >= GRACE_SECONDS * 0.9 and len(wide.clock.slept) == 1
        asked = f"{wide.place.container}/{wide.place.name('a/f1')}"
        assert count(swift, kind="object", status=404, path=asked) == 2
        assert set(scan.list("a").entries) == {"f0", "f2"}
        with pytest.raises(NotFound):
            scan.list("b")


def test_a_file_missing_once_of_a_few_directories_was_never_gone(swift: Swift, wide: SwiftRig) -> None:
    known = known_of(wide)
    swift.rule("status", method="HEAD", kind="object", path="*/a/f1", status=404)
    page = swift.rule("status", method="GET", kind="container", status=200, body="[]", times=6)
    assert changed_directories(wide.store, known) == [] and page.hits() >= 3
    assert len(wide.clock.slept) == 1


def test_what_cannot_be_asked_for_makes_its_directory_differ(swift: Swift, wide: SwiftRig) -> None:
    known = known_of(wide)
    wide.write("b/f1", b"edited")
    swift.rule("status", kind="object", path="*/b/f1", status=503, times=None)
    with wide.store.scan(known) as scan:
        assert list(scan.changed()) == ["b"]
        listing: Listing = scan.list("b")
    assert isinstance(listing.entries["f1"], BlockedEntry) and listing.fingerprint is None


def test_a_few_directories_of_a_container_that_is_gone_are_not_empty(wide: SwiftRig) -> None:
    known = known_of(wide)
    for name in wide.hands.names():
        wide.hands.ask("DELETE", name)
    wide.hands.ask("DELETE")
    with pytest.raises(StoreError):
        changed_directories(wide.store, known)


def test_what_a_scan_set_aside_is_of_no_use_to_the_next_scan_or_listing(wide: SwiftRig) -> None:
    known = known_of(wide)
    with wide.store.scan(known) as scan:
        assert list(scan.changed()) == []
        wide.write("a/new", b"new")
        assert "new" in wide.store.list("a").entries
    with wide.store.scan([("a", None)]) as scan:
        assert "new" in scan.list("a").entries


def test_after_some_directories_one_by_one_all_are_looked_at(swift: Swift, rig: SwiftRig) -> None:
    paths = [f"d{n:02}" for n in range(FEW + 10)]
    for n, path in enumerate(paths):
        rig.write(f"{path}/f", b"x" * n)
    rig.write("far/there", b"x")
    known_too(rig, 700)
    swift.rule("status", method="HEAD", kind="object", path="*/far/*", status=404, times=None)
    swift.clear()
    with rig.store.scan([]) as scan:
        assert all(set(scan.list(path).entries) == {"f"} for path in paths)
    listings = swift.requests(kind="container")
    assert len([asked for asked in listings if "delimiter" in asked.query]) == 2 * FEW
    assert len(listings) == 2 * FEW + 2 * 2, "and two looks at all, for what was not found"


def test_a_first_look_lists_everything_once(swift: Swift, rig: SwiftRig) -> None:
    for n in range(5):
        rig.write(f"d{n}/f", b"x" * 5000)
    swift.clear()
    with rig.opened().scan([]) as fresh:
        assert sorted(fresh.list("").entries) == [f"d{n}" for n in range(5)]
        assert all(set(fresh.list(f"d{n}").entries) == {"f"} for n in range(5))
    assert count(swift, kind="container") == 2 and count(swift, kind="object") == 5


def test_what_is_known_of_a_directory_is_what_a_walk_would_find(tmp_path: Path) -> None:
    dice, entry = random.Random(4), Entry(kind=Kind.FILE, size=1, version=b"v" * 24)
    parts = ["a", "a b", "a.", "é", "b", "\U0001f600"]
    names = {"p/" + "/".join(dice.choices(parts, k=dice.randint(1, 4))) for _ in range(900)}
    known = ObjectCache(tmp_path)
    known.remember(CachedObject(name=n, ticks=7, listed="e", entry=entry) for n in [*names, "o", "p", "p0/x"])
    for prefix in ("p/", "p/a/", "p/é/b/", "nothing/"):
        below = {n for n in names if n.startswith(prefix) and n != prefix}
        heads = {(r := n[len(prefix) :]).partition("/")[0] + "/" * ("/" in r) for n in below}
        but = {prefix + head for head in heads if head.endswith("/") and dice.random() < 0.5}
        assert {f.name for f in known.below(prefix, but=but)} == {
            n for n in below if not any(n.startswith(b) for b in but)
        }
        assert known.heads(prefix, 10_000) == len(heads) and known.heads(prefix, 2) == min(2, len(heads))
        assert sorted(head for head, _ in known.children(prefix)) == sorted(heads)
    assert known.count() == len(names) + 3
    known.close()


# -- the pulse ----------------------------------------------------------------------------


def test_the_pulse_tells_by_one_request_that_something_happened(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    swift.clear()
    before = rig.store.pulse()
    assert [(a.method, a.kind) for a in swift.requests()] == [("HEAD", "container")]
    assert rig.store.pulse() == before == rig.opened().pulse()
    rig.write("g", b"")
    after = rig.store.pulse()
    rig.remove("g")
    again = rig.store.pulse()
    rig.write("f", b"longer")
    assert len({before, after, rig.store.pulse()}) == 3 and again == before, "counters: no more than a hint"


def test_a_container_that_is_gone_has_no_pulse(rig: SwiftRig) -> None:
    for name in rig.hands.names():
        rig.hands.ask("DELETE", name)
    rig.hands.ask("DELETE")
    with pytest.raises(NotFound):
        rig.store.pulse()
