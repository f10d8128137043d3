"""Actions in a few words, so that a table of expectations can be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Forget,
    KeepBoth,
    MakeDirectory,
    Move,
    RemoveDirectory,
    Side,
    Touch,
    Transfer,
)


def brief(action: Action) -> str:
    """What is done where: `upload f`, `mkdir-remote f over file`, `keep-both f local loses`."""
    match action:
        case Transfer():
            verb = "upload" if action.source is Side.LOCAL else "download"
            return f"{verb} {action.path}" + (" over" if action.expected else "")
        case Touch():
            return f"touch-{action.side.value} {action.path}"
        case Delete():
            return f"delete-{action.side.value} {action.path}" + (" clearing" if action.clearing else "")
        case MakeDirectory():
            return f"mkdir-{action.side.value} {action.path}" + (" over" if action.replaces else "")
        case RemoveDirectory():
            return f"rmdir-{action.side.value} {action.path}" + (" clearing" if action.clearing else "")
        case Move():
            return f"move-{action.side.value} {action.origin} to {action.path}"
        case KeepBoth():
            return f"keep-both {action.path} {action.loser.value} loses" + (
                " one-way" if action.one_way else ""
            )
        case Adopt():
            return f"adopt {action.path}" + (" silently" if action.silent else "")
        case Forget():
            return f"forget {action.path}"
        case _:
            assert_never(action)


def briefs(actions: Iterable[Action]) -> list[str]:
    """The actions in a few words each, in their order."""
    return [brief(a) for a in actions]
