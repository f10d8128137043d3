"""Every request of a change broken, before and after it took effect, and raced by another client.

Each story is told once without trouble to count its requests; then once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Outcome, Stale
from syncer.stores.retry import RetryingStore
from tests.contract.doubles import BytesSource
from tests.contract.orange_rig import OrangeRig
from tests.contract.rigs import in_order
from tests.doubles.faults import Fault, Lost, Meanwhile, Reset
from tests.doubles.orange import Options

MOST = 40  # requests of the longest story, and some to spare
THEIRS = b"of another client"
Story = Callable[[OrangeRig, Entry | None], Outcome]
Hand = Callable[[OrangeRig], Fault]


def replaced(rig: OrangeRig, old: Entry | None) -> Outcome:
    put = WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(b"new"), size=3, expected=old)
    return in_order(rig.store.put([put]), 1)[0]


def deleted(rig: OrangeRig, old: Entry | None) -> Outcome:
    assert old is not None
    return in_order(rig.store.delete([DeleteRequest(path="f", expected=old)]), 1)[0]


def renamed(rig: OrangeRig, old: Entry | None) -> Outcome:
    assert old is not None
    return in_order(rig.store.rename([RenameRequest(origin="f", path="g", expected=old)]), 1)[0]


def carried(rig: OrangeRig, old: Entry | None) -> Outcome:
    """Another folder and another name: two calls of the API."""
    assert old is not None
    rig.mkdir("d")
    return in_order(rig.store.rename([RenameRequest(origin="f", path="d/g", expected=old)]), 1)[0]


STORIES: dict[
    str, tuple[Story, bytes | None, dict[str, bytes]]
] = {  # what is done, to what, what is then there
    "new": (replaced, None, {"f": b"new"}),
    "replaced": (replaced, b"old", {"f": b"new"}),
    "deleted": (deleted, b"old", {}),
    "renamed": (renamed, b"old", {"g": b"old"}),
    "carried": (carried, b"old", {"d/g": b"old"}),
}
FAULTS: dict[str, Callable[[], Fault]] = {"broken before it takes effect": Reset, "answered to nobody": Lost}
BEHAVIOURS: dict[str, Callable[[], Options]] = {
    "refusing": Options,
    "renaming": lambda: Options(collisions="rename"),
    "opaque and silent": lambda: Options(opaque_ids=True, write_status=204),
}


def shown(rig: OrangeRig) -> dict[str, bytes]:
    """What users see, but for what is staged and swept by the next run."""
    found = rig.double.files(rig.root).items()
    return {path: data for path, data in found if ".syncer" not in path}


def everything(rig: OrangeRig) -> list[bytes]:
    return list(rig.double.files().values())


def told(rig: OrangeRig, name: str, fault: Fault | None, number: int) -> Outcome:
    story, old, _ = STORIES[name]
    before = None
    if old is not None:
        rig.write("f", old)
        before = rig.entry("f")
    rig.double.log.clear()
    if fault is not None:
        rig.double.misbehave("*", "", fault, skip=number)
    return story(rig, before)


def rigs(base: Path, name: str, options: Callable[[], Options]) -> Iterator[tuple[int, OrangeRig]]:
    rig = OrangeRig(base, options())
    outcome = told(rig, name, None, 0)
    assert isinstance(outcome, Done) and shown(rig) == STORIES[name][2]
    count = len(rig.double.log)
    rig.store.close()
    assert 0 < count < MOST
    for number in range(count):
        rig = OrangeRig(base / str(number), options())
        yield number, rig
        rig.double.behave()
        rig.store.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", STORIES)
def test_a_request_that_breaks_loses_nothing_and_tears_nothing(tmp_path: Path, name: str, fault: str) -> None:
    _, old, wanted = STORIES[name]
    for number, rig in rigs(tmp_path, name, Options):
        outcome = told(rig, name, FAULTS[fault](), number)
        seen = shown(rig)
        assert old is None or old in everything(rig), number
        assert all(data in (old, *wanted.values()) for data in seen.values()), number
        if isinstance(outcome, Done):
            assert seen == wanted, number


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", STORIES)
def test_tried_again_it_is_done_once(tmp_path: Path, name: str, fault: str, behaviour: str) -> None:
    _, old, wanted = STORIES[name]
    for number, rig in rigs(tmp_path, name, BEHAVIOURS[behaviour]):
        rig.store = RetryingStore(rig.store, sleep=rig.clock.sleep)
        outcome = told(rig, name, FAULTS[fault](), number)
        assert isinstance(outcome, Done), (number, outcome)
        assert shown(rig) == wanted, number
        assert old is None or old in everything(rig), number


@pytest.mark.parametrize("behaviour", ["refusing", "renaming"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_what_another_client_writes_at_any_moment_survives(
    tmp_path: Path, name: str, after: bool, behaviour: str
) -> None:
    for number, rig in rigs(tmp_path, name, BEHAVIOURS[behaviour]):
        hand = Meanwhile(hand=lambda r=rig: r.write("f", THEIRS), after=after)  # type: ignore[misc]
        outcome = told(rig, name, hand, number)
        assert THEIRS in everything(rig), number
        if isinstance(outcome, Stale):
            assert shown(rig)["f"] == THEIRS, number
        else:
            assert isinstance(outcome, Done), (number, outcome)


@pytest.mark.parametrize("theirs", [b"two", THEIRS])
@pytest.mark.parametrize("name", ["replaced", "deleted", "renamed", "carried"])
def test_an_edit_right_before_the_name_is_taken_is_put_back(tmp_path: Path, name: str, theirs: bytes) -> None:
    """Between the last look and the move: found out after it, by size or (of the same size) by date."""
    rig = OrangeRig(tmp_path)
    rig.write("f", b"old")
    before = rig.entry("f")
    hand = Meanwhile(hand=lambda: rig.write("f", theirs))
    rig.double.misbehave("POST", "^/cloud/v1/files/", hand)
    outcome = STORIES[name][0](rig, before)
    assert isinstance(outcome, Stale) and shown(rig) == {"f": theirs}
    rig.store.close()


@pytest.mark.parametrize("behaviour", ["refusing", "renaming"])
def test_a_new_file_never_replaces_one_that_appears_at_any_moment(tmp_path: Path, behaviour: str) -> None:
    stale = 0
    for number, rig in rigs(tmp_path, "new", BEHAVIOURS[behaviour]):
        hand = Meanwhile(hand=lambda r=rig: r.write("f", THEIRS))  # type: ignore[misc]
        outcome = told(rig, "new", hand, number)
        stale += isinstance(outcome, Stale)
        assert shown(rig) == {"f": THEIRS}, number  # earlier: stale; later: it was written over ours
    assert stale > 0


def test_a_folder_that_is_filled_while_it_is_removed_stays(tmp_path: Path) -> None:
    kept = 0
    for number in range(12):
        rig = OrangeRig(tmp_path / str(number))
        rig.mkdir("d")
        hand = Meanwhile(hand=lambda r=rig: r.write("d/f", THEIRS))  # type: ignore[misc]
        rig.double.misbehave("*", "", hand, skip=number)
        in_order(rig.store.remove_directories(["d"]), 1)
        rig.double.behave()
        if number < len(rig.double.log):
            assert THEIRS in everything(rig), number
            kept += shown(rig) == {"d/f": THEIRS}
        rig.store.close()
    assert kept > 3


def test_what_a_dead_run_staged_is_swept_into_the_trash_by_the_next(tmp_path: Path) -> None:
    rig = OrangeRig(tmp_path)
    rig.double.misbehave("POST", "^/cloud/v1/files/", Reset(), times=None)
    rig.double.misbehave("DELETE", "", Reset(), times=None)
    assert not isinstance(rig.put("f", b"staged and left"), Done)
    rig.double.behave()
    other = rig.opened("other", tag="76543210")
    assert other.list("").leftovers == ()  # somebody else's
    again = rig.opened("cache")
    [left] = again.list("").leftovers
    again.clean_leftovers([left])
    assert again.list("").leftovers == () and rig.kept() == [b"staged and left"]
    assert shown(rig) == {}
    for store in (other, again):
        store.close()
    rig.store.close()
