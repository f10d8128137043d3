"""What a run's end means for the next one: when is it tried again, and which paths singly. Pure."""

from __future__ import annotations

from syncer.daemon.schedule import FIRST_JOB, MANY_PATHS, Ending
from syncer.engine.model import RelPath, Trouble
from syncer.engine.report import RunReport
from syncer.errors import (
    AuthError,
    Busy,
    ConfigError,
    GuardTripped,
    Interrupted,
    NoCommonVersion,
    SyncerError,
)
from syncer.jobs.results import JobResult

_BUSY = 2.0  # seconds: somebody syncs by hand
_GUARD = 60.0  # a disk may be mounted again at any time
_UPDATE = 3600.0  # a server of another version is heard by the ear, which asks it now and then
_PERSON = 60.0  # where nothing will get better before somebody does something


def ending_of(result: JobResult) -> Ending:
    """A failure of the whole run, or the paths that failed in it."""
    if result.error is not None:
        return _broken_off(result.error)
    report = result.report or RunReport()
    failed = frozenset(_failed(report))
    if len(failed) > MANY_PATHS:
        return Ending(delay=FIRST_JOB)
    settles = report.settles_ns / 1e9
    if len(report.young) > MANY_PATHS:
        return Ending(delay=max(settles, FIRST_JOB), steady=True)
    return Ending(paths=failed, young=frozenset(report.young), settles=settles, settled=report.judged)


def _broken_off(error: SyncerError) -> Ending:
    match error:
        case Interrupted():
            return Ending(broken_off=True)
        case Busy():
            return Ending(delay=_BUSY, steady=True)
        case GuardTripped():
            return Ending(delay=_GUARD, steady=True)
        case NoCommonVersion():
            return Ending(delay=_UPDATE, steady=True)
        case AuthError() | ConfigError():
            return Ending(delay=_PERSON)
        case _:
            return Ending(delay=FIRST_JOB)


def _failed(report: RunReport) -> list[RelPath]:
    """What was not done, and what could not be looked at because it was changing."""
    busy = [p.path for p in report.problems if p.code == Trouble.BUSY.value]
    return [a.action.path for a in report.failures] + busy
