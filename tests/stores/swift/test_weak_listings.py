"""Listings that are late: nothing is concluded from them that the objects themselves do not say."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import BlockedEntry, BlockReason, Done, Entry, Kind
from syncer.stores.swift.cache import CachedObject, ObjectCache
from syncer.stores.swift.consistency import GRACE_SECONDS
from syncer.testing.scans import changed_directories
from tests.contract.rigs import in_order
from tests.contract.swift_rig import SwiftRig
from tests.swift.server import Swift


def test_our_own_new_file_is_seen_although_it_is_not_listed(swift: Swift, rig: SwiftRig) -> None:
    rig.store.list("")
    swift.lag(None)
    outcome = rig.put("f", b"new")
    assert isinstance(outcome, Done) and outcome.entry is not None
    assert rig.hands.names(rig.place.name("f")) == []
    for store in (rig.store, rig.opened(cache=rig.base / "cache")):
        entry = store.list("").entries["f"]
        assert isinstance(entry, Entry) and entry.version == outcome.entry.version


def test_our_own_overwrite_is_seen_although_the_old_one_is_listed(swift: Swift, rig: SwiftRig) -> None:
    rig.put("d", b"old")
    swift.lag(None)
    outcome = rig.put("d", b"newer", expected=rig.entry("d"))
    entry = rig.store.list("").entries["d"]
    assert isinstance(outcome, Done) and isinstance(entry, Entry) and entry.size == 5


def test_many_new_files_are_confirmed_without_a_listing_that_shows_them(swift: Swift, rig: SwiftRig) -> None:
    swift.lag(None)
    outcomes = rig.put_all([rig.item(f"f{n:02}", b"%d" % n) for n in range(40)])
    assert all(isinstance(o, Done) for o in outcomes)
    versions = [rig.entry(f"f{n:02}").version for n in range(40)]
    assert versions == [o.entry.version for o in outcomes if isinstance(o, Done) and o.entry]


def test_a_deleted_object_that_is_still_listed_is_gone(swift: Swift, rig: SwiftRig) -> None:
    rig.write("ours", b"1")
    rig.write("theirs", b"2")
    swift.lag(None)
    rig.remove("theirs")
    in_order(rig.store.delete([DeleteRequest(path="ours", expected=rig.entry("ours"))]), 1)
    assert len(rig.hands.names(rig.place.name("ours"))) == 1
    for store in (rig.store, rig.opened()):
        assert dict(store.list("").entries) == {} and store.stat("ours") is None


def test_a_file_that_vanishes_from_the_listing_alone_is_not_gone(swift: Swift, rig: SwiftRig) -> None:
    rig.write("d/f", b"x")
    known = [(p, rig.store.list(p).fingerprint or b"") for p in ("", "d")]
    rule = swift.rule("status", method="GET", kind="container", status=200, body="[]", times=None)
    assert changed_directories(rig.store, known) == []
    assert list(rig.store.list("d").entries) == ["f"] and rule.hits() > 0


def test_a_missing_file_is_gone_after_two_looks_a_while_apart(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    print_ = rig.store.list("").fingerprint or b""
    rig.remove("f")
    swift.clear()
    with rig.store.scan([("", print_)]) as scan:
        assert list(scan.changed()) == [""]
        assert dict(scan.list("").entries) == {}
    looks = swift.requests(method="HEAD", kind="object", status=404)
    assert len(looks) == 2 and sum(rig.clock.slept) >= GRACE_SECONDS * 0.9


def test_a_missing_file_that_comes_back_in_between_was_never_gone(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    print_ = rig.store.list("").fingerprint or b""
    swift.rule("status", method="HEAD", kind="object", status=404)
    swift.rule("status", method="GET", kind="container", status=200, body="[]", times=2)
    assert changed_directories(rig.store, [("", print_)]) == []
    assert len(rig.clock.slept) == 1


def test_a_whole_tree_that_goes_is_waited_for_once(rig: SwiftRig) -> None:
    for n in range(30):
        rig.write(f"d{n % 5}/f{n}", b"x")
    rig.write("keep", b"x")
    known = [(p, rig.store.list(p).fingerprint or b"") for p in ("", *(f"d{n}" for n in range(5)))]
    for n in range(5):
        rig.remove(f"d{n}")
    with rig.store.scan(known) as scan:
        assert sorted(scan.changed()) == sorted(p for p, _ in known)
        assert list(scan.list("").entries) == ["keep"] and len(rig.clock.slept) == 1


def test_what_cannot_be_asked_for_waits(swift: Swift, rig: SwiftRig) -> None:
    rig.write("f", b"x")
    rig.write("g", b"x")
    swift.rule("status", kind="object", path="*/f", status=503, times=None)
    found = rig.store.list("")
    seen = found.entries["f"]
    assert isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.BUSY and found.fingerprint is None
    assert isinstance(found.entries["g"], Entry)


def test_a_directory_s_removal_is_not_kept_up_by_late_rows(swift: Swift, rig: SwiftRig) -> None:
    rig.make("d")
    entry = rig.put("d/f", b"x")
    assert isinstance(entry, Done) and entry.entry is not None
    swift.lag(None)
    in_order(rig.store.delete([DeleteRequest(path="d/f", expected=entry.entry)]), 1)
    assert [type(o) for _, o in rig.store.remove_directories(["d"])] == [Done]
    assert rig.store.stat("d") is None


# -- the file behind it ---------------------------------------------------------------

FACT = CachedObject(name="p/ä", ticks=7, listed="e", entry=Entry(kind=Kind.FILE, size=1, version=b"v" * 24))


def test_facts_outlive_the_run(tmp_path: Path) -> None:
    known = ObjectCache(tmp_path / "cache")
    known.remember([FACT])
    assert known.missing_since("q", 5) == 5
    known.close()
    again = ObjectCache(tmp_path / "cache")
    assert again.fact("p/ä") == FACT and again.between("p/", "p/\U0010ffff") == [FACT]
    assert again.missing_since("q", 9) == 5 and again.missing_since("q", 3) == 3
    again.forget(["p/ä"])
    assert again.fact("p/ä") is None
    again.close()


@pytest.mark.parametrize("damage", [b"", b"not a database", b"\0" * 5000])
def test_a_damaged_file_knows_nothing_and_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "cache" / "objects.sqlite"
    file.parent.mkdir()
    file.write_bytes(damage)
    known = ObjectCache(tmp_path / "cache")
    assert known.fact("p/ä") is None
    known.remember([FACT])
    known.close()
    again = ObjectCache(tmp_path / "cache")
    assert again.fact("p/ä") == FACT
    again.close()


def test_a_file_of_another_format_is_thrown_away(tmp_path: Path) -> None:
    older = ObjectCache(tmp_path)
    older.remember([FACT])
    older.close()
    with sqlite3.connect(tmp_path / "objects.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
        db.execute("DROP TABLE facts")
    db.close()
    known = ObjectCache(tmp_path)
    known.remember([FACT])
    assert known.fact("p/ä") == FACT
    known.close()


def test_a_folder_that_cannot_be_made_costs_memory_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    known = ObjectCache(tmp_path / "file" / "cache")
    known.remember([FACT])
    assert known.fact("p/ä") == FACT
    known.close()
