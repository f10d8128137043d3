"""Orders actions safely, and groups those that can run side by side.

Pure. The order: other spellings of names (parents first), what is forgotten or adopted (memory only),
conflict copies, deletions that clear the way for another kind, directories (parents first), renames,
metadata, transfers, deletions, directory removals (children first). Deletes are last: content
arrives before anything else leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from itertools import groupby
from typing import assert_never

from syncer.engine import paths
from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Forget,
    KeepBoth,
    MakeDirectory,
    Move,
    RelPath,
    RemoveDirectory,
    Touch,
    Transfer,
)


class Phase(IntEnum):
    """Everything of one phase is finished before the next begins."""

    SPELLINGS = 0
    FORGET = 1
    ADOPT = 2
    KEEP_BOTH = 3
    CLEAR_FILES = 4
    CLEAR_DIRECTORIES = 5
    DIRECTORIES = 6
    MOVES = 7
    METADATA = 8
    TRANSFERS = 9
    DELETES = 10
    REMOVALS = 11


def phase(action: Action) -> Phase:
    """When in a run the action is done."""
    match action:
        case Forget():
            return Phase.SPELLINGS if action.now else Phase.FORGET
        case Adopt():
            return Phase.ADOPT
        case Delete():
            return Phase.CLEAR_FILES if action.clearing else Phase.DELETES
        case RemoveDirectory():
            return Phase.CLEAR_DIRECTORIES if action.clearing else Phase.REMOVALS
        case MakeDirectory():
            return Phase.DIRECTORIES
        case KeepBoth():
            return Phase.KEEP_BOTH
        case Move():
            return Phase.SPELLINGS if action.respells else Phase.MOVES
        case Touch():
            return Phase.METADATA
        case Transfer():
            return Phase.TRANSFERS
        case _:
            assert_never(action)


def ordered(actions: Iterable[Action]) -> tuple[Action, ...]:
    """The actions in phases; within one in tree order, removals of directories the other way round."""
    by_phase = sorted(actions, key=lambda a: (phase(a), paths.tree_key(_place(a))))
    result: list[Action] = []
    for step, group in groupby(by_phase, key=phase):
        members = list(group)
        upward = step in (Phase.CLEAR_DIRECTORIES, Phase.REMOVALS)
        result += reversed(members) if upward else members
    return tuple(result)


def _place(action: Action) -> RelPath:
    return (action.now or action.path) if isinstance(action, Forget) else action.path


def phases(actions: Sequence[Action]) -> Iterator[tuple[Phase, list[Action]]]:
    """An ordered plan cut into its phases."""
    for step, group in groupby(actions, key=phase):
        yield step, list(group)


def batches(transfers: Sequence[Transfer], *, most: int, size: int) -> Iterator[list[Transfer]]:
    """Transfers to one side, cut so that a kill costs little and a sync pays.

    A batch holds at most `most` files and, unless it is a single one, `size` bytes; within it they
    come directory by directory, the order in which a store reads its sources.
    """
    batch: list[Transfer] = []
    total = 0
    for transfer in transfers:
        if batch and (len(batch) >= most or total + transfer.seen.size > size):
            yield _by_directory(batch)
            batch, total = [], 0
        batch.append(transfer)
        total += transfer.seen.size
    if batch:
        yield _by_directory(batch)


def _by_directory(batch: list[Transfer]) -> list[Transfer]:
    return sorted(batch, key=lambda t: paths.directory_key(t.path))
