"""What a running daemon adds to `status`: asked once, told in lines for people.

A daemon that does not answer is no reason to hide what the ledger knows: it is told, and left at that.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from syncer import __version__
from syncer.cli.documents import Document
from syncer.cli.wordings import moment
from syncer.daemon.client import connect
from syncer.daemon.pausing import paused
from syncer.daemon.standing import DaemonStanding, JobStanding, Phase, Progress
from syncer.engine.paths import printable
from syncer.errors import SyncerError
from syncer.units import show_duration, show_size
from syncer.wording import counted

_SHOWN = 10  # paths of a kind
_BAR = 20  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What there is to know now. `standing` is None where no daemon runs, or where it did not answer."""

    standing: DaemonStanding | None = None
    pid: int = 0
    error: SyncerError | None = None  # why it did not answer
    paused: frozenset[str] = frozenset()  # by the mark that a daemon honours
    unmarked: SyncerError | None = None  # why that is not known

    def of(self, job: str) -> JobStanding | None:
        """The daemon's word on a job, None if there is no daemon or the job is not its own."""
        jobs = self.standing.jobs if self.standing else ()
        return next((one for one in jobs if one.job == job), None)

    def document(self) -> Document | None:
        """The daemon itself, for `--json`."""
        if self.standing:
            told = self.standing
            return {"pid": told.pid, "started": told.started, "version": told.version}
        if self.error:
            return {"pid": self.pid, "started": None, "version": None, "error": self.error.message}
        return None

    def lines(self, now: float) -> Iterator[str]:
        """The daemon itself, for people; nothing where there is none. `now` in seconds since 1970."""
        if self.standing:
            told = self.standing
            since = f"{moment(int(told.started * 1e9))} ({_span(now - told.started)})"
            yield f"daemon: process {told.pid}, since {since}, version {printable(told.version)}"
            if told.version != __version__:
                yield f"  this program is version {__version__}: restart the daemon"


def look(state_dir: Path, *, patience: float = 3.0) -> Live:
    """Asks the daemon of a state directory, if one runs."""
    now = Live()
    try:
        now = replace(now, paused=paused(state_dir))
    except SyncerError as error:
        now = replace(now, unmarked=error)
    try:
        client = connect(state_dir, patience=patience)
        if client is None:
            return now
        now = replace(now, pid=client.pid)
        return replace(now, standing=client.standing())
    except SyncerError as error:
        return replace(now, error=error)


def job_lines(job: JobStanding, now: float) -> Iterator[str]:
    """What a job of the daemon does, what waits, what to do about it."""
    yield f"  {_doing(job, now)}"
    if job.phase is not Phase.RUNNING and job.waiting:
        yield f"  waits: {counted(job.waiting, 'place')} to be looked at"
    watches = [
        f"{side} by {how}" for side, how in (("here", job.local_watch), ("there", job.remote_watch)) if how
    ]
    if watches:
        yield f"  watches: {', '.join(map(printable, watches))}"
    yield from (f"  tried again later: {printable(path)}" for path in job.retries[:_SHOWN])
    if len(job.retries) > _SHOWN:
        yield f"  and {len(job.retries) - _SHOWN:,} more are tried again later"
    if job.message:
        yield f"  {printable(job.message)}"
    if job.hint:
        yield f"    hint: {printable(job.hint)}"
    yield from (f"  note: {printable(note)}" for note in job.notes)


def marked(job: str) -> str:
    """The line for a job that is paused while no daemon runs."""
    return f"  paused: a daemon will not run it until: syncer resume {shlex.quote(job)}"


def _doing(job: JobStanding, now: float) -> str:
    ago = f", for {_span(now - job.since)}" if job.since else ""
    left = "" if job.next_run is None else _span(job.next_run - now)
    match job.phase:
        case Phase.RUNNING:
            return f"running: {_far(job.progress)}{ago}"
        case Phase.STARTING:
            return "daemon: starts with this job"
        case Phase.GATHERING:
            return "daemon: something happened, waits for quiet"
        case Phase.BACKING_OFF:
            return f"daemon: the last run failed; the next one {f'in {left}' if left else 'comes by itself'}"
        case Phase.HELD:
            return f"daemon: a guard refused{ago}; looks again{f' in {left}' if left else ' by itself'}"
        case Phase.PAUSED:
            return f"daemon: paused{ago}; go on with: syncer resume {shlex.quote(job.job)}"
        case Phase.STOPPED:
            return f"daemon: does not run this job any more{ago}"
        case Phase.IDLE:
            return f"daemon: waits for changes{ago}{f'; looks by itself in {left}' if left else ''}"


def _far(progress: Progress | None) -> str:
    """`120 of 3,400 files, 12.0 MB of 96.0 MB [##------------------] 12%`."""
    if progress is None:
        return "just began"
    if not progress.files:
        return f"looking, {progress.directories:,} directories so far"
    done, all_ = (
        (progress.size_done, progress.size) if progress.size else (progress.files_done, progress.files)
    )
    share = min(1.0, done / all_)
    full = int(share * _BAR)
    files = f"{progress.files_done:,} of {counted(progress.files, 'file')}"
    sizes = f"{show_size(progress.size_done)} of {show_size(progress.size)}"
    return f"{files}, {sizes} [{'#' * full}{'-' * (_BAR - full)}] {int(share * 100)}%"


def _span(seconds: float) -> str:
    return show_duration(max(1, int(seconds)))
