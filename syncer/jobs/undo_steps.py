"""The steps of an undo: the history of a run read backwards, each action turned into its inverse.

Pure. Only what a run did to a folder here can be taken back, since only such a folder has a trash that we
read. What touched times and modes alone took nothing away, nor did keeping both of two contents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from syncer.engine.interfaces import BaseStore, DeleteRequest, MkdirRequest, RenameRequest
from syncer.engine.model import (
    BlockedEntry,
    Done,
    Entry,
    Kind,
    Outcome,
    Reason,
    RelPath,
    Seen,
    Side,
    Stale,
)
from syncer.engine.paths import fold, is_below, join, printable, split
from syncer.errors import NotFound, StoreError
from syncer.jobs import recording
from syncer.jobs.recording import FOLDER
from syncer.state import HistoryEntry
from syncer.stores.local.store import FolderStore
from syncer.stores.local.trash import Kept

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
class UndoStep:
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


def steps(past: Past) -> Iterator[UndoStep]:
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


def _inverse(past: Past, row: HistoryEntry) -> Iterator[UndoStep]:
    match row.action:
        case "upload" | "download" if row.reason != _TOUCHED:
            yield _untransfer(past, row, Side.REMOTE if row.action == "upload" else Side.LOCAL)
        case "delete-local" | "delete-remote":
            yield _undelete(past, row, _side(row))
        case "mkdir-local" | "mkdir-remote":
            side = _side(row)
            yield UndoStep(what=What.UNMAKE, side=side, path=row.path)
            if (side, row.path) in past.kept:  # a file had to make room for it
                yield _put_back(past, row, side, over=False)
        case "move-local" | "move-remote":
            yield UndoStep(
                what=What.RENAME,
                side=_side(row),
                path=row.path,
                origin=row.other,
                size=row.size,
                digest=row.digest,
            )


def _side(row: HistoryEntry) -> Side:
    return Side(row.action.partition("-")[2])


def _untransfer(past: Past, row: HistoryEntry, side: Side) -> UndoStep:
    if (side, row.path) in past.kept:
        return _put_back(past, row, side, over=True)
    if row.reason not in _NEW and not _cleared(past, row.path, side):
        return _lost(row, side, "what it replaced is not in the trash any more")
    obstacle = CHANGED if row.path in past.later else ""
    return UndoStep(
        what=What.REMOVE, side=side, path=row.path, size=row.size, digest=row.digest, obstacle=obstacle
    )


def _cleared(past: Past, path: RelPath, side: Side) -> bool:
    """Whether a directory went from this very path in the run, so that the file was new there."""
    deletion = f"delete-{side.value}"
    return any(r.action == deletion and r.path == path and _is_folder(past, r) for r in past.rows)


def _undelete(past: Past, row: HistoryEntry, side: Side) -> UndoStep:
    if (side, row.path) in past.kept:
        return _put_back(past, row, side, over=False)
    if _is_folder(past, row):
        return UndoStep(what=What.MAKE, side=side, path=row.path)
    return _lost(row, side, "it is not in the trash any more")


def _is_folder(past: Past, row: HistoryEntry) -> bool:
    """By what the history says; one of an older version says it only by what was in it."""
    return row.message == FOLDER or any(
        r.action == row.action and is_below(r.path, row.path) for r in past.rows
    )


def _put_back(past: Past, row: HistoryEntry, side: Side, *, over: bool) -> UndoStep:
    return UndoStep(
        what=What.PUT_BACK,
        side=side,
        path=row.path,
        kept=past.kept[side, row.path],
        size=row.size,
        digest=row.digest,
        over=over,
    )


def _lost(row: HistoryEntry, side: Side, why: str) -> UndoStep:
    return UndoStep(what=What.PUT_BACK, side=side, path=row.path, size=row.size, obstacle=why)


def _elsewhere(step: UndoStep) -> UndoStep:
    why = "it is at a service, whose old versions Syncer cannot read"
    return UndoStep(what=step.what, side=step.side, path=step.path, origin=step.origin, obstacle=why)


def settled(step: UndoStep) -> bool:
    """Whether the step makes its path free for those that come after it."""
    return step.what in (What.REMOVE, What.UNMAKE, What.RENAME)


def row_of(step: UndoStep, *, replaced: bool, digest: bytes | None = None) -> HistoryEntry:
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


# --------------------------------------------------------------------------------
#
# The steps of an undo in one folder: each looks at what is there before it changes anything.
#
# What is to come and what is to go is `undo_steps`'s business. What goes from a name goes to the trash. A
# step is done only where the folder still shows what the run left there: what was edited, made anew or
# replaced since is a person's (or a later run's), and stays.


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended. Not `changed`: there was nothing (any more) to do."""

    outcome: Outcome
    changed: bool = False
    replaced: bool = False  # something stood at the name
    digest: bytes | None = None  # of what stands at the name now


_NOTHING_TO_DO = Ended(Done())
_LEFT = Ended(Stale(message=CHANGED))


class UndoExecutor:
    """Does steps of one kind on one side; `memory` tells what both sides agreed on last."""

    def __init__(self, store: FolderStore, memory: BaseStore) -> None:
        self._store = store
        self._memory = memory

    def foresee(self, step: UndoStep, freed: Collection[RelPath]) -> str:
        """Why the step would not be done, as far as a look tells; "" if it would.

        `freed` are the names that earlier steps will have made free.
        """
        judged: Entry | Ended | None
        match step.what:
            case What.UNMAKE:
                return self._unforeseen(step.path, freed)
            case What.MAKE:
                seen = self._store.stat(step.path)
                return CHANGED if _is_file(seen) and step.path not in freed else ""
            case What.RENAME:
                judged = self._judge_rename(step, freed)
            case What.REMOVE:
                judged = self._judge_removal(step)
            case What.PUT_BACK:
                judged = self._judge(step, None if step.path in freed else self._store.stat(step.path))
        if isinstance(judged, Ended) and isinstance(judged.outcome, Stale):
            return judged.outcome.message
        return ""

    def do(self, steps: Sequence[UndoStep]) -> list[tuple[UndoStep, Ended]]:
        """At least one step, all of one kind; how each ended."""
        match steps[0].what:
            case What.PUT_BACK:
                return self._put_back(steps)
            case What.REMOVE:
                return self._remove(steps)
            case What.MAKE:
                outcomes = self._store.make_directories([MkdirRequest(path=step.path) for step in steps])
            case What.UNMAKE:
                outcomes = self._store.remove_directories([step.path for step in steps])
            case What.RENAME:
                return [(step, self._rename(step)) for step in steps]
        ended = dict(outcomes)
        return [(step, _directory_ended(ended[i])) for i, step in enumerate(steps)]

    # Putting back

    def _put_back(self, steps: Sequence[UndoStep]) -> list[tuple[UndoStep, Ended]]:
        """To a free name out of the trash, over a taken one in exchange for what stands there."""
        ended: dict[int, Ended] = {}
        over: dict[int, tuple[Kept, Entry]] = {}
        for index, step in enumerate(steps):
            assert step.kept is not None  # a step without it has an obstacle
            judged = self._judge(step, self._store.stat(step.path))
            if isinstance(judged, Ended):
                ended[index] = judged
            elif judged is None:
                ended[index] = self._restored(step, step.kept)
            else:
                over[index] = (step.kept, judged)
        if over:
            before = recording.put_back(self._memory)
            recording.remember_put_back(self._memory, [*before, *(steps[number].path for number in over)])
        numbers = list(over)
        for number, outcome in self._store.put_back(list(over.values())):
            digest = outcome.entry.digest if isinstance(outcome, Done) and outcome.entry else None
            ended[numbers[number]] = replace(_ended(outcome), replaced=True, digest=digest)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _judge(self, step: UndoStep, seen: Seen) -> Entry | Ended | None:
        """For a put-back: what may give way (None: the name is free), or how the step ends without one."""
        if seen is None:
            return _LEFT if step.over and step.touched else None
        if isinstance(seen, BlockedEntry):
            return Ended(Stale(message=f"{printable(step.path)}: {seen.message}"))
        known = self._known(step.path, seen)
        if known is None:
            return _LEFT
        if step.earlier is not None and known.digest == step.earlier.digest:
            return _NOTHING_TO_DO  # back already
        return known if step.over and self._is_as_left(step, known) else _LEFT

    def _restored(self, step: UndoStep, kept: Kept) -> Ended:
        ended = _ended(self._store.restore(kept))
        seen = self._store.stat(step.path) if ended.changed else None
        known = self._known(step.path, seen) if isinstance(seen, Entry) else None
        return replace(ended, digest=known.digest if known else None)

    # Taking away

    def _remove(self, steps: Sequence[UndoStep]) -> list[tuple[UndoStep, Ended]]:
        """To the trash, where it still is what the run put there."""
        ended: dict[int, Ended] = {}
        doomed: dict[int, DeleteRequest] = {}
        for index, step in enumerate(steps):
            judged = self._judge_removal(step)
            if isinstance(judged, Ended):
                ended[index] = judged
            else:
                doomed[index] = DeleteRequest(path=step.path, expected=judged)
        numbers = list(doomed)
        for number, outcome in self._store.delete(list(doomed.values())):
            ended[numbers[number]] = _ended(outcome)
        return [(step, ended[index]) for index, step in enumerate(steps)]

    def _judge_removal(self, step: UndoStep) -> Entry | Ended:
        seen = self._store.stat(step.path)
        if seen is None:
            return _NOTHING_TO_DO  # gone already
        known = self._known(step.path, seen)
        if step.earlier is not None or known is None or not self._is_as_left(step, known):
            return _LEFT
        return known

    def _unforeseen(self, path: RelPath, freed: Collection[RelPath]) -> str:
        """Why a directory could not be removed: a file stands there, or something is in it."""
        seen = self._store.stat(path)
        if seen is None:
            return ""
        if not isinstance(seen, Entry) or seen.kind is not Kind.DIRECTORY:
            return CHANGED
        try:
            names = self._store.list(path).entries
        except NotFound:
            return ""
        except StoreError as error:
            return error.message
        return "" if all(join(path, name) in freed for name in names) else CHANGED

    # Names

    def _rename(self, step: UndoStep) -> Ended:
        judged = self._judge_rename(step, ())
        if isinstance(judged, Ended):
            return judged
        rename = RenameRequest(origin=step.path, path=step.origin, expected=judged)
        ((_, outcome),) = self._store.rename([rename])
        return replace(_ended(outcome), digest=judged.digest)

    def _judge_rename(self, step: UndoStep, freed: Collection[RelPath]) -> Entry | Ended:
        """What is to get its old name back, or how the step ends without that."""
        seen = None if step.path in freed else self._store.stat(step.path)
        taken = step.origin not in freed and self._is_taken(step)
        if seen is None:
            if taken:
                return _NOTHING_TO_DO  # back already
            return Ended(Stale(message=f"it is not at {printable(step.path)} any more"))
        if taken or step.earlier is not None or not isinstance(seen, Entry):
            return _LEFT
        if seen.kind is Kind.DIRECTORY:  # with whatever is in it by now
            return _LEFT if step.touched or step.digest else seen
        known = self._known(step.path, seen)
        return known if known is not None and self._is_as_left(step, known) else _LEFT

    # What stands there

    def _is_taken(self, step: UndoStep) -> bool:
        """Whether something has the old name; where the disk folds, not only another spelling of it."""
        if self._store.stat(step.origin) is None:
            return False
        able = self._store.capabilities
        same = [fold(path, case=able.folds_case, form=able.folds_form) for path in (step.origin, step.path)]
        directory, name = split(step.origin)
        return same[0] != same[1] or name in self._store.list(directory).entries

    def _known(self, path: RelPath, seen: Seen) -> Entry | None:
        """A file or symlink with its digest."""
        if not isinstance(seen, Entry) or seen.kind is Kind.DIRECTORY:
            return None
        (known,) = self._store.with_digests([(path, seen)])
        return known if isinstance(known, Entry) and known.digest is not None else None

    def _is_as_left(self, step: UndoStep, known: Entry) -> bool:
        """Whether it is what the run left there, by its content."""
        if step.digest is not None:
            return known.digest == step.digest
        directory, name = split(step.path)
        base = self._memory.rows(directory).get(name)
        if base is None or step.touched or known.kind is not base.kind:
            return False
        return known.size == base.size == step.size and known.digest == base.digest


def _is_file(seen: Seen) -> bool:
    return isinstance(seen, Entry) and seen.kind is not Kind.DIRECTORY


def _ended(outcome: Outcome) -> Ended:
    return Ended(outcome, changed=isinstance(outcome, Done))


def _directory_ended(outcome: Outcome) -> Ended:
    """One that is not empty, or is no directory any more, was changed since."""
    return _LEFT if isinstance(outcome, Stale) else _ended(outcome)
