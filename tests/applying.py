"""Carries a plan out on a world of dicts, by the words of the store contract.

Every expectation is checked right before its effect: what is not as planned makes the
action stale and stays as it is. What is overwritten or deleted goes to the trash. The
base is told what `engine.execute` tells the memory: written here a second time, on
purpose, from the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from syncer.engine import ordering, paths
from syncer.engine.changes import DIRECTORY, agreement
from syncer.engine.model import (
    Action,
    Adopt,
    BaseEntry,
    Delete,
    Entry,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Move,
    Policy,
    RelPath,
    RemoveDirectory,
    Side,
    Touch,
    Transfer,
)
from tests.trees import KEEP, Node, World, entry_of, findings, planned


class Stale(Exception):
    """What was planned on is no longer so."""


def apply(there: World, actions: Sequence[Action], dice: Random | None = None, failing: float = 0.0) -> int:
    """Carry the plan out; with dice, each phase in random order and some actions not at all.

    Returns how many actions took effect.
    """
    done = 0
    for _, group in ordering.phases(actions):
        if dice is not None:
            dice.shuffle(group)
        for action in group:
            if dice is None or dice.random() >= failing:
                done += _tried(there, action)
    return done


def _tried(there: World, action: Action) -> bool:
    try:
        _effect(there, action)
    except Stale:
        return False
    return True


def _effect(there: World, action: Action) -> None:
    match action:
        case Adopt():
            directory = action.local.kind is Kind.DIRECTORY
            _remember(there, action.path, DIRECTORY if directory else agreement(action.local, action.remote))
        case Forget():
            _relocate(there, action.path, action.now) if action.now else _drop(there, action.path)
        case Transfer():
            _transfer(there, action)
        case Touch():
            _touch(there, action)
        case Delete():
            _throw_away(there, action.side, action.path, action.expected)
            _drop(there, action.path)
        case MakeDirectory():
            _make(there, action.side, action.path, action.replaces)
        case RemoveDirectory():
            _remove(there, action.side, action.path)
            _drop(there, action.path)
        case Move():
            _move(there, action)
        case KeepBoth():
            _keep_both(there, action)


def _check(there: World, side: Side, path: RelPath, expected: Entry | None) -> Node | None:
    """The node, if it is what was planned on."""
    node = there.sides[side].get(path)
    if (node is None) is not (expected is None):
        raise Stale(path)
    if node is not None and expected is not None:
        shown = entry_of(node)
        if (shown.kind, shown.version) != (expected.kind, expected.version):
            raise Stale(path)
    return node


def _parent(there: World, side: Side, path: RelPath) -> None:
    directory, _ = paths.split(path)
    node = there.sides[side].get(directory)
    if directory and (node is None or node.kind is not Kind.DIRECTORY):
        raise Stale(path)


def _install(there: World, side: Side, path: RelPath, node: Node) -> Node:
    placed = replace(node, stamp=there.stamp())
    there.sides[side][path] = placed
    return placed


def _throw_away(there: World, side: Side, path: RelPath, expected: Entry) -> None:
    node = _check(there, side, path, expected)
    assert node is not None and node.kind is not Kind.DIRECTORY, "only files and links are deleted"
    there.trash[node.content] += 1
    del there.sides[side][path]


def _bring(
    there: World, source: Side, path: RelPath, seen: Entry, expected: Entry | None, bit: bool | None
) -> None:
    node = _check(there, source, path, seen)
    assert node is not None and node.kind is not Kind.DIRECTORY, "directories are made, not sent"
    target = source.other
    _parent(there, target, path)
    old = _check(there, target, path, expected)
    if old is not None:
        assert old.kind is not Kind.DIRECTORY, "nothing is put in place of a directory"
        there.trash[old.content] += 1
    if bit is not None and node.kind is Kind.FILE and node.executable != bit:
        node = _install(there, source, path, replace(node, executable=bit))
    _install(there, target, path, node)
    _remember(there, path, there.agreed(path))


def _transfer(there: World, action: Transfer) -> None:
    _bring(there, action.source, action.path, action.seen, action.expected, action.executable)


def _touch(there: World, action: Touch) -> None:
    node = _check(there, action.side, action.path, action.expected)
    assert node is not None
    if action.mtime_ns is not None:
        node = replace(node, mtime_ns=action.mtime_ns)
    if action.executable is not None:
        node = replace(node, executable=action.executable)
    _install(there, action.side, action.path, node)
    here, seen = entry_of(there.sides[action.side][action.path]), action.seen
    pair = (here, seen) if action.side is Side.LOCAL else (seen, here)
    _remember(there, action.path, agreement(*pair))


def _make(there: World, side: Side, path: RelPath, replaces: Entry | None) -> None:
    _parent(there, side, path)
    if replaces is not None:
        _throw_away(there, side, path, replaces)
    node = there.sides[side].get(path)
    if node is not None and node.kind is not Kind.DIRECTORY:
        raise Stale(path)
    if node is None:
        _install(there, side, path, Node(Kind.DIRECTORY))
    _remember(there, path, DIRECTORY)


def _remove(there: World, side: Side, path: RelPath) -> None:
    nodes = there.sides[side]
    if path in nodes and nodes[path].kind is not Kind.DIRECTORY:
        raise Stale(path)
    if any(paths.is_below(p, path) for p in nodes):
        raise Stale(path)
    nodes.pop(path, None)


def _rename(there: World, side: Side, origin: RelPath, path: RelPath, expected: Entry) -> Node:
    nodes = there.sides[side]
    node = _check(there, side, origin, expected)
    assert node is not None
    _parent(there, side, path)
    if path in nodes:
        raise Stale(path)
    for old in [p for p in nodes if p == origin or paths.is_below(p, origin)]:
        nodes[path + old[len(origin) :]] = nodes.pop(old)
    return _install(there, side, path, node)


def _move(there: World, action: Move) -> None:
    node = _rename(there, action.side, action.origin, action.path, action.expected)
    if action.respells:
        if action.known:
            _relocate(there, action.known, action.path)
        return
    if node.kind is Kind.DIRECTORY:
        _relocate(there, action.origin, action.path)
        for adopt in action.below:
            _remember(there, adopt.path, agreement(adopt.local, adopt.remote))
        return
    _drop(there, action.origin)
    here = replace(entry_of(node), digest=action.expected.digest)
    pair = (here, action.seen) if action.side is Side.LOCAL else (action.seen, here)
    _remember(there, action.path, agreement(*pair))


def _keep_both(there: World, action: KeepBoth) -> None:
    _rename(there, action.loser, action.path, action.copy, action.lost)
    if action.winner.kind is Kind.DIRECTORY:
        _make(there, action.loser, action.path, None)
    else:
        _bring(there, action.loser.other, action.path, action.winner, None, action.winner.executable)
    if not action.one_way:
        lost = entry_of(there.sides[action.loser][action.copy])
        _bring(there, action.loser, action.copy, lost, None, lost.executable)


# The base


def _remember(there: World, path: RelPath, row: BaseEntry) -> None:
    there.base[path] = row
    there.seals.pop(paths.split(path)[0], None)


def _relocate(there: World, origin: RelPath, path: RelPath) -> None:
    for old in [p for p in there.base if p == origin or paths.is_below(p, origin)]:
        _void(there, old)
        _remember(there, path + old[len(origin) :], there.base.pop(old))


def _drop(there: World, path: RelPath) -> None:
    for old in [p for p in there.base if p == path or paths.is_below(p, path)]:
        del there.base[old]
        _void(there, old)
    _void(there, path)


def _void(there: World, path: RelPath) -> None:
    """Whatever is recorded about a name voids its directory's fingerprints, and its own."""
    there.seals.pop(path, None)
    there.seals.pop(paths.split(path)[0], None)


# Rounds


def round_of(
    there: World,
    policy: Policy = KEEP,
    dice: Random | None = None,
    failing: float = 0.0,
    *,
    shortcuts: bool = False,
) -> tuple[Action, ...]:
    """One run; returns what was planned."""
    found = findings(there, policy, shortcuts=shortcuts)
    todo = planned(there, found, policy)
    apply(there, todo.actions, dice, failing)
    for path, local, remote in found.agreed_directories:
        if local is not None and remote is not None:
            there.seals[path] = (local, remote)
    return todo.actions


def until_quiet(there: World, policy: Policy = KEEP, *, rounds: int = 4) -> int:
    """Run until nothing is planned; how many runs that took. Fails after `rounds`."""
    for count in range(rounds):
        if not round_of(there, policy):
            return count
    raise AssertionError(f"still something to do after {rounds} runs: {findings(there, policy).actions}")
