"""Texts for people about actions and conflicts, shared by the command line and the daemon's events.

Paths are as they are: who prints a text makes it printable. The reasons of actions are in `engine.explain`.
"""

from __future__ import annotations

from typing import Final

from syncer.engine.model import Action, KeepBoth, Move, Reason
from syncer.engine.report import ConflictReport, Resolution
from syncer.jobs import results

ACTION_LABELS: Final = {
    "upload": "upload",
    "download": "download",
    "delete-local": "delete here",
    "delete-remote": "delete there",
    "move-local": "move here",
    "move-remote": "move there",
    "mkdir-local": "make dir here",
    "mkdir-remote": "make dir there",
    "keep-both": "keep both",
    "adopt": "adopt",
    "forget": "forget",
}
CHOOSE: Final = "choose with: syncer conflicts resolve"


def label(action: Action) -> str:
    """What an action does: `delete there`."""
    return ACTION_LABELS[results.name_of(action)]


def paths(action: Action) -> str:
    """The path of an action; both paths of a move and of a keep-both."""
    if isinstance(action, Move):
        return f"{action.origin} → {action.path}"
    if isinstance(action, KeepBoth):
        return f"{action.path} and {action.copy}"
    return action.path


def conflict_cause(report: ConflictReport) -> str:
    """What happened on both sides, after the path: `changed on both sides`."""
    match report.reason:
        case Reason.BOTH_NEW:
            return "is new on both sides with different content"
        case Reason.KIND_CLASH:
            return "is a file on one side and a directory on the other"
        case _:
            return "changed on both sides"


def conflict_outcome(report: ConflictReport) -> str:
    """Where both contents are now: `both are kept, one of them as a.sync-conflict-….txt`."""
    match report.resolution:
        case Resolution.ASKED:
            return "nothing was touched"
        case Resolution.KEPT_BOTH:
            return f"both are kept, one of them as {report.copy}"
        case Resolution.LOCAL_WON | Resolution.REMOTE_WON:
            return f"the {report.resolution.value} version won, the other is in the trash"
