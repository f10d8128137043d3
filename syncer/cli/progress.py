"""Progress of a run: a line per action on stdout, and bars on stderr where that is a terminal.

Reporters are called by several threads; they stop the run at a signal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from syncer.cli import text_output
from syncer.cli.common import CliContext
from syncer.engine.model import Action, Done, Failed, Outcome, Side
from syncer.jobs import results
from syncer.jobs.cancellation import CancelToken

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_REDRAW = 0.05  # seconds
_MANY = 500  # transfers; of more only the bar is shown, unless -v


class LineReporter:
    """`engine.interfaces.Reporter` that prints a line for each action; with -q only those that failed."""

    def __init__(self, session: CliContext, stop: CancelToken) -> None:
        self._session = session
        self._stop = stop

    def scanning(self, directories: int) -> None:
        self._stop.check()

    def transferring(self, files: int, size: int) -> None:
        self._stop.check()

    def finished(self, action: Action, outcome: Outcome) -> None:
        if results.loud(action) and self._is_shown(outcome):
            self._print(text_output.action(action, outcome))
        self._stop.check()

    def moved(self, side: Side, size: int) -> None:
        self._stop.check()

    def _is_shown(self, outcome: Outcome) -> bool:
        return not self._session.quiet or isinstance(outcome, Failed)

    def _print(self, line: str) -> None:
        self._session.report(line)


class BarReporter(LineReporter):
    """Prints the lines above a progress bar for the scan, then for the transferred bytes."""

    def __init__(self, session: CliContext, stop: CancelToken, progress: Progress, title: str) -> None:
        super().__init__(session, stop)
        self._progress = progress
        self._lock = threading.Lock()
        self._scanned = 0
        self._crossed = 0
        self._drawn = 0.0
        self._many = False
        self._title = title
        self._task: TaskID = progress.add_task(f"{title}: looking", total=None)

    def scanning(self, directories: int) -> None:
        with self._lock:
            self._scanned += directories
        if self._due():
            text = f"{self._title}: looking, {self._scanned:,} directories"
            self._progress.update(self._task, description=text)
        super().scanning(directories)

    def transferring(self, files: int, size: int) -> None:
        self._many = files > _MANY
        text = f"{self._title}: {files:,} files"
        self._progress.update(self._task, description=text, total=size or None, completed=0)
        super().transferring(files, size)

    def moved(self, side: Side, size: int) -> None:
        with self._lock:
            self._crossed += size
        if self._due():
            self._progress.update(self._task, completed=self._crossed)
        super().moved(side, size)

    def _due(self) -> bool:
        """Whether to draw the bar again: drawing takes longer than the transfer of a small file."""
        now = time.monotonic()
        with self._lock:
            due = now - self._drawn >= _REDRAW
            self._drawn = now if due else self._drawn
        return due

    def _is_shown(self, outcome: Outcome) -> bool:
        return not self._many or not isinstance(outcome, Done) or self._session.verbose > 0

    def _print(self, line: str) -> None:
        if sys.stdout.isatty():  # the same terminal: above the bars, which rich draws again below
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            super()._print(line)


@contextmanager
def progress_reporter(session: CliContext, stop: CancelToken, title: str) -> Iterator[LineReporter]:
    """A reporter for a run: with a progress bar if stderr is a terminal."""
    if session.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield LineReporter(session, stop)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),  # rich follows NO_COLOR
        transient=True,
    ) as progress:
        yield BarReporter(session, stop, progress, title)
