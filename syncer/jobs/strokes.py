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


class Strokes:
    """What the runs of one job deleted lately. Times are monotonic seconds, going up."""

    def __init__(self) -> None:
        self._gone: dict[Side, dict[RelPath, float]] = {side: {} for side in Side}

    def lately(self, now: float) -> dict[Side, int]:
        """How many entries of each side were deleted within the time of a stroke and did not come back."""
        for side, gone in self._gone.items():
            self._gone[side] = {path: at for path, at in gone.items() if at >= now - STROKE}
        return {side: len(gone) for side, gone in self._gone.items()}

    def remember(self, report: RunReport | None, now: float) -> None:
        """A run's end; also of one that was broken off: what it deleted is gone."""
        for action in (a.action for a in report.actions if isinstance(a.outcome, Done)) if report else ():
            if isinstance(action, Delete | RemoveDirectory):
                self._gone[action.side][action.path] = now
            for side, path in _made(action):
                self._gone[side].pop(path, None)


def _made(action: Action) -> Iterator[tuple[Side, RelPath]]:
    """What stands somewhere by this action."""
    match action:
        case Transfer():
            yield action.source.other, action.path
        case MakeDirectory() | Move():
            yield action.side, action.path
        case _:
            return
