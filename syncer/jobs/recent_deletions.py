"""Deletions of one stroke: an `rm -rf` that takes several of the daemon's runs counts as one for the guard.

What came back meanwhile is not counted, so a switch to and fro between two branches, or a build that clears
up before itself, does not add up. Decides nothing: the guard does.
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
"""Seconds for which deletions count together."""


class RecentDeletions:
    """What the runs of one job deleted lately. Times are monotonic seconds, going up."""

    def __init__(self) -> None:
        self._gone: dict[Side, dict[RelPath, float]] = {side: {} for side in Side}
        self._older: dict[Side, dict[RelPath, float]] = {side: {} for side in Side}  # by source

    def lately(self, now: float) -> dict[Side, int]:
        """How many entries of each side were deleted within the time of a stroke and did not come back."""
        return _counted(self._gone, now)

    def went_back(self, now: float) -> dict[Side, int]:
        """How many files of each side became older than agreed within that time, and were followed."""
        return _counted(self._older, now)

    def remember(self, report: RunReport | None, now: float) -> None:
        """A run's end; also of one that was broken off: what it deleted is gone."""
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
    """What stands somewhere by this action."""
    match action:
        case Transfer():
            yield action.source.other, action.path
        case MakeDirectory() | Move():
            yield action.side, action.path
        case _:
            return
