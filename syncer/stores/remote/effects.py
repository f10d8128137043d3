"""Did a change take effect? Asked after a lost reply, before anything is sent again.

A request that got no reply may have been carried out or not. Repeating a delete, a rename or an upload
blindly could change what another client put there in the meantime, so a look decides: these functions get
what is seen at the path and return the outcome if the change is there, None if it has to be sent (again).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from syncer.engine.interfaces import RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Kind, Outcome, Seen
from syncer.errors import TransientError

MOVE_ATTEMPTS = 3
ResultT = TypeVar("ResultT")


def was_deleted(seen: Seen) -> Outcome | None:
    """Done if nothing is there: a name that is gone needs no second delete, whoever deleted it."""
    return Done() if seen is None else None


def was_made(seen: Seen) -> Outcome | None:
    """Done if a directory is there."""
    return Done(entry=seen) if isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY else None


def was_renamed(item: RenameRequest, *, origin: Seen, target: Seen) -> Outcome | None:
    """Done if the origin is gone and an item of the same kind and size is at the target.

    The entry is untrusted: a rename may change the version, so the next run reads the content once.
    """
    if origin is not None or not isinstance(target, Entry):
        return None
    if target.kind is not item.expected.kind or target.size != item.expected.size:
        return None
    return Done(entry=replace(target, trusted=False))


def was_amended(item: SetAttributesRequest, seen: Seen) -> Outcome | None:
    """Done if size, time and permission are as requested; untrusted, so that the content is read again."""
    if not isinstance(seen, Entry) or seen.size != item.expected.size:
        return None
    as_requested = item.mtime_ns in (None, seen.mtime_ns) and item.executable in (None, seen.executable)
    return Done(entry=replace(seen, trusted=False)) if as_requested else None


def move_once(
    move: Callable[[], ResultT], *, origin: Callable[[], object], target: Callable[[], object]
) -> ResultT | None:
    """Move an item; after a lost reply `origin` and `target` look whether it took effect. None: it did.

    It is sent again only if the item still is at its origin and nothing is at the target: then the request
    was not carried out, and a repetition cannot hit another item. `origin` and `target` return None if
    nothing is there. Raises what `move` raises; after a TransientError it is unknown where the item is.
    """
    for attempt in range(MOVE_ATTEMPTS):
        try:
            return move()
        except TransientError:
            at_origin, at_target = origin(), target()
            if at_origin is None and at_target is not None:
                return None
            if at_origin is None or at_target is not None or attempt + 1 == MOVE_ATTEMPTS:
                raise
    raise AssertionError("unreachable")
