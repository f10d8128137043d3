"""The part of a plan that a person chose, and what an action is known again by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Entry,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Move,
    Reason,
    RemoveDirectory,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.selection import everything, facts, pick

R = Reason.LOCAL_CHANGED
FILE = Entry(Kind.FILE, 3, b"v1", mtime_ns=1, executable=False)
OTHER = Entry(Kind.FILE, 3, b"v2", mtime_ns=1, executable=False)
DIR = Entry(Kind.DIRECTORY, 0, b"d1")
LINK = Entry(Kind.SYMLINK, 1, b"v1", target="a")
REMOTE = Side.REMOTE


def up(path: str) -> Transfer:
    return Transfer(path=path, reason=R, source=Side.LOCAL, seen=FILE, expected=None)


def gone(path: str, side: Side = REMOTE) -> Delete:
    return Delete(path=path, reason=R, side=side, expected=FILE)


def made(path: str) -> MakeDirectory:
    return MakeDirectory(path=path, reason=R, side=REMOTE)


def unmade(path: str, side: Side = REMOTE) -> RemoveDirectory:
    return RemoveDirectory(path=path, reason=R, side=side)


def moved(origin: str, path: str, entry: Entry = FILE) -> Move:
    return Move(path=path, origin=origin, reason=R, side=REMOTE, expected=entry, seen=entry)


def adopted(path: str, entry: Entry) -> Adopt:
    return Adopt(path=path, reason=R, local=entry, remote=entry)


def both(path: str, winner: Entry) -> KeepBoth:
    return KeepBoth(path=path, copy=f"{path}-copy", reason=R, loser=REMOTE, winner=winner, lost=FILE)


def without(*paths: str) -> Callable[[Action], bool]:
    return lambda action: action.path not in paths


def names(actions: object) -> list[str]:
    return [action.path for action in actions]  # type: ignore[attr-defined]


def test_an_ordinary_run_leaves_nothing_out() -> None:
    chosen = everything([up("a")])
    assert (chosen.actions, chosen.left, chosen.missed) == ([up("a")], (), ())


def test_what_is_not_wanted_is_left_in_order() -> None:
    chosen = pick([up("a"), gone("b"), up("c")], without("b"))
    assert (names(chosen.actions), names(chosen.left), chosen.missed) == (["a", "c"], ["b"], [])


@pytest.mark.parametrize(
    "maker",
    [made("d"), adopted("d", DIR), both("d", DIR), moved("e", "d", DIR)],
    ids=lambda m: type(m).__name__,
)
def test_nothing_is_done_below_a_directory_that_is_left_out(maker: Action) -> None:
    chosen = pick([maker, made("d/e"), up("d/e/x"), up("dx"), up("x")], without("d"))
    assert names(chosen.actions) == ["dx", "x"]
    assert names(chosen.left) == ["d", "d/e", "d/e/x"]
    assert [(m.path, m.side, m.code, m.waits) for m in chosen.missed] == [
        ("d/e", REMOTE, "left-out", True),
        ("d/e/x", REMOTE, "left-out", True),
    ]


@pytest.mark.parametrize("maker", [adopted("d", FILE), both("d", FILE), gone("d"), up("d")])
def test_what_makes_no_directory_holds_nothing_back(maker: Action) -> None:
    assert names(pick([maker, up("d/x")], without("d")).actions) == ["d/x"]


@pytest.mark.parametrize("stays", [gone("d/e/x"), unmade("d/e/x"), moved("d/e/x", "f")])
def test_a_directory_stays_with_what_stays_in_it(stays: Action) -> None:
    chosen = pick([stays, gone("d/y"), unmade("d/e"), unmade("d"), unmade("g")], without(stays.path))
    assert names(chosen.actions) == ["d/y", "g"]
    assert [(m.path, m.waits) for m in chosen.missed] == [("d/e", False), ("d", False)]
    assert names(chosen.left) == [stays.path, "d/e", "d"]


def test_what_stays_on_one_side_keeps_no_directory_on_the_other() -> None:
    chosen = pick([gone("d/x", Side.LOCAL), unmade("d")], without("d/x"))
    assert names(chosen.actions) == ["d"]


MOVE = replace(moved("o", "p"), below=(adopted("q", FILE),))
EACH: list[Action] = [
    up("p"),
    Touch(path="p", reason=R, side=REMOTE, seen=FILE, expected=OTHER, mtime_ns=1, executable=False),
    gone("p"),
    made("p"),
    unmade("p"),
    MOVE,
    both("p", FILE),
    adopted("p", FILE),
    Forget(path="p", reason=R),
]


def test_no_two_kinds_of_actions_are_taken_for_each_other() -> None:
    assert len({facts(action) for action in EACH}) == len(EACH)
    assert len(facts(EACH[0])) == 24


@pytest.mark.parametrize("action", EACH, ids=lambda a: type(a).__name__)
def test_every_value_of_an_action_is_among_its_facts(action: Action) -> None:
    known = facts(action)
    assert facts(replace(action)) == known
    for name, field in action.__dataclass_fields__.items():
        if not field.compare:
            continue  # it says nothing of what is done
        value = getattr(action, name)
        changed = {
            Entry: replace(value, version=b"v9") if isinstance(value, Entry) else None,
            Side: value.other if isinstance(value, Side) else None,
            Reason: Reason.METADATA,
            bool: value is not True,
            str: f"{value}2",
            int: 7,
            type(None): None if name == "executable" else FILE,
        }.get(type(value), ())
        if name in ("instead", "silent") or changed is None:
            continue
        assert facts(replace(action, **{name: changed})) != known, name


@pytest.mark.parametrize(
    "other",
    [
        replace(FILE, size=4),
        replace(FILE, version=b"v3"),
        LINK,
        None,
    ],
)
def test_another_size_version_or_kind_is_another_fact(other: Entry | None) -> None:
    assert facts(replace(up("p"), expected=other)) != facts(replace(up("p"), expected=FILE))
    assert facts(replace(up("p"), seen=LINK)) != facts(replace(up("p"), seen=replace(LINK, target="b")))


def test_what_a_look_may_learn_or_not_is_no_fact() -> None:
    learnt = replace(FILE, digest=b"1" * 32, trusted=False)
    assert facts(gone("p")) == facts(replace(gone("p"), expected=learnt))
    assert facts(both("p", DIR)) == facts(both("p", replace(DIR, version=b"moved with what is in it")))


def test_a_name_that_is_no_text_has_facts() -> None:
    assert facts(up("caf\udce9")) != facts(up("caf\udcea"))
