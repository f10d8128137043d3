"""Is this the root that the memory speaks of? Decisions over values, no I/O.

A pair's memory holds the marker and the file system of both roots as they were at its
first run. Whatever else is found later refuses the whole job before anything is
looked at below the root; the refusal goes when its cause does. Emptied roots and mass
deletions are judged in `guards`, from the listings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from syncer.engine.model import Side
from syncer.engine.ports import Memory, RootState
from syncer.errors import GuardTripped

MISSING = "root-missing"
REPLACED = "root-replaced"
UNMARKED = "unmarked"  # what the memory has for a source that nothing can be written to
_MERGES = "which merges both sides as if for the first time and deletes nothing"
_ACCEPT = f"bring the old one back, or accept this one: run sync once with --yes, {_MERGES}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """One root as the memory knows it; an empty marker means that it never saw one.

    `folder` is what tells the very directory, "" where nothing does.
    """

    marker: str = ""
    device: str = ""
    folder: str = ""


def remembered(memory: Memory, side: Side) -> Remembered:
    """What the memory says of one side's root."""
    return Remembered(
        marker=memory.setting(f"{side.value}_root"),
        device=memory.setting(f"{side.value}_device"),
        folder=memory.setting(f"{side.value}_folder"),
    )


def remember(memory: Memory, local: RootState, remote: RootState) -> None:
    """Bind the memory to these two roots."""
    memory.set(
        local_root=local.marker,
        local_device=local.device,
        remote_root=remote.marker,
        remote_device=remote.device,
        local_folder=local.folder,
        remote_folder=remote.folder,
    )


def remember_folders(memory: Memory, found: Mapping[Side, RootState]) -> None:
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
    known: Remembered, seen: RootState | None, names: Collection[str], memory: Memory
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
    """Whether the marker at a root is the one that the memory has of it.

    A source that could not be marked may have been marked since by another machine: that tells nothing.
    """
    return known in (seen, UNMARKED)


def refusal(
    side: Side, known: Remembered, seen: RootState | None, where: str, *, remakable: bool = False
) -> GuardTripped | None:
    """Why a root that the memory knows must not be synced; None if it is the same as ever.

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
