"""Deletions of one stroke: counted together over runs, unless what was deleted came back."""

from __future__ import annotations

from syncer.engine.model import (
    Action,
    Delete,
    Done,
    Entry,
    Failed,
    Kind,
    MakeDirectory,
    Outcome,
    Reason,
    RemoveDirectory,
    Side,
    Transfer,
)
from syncer.engine.report import ActionReport, RunReport
from syncer.errors import TransientError
from syncer.jobs.strokes import STROKE, Strokes

SEEN = Entry(kind=Kind.FILE, size=1, version=b"v")


def delete(path: str) -> Action:
    return Delete(path=path, reason=Reason.LOCAL_DELETED, side=Side.REMOTE, expected=SEEN)


def bring(path: str, *, over: Entry | None = None) -> Action:
    return Transfer(path=path, reason=Reason.LOCAL_NEW, source=Side.LOCAL, seen=SEEN, expected=over)


def report(*actions: Action, outcome: Outcome | None = None) -> RunReport:
    done = outcome or Done()
    return RunReport(actions=tuple(ActionReport(action=action, outcome=done) for action in actions))


def test_what_several_runs_delete_counts_together() -> None:
    strokes = Strokes()
    strokes.remember(report(delete("a"), delete("b")), 10.0)
    emptied = RemoveDirectory(path="d", reason=Reason.LOCAL_DELETED, side=Side.REMOTE)
    strokes.remember(report(delete("c"), emptied), 20.0)
    assert strokes.lately(30.0) == {Side.LOCAL: 0, Side.REMOTE: 4}


def test_after_a_while_it_is_forgotten() -> None:
    strokes = Strokes()
    strokes.remember(report(delete("a")), 10.0)
    strokes.remember(report(delete("b")), 20.0)
    assert strokes.lately(10.0 + STROKE)[Side.REMOTE] == 2
    assert strokes.lately(10.1 + STROKE)[Side.REMOTE] == 1
    assert strokes.lately(20.1 + STROKE)[Side.REMOTE] == 0


def test_what_comes_back_does_not_count() -> None:
    strokes = Strokes()
    made = MakeDirectory(path="d", reason=Reason.LOCAL_NEW, side=Side.REMOTE)
    strokes.remember(report(delete("a"), delete("b"), delete("d")), 10.0)
    strokes.remember(report(bring("a"), made), 11.0)
    assert strokes.lately(12.0)[Side.REMOTE] == 1


def test_what_is_made_elsewhere_makes_up_for_nothing() -> None:
    strokes = Strokes()
    strokes.remember(report(bring("x"), bring("y")), 9.0)
    strokes.remember(report(delete("a"), delete("b")), 10.0)
    strokes.remember(report(bring("a.locked"), bring("b.locked")), 11.0)
    assert strokes.lately(12.0)[Side.REMOTE] == 2


def test_only_what_was_done_counts() -> None:
    strokes = Strokes()
    strokes.remember(report(delete("a"), outcome=Failed(error=TransientError("no"))), 10.0)
    strokes.remember(None, 11.0)
    assert strokes.lately(12.0) == {Side.LOCAL: 0, Side.REMOTE: 0}
