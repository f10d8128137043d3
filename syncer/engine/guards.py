"""Guards over a finished plan: hold back deletions that look like a missing disk or a mistake.

Pure. Each guard has a name, a threshold and a message, and clears by itself when its
cause is gone. `emptied` refuses the whole job; `mass_delete` keeps back the
deletions of one side and lets everything else go on. Guards over the roots
themselves stand in `engine.guards`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from syncer.engine.interfaces import BaseStore, RootState
from syncer.engine.model import (
    Action,
    BlockReason,
    Delete,
    MaxDelete,
    Policy,
    Problem,
    RelPath,
    RemoveDirectory,
    Side,
    Transfer,
)
from syncer.engine.paths import printable
from syncer.engine.report import Hold
from syncer.errors import GuardTripped

EMPTIED = "emptied"
MASS_DELETE = "mass-delete"
MASS_CHANGE = "mass-change"
MANY_CHANGES = 100  # overwritten files from which on a word is said
WENT_BACK = "went-back"
WENT_BACK_FLOOR = 5  # fewer older contents than this were put back by hand
WENT_BACK_SHARE = 0.75  # of the known files that a side changed
UNMOUNTED = BlockReason.UNMOUNTED.value
EMPTIED_FLOOR = 2  # a single file may vanish without an alarm


def deletions(actions: Sequence[Action], side: Side) -> list[Delete | RemoveDirectory]:
    """What would go from a side, whether for good or to make room for another kind.

    Without second copies: their content stays where it is under another name.
    """
    return [
        a
        for a in actions
        if isinstance(a, RemoveDirectory) or (isinstance(a, Delete) and not a.kept)
        if a.side is side
    ]


def refuse_emptied(
    actions: Sequence[Action],
    emptied: Collection[Side],
    policy: Policy,
    *,
    lately_full: Collection[Side] = frozenset(),
) -> None:
    """Raise GuardTripped if a side shows nothing at all, and the other would follow it into that.

    Of a side that was `lately_full` within this very run it is not even offered to be waved through.
    """
    for side in emptied:
        doomed = [a for a in deletions(actions, side.other) if isinstance(a, Delete)]
        if doomed and side in lately_full:
            raise GuardTripped(
                EMPTIED,
                f"the {side.value} side showed no file, and a moment before or after that it did; "
                "nothing was changed",
                hint="run again; if it goes on, its file system does not list what it holds: look there",
            )
        if policy.allow_deletes:
            continue
        if len(doomed) >= EMPTIED_FLOOR:
            raise GuardTripped(
                EMPTIED,
                f"the {side.value} side is empty, and {len(doomed)} files would be deleted on the other; "
                "nothing was changed",
                hint="put the files back (is a disk not mounted?), or, if you did delete them all, "
                "run once with --yes",
            )


def hold_mass_delete(
    actions: Sequence[Action], known: int, policy: Policy
) -> tuple[list[Action], list[Hold]]:
    """The actions without the deletions of a side on which too many were planned, and what was held."""
    kept = list(actions)
    holds: list[Hold] = []
    if policy.allow_deletes:
        return kept, holds
    for side in Side:
        doomed = deletions(kept, side)
        lately = policy.deleted_lately.get(side, 0) if doomed else 0
        if _too_many(len(doomed) + lately, known + lately, policy.max_delete):
            gone = set(map(id, doomed))
            cleared = {a.path for a in doomed if a.clearing}
            kept = [a for a in kept if id(a) not in gone and not _wants_room(a, side, cleared)]
            holds.append(_hold(side, doomed, known))
    return kept, holds


def hold_went_back(actions: Sequence[Action], known: int, policy: Policy) -> tuple[list[Action], list[Hold]]:
    """The actions without those that follow a side which went back in time, and what was held.

    A folder restored from a backup, or a snapshot rolled back, shows older contents for what was changed
    since, and nothing for what was made since. Where nearly all known files that a side changed became older
    than what was agreed, and there are many, neither those nor that side's deletions replace newer work on
    the other. What is new on it, or newer, still flows.
    """
    kept = list(actions)
    holds: list[Hold] = []
    if policy.allow_deletes:
        return kept, holds
    for side in Side:
        edits = [a for a in kept if isinstance(a, Transfer) and a.source is side and a.expected is not None]
        older = [a for a in edits if a.goes_back and a.path not in policy.meant]
        lately = policy.went_back_lately.get(side, 0) if older else 0
        if not _many_older(len(older) + lately, len(edits) + lately):
            continue
        doomed = deletions(kept, side.other)
        if policy.accepted is not None and len(older) + len(doomed) <= policy.accepted:
            continue
        gone = {id(a) for a in (*older, *doomed)}
        cleared = {a.path for a in doomed if a.clearing}
        kept = [a for a in kept if id(a) not in gone and not _wants_room(a, side.other, cleared)]
        holds.append(_went_back(side, older, doomed, known))
    return kept, holds


def _many_older(older: int, edits: int) -> bool:
    """Edits with dates of all kinds are no journey back: nearly all have to be older."""
    return older >= WENT_BACK_FLOOR and older > WENT_BACK_SHARE * edits


def _went_back(
    side: Side, older: Sequence[Transfer], doomed: Sequence[Delete | RemoveDirectory], known: int
) -> Hold:
    also = f" and {len(doomed)} deleted" if doomed else ""
    return Hold(
        guard=WENT_BACK,
        side=side,
        message=f"{len(older)} of {known} known entries are older on the {side.value} side than agreed, "
        f"as after a restore from a backup; the {side.other.value} side keeps its newer ones, "
        f"{len(older)} would be replaced{also}; everything else was done",
        hint="if the older ones are meant, run once with --yes (the newer ones go to the trash); "
        f"if not, copy the newer ones back from the {side.other.value} side",
        paths=tuple(a.path for a in (*older, *doomed)),
    )


def hold_unmounted(absent: Mapping[Side, Mapping[RelPath, str]]) -> list[Hold]:
    """A word for each mount point below which nothing is done until what was mounted there is back."""
    return [
        Hold(
            guard=UNMOUNTED,
            side=side,
            message=f"{printable(point)} on the {side.value} side: {reason}; "
            "what is known below it waits, and nothing of it is taken for deleted",
            hint="mount it again; or, if what is there now is what you want, run once with --yes, "
            "which deletes on the other side what is missing here",
            paths=(point,),
        )
        for side, points in absent.items()
        for point, reason in points.items()
    ]


def need_known(actions: Sequence[Action]) -> bool:
    """Whether any guard will ask how many entries are known, which takes counting."""
    return len(actions) >= MANY_CHANGES or any(
        isinstance(a, Delete | RemoveDirectory) or (isinstance(a, Transfer) and a.goes_back) for a in actions
    )


def _wants_room(action: Action, side: Side, cleared: Collection[RelPath]) -> bool:
    """Whether the action puts something where a deletion that is held was to make room."""
    return isinstance(action, Transfer) and action.source is not side and action.path in cleared


def warn_mass_change(actions: Sequence[Action], known: int) -> list[Problem]:
    """A word about a run that overwrites most of a side: meant, or a tool (or ransomware) gone wild?"""
    warnings = []
    for side in Side:
        overwritten = sum(
            isinstance(a, Transfer) and a.source is not side and a.expected is not None for a in actions
        )
        if overwritten >= MANY_CHANGES and overwritten > known / 2:
            message = (
                f"{overwritten} of {known} known entries are overwritten on the {side.value} side; "
                "the old versions are in the trash (`syncer trash list`)"
            )
            warnings.append(Problem(path="", side=side, code=MASS_CHANGE, message=message, waits=False))
    return warnings


def _too_many(doomed: int, known: int, limit: MaxDelete) -> bool:
    if limit.count is not None:
        return doomed > limit.count
    if limit.share is None:
        return False
    return doomed >= limit.floor and doomed > limit.share * known


def _hold(side: Side, doomed: Sequence[Delete | RemoveDirectory], known: int) -> Hold:
    return Hold(
        guard=MASS_DELETE,
        side=side,
        message=f"{len(doomed)} of {known} known entries would be deleted on the {side.value} side; "
        "these deletions are held, everything else was done",
        hint=f"look at `syncer status`; if it is meant, run once with --max-delete {len(doomed)} or --yes",
        paths=tuple(a.path for a in doomed),
    )


# -- Root identity: is this root the one in the base? Decisions over values, no I/O --
#
# A pair's memory holds the marker and the file system of both roots as they were at its first run. Whatever
# else is found later refuses the whole job before anything is looked at below the root; the refusal goes
# when its cause does. Emptied roots and mass deletions are judged in `guards`, from the listings.


MISSING = "root-missing"
REPLACED = "root-replaced"
UNMARKED = "unmarked"  # the marker in the base of a source that is read-only
_MERGES = "which merges both sides as if for the first time and deletes nothing"
_ACCEPT = f"bring the old one back, or accept this one: run sync once with --yes, {_MERGES}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One root as the base has it; an empty marker means that there was none.

    `folder` is what tells the very directory, "" where nothing does.
    """

    marker: str = ""
    device: str = ""
    folder: str = ""


def remembered(memory: BaseStore, side: Side) -> Remembered:
    """The root of one side, as stored in the base."""
    return Remembered(
        marker=memory.get_setting(f"{side.value}_root"),
        device=memory.get_setting(f"{side.value}_device"),
        folder=memory.get_setting(f"{side.value}_folder"),
    )


def remember(memory: BaseStore, local: RootState, remote: RootState) -> None:
    """Store the identities of both roots in the base."""
    memory.set(
        local_root=local.marker,
        local_device=local.device,
        remote_root=remote.marker,
        remote_device=remote.device,
        local_folder=local.folder,
        remote_folder=remote.folder,
    )


def remember_folders(memory: BaseStore, found: Mapping[Side, RootState]) -> None:
    """Of two roots that are the known ones: which directories they are, if that is new."""
    new = {
        f"{side.value}_folder": state.folder
        for side, state in found.items()
        if state.folder != remembered(memory, side).folder
    }
    new |= {
        f"{side.value}_device": state.device
        for side, state in found.items()
        if state.device and not remembered(memory, side).device
    }
    if new:
        memory.set(**new)


def lost_its_marker(
    known: Remembered, seen: RootState | None, names: Collection[str], memory: BaseStore
) -> bool:
    """Whether a root without a marker is the very directory that had it: the same one, with the same things.

    Only the marker was removed then (`git clean`, a person who tidies up): nothing is concluded from its
    absence. An inode number may be given to another directory, so at least half of the known `names` must be
    there.
    """
    if seen is None or seen.marker or not known.marker or seen.empty:
        return False
    if not known.folder or known.folder != seen.folder or known.device != seen.device:
        return False
    agreed = memory.rows("")
    return 2 * sum(name in names for name in agreed) >= len(agreed)


def is_first(local: Remembered, remote: Remembered) -> bool:
    """Whether the pair has no past: both roots are taken as they are, and nothing is deleted."""
    return not (local.marker and remote.marker)


def stands_for(known: str, seen: str) -> bool:
    """Whether the marker at a root is the one that the base has of it.

    A source that could not be marked may have been marked since by another machine: that tells nothing.
    """
    return known in (seen, UNMARKED)


def refusal(
    side: Side, known: Remembered, seen: RootState | None, where: str, *, remakable: bool = False
) -> GuardTripped | None:
    """Why a root that the base knows must not be synced; None if it is the same root.

    `where` names the root for people. A file system that names no device on one of the
    two occasions says nothing. `remakable`: a missing one is really gone, and may be made anew on request.
    A folder on a disk is not: the disk may not be mounted.
    """
    if seen is None:
        again = "if it is gone for good, run sync once with --yes: it is made anew"
        never = "it is not made anew, and nothing was changed"
        return GuardTripped(
            MISSING,
            f"the {side.value} root {where} is missing",
            hint=f"bring it back; {again}, {_MERGES}" if remakable else f"mount it or bring it back; {never}",
            path=where,
            acceptable=remakable,
        )
    if not stands_for(known.marker, seen.marker):
        told = "has no root marker any more" if not seen.marker else "is another folder than last time"
        return _replaced(f"the {side.value} root {where} {told}", where)
    if known.marker == UNMARKED and known.folder and seen.folder and known.folder != seen.folder:
        return _replaced(f"the {side.value} root {where} is another folder than last time", where)
    if known.device and seen.device and known.device != seen.device:
        return _replaced(f"the {side.value} root {where} is on another file system than last time", where)
    return None


def _replaced(message: str, where: str) -> GuardTripped:
    return GuardTripped(REPLACED, message, hint=_ACCEPT, path=where, acceptable=True)
