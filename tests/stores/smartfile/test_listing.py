"""Directories that change while their pages are taken, pages that contradict each other, hostile names."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from syncer.engine.model import BlockedEntry, BlockReason, Entry
from syncer.errors import NotFound, StoreError, TransientError, Unreadable
from tests.contract.smartfile_rig import ROOT, SmartFileRig
from tests.doubles.faults import Altered, Answer, Meanwhile
from tests.doubles.smartfile.misbehaviour import refused

COUNT = 30


@pytest.fixture
def paged(rig: SmartFileRig) -> SmartFileRig:
    """A directory of several pages of the smallest size."""
    rig.double.options.largest_limit = 25
    for number in range(2 * COUNT):
        rig.write(f"d/{number:03}", b"x")
    rig.double.forget()
    return rig


def names(rig: SmartFileRig, path: str = "d") -> list[str]:
    return sorted(rig.store.list(path).entries)


ALL = [f"{number:03}" for number in range(2 * COUNT)]


@pytest.mark.parametrize("status", [403, 503])
def test_pages_get_smaller_until_the_service_stands_them(paged: SmartFileRig, status: int) -> None:
    paged.double.options.large_limit_status = status
    assert names(paged) == ALL
    paged.double.forget()
    assert names(paged) == ALL
    assert all("limit=25" in r.query for r in paged.double.asked("GET", "/path/info/"))


def test_a_directory_that_may_not_be_listed_is_unreadable(rig: SmartFileRig) -> None:
    rig.mkdir("d")
    rig.double.misbehave("GET", "/root/d/", refused(403, {"detail": "not yours"}), times=None)
    with pytest.raises(Unreadable):
        rig.store.list("d")


@pytest.mark.parametrize("skip", range(6))
def test_a_file_that_was_there_all_the_time_is_never_missing(paged: SmartFileRig, skip: int) -> None:
    """One goes from the first page, one comes on the last: the total stays, and all between move up."""
    names(paged)  # learns the size of a page

    def shift() -> None:
        paged.remove("d/000")
        paged.write("d/zzz", b"x")

    paged.double.misbehave("GET", "/root/d/", Meanwhile(hand=shift), skip=skip)
    assert set(ALL[1:]) <= set(names(paged))


def test_a_directory_that_never_rests_is_not_concluded_from(paged: SmartFileRig) -> None:
    made = iter(range(10_000))
    paged.double.misbehave(
        "GET", "/root/d/", Meanwhile(hand=lambda: paged.write(f"d/more-{next(made)}", b"x")), times=None
    )
    with pytest.raises(TransientError, match="faster"):
        paged.store.list("d")


def test_a_directory_that_is_gone_between_its_pages_is_not_empty(paged: SmartFileRig) -> None:
    names(paged)
    paged.double.misbehave("GET", "/root/d/", Meanwhile(hand=lambda: paged.remove("d")), skip=1)
    with pytest.raises(NotFound):
        paged.store.list("d")


def altered(change: Callable[[dict[str, object]], object]) -> Altered:
    def apply(body: bytes) -> bytes:
        document = json.loads(body)
        change(document)
        return json.dumps(document).encode()

    return Altered(change=apply)


CONTRADICTIONS: dict[str, Callable[[dict[str, object]], object]] = {
    "more in total than there are": lambda d: d.update(total=100),
    "fewer in total": lambda d: d.update(total=1),
    "another page than was asked for": lambda d: d.update(page=7),
    "an endless number of pages": lambda d: d.update(pages=10**9),
    "no children": lambda d: d.pop("children"),
    "children that are none": lambda d: d.update(children={"a": 1}),
    "an entry without a name": lambda d: d.update(children=[{"isfile": True}], total=1),
    "an entry with an empty name": lambda d: d.update(
        children=[{"isfile": True, "name": "", "size": 1}], total=1
    ),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_listing_that_contradicts_itself_is_none(rig: SmartFileRig, what: str) -> None:
    for name in ("a", "b"):
        rig.write(f"d/{name}", b"x")
    rig.double.misbehave("GET", "/root/d/", altered(CONTRADICTIONS[what]), times=None)
    with pytest.raises(TransientError):
        rig.store.list("d")


def test_an_empty_page_before_the_last_is_no_end(paged: SmartFileRig) -> None:
    """Nor where the service tells no total, and says the same twice."""

    def emptied(document: dict[str, object]) -> None:
        document.pop("total", None)
        if document["page"] == 2:
            document["children"] = []

    assert names(paged) == ALL
    paged.double.misbehave("GET", "/root/d/", altered(emptied), times=None)
    with pytest.raises(TransientError):
        paged.store.list("d")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"children": [', b"[]", b"null", b"[" * 100_000])
def test_an_answer_that_is_no_listing_is_never_an_empty_one(rig: SmartFileRig, body: bytes) -> None:
    rig.mkdir("d")
    rig.double.misbehave("GET", "/root/d/", Answer(status=200, body=body), times=None)
    with pytest.raises(StoreError):
        rig.store.list("d")


def test_a_wrong_url_is_not_a_root_that_is_gone(rig: SmartFileRig) -> None:
    page = Answer(status=404, headers={"content-type": "text/html"}, body=b"<html>404</html>")
    rig.double.misbehave("GET", "/path/info/", page, times=None)
    with pytest.raises(StoreError) as found:
        rig.store.root()
    assert not isinstance(found.value, NotFound)


def test_a_name_that_comes_twice_is_guessed_at_by_nobody(rig: SmartFileRig) -> None:
    rig.write("d/a", b"x")

    def twice(document: dict[str, object]) -> None:
        children = document["children"]
        assert isinstance(children, list)
        document.update(children=children * 2, total=2)

    rig.double.misbehave("GET", "/root/d/", altered(twice))
    found = rig.store.list("d")
    entry = found.entries["a"]
    assert (
        isinstance(entry, BlockedEntry) and entry.trouble is BlockReason.CLASH and found.fingerprint is None
    )


def test_an_entry_that_makes_no_sense_is_an_obstacle(rig: SmartFileRig) -> None:
    rig.write("d/a", b"x")
    rig.write("d/b", b"x")

    def absurd(document: dict[str, object]) -> None:
        children = document["children"]
        assert isinstance(children, list)
        children[0]["size"] = -5

    rig.double.misbehave("GET", "/root/d/", altered(absurd))
    found = rig.store.list("d")
    assert isinstance(found.entries["a"], BlockedEntry) and isinstance(found.entries["b"], Entry)
    assert found.fingerprint is None


def renamed(name: str) -> Altered:
    def change(document: dict[str, object]) -> None:
        children = document["children"]
        assert isinstance(children, list)
        children[0]["name"] = name

    return altered(change)


def test_a_name_that_is_half_a_character_is_an_obstacle_or_makes_all_wait(rig: SmartFileRig) -> None:
    rig.write("d/a", b"x")
    rig.double.misbehave("GET", "/root/d/", renamed("\udce9"))
    assert isinstance(rig.store.list("d").entries["\udce9"], BlockedEntry)
    rig.double.misbehave("GET", "/root/d/", renamed("\ud800"))
    with pytest.raises(Unreadable):
        rig.store.list("d")


def test_what_is_ours_is_not_listed(rig: SmartFileRig) -> None:
    rig.write(".syncer-tmp-1", b"x")
    rig.write("d/.syncer", b"x")
    assert names(rig, "") == ["d"] and names(rig) == [".syncer"]


def test_a_young_file_has_no_fingerprint(rig: SmartFileRig) -> None:
    rig.double.write(f"{ROOT}/f", b"x", time=rig.clock.now_ns() / 1e9)
    found = rig.store.list("")
    entry = found.entries["f"]
    assert isinstance(entry, Entry) and not entry.trusted and found.fingerprint is None
