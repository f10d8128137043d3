"""Resolve conflicts; list, restore and empty the trash. These are changes by hand between two runs.

Each takes the lock of the job and goes through the local store, so that replaced content is in the trash and
the next run carries the change to the other side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from syncer.config import JobSettings
from syncer.engine import sync
from syncer.engine.interfaces import DeleteRequest, RenameRequest, Store
from syncer.engine.model import Done, Entry, Kind, Reason, RelPath, Side
from syncer.engine.paths import printable
from syncer.errors import UsageError
from syncer.jobs import (
    Environment,
    OpenJob,
    RunOptions,
    conflict_choices,
    factory,
    holding,
    relocation,
    retention,
)
from syncer.jobs.results import message_of
from syncer.state import ConflictSide, OpenConflict
from syncer.stores.local.trash_restore import Trashed

LATER = "the next sync applies it"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictOutcome:
    """The outcome for one conflict. `settled` is False where it stays open; `message` says why or how."""

    path: RelPath
    copy: RelPath
    settled: bool
    message: str


def resolve(
    world: Environment, job: JobSettings, paths: Collection[RelPath], take: str
) -> list[ConflictOutcome]:
    """Resolve the open conflicts whose path or conflict copy is among `paths` (no paths: all of them).

    `take` is "local", "remote" or "both". Raises what `jobs.holding` raises.
    """
    with holding(world, job, RunOptions()) as opened:
        found = [c for c in opened.state.ledger.conflicts() if not paths or set(names(c)) & set(paths)]
        return [_settle(opened, conflict, take) for conflict in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashItem:
    """One item in the trash of one side."""

    side: Side
    thing: Trashed


def trashed(world: Environment, job: JobSettings) -> list[TrashItem]:
    """The items in the trash of both folders, oldest first. Raises StoreError."""
    place = relocation.seen_from_here(world.settings, job)
    with factory.stores(world.settings, job, place, clock=world.clock) as stores:
        return list(_in_trash(stores))


def _in_trash(stores: factory.Stores) -> Iterator[TrashItem]:
    for side, folder in stores.folders.items():
        for thing in folder.trashed() if folder.root() else ():
            yield TrashItem(side=side, thing=thing)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """The outcome of restoring one item to `to`; `failure` is "" if it was restored."""

    side: Side
    path: RelPath
    to: RelPath
    failure: str


def restore(
    world: Environment, job: JobSettings, paths: Collection[RelPath], *, run: str = "", to: RelPath = ""
) -> list[RestoreResult]:
    """Restore the newest version of each path to the side it was taken from (of one run, if named)."""
    with holding(world, job, RunOptions()) as opened:
        found = [
            one for one in _in_trash(opened.stores) if one.thing.path in paths and run in ("", one.thing.run)
        ]
        newest = {one.thing.path: one for one in sorted(found, key=lambda one: one.thing.taken_ns)}
        if to and len(newest) > 1:
            raise UsageError("--to is for one path, and several are named")
        return [_restored(opened, one, to or path) for path, one in newest.items()]


def _restored(opened: OpenJob, one: TrashItem, to: RelPath) -> RestoreResult:
    disks = sync.mounted(opened.pair)[one.side]
    point = disks.absent_above(to)
    if point is not None:  # it would lie beneath the mount point, out of sight as soon as the disk is back
        failure = f"{printable(point)}: {disks.absent[point]}"
        return RestoreResult(side=one.side, path=one.thing.path, to=to, failure=failure)
    folder = opened.stores.folders[one.side]
    outcome = folder.restore(one.thing.kept, to)
    retention.resize(opened.state, one.side, folder)
    return RestoreResult(side=one.side, path=one.thing.path, to=to, failure=message_of(outcome))


def empty(world: Environment, job: JobSettings, *, older_than_ns: int) -> tuple[int, int]:
    """Delete items of the trash that are older; the number of files and bytes deleted."""
    with holding(world, job, RunOptions()) as opened:
        removed = [f.empty_trash(older_than_ns=older_than_ns) for f in opened.stores.folders.values()]
    return sum(files for files, _ in removed), sum(size for _, size in removed)


def names(conflict: OpenConflict) -> list[RelPath]:
    """The paths by which a user may name a conflict: its own and that of its copy."""
    return [name for name in (conflict.path, conflict.copy) if name]


def _settle(opened: OpenJob, conflict: OpenConflict, take: str) -> ConflictOutcome:
    if not conflict.copy:
        conflict_choices.choose(opened.state.memory, [conflict], take)
        return _said(conflict, True, f"{take} is chosen; {LATER}")
    if take == "both":
        return _closed(opened, conflict, "both stay as they are")
    if conflict.reason == Reason.KIND_CLASH.value:
        return _said(conflict, False, "one of them is a directory: rename or delete by hand, or take both")
    wanted, other = conflict.local, conflict.remote
    if take == "remote":
        wanted, other = other, wanted
    return _keep_one(opened, conflict, wanted, other)


def _keep_one(
    opened: OpenJob, conflict: OpenConflict, wanted: ConflictSide, other: ConflictSide
) -> ConflictOutcome:
    """Keep the wanted content at the path and move the other to the trash, if neither was edited."""
    store = opened.stores.local
    named, kept = _file(store, conflict.path), _file(store, conflict.copy)
    if named is None or kept is None:
        return _closed(opened, conflict, "one of the two is gone already")
    if _is(named, wanted) and _is(kept, other):
        return _dropped(opened, conflict, kept)
    if _is(named, other) and _is(kept, wanted):
        return _swapped(opened, conflict, named, kept)
    return _said(conflict, False, "a file was edited since: decide by hand, or take both")


def _dropped(opened: OpenJob, conflict: OpenConflict, kept: Entry) -> ConflictOutcome:
    failure = _delete(opened.stores.local, conflict.copy, kept)
    return (
        _said(conflict, False, failure)
        if failure
        else _closed(opened, conflict, f"the copy is in the trash; {LATER}")
    )


def _swapped(opened: OpenJob, conflict: OpenConflict, named: Entry, kept: Entry) -> ConflictOutcome:
    failure = _delete(opened.stores.local, conflict.path, named)
    if failure:
        return _said(conflict, False, failure)
    rename = RenameRequest(origin=conflict.copy, path=conflict.path, expected=kept)
    ((_, outcome),) = opened.stores.local.rename([rename])
    if not isinstance(outcome, Done):
        return _said(conflict, False, f"the other is in the trash, but: {message_of(outcome)}")
    return _closed(opened, conflict, f"the copy took the name, the other is in the trash; {LATER}")


def _delete(store: Store, path: RelPath, expected: Entry) -> str:
    """Delete a file; the reason of a failure, "" on success."""
    ((_, outcome),) = store.delete([DeleteRequest(path=path, expected=expected)])
    return message_of(outcome)


def _file(store: Store, path: RelPath) -> Entry | None:
    """A file or symlink with its digest, None for anything else."""
    entry = store.stat(path)
    if not isinstance(entry, Entry) or entry.kind is Kind.DIRECTORY:
        return None
    known = next(iter(store.with_digests([(path, entry)])))
    return known if isinstance(known, Entry) else None


def _is(entry: Entry, then: ConflictSide) -> bool:
    if then.digest and entry.digest:
        return entry.digest == then.digest
    return (entry.size, entry.mtime_ns) == (then.size, then.mtime_ns)


def _closed(opened: OpenJob, conflict: OpenConflict, message: str) -> ConflictOutcome:
    opened.state.ledger.settle_conflicts([(conflict.path, conflict.copy)])
    return _said(conflict, True, message)


def _said(conflict: OpenConflict, settled: bool, message: str) -> ConflictOutcome:
    return ConflictOutcome(path=conflict.path, copy=conflict.copy, settled=settled, message=message)
