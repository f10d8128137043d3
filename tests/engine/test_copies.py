"""Of several conflict copies with one content one is kept: which, and when none is let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from syncer.engine import conflict_copies
from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Entry,
    KeepBoth,
    Kind,
    Mode,
    Reason,
    RelPath,
    Seen,
    Side,
    Transfer,
)

A, B, C = (f"d/f.sync-conflict-20260101-000000-{host}.txt" for host in ("a", "b", "c"))
SAME = Entry(kind=Kind.FILE, size=4, version=b"1", digest=b"same")
OTHER = Entry(kind=Kind.FILE, size=4, version=b"2", digest=b"other")
Tree = Mapping[RelPath, Entry]


def once(actions: Sequence[Action], local: Tree, remote: Tree, mode: Mode = Mode.TWO_WAY) -> Sequence[Action]:
    trees = {Side.LOCAL: local, Side.REMOTE: remote}

    def beside(side: Side, directory: RelPath) -> Mapping[str, Entry]:
        return {
            path.removeprefix("d/"): replace(entry, digest=None)
            for path, entry in trees[side].items()
            if directory == "d"
        }

    def learn(side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        return [trees[side].get(path) for path, _ in wanted]

    return conflict_copies.once(actions, [], mode, beside, learn)[0]


def coming(path: RelPath, source: Side = Side.REMOTE, entry: Entry = SAME) -> Transfer:
    reason = Reason.REMOTE_NEW if source is Side.REMOTE else Reason.LOCAL_NEW
    return Transfer(path=path, reason=reason, source=source, seen=entry, expected=None)


def gone(actions: Sequence[Action]) -> list[tuple[RelPath, Side, RelPath]]:
    return sorted(
        ((a.path, a.side, a.kept) for a in actions if isinstance(a, Delete)), key=lambda x: (x[0], x[1].value)
    )


def test_a_copy_that_arrives_beside_its_twin_goes_where_it_came_from() -> None:
    found = once([coming(B)], {A: SAME}, {A: SAME, B: SAME})
    assert gone(found) == [(B, Side.REMOTE, A)] and len(found) == 1


def test_all_machines_keep_the_copy_whose_name_sorts_first() -> None:
    found = once([coming(A)], {B: SAME}, {A: SAME, B: SAME})
    assert gone(found) == [(B, Side.LOCAL, A), (B, Side.REMOTE, A)]
    assert coming(A) in found
    crossing = [coming(A, Side.LOCAL), coming(B)]
    assert gone(once(crossing, {A: SAME}, {B: SAME})) == [(B, Side.REMOTE, A)]
    many = [coming(C), coming(B, Side.LOCAL), coming(A)]
    assert gone(once(many, {B: SAME}, {A: SAME, C: SAME})) == [(B, Side.LOCAL, A), (C, Side.REMOTE, A)]


def test_another_content_stays() -> None:
    found = once([coming(B, entry=OTHER)], {A: SAME}, {A: SAME, B: OTHER})
    assert gone(found) == [] and len(found) == 1


def test_a_copy_of_another_name_is_no_twin() -> None:
    another = "d/g.sync-conflict-20260101-000000-a.txt"
    assert gone(once([coming(B)], {another: SAME}, {another: SAME, B: SAME})) == []


@pytest.mark.parametrize(
    "going",
    [
        Delete(path=A, reason=Reason.REMOTE_DELETED, side=Side.LOCAL, expected=SAME),
        Transfer(path=A, reason=Reason.REMOTE_CHANGED, source=Side.REMOTE, seen=OTHER, expected=SAME),
        KeepBoth(path=A, copy=C, reason=Reason.BOTH_CHANGED, loser=Side.LOCAL, winner=OTHER, lost=SAME),
    ],
)
def test_a_twin_that_is_about_to_go_or_to_change_keeps_nothing(going: Action) -> None:
    remote = {B: SAME} if isinstance(going, Delete) else {A: OTHER, B: SAME}
    found = once([going, coming(B)], {A: SAME}, remote)
    assert [a for a in found if isinstance(a, Delete) and a.kept] == [] and coming(B) in found


def test_a_twin_that_is_on_one_side_only_and_stays_there_keeps_nothing() -> None:
    """It is ignored there, say."""
    assert gone(once([coming(B)], {A: SAME}, {B: SAME})) == []


def test_a_twin_that_was_edited_on_one_side_does_not_go() -> None:
    assert gone(once([coming(A)], {B: OTHER}, {A: SAME, B: SAME})) == []


def test_copies_that_are_equal_on_both_sides_already_are_one_all_the_same() -> None:
    adopted = Adopt(path=B, reason=Reason.EQUAL, local=SAME, remote=SAME)
    found = once([adopted, coming(A)], {B: SAME}, {A: SAME, B: SAME})
    assert gone(found) == [(B, Side.LOCAL, A), (B, Side.REMOTE, A)]


def test_a_job_that_only_follows_takes_no_copy_away() -> None:
    assert gone(once([coming(B)], {A: SAME}, {A: SAME, B: SAME}, Mode.PULL)) == []


def settling(loser: Side = Side.LOCAL) -> KeepBoth:
    return KeepBoth(path="d/f.txt", copy=C, reason=Reason.BOTH_NEW, loser=loser, winner=OTHER, lost=SAME)


@pytest.mark.parametrize("where", list(Side))
def test_a_loser_that_a_copy_keeps_on_either_side_gets_no_other(where: Side) -> None:
    trees = {side: {"d/f.txt": SAME if side is Side.LOCAL else OTHER} for side in Side}
    trees[where][A] = SAME
    also = [coming(A, where)]
    found = once([settling(), *also], trees[Side.LOCAL], trees[Side.REMOTE])
    assert not any(isinstance(a, KeepBoth) for a in found)
    assert any(isinstance(a, Transfer) and a.path == "d/f.txt" and a.expected == SAME for a in found)


def test_a_copy_that_is_about_to_go_is_no_reason_to_keep_a_loser_nowhere() -> None:
    deletion = Delete(path=A, reason=Reason.REMOTE_DELETED, side=Side.LOCAL, expected=SAME)
    found = once([settling(), deletion], {"d/f.txt": SAME, A: SAME}, {"d/f.txt": OTHER})
    assert settling() in found
