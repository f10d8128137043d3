"""Notification events of a job (conflict, error, guard, stale), and their deduplication.

Pure: the result of a run, or the status of a job, comes in; events come out, each once. Nothing is stored on
disk: a restarted daemon reports again what still holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from syncer.daemon.status import AHEAD, JobStatus
from syncer.engine.model import Failed
from syncer.engine.report import ConflictReport, Resolution, RunReport
from syncer.errors import (
    Busy,
    ChangedUnderUs,
    GuardTripped,
    Interrupted,
    PreconditionFailed,
    SyncerError,
    TransientError,
)
from syncer.formatting import counted, show_duration
from syncer.jobs.descriptions import CHOOSE, conflict_cause, conflict_outcome
from syncer.jobs.results import JobResult


class EventKind(Enum):
    """The kinds of events that hooks can be configured for."""

    CONFLICT = "conflict"
    ERROR = "error"
    GUARD = "guard"
    STALE = "stale"

    @property
    def key(self) -> str:
        """The key of the config, such as `on_conflict`."""
        return f"on_{self.value}"


_OF_RUNS = (EventKind.CONFLICT, EventKind.ERROR, EventKind.GUARD)
_RUN_FAILED = "run "  # prefix of the keys of errors that ended a run; any run that completes clears them


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Of events of one kind with the same key only the first is reported, until it is over."""

    event: EventKind
    key: str
    paths: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""


class EventDeduplicator:
    """Remembers which events of one job were reported already."""

    def __init__(self) -> None:
        self._reported: dict[EventKind, set[str]] = {event: set() for event in EventKind}

    def of_run(self, result: JobResult, *, whole: bool) -> tuple[Event, ...]:
        """The events of a run that were not reported yet.

        `whole`: the run scanned everything, so that events which it does not repeat are over. A partial run,
        or one that failed, says nothing about other places.
        """
        found = events_of(result)
        if result.report is not None:
            seen = {(event.event, event.key) for event in found}
            for event in _OF_RUNS:
                self._reported[event] = {
                    key
                    for key in self._reported[event]
                    if (event, key) in seen or not (whole or key.startswith(_RUN_FAILED))
                }
        return self._new(found)

    def of_status(self, status: JobStatus, *, began: float, now: float) -> tuple[Event, ...]:
        """A stale event if the last success became too old. `began`: when the daemon started the job."""
        found = stale(status, began=began, now=now)
        if not found:
            self._reported[EventKind.STALE].clear()
        return self._new(found)

    def _new(self, found: Iterable[Event]) -> tuple[Event, ...]:
        fresh = []
        for event in found:
            if event.key not in self._reported[event.event]:
                self._reported[event.event].add(event.key)
                fresh.append(event)
        return tuple(fresh)


def events_of(result: JobResult) -> tuple[Event, ...]:
    """All events of a run, reported before or not."""
    if result.error is not None:
        return _of_error(result.error)
    if result.report is None:
        return ()
    report = result.report
    # One event per guard and side: more paths under the same guard are no new event.
    holds = [
        Event(
            event=EventKind.GUARD,
            key=f"{hold.guard} {hold.side.value}",
            paths=hold.paths,
            message=hold.message,
            hint=hold.hint,
        )
        for hold in report.holds
    ]
    return (*map(_of_conflict, report.conflicts), *holds, *_of_failures(report))


def stale(status: JobStatus, *, began: float, now: float) -> tuple[Event, ...]:
    """A stale event if the last success is older than `max_age`; a job without one counts from `began`."""
    if status.max_age is None:
        return ()
    age = now - (began if status.last_success is None else status.last_success)
    ahead = status.last_success is not None and -age > AHEAD
    if age <= status.max_age and not ahead:
        return ()
    what = "never succeeded" if status.last_success is None else "had its last success"
    ago = "" if status.last_success is None else f" {show_duration(int(max(age, 0.0)))} ago"
    ago = " in the future: the clock was set back since" if ahead else ago
    message = f"{status.job} {what}{ago} (max_age {show_duration(status.max_age)})"
    if status.message:
        message += f": {status.message}"
    return (Event(event=EventKind.STALE, key="", message=message, hint=status.hint),)


def _of_error(error: SyncerError) -> tuple[Event, ...]:
    """The event of an error that ended a run; a stop and a concurrent run are none."""
    if isinstance(error, Interrupted | Busy):
        return ()
    event = EventKind.GUARD if isinstance(error, GuardTripped) else EventKind.ERROR
    paths = (error.path,) if error.path else ()
    key = _RUN_FAILED + error.code
    return (Event(event=event, key=key, paths=paths, message=error.message, hint=error.hint),)


def _of_conflict(report: ConflictReport) -> Event:
    message = f"{conflict_cause(report)}; {conflict_outcome(report)}"
    # An open conflict stays the same however often the file is edited; a resolved one is new per version.
    key, hint = report.path, CHOOSE
    if report.resolution is not Resolution.ASKED:
        versions = [f"{entry.size} {entry.mtime_ns}" for entry in (report.local, report.remote)]
        key, hint = "\0".join((report.path, report.copy, *versions)), ""
    return Event(event=EventKind.CONFLICT, key=key, paths=(report.path,), message=message, hint=hint)


# Retried automatically: a timeout, a file that is being written. If they last, the job becomes stale.
_TRANSIENT = (TransientError, ChangedUnderUs, PreconditionFailed)


def _of_failures(report: RunReport) -> tuple[Event, ...]:
    """Failures that will not pass by themselves: one event per kind of error."""
    by_code: dict[str, list[tuple[str, SyncerError]]] = {}
    for failure in report.failures:
        if isinstance(failure.outcome, Failed) and not isinstance(failure.outcome.error, _TRANSIENT):
            error = failure.outcome.error
            by_code.setdefault(error.code, []).append((failure.action.path, error))
    return tuple(
        Event(
            event=EventKind.ERROR,
            key=code,
            paths=tuple(path for path, _ in group),
            message=f"{counted(len(group), 'item')} failed: {group[0][1].message}",
            hint=group[0][1].hint,
        )
        for code, group in by_code.items()
    )
