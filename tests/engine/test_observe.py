"""Looking: trouble with a directory or with its rules is no absence and decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.model import Policy
from syncer.errors import SyncerError, TransientError, Unreadable
from syncer.testing.faulty_store import Fault
from tests.desk import Desk, desk_in

TROUBLES = (
    (TransientError("reset by the other side"), "busy"),  # the daemon looks again soon
    (Unreadable("not for you"), "unreadable"),  # somebody has to see to it
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path, Policy()) as made:
        made.agree({"keep": b"kept", "d/.syncignore": b"*.tmp\n", "d/f": b"first"})
        yield made


@pytest.mark.parametrize(("trouble", "code"), TROUBLES)
def test_while_ignore_rules_cannot_be_read_nothing_in_their_directory_is_decided(
    desk: Desk, trouble: SyncerError, code: str
) -> None:
    desk.remote.write("d/.syncignore", b"*.tmp\n*.bak\n")
    desk.remote.write("d/new.bak", b"private")
    desk.local.write("d/f", b"edited")
    desk.far.faults.append(Fault(method="read_file", error=trouble, path="d/.syncignore", times=None))
    report = desk.run()
    assert report.exit_code == 1
    assert [(p.path, p.code) for p in report.problems] == [("d", code)]
    assert desk.local.stat("d/new.bak") is None and desk.remote.content("d/f") == b"first"
    desk.far.faults.clear()
    assert desk.run().exit_code == 0
    assert desk.local.stat("d/new.bak") is None and desk.remote.content("d/f") == b"edited"


@pytest.mark.parametrize(("trouble", "code"), TROUBLES)
def test_a_directory_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    desk: Desk, trouble: SyncerError, code: str
) -> None:
    desk.remote.write("d/f", b"edited")
    desk.far.faults.append(Fault(method="list", error=trouble, path="d", times=None))
    report = desk.run()
    assert report.exit_code == 1 and report.actions == ()
    assert [(p.path, p.code) for p in report.problems] == [("d", code)]
    assert desk.local.content("d/f") == b"first"
    desk.comes_to_rest()
    assert desk.local.content("d/f") == b"edited"
