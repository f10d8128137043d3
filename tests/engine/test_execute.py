"""Carrying out: what may be remembered and when, failures in the middle, roots that go during a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from syncer.engine.interfaces import Results, WriteRequest
from syncer.engine.model import Done, Entry, Policy, Side
from syncer.errors import GuardTripped, PermanentError, TransientError, Unmovable
from syncer.stores.base import StoreWrapper
from syncer.testing.faulty_store import Fault, FaultyStore
from tests.desk import EARLY, LATE, Desk, desk_in


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path, Policy()) as made:
        yield made


AGREED = {"keep": b"kept", "f": b"first", "d/g": b"second", "d/h": b"third", "e/i": b"fourth"}


def edit(desk: Desk) -> None:
    desk.local.write("f", b"edited", mtime_ns=LATE)


def delete(desk: Desk) -> None:
    desk.local.remove("f")


def make_directory(desk: Desk) -> None:
    desk.local.make_directory("new")


def remove_directory(desk: Desk) -> None:
    desk.remote.remove("e/i")
    desk.local.remove("e")


def make_executable(desk: Desk) -> None:
    desk.local.write("f", b"first", mtime_ns=EARLY, executable=True)


def rename(desk: Desk) -> None:
    desk.local.remove("f")
    desk.local.write("renamed", b"first", mtime_ns=EARLY)


def rename_directory(desk: Desk) -> None:
    desk.local.remove("d")
    desk.local.write("moved/g", b"second", mtime_ns=EARLY)
    desk.local.write("moved/h", b"third", mtime_ns=EARLY)


def conflict(desk: Desk) -> None:
    desk.local.write("f", b"edited here", mtime_ns=LATE)
    desk.remote.write("f", b"edited there", mtime_ns=EARLY)


CHANGES = [
    (edit, "put"),
    (delete, "delete"),
    (make_directory, "make_directories"),
    (remove_directory, "remove_directories"),
    (make_executable, "set_attributes"),
    (rename, "rename"),
    (rename_directory, "rename"),
    (conflict, "rename"),
]


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_nothing_is_remembered_of_what_did_not_happen(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    before = desk.rows()
    change(desk)
    fault = Fault(method=method, error=PermanentError("the disk says no"), times=None)
    desk.far.faults.append(fault)
    assert desk.run().exit_code == 3
    after = desk.rows()
    gone = {"e/i"} if change is remove_directory else set()
    assert {path: row for path, row in before.items() if path not in gone} == after
    desk.comes_to_rest()


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_what_is_remembered_is_true_on_both_sides_at_that_moment(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    change(desk)
    assert desk.run().exit_code == 0
    desk.comes_to_rest()


@pytest.mark.parametrize(("change", "method"), CHANGES, ids=[c.__name__ for c, _ in CHANGES])
def test_where_only_the_good_news_was_lost_the_next_run_settles_it(
    desk: Desk, change: Callable[[Desk], None], method: str
) -> None:
    desk.agree(AGREED)
    change(desk)
    desk.far.faults.append(Fault(method=method, error=TransientError("the reply was lost"), after=True))
    assert desk.run().exit_code == 3
    wanted = {b"edited here", b"edited there"} if change is conflict else set()
    desk.comes_to_rest()
    assert wanted <= set(desk.local.tree().values())


class Mute(StoreWrapper):
    """A store that does not say what digest it took, as most services do not."""

    def put(self, items: Sequence[WriteRequest]) -> Results:
        for index, outcome in self.inner.put(items):
            told = isinstance(outcome, Done) and outcome.entry is not None
            yield index, replace(outcome, entry=replace(outcome.entry, digest=None)) if told else outcome


def test_the_digest_that_is_remembered_is_that_of_the_bytes_that_were_read(desk: Desk) -> None:
    desk.pair = replace(desk.pair, remote=Mute(desk.remote))
    desk.local.write("f", b"bytes")
    desk.run()
    assert desk.rows()["f"].digest == blake3(b"bytes").digest()


def test_a_loser_that_cannot_step_aside_is_not_replaced(desk: Desk) -> None:
    desk.agree(AGREED)
    conflict(desk)
    desk.far.faults.append(Fault(method="rename", error=PermanentError("no")))
    desk.run()
    assert (desk.local.content("f"), desk.remote.content("f")) == (b"edited here", b"edited there")
    assert desk.remote.kept == []


def test_a_loser_whose_copy_does_not_arrive_is_no_success(desk: Desk) -> None:
    desk.agree(AGREED)
    conflict(desk)
    refusing = FaultyStore(desk.local, [Fault(method="put", error=PermanentError("no"))])
    desk.pair = replace(desk.pair, local=refusing)
    assert desk.run().exit_code == 3
    assert b"edited there" in desk.remote.tree().values()
    desk.comes_to_rest()


@pytest.mark.parametrize("when", ["another", "gone"])
def test_a_root_that_is_another_one_by_the_time_of_the_deletions_loses_nothing(desk: Desk, when: str) -> None:
    desk.agree(AGREED)
    desk.local.write("new", b"comes first")
    desk.local.remove("f")

    def swap() -> None:
        if when == "another":
            desk.local.write_root_id("somebody else's")
        else:
            desk.local.exists = False

    desk.ears.then = swap
    with pytest.raises(GuardTripped):
        desk.run()
    assert desk.remote.content("f") == b"first" and desk.remote.content("new") == b"comes first"


@pytest.mark.parametrize("side", list(Side))
def test_an_executable_bit_that_cannot_be_set_at_the_source_is_not_lost_at_the_target(
    desk: Desk, side: Side
) -> None:
    desk.agree(AGREED)
    edited, marked = (desk.local, desk.remote) if side is Side.LOCAL else (desk.remote, desk.local)
    edited.write("f", b"edited", mtime_ns=LATE)
    marked.write("f", b"first", mtime_ns=EARLY, executable=True)
    refusing = FaultyStore(edited, [Fault(method="set_attributes", error=PermanentError("no"))])
    here, there = (refusing, desk.remote) if side is Side.LOCAL else (desk.local, refusing)
    desk.pair = replace(desk.pair, local=here, remote=there)
    desk.run()
    desk.comes_to_rest()
    for store in (desk.local, desk.remote):
        found = store.stat("f")
        assert isinstance(found, Entry) and found.executable and store.content("f") == b"edited"


@pytest.mark.parametrize("change", [rename, rename_directory])
def test_what_cannot_be_renamed_across_file_systems_is_sent_and_the_old_name_deleted(
    desk: Desk, change: Callable[[Desk], None]
) -> None:
    desk.agree(AGREED)
    change(desk)
    desk.far.faults.append(Fault(method="rename", error=Unmovable("another disk"), times=None))
    assert desk.run().exit_code == 0
    desk.comes_to_rest()
    old = {("f", b"first")} if change is rename else {("d/g", b"second"), ("d/h", b"third")}
    assert set(desk.remote.kept) >= old
