"""Sliding window of deletions: a mass deletion spread over several daemon runs still trips the guard.

A path that came back meanwhile is not counted, so switching between two branches, or a build that cleans up
before it starts, does not add up. The guard decides (`engine.guards`); this only counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncer.engine.model import (
    Action,
    Delete,
    Done,
    MakeDirectory,
    Move,
    RelPath,
    RemoveDirectory,
    Side,
    Transfer,
)
from syncer.engine.report import RunReport

STROKE = 600.0
"""The length of the window in seconds."""


class RecentDeletions:
    """The recent deletions of one job. Times are seconds of a monotonic clock, in ascending order."""

    def __init__(self) -> None:
        self._gone: dict[Side, dict[RelPath, float]] = {side: {} for side in Side}
        self._older: dict[Side, dict[RelPath, float]] = {side: {} for side in Side}  # by source

    def lately(self, now: float) -> dict[Side, int]:
        """The number of entries per side that were deleted within the window and did not come back."""
        return _counted(self._gone, now)

    def went_back(self, now: float) -> dict[Side, int]:
        """The number of files per side that became older than the base within the window."""
        return _counted(self._older, now)

    def remember(self, report: RunReport | None, now: float) -> None:
        """Add the deletions of a run, also of one that was interrupted."""
        for action in (a.action for a in report.actions if isinstance(a.outcome, Done)) if report else ():
            if isinstance(action, RemoveDirectory) or (isinstance(action, Delete) and not action.kept):
                self._gone[action.side][action.path] = now
            if isinstance(action, Transfer) and action.goes_back:
                self._older[action.source][action.path] = now
            for side, path in _made(action):
                self._gone[side].pop(path, None)


def _counted(noted: dict[Side, dict[RelPath, float]], now: float) -> dict[Side, int]:
    for side, paths in noted.items():
        noted[side] = {path: at for path, at in paths.items() if at >= now - STROKE}
    return {side: len(paths) for side, paths in noted.items()}


def _made(action: Action) -> Iterator[tuple[Side, RelPath]]:
    """The paths that exist because of this action."""
    match action:
        case Transfer():
            yield action.source.other, action.path
        case MakeDirectory() | Move():
            yield action.side, action.path
        case _:
            return
