"""Every request of a change broken, before and after it took effect, and raced by another client.

Each story is told once without trouble to count its requests; then once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncer.engine.interfaces import DeleteRequest, RenameRequest, SetAttributesRequest, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Outcome, Stale
from syncer.stores.retry import RetryingStore
from tests.contract.doubles import BytesSource
from tests.contract.rigs import in_order
from tests.contract.smartfile_rig import ROOT, SmartFileRig
from tests.doubles.faults import Fault, Lost, Meanwhile, Reset
from tests.stores.smartfile.bases import NEW, OLD

MOST = 40  # requests of the longest story, and some to spare
Story = Callable[[SmartFileRig, Entry], Outcome]


def item(old: Entry | None, data: bytes) -> WriteRequest:
    return WriteRequest(path="f", kind=Kind.FILE, source=BytesSource(data), size=len(data), expected=old)


def replaced(rig: SmartFileRig, old: Entry) -> Outcome:
    return in_order(rig.store.put([item(old, b"new")]), 1)[0]


def patched(rig: SmartFileRig, old: Entry) -> Outcome:
    return in_order(rig.store.put([item(old, NEW)]), 1)[0]


def deleted(rig: SmartFileRig, old: Entry) -> Outcome:
    return in_order(rig.store.delete([DeleteRequest(path="f", expected=old)]), 1)[0]


def renamed(rig: SmartFileRig, old: Entry) -> Outcome:
    return in_order(rig.store.rename([RenameRequest(origin="f", path="g", expected=old)]), 1)[0]


def amended(rig: SmartFileRig, old: Entry) -> Outcome:
    return in_order(
        rig.store.set_attributes([SetAttributesRequest(path="f", expected=old, mtime_ns=5, executable=True)]),
        1,
    )[0]


STORIES: dict[str, tuple[Story, bytes, dict[str, bytes]]] = {  # what is done, to what, and what is there then
    "replaced": (replaced, b"old", {"f": b"new"}),
    "patched": (patched, OLD, {"f": NEW}),
    "deleted": (deleted, b"old", {}),
    "renamed": (renamed, b"old", {"g": b"old"}),
    "amended": (amended, b"old", {"f": b"old"}),
}
FAULTS: dict[str, Callable[[], Fault]] = {
    "broken before it takes effect": Reset,
    "answered to nobody": Lost,
}


def shown(rig: SmartFileRig) -> dict[str, bytes]:
    """What users see."""
    prefix = f"{ROOT}/"
    return {
        path.removeprefix(prefix): data
        for path, data in rig.double.contents().items()
        if data is not None and path.startswith(prefix) and "/.syncer/" not in path
    }


def everything(rig: SmartFileRig) -> list[bytes]:
    return [data for data in rig.double.contents().values() if data is not None]


def told(rig: SmartFileRig, story: Story, old: bytes, arrange: Callable[[], object]) -> Outcome:
    rig.write("f", old)
    before = rig.entry("f")
    rig.double.forget()
    arrange()
    return story(rig, before)


def requests(base: Path, name: str) -> int:
    story, old, _ = STORIES[name]
    rig = SmartFileRig(base)
    assert isinstance(told(rig, story, old, lambda: None), Done)
    count = len(rig.double.log)
    rig.store.close()
    return count


def rigs(base: Path, name: str) -> Iterator[tuple[int, SmartFileRig]]:
    count = requests(base, name)
    assert 0 < count < MOST
    for number in range(count):
        rig = SmartFileRig(base)
        yield number, rig
        rig.double.behave()
        rig.store.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", STORIES)
def test_a_request_that_breaks_loses_nothing_and_tears_nothing(tmp_path: Path, name: str, fault: str) -> None:
    story, old, wanted = STORIES[name]
    for number, rig in rigs(tmp_path, name):
        outcome = told(
            rig, story, old, lambda r=rig, n=number: r.double.misbehave("*", "", FAULTS[fault](), skip=n)
        )
        seen = shown(rig)
        assert old in everything(rig), number
        assert all(data in (old, *wanted.values()) for data in seen.values()), number
        if isinstance(outcome, Done):
            assert seen == wanted, number


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", STORIES)
def test_tried_again_it_is_done_once(tmp_path: Path, name: str, fault: str) -> None:
    story, old, wanted = STORIES[name]
    for number, rig in rigs(tmp_path, name):
        rig.store = RetryingStore(rig.store, sleep=rig.clock.sleep)
        outcome = told(
            rig, story, old, lambda r=rig, n=number: r.double.misbehave("*", "", FAULTS[fault](), skip=n)
        )
        assert isinstance(outcome, Done), (number, outcome)
        assert shown(rig) == wanted, number
        assert old in everything(rig), number


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_what_another_client_writes_at_any_moment_survives(tmp_path: Path, name: str, after: bool) -> None:
    story, old, _ = STORIES[name]
    for number, rig in rigs(tmp_path, name):
        hand = Meanwhile(hand=lambda r=rig: r.write("f", b"of another client"), after=after)  # type: ignore[misc]
        told(rig, story, old, lambda r=rig, n=number, h=hand: r.double.misbehave("*", "", h, skip=n))
        assert b"of another client" in everything(rig), number


@pytest.mark.parametrize("name", ["replaced", "patched", "deleted", "renamed"])
def test_what_was_written_before_the_name_changed_hands_keeps_it(tmp_path: Path, name: str) -> None:
    """Up to the rename that takes the name, an edit makes the item stale and stays where it is."""
    story, old, _ = STORIES[name]
    stale = 0
    for number, rig in rigs(tmp_path, name):
        hand = Meanwhile(hand=lambda r=rig: r.write("f", b"of another client"))  # type: ignore[misc]
        outcome = told(
            rig, story, old, lambda r=rig, n=number, h=hand: r.double.misbehave("*", "", h, skip=n)
        )
        if isinstance(outcome, Stale):
            stale += 1
            assert shown(rig) == {"f": b"of another client"}, number
    assert stale > 0


def test_a_new_file_never_replaces_one_that_appears_at_any_moment(tmp_path: Path) -> None:
    rig = SmartFileRig(tmp_path)
    rig.double.forget()
    assert isinstance(in_order(rig.store.put([item(None, b"new")]), 1)[0], Done)
    count = len(rig.double.log)
    rig.store.close()
    for number in range(count):
        rig = SmartFileRig(tmp_path)
        hand = Meanwhile(hand=lambda r=rig: r.write("f", b"of another client"))  # type: ignore[misc]
        rig.double.misbehave("*", "", hand, skip=number)
        outcome = in_order(rig.store.put([item(None, b"new")]), 1)[0]
        assert b"of another client" in everything(rig), number
        assert shown(rig) == {"f": b"of another client"}, number  # earlier: stale; later: it wrote over ours
        assert isinstance(outcome, Stale | Done), number
        rig.double.behave()
        rig.store.close()
