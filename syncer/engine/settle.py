"""Settle time: files younger than it may still be written to, and wait for a later run.

Pure. Age is that of the mtime, against the clock of this machine, and only where the file system is one of
this machine: what a service shows was complete when it was put there, and its clock is another. A time in
the future is no age at all: no wait would help that. Renames are not held, since what was renamed is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from syncer.engine import paths
from syncer.engine.model import (
    Action,
    Delete,
    Entry,
    KeepBoth,
    Kind,
    RelPath,
    RemoveDirectory,
    Side,
    Transfer,
)


def sort_out(
    actions: Sequence[Action], near: Collection[Side], now_ns: int, settle_ns: int
) -> tuple[list[Action], list[Action], int]:
    """The actions without those that would read a young file; these; ns until all may be read.

    `near` are the sides whose files are this machine's. What makes room for a file that waits, waits too.
    """
    waits: dict[RelPath, int] = {}
    for action in actions:
        for side, entry in _reads(action):
            left = _young(entry, now_ns, settle_ns) if side in near else 0
            if left:
                waits[action.path] = max(left, waits.get(action.path, 0))
    if not waits:
        return list(actions), [], 0
    left_out = [a for a in actions if _waits(a, waits)]
    gone = set(map(id, left_out))
    return [a for a in actions if id(a) not in gone], left_out, max(waits.values())


def _reads(action: Action) -> Iterator[tuple[Side, Entry]]:
    match action:
        case Transfer():
            yield action.source, action.seen
        case KeepBoth():
            yield action.loser, action.lost
            yield action.loser.other, action.winner
        case _:
            return


def _young(entry: Entry, now_ns: int, settle_ns: int) -> int:
    """How long until it is old enough; 0 if it is."""
    if entry.kind is not Kind.FILE or entry.mtime_ns is None or entry.mtime_ns > now_ns:
        return 0
    return max(0, entry.mtime_ns + settle_ns - now_ns)


def _waits(action: Action, waits: Collection[RelPath]) -> bool:
    if action.path in waits:
        return isinstance(action, Transfer | KeepBoth) or _clears(action)
    return _clears(action) and any(up in waits for up in paths.upwards(action.path))


def _clears(action: Action) -> bool:
    return isinstance(action, Delete | RemoveDirectory) and action.clearing
