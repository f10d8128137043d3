"""What a directory shows, by listings that are cut short, lag, lie or do not tell where an item is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import BlockedEntry, BlockReason, Done, Entry, Kind
from syncer.errors import TransientError
from syncer.testing.scans import changed_directories
from tests.contract.orange_rig import OrangeRig
from tests.contract.rigs import in_order
from tests.doubles.faults import Altered, Answer, Meanwhile
from tests.doubles.orange import Options

MANY = 130


def names(rig: OrangeRig, path: str) -> set[str]:
    return set(rig.orange.list(path).entries)


def altered(change: Callable[[Any], object]) -> Altered:
    """The answer with its document changed."""

    def changed(body: bytes) -> bytes:
        document = json.loads(body)
        change(document)
        return json.dumps(document).encode()

    return Altered(change=changed)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("cap", [20, 50, 100])
def test_a_listing_that_comes_in_pages_is_complete(tmp_path: Path, cap: int, flat: bool, apart: bool) -> None:
    rig = OrangeRig(tmp_path, Options(page_cap=cap, flat=flat, counted_apart=apart))
    for n in range(MANY):
        rig.write(f"d/file {n}", b"x")
        rig.mkdir(f"d/folder {n}")
    assert len(names(rig, "d")) == 2 * MANY
    assert names(rig, "") == {"d"} and len(names(rig, "d")) == 2 * MANY
    rig.store.close()


def test_a_listing_whose_pages_shift_is_taken_again(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(page_cap=20))
    for n in range(50):
        rig.write(f"d/{n}", b"x")
    rig.store.stat("d")
    shift = Meanwhile(hand=lambda: rig.remove("d/0"))
    rig.double.misbehave("GET", "^/cloud/v1/folders/", shift, skip=1)
    assert names(rig, "d") == {str(n) for n in range(1, 50)}
    rig.store.close()


def test_a_whole_tree_is_listed_by_one_answer(rig: OrangeRig) -> None:
    for n in range(60):
        rig.write(f"é {n % 6}/ça {n % 3}/l’été {n}", b"%d" % n)
    rig.double.log.clear()
    with rig.orange.scan([]) as scan:
        assert set(scan.list("").entries) == {f"é {n}" for n in range(6)}
        below = {f"é {n}/{name}" for n in range(6) for name in scan.list(f"é {n}").entries}
        assert sum(len(scan.list(path).entries) for path in below) == 60
    listings = rig.double.asked("GET", "/cloud/v1/folders")
    assert len([r for r in listings if "limit=1" not in r.query]) <= 3


def test_an_unchanged_tree_is_found_unchanged_by_a_few_requests(rig: OrangeRig) -> None:
    for n in range(60):
        rig.write(f"d{n % 6}/{n}", b"%d" % n)
    directories = ["", *sorted(f"d{n}" for n in range(6))]
    known = [(path, rig.orange.list(path).fingerprint or b"") for path in directories]
    rig.double.log.clear()
    assert changed_directories(rig.orange, known) == [] and len(rig.double.log) <= 5
    rig.write("d3/9", b"edited")
    rig.remove("d5")
    assert changed_directories(rig.orange, known) == ["", "d3", "d5"]


def test_a_flat_answer_that_is_none_does_not_empty_the_folders(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(flat=False))
    rig.write("d/e/f", b"x")
    known = [(path, rig.orange.list(path).fingerprint or b"") for path in ("", "d", "d/e")]
    assert changed_directories(rig.orange, known) == []
    assert (names(rig, ""), names(rig, "d"), names(rig, "d/e")) == ({"d"}, {"e"}, {"f"})
    rig.store.close()


def test_what_a_short_listing_leaves_out_and_is_on_record_is_asked_for(rig: OrangeRig) -> None:
    for name in ("a", "b", "c"):
        assert isinstance(rig.put(name, name.encode()), Done)
    rig.make("d")
    rig.double.misbehave("GET", "/folders", altered(lambda d: d.update(files=[])), times=None)
    rig.double.misbehave("GET", "/folders", altered(lambda d: d.update(subfolders=[])), times=None)
    assert names(rig, "") == {"a", "b", "c", "d"}
    rig.remove("b")
    assert names(rig, "") == {"a", "c", "d"}


def test_a_listing_that_lags_shows_what_was_written_and_hides_what_was_deleted(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path, Options(lag=50))
    rig.write("gone", b"x")
    rig.write("edited", b"old")
    rig.mkdir("empty")
    planned = rig.entry("edited")
    in_order(rig.store.delete([DeleteRequest(path="gone", expected=rig.entry("gone"))]), 1)
    new = rig.put("edited", b"new content", expected=planned)
    rig.put("fresh", b"x")
    in_order(rig.store.remove_directories(["empty"]), 1)
    rig.make("made")
    found = rig.store.list("").entries
    assert set(found) == {"edited", "fresh", "made"}
    assert isinstance(new, Done) and found["edited"] == new.entry
    rig.store.close()


def test_two_things_of_one_name_are_nobody_s_guess(rig: OrangeRig) -> None:
    rig.write("f", b"x")
    twice = altered(lambda d: d["subfolders"].append({"id": "other", "name": "f"}))
    rig.double.misbehave("GET", "/folders", twice, times=None)
    found = rig.orange.list("")
    seen = found.entries["f"]
    assert isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.CLASH and found.fingerprint is None


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.update(size="many"),
        lambda f: f.update(size=-1),
        lambda f: f.update(size=1 << 70),
        lambda f: f.update(size=True),
        lambda f: f.pop("id"),
    ],
)
def test_an_item_that_makes_no_sense_is_an_obstacle(
    rig: OrangeRig, change: Callable[[dict[str, object]], object]
) -> None:
    rig.write("f", b"x")
    rig.write("g", b"y")
    rig.double.misbehave(
        "GET", "/folders", altered(lambda d: [change(f) for f in d["files"][:1]]), times=None
    )
    found = rig.orange.list("").entries
    seen = [found["f"], found["g"]]
    assert isinstance(seen[0], BlockedEntry) and isinstance(seen[1], Entry)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>please log in</html>",
        b"",
        b"[]",
        b'{"error": null}',
        b'{"id": "Lw", "name": "", "files": {}, "subfolders": []}',
        b'{"id": "Lw", "name": "", "files": [{"id": "x"}], "subfolders": []}',
        b'{"id": "Lw", "name": "", "files": [], "subfold',
    ],
)
def test_an_answer_that_is_no_listing_is_no_empty_one(rig: OrangeRig, body: bytes) -> None:
    rig.write("d/f", b"x")
    rig.double.misbehave("GET", "/folders", Answer(status=200, body=body), times=None)
    with pytest.raises(TransientError):
        rig.orange.list("d")


def test_a_date_that_cannot_be_read_is_never_trusted(rig: OrangeRig) -> None:
    rig.write("f", b"x")
    for date in ("yesterday", None, 5, "2026-01-01T10:00:00", ""):
        rig.double.behave()
        rig.double.misbehave(
            "GET", "/files/", altered(lambda d, date=date: d.update(lastUpdateDate=date)), times=None
        )
        entry = rig.entry("f")
        assert not entry.trusted and entry.mtime_ns is None


def test_a_file_written_just_now_is_not_trusted(rig: OrangeRig) -> None:
    rig.double.set_clock(time.time)
    rig.write("f", b"x")
    assert not rig.entry("f").trusted and rig.orange.list("").fingerprint is None
    rig.double.set_clock(lambda: time.time() - 30)
    rig.write("f", b"x")
    assert rig.entry("f").trusted and rig.orange.list("").fingerprint is not None


def test_the_version_is_that_of_the_moment_in_whatever_zone_it_is_shown(rig: OrangeRig) -> None:
    rig.double.set_clock(lambda: 1_767_261_600.0)
    rig.write("f", b"x")
    before = rig.entry("f")
    summer = altered(lambda d: d.update(lastUpdateDate="2026-01-01T12:00:00+0200"))
    rig.double.misbehave("GET", "/files/", summer)
    assert rig.entry("f") == before and before.mtime_ns == 1_767_261_600 * 10**9


def test_dates_on_both_sides_of_a_summer_time_change_stay_apart(rig: OrangeRig) -> None:
    versions = set()
    for moment in (1_761_438_600.0, 1_761_442_200.0):  # 02:30 on 26 October 2025, twice
        rig.double.set_clock(lambda moment=moment: moment)  # type: ignore[misc]
        rig.write("f", b"x")
        versions.add(rig.entry("f").version)
    assert len(versions) == 2


def test_hostile_names_are_shown_as_they_are_for_the_engine_to_refuse(rig: OrangeRig) -> None:
    rig.write("f", b"x")
    evil = altered(lambda d: d["files"].append({"id": "ZXZpbA", "name": "../evil", "size": 1}))
    rig.double.misbehave("GET", "/folders", evil, times=None)
    assert set(rig.orange.list("").entries) == {"f", "../evil"}
    assert rig.orange.list("").entries["f"] == rig.entry("f") and rig.entry("f").kind is Kind.FILE
