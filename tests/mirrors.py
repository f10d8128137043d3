"""Actions as they would be if local and remote were exchanged."""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Forget,
    KeepBoth,
    MakeDirectory,
    Move,
    Reason,
    RemoveDirectory,
    Touch,
    Transfer,
)

_PAIRS = (
    (Reason.LOCAL_CHANGED, Reason.REMOTE_CHANGED),
    (Reason.LOCAL_NEW, Reason.REMOTE_NEW),
    (Reason.LOCAL_DELETED, Reason.REMOTE_DELETED),
)
REASONS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}


def mirrored(action: Action) -> Action:
    """The action on the other side, for the mirrored reason."""
    reason = REASONS.get(action.reason, action.reason)
    match action:
        case Transfer():
            return replace(action, reason=reason, source=action.source.other)
        case Touch() | Delete() | MakeDirectory() | RemoveDirectory():
            return replace(action, reason=reason, side=action.side.other)
        case Move():
            below = tuple(replace(a, local=a.remote, remote=a.local) for a in action.below)
            return replace(action, reason=reason, side=action.side.other, below=below)
        case KeepBoth():
            return replace(action, reason=reason, loser=action.loser.other)
        case Adopt():
            return replace(action, reason=reason, local=action.remote, remote=action.local)
        case Forget():
            return replace(action, reason=reason)
