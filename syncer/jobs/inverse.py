"""What it takes to take a run back: its history read backwards, each action turned into its inverse.

Pure. Only what a run did to a folder here can be taken back, since only such a folder has a trash that we
read. What touched times and modes alone took nothing away, nor did keeping both of two contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from syncer.engine.model import Reason, RelPath, Side
from syncer.engine.paths import is_below
from syncer.jobs.bookkeeping import FOLDER
from syncer.state import HistoryEntry
from syncer.stores.trash import Kept

CHANGED = "changed since that run; left as it is"
UNDONE = "undo"  # reasons in the history of an undo: something stood there, or nothing did
UNDONE_NEW = "undo-new"
_NEW = {Reason.LOCAL_NEW.value, Reason.REMOTE_NEW.value, Reason.EDIT_BEATS_DELETE.value, UNDONE_NEW}
_TOUCHED = Reason.METADATA.value


class What(Enum):
    """The inverse of an action. The values are in `--json`."""

    PUT_BACK = "put-back"
    REMOVE = "remove"
    MAKE = "make-directory"
    UNMAKE = "remove-directory"
    RENAME = "rename-back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to take back on one side. `origin` is where a rename goes back to, `size` what a run put.

    `digest` is that of the content which the run left at `path`: only that may give way. None where the
    history does not have it (of an older version): then what both sides agreed on last has to do.
    `over`: the run put something at `path`, and did not just take away what stood there. `touched`: a later
    run had to do with the path. `earlier` is what an earlier undo of the same run did about this very step.
    `obstacle` says why it cannot be taken back ("" if it can be tried).
    """

    what: What
    side: Side
    path: RelPath
    origin: RelPath = ""
    kept: Kept | None = None
    size: int = 0
    digest: bytes | None = None
    over: bool = True
    touched: bool = False
    earlier: HistoryEntry | None = None
    obstacle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is left of a run: its history, what it took away by side and path, and what later runs touched.

    `undone` are the rows of earlier undos of this run, which may have been broken off.
    """

    rows: Sequence[HistoryEntry]
    kept: Mapping[tuple[Side, RelPath], Kept]
    folders: frozenset[Side]  # the sides that are folders here
    later: frozenset[RelPath] = frozenset()
    undone: Sequence[HistoryEntry] = ()


def steps(past: Past) -> Iterator[Step]:
    """The inverses in the order in which they are to be done: the run backwards."""
    earlier = {_key(row): row for row in past.undone}
    for row in reversed(past.rows):
        if row.result == "done":
            for step in _inverse(past, row):
                known = earlier.get(_key(row_of(step, replaced=False)))
                whole = replace(step, touched=step.path in past.later, earlier=known)
                yield whole if step.side in past.folders else _elsewhere(whole)


def _key(row: HistoryEntry) -> tuple[str, RelPath, RelPath]:
    return row.action, row.path, row.other


def _inverse(past: Past, row: HistoryEntry) -> Iterator[Step]:
    match row.action:
        case "upload" | "download" if row.reason != _TOUCHED:
            yield _untransfer(past, row, Side.REMOTE if row.action == "upload" else Side.LOCAL)
        case "delete-local" | "delete-remote":
            yield _undelete(past, row, _side(row))
        case "mkdir-local" | "mkdir-remote":
            side = _side(row)
            yield Step(what=What.UNMAKE, side=side, path=row.path)
            if (side, row.path) in past.kept:  # a file had to make room for it
                yield _put_back(past, row, side, over=False)
        case "move-local" | "move-remote":
            yield Step(
                what=What.RENAME,
                side=_side(row),
                path=row.path,
                origin=row.other,
                size=row.size,
                digest=row.digest,
            )


def _side(row: HistoryEntry) -> Side:
    return Side(row.action.partition("-")[2])


def _untransfer(past: Past, row: HistoryEntry, side: Side) -> Step:
    if (side, row.path) in past.kept:
        return _put_back(past, row, side, over=True)
    if row.reason not in _NEW and not _cleared(past, row.path, side):
        return _lost(row, side, "what it replaced is not in the trash any more")
    obstacle = CHANGED if row.path in past.later else ""
    return Step(
        what=What.REMOVE, side=side, path=row.path, size=row.size, digest=row.digest, obstacle=obstacle
    )


def _cleared(past: Past, path: RelPath, side: Side) -> bool:
    """Whether a directory went from this very path in the run, so that the file was new there."""
    deletion = f"delete-{side.value}"
    return any(r.action == deletion and r.path == path and _is_folder(past, r) for r in past.rows)


def _undelete(past: Past, row: HistoryEntry, side: Side) -> Step:
    if (side, row.path) in past.kept:
        return _put_back(past, row, side, over=False)
    if _is_folder(past, row):
        return Step(what=What.MAKE, side=side, path=row.path)
    return _lost(row, side, "it is not in the trash any more")


def _is_folder(past: Past, row: HistoryEntry) -> bool:
    """By what the history says; one of an older version says it only by what was in it."""
    return row.message == FOLDER or any(
        r.action == row.action and is_below(r.path, row.path) for r in past.rows
    )


def _put_back(past: Past, row: HistoryEntry, side: Side, *, over: bool) -> Step:
    return Step(
        what=What.PUT_BACK,
        side=side,
        path=row.path,
        kept=past.kept[side, row.path],
        size=row.size,
        digest=row.digest,
        over=over,
    )


def _lost(row: HistoryEntry, side: Side, why: str) -> Step:
    return Step(what=What.PUT_BACK, side=side, path=row.path, size=row.size, obstacle=why)


def _elsewhere(step: Step) -> Step:
    why = "it is at a service, whose old versions Syncer cannot read"
    return Step(what=step.what, side=step.side, path=step.path, origin=step.origin, obstacle=why)


def settled(step: Step) -> bool:
    """Whether the step makes its path free for those that come after it."""
    return step.what in (What.REMOVE, What.UNMAKE, What.RENAME)


def row_of(step: Step, *, replaced: bool, digest: bytes | None = None) -> HistoryEntry:
    """What the history says of a step that was done, in the words of a run: so it can be taken back.

    `digest` is that of the content which stands at the row's path now.
    """
    side = step.side.value
    match step.what:
        case What.PUT_BACK:
            action = "upload" if step.side is Side.REMOTE else "download"
            reason = UNDONE if replaced else UNDONE_NEW
            return HistoryEntry(
                action=action, path=step.path, reason=reason, result="done", size=step.size, digest=digest
            )
        case What.REMOVE:
            return HistoryEntry(
                action=f"delete-{side}", path=step.path, reason=UNDONE, result="done", size=step.size
            )
        case What.UNMAKE:
            return HistoryEntry(
                action=f"delete-{side}", path=step.path, reason=UNDONE, result="done", message=FOLDER
            )
        case What.MAKE:
            return HistoryEntry(action=f"mkdir-{side}", path=step.path, reason=UNDONE, result="done")
        case What.RENAME:
            return HistoryEntry(
                action=f"move-{side}",
                path=step.origin,
                reason=UNDONE,
                result="done",
                other=step.path,
                size=step.size,
                digest=digest,
            )
