"""Selection: the actions of a plan that a person chose; the others are left for a later run.

Pure. An action is known again by `facts`: what it does and what it was planned on. An action
that goes on without one it stands on (a file whose directory is not to be made) does not go on either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias, assert_never

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
    Problem,
    RelPath,
    RemoveDirectory,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.paths import upwards

LEFT_OUT = "left-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSelection:
    """What of a plan is done, what is left for later, and what was asked for and cannot be done."""

    actions: Sequence[Action]
    left: Sequence[Action] = ()
    missed: Sequence[Problem] = ()


Choice: TypeAlias = Callable[[Sequence[Action]], ActionSelection]


def everything(actions: Sequence[Action]) -> ActionSelection:
    """The choice of an ordinary run."""
    return ActionSelection(actions=actions)


def pick(actions: Sequence[Action], wanted: Callable[[Action], bool]) -> ActionSelection:
    """The wanted actions, without those that stand on one that is left out."""
    left = [a for a in actions if not wanted(a)]
    unmade = {a.path for a in left if _makes_directory(a)}
    kept = {(side, up) for a in left for side, path in _keeps(a) for up in upwards(path)}
    taken: list[Action] = []
    missed: list[Problem] = []
    for action in actions:
        if not wanted(action):
            continue
        trouble = _trouble(action, unmade, kept)
        if trouble is None:
            taken.append(action)
        else:
            left.append(action)
            missed.append(trouble)
    return ActionSelection(actions=taken, left=left, missed=missed)


def _trouble(action: Action, unmade: set[RelPath], kept: set[tuple[Side, RelPath]]) -> Problem | None:
    """Why a wanted action cannot be done, given what was left out."""
    if isinstance(action, RemoveDirectory) and (action.side, action.path) in kept:
        message = "it stays, since something in it was left out of the plan"
        return Problem(path=action.path, side=action.side, code=LEFT_OUT, message=message, waits=False)
    above = next((up for up in list(upwards(action.path))[1:] if up in unmade), None)
    if above is None:
        return None
    message = f"its directory {above} was left out of the plan"
    return Problem(path=action.path, side=side_of(action), code=LEFT_OUT, message=message)


def _makes_directory(action: Action) -> bool:
    """Whether a directory is known on both sides only once this was done."""
    match action:
        case MakeDirectory():
            return True
        case Adopt():
            return action.local.kind is Kind.DIRECTORY
        case KeepBoth():
            return action.winner.kind is Kind.DIRECTORY
        case Move():
            return action.expected.kind is Kind.DIRECTORY
        case _:
            return False


def _keeps(action: Action) -> Iterator[tuple[Side, RelPath]]:
    """What stays where it is if this is not done."""
    match action:
        case Delete() | RemoveDirectory():
            yield action.side, action.path
        case Move():
            yield action.side, action.origin
        case _:
            return


def side_of(action: Action) -> Side:
    """The side that an action changes; the local one for what concerns both."""
    match action:
        case Transfer():
            return action.source.other
        case Touch() | Delete() | MakeDirectory() | RemoveDirectory() | Move():
            return action.side
        case KeepBoth() | Adopt() | Forget():
            return Side.LOCAL
    assert_never(action)


def facts(action: Action) -> str:
    """What an action does and what it was planned on, in 24 hex digits.

    Equal for two looks that saw the same: a digest that one of them learnt, and whether a stamp was old
    enough to be trusted, say nothing about that.
    """
    named = repr((type(action).__name__, action.path, action.reason.value, *_planned_on(action)))
    return blake2b(named.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def _planned_on(action: Action) -> tuple[object, ...]:
    match action:
        case Transfer():
            return action.source.value, _seen(action.seen), _seen(action.expected), action.executable
        case Touch():
            sides = _seen(action.seen), _seen(action.expected)
            return action.side.value, *sides, action.mtime_ns, action.executable
        case Delete():
            return action.side.value, _seen(action.expected), action.clearing
        case MakeDirectory():
            return action.side.value, _seen(action.replaces)
        case RemoveDirectory():
            return action.side.value, action.clearing
        case Move():
            below = tuple((a.path, _seen(a.local), _seen(a.remote)) for a in action.below)
            both = _seen(action.expected), _seen(action.seen)
            return action.side.value, action.origin, *both, below, action.respells, action.known
        case KeepBoth():
            both = _seen(action.winner), _seen(action.lost)
            return action.copy, action.loser.value, *both, action.one_way
        case Adopt():
            return _seen(action.local), _seen(action.remote)
        case Forget():
            return (action.now,) if action.now else ()
    assert_never(action)


def _seen(entry: Entry | None) -> tuple[object, ...] | None:
    """A directory is known by being one: its stamp moves with what is in it.

    RACE: a file rewritten with the same size within the tick of its clock has the same version.
    """
    if entry is None or entry.kind is Kind.DIRECTORY:
        return None if entry is None else (entry.kind.value,)
    return entry.kind.value, entry.size, entry.version, entry.target
