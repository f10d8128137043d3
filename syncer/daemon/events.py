"""What happens in a job that somebody may want to be told of, and which of it was not told yet.

Pure. A run's result, or how a job stands, comes in; happenings come out, each once. Nothing is kept on
disk: a daemon that is started again tells once more what still is so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from syncer.daemon.status import AHEAD, JobStatus
from syncer.engine.model import Entry, Failed
from syncer.engine.report import ConflictReport, Hold, Resolution, RunReport
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
from syncer.jobs.results import JobResult


class EventKind(Enum):
    """What a hook can be for; the keys of the config are `on_` and this."""

    CONFLICT = "conflict"
    ERROR = "error"
    GUARD = "guard"
    STALE = "stale"

    @property
    def key(self) -> str:
        """The key of the config."""
        return f"on_{self.value}"


_OF_RUNS = (EventKind.CONFLICT, EventKind.ERROR, EventKind.GUARD)
_RAISED = "run "  # how the keys begin of what ended a run: any run that comes to its end has left it behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing. `key` tells it from others of its event: the same key is told once until it is over."""

    event: EventKind
    key: str
    paths: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""


class EventDeduplicator:
    """What one job's happenings were told already."""

    def __init__(self) -> None:
        self._told: dict[EventKind, set[str]] = {event: set() for event in EventKind}

    def of_run(self, result: JobResult, *, whole: bool) -> tuple[Event, ...]:
        """What a run brought up and was not told yet.

        `whole`: the run looked everywhere, so that what it does not name is over. A run that looked
        at some places, or that broke off, says nothing about the others.
        """
        found = happenings(result)
        if result.report is not None:
            seen = {(one.event, one.key) for one in found}
            for event in _OF_RUNS:
                self._told[event] = {
                    key
                    for key in self._told[event]
                    if (event, key) in seen or not (whole or key.startswith(_RAISED))
                }
        return self._new(found)

    def of_standing(self, standing: JobStatus, *, began: float, now: float) -> tuple[Event, ...]:
        """Whether the last success became too old. `began`: when the daemon took the job up."""
        found = stale(standing, began=began, now=now)
        if not found:
            self._told[EventKind.STALE].clear()
        return self._new(found)

    def _new(self, found: Iterable[Event]) -> tuple[Event, ...]:
        fresh = []
        for one in found:
            if one.key not in self._told[one.event]:
                self._told[one.event].add(one.key)
                fresh.append(one)
        return tuple(fresh)


def happenings(result: JobResult) -> tuple[Event, ...]:
    """All that a run's end has to tell, told before or not."""
    if result.error is not None:
        return _of_error(result.error)
    if result.report is None:
        return ()
    report = result.report
    return (*map(_of_conflict, report.conflicts), *map(_of_hold, report.holds), *_of_failures(report))


def stale(standing: JobStatus, *, began: float, now: float) -> tuple[Event, ...]:
    """The last success is older than `max_age`; a job without one counts from when the daemon took it up."""
    if standing.max_age is None:
        return ()
    age = now - (began if standing.last_success is None else standing.last_success)
    ahead = standing.last_success is not None and -age > AHEAD
    if age <= standing.max_age and not ahead:
        return ()
    what = "never succeeded" if standing.last_success is None else "had its last success"
    ago = "" if standing.last_success is None else f" {show_duration(int(max(age, 0.0)))} ago"
    ago = " in the future: the clock was set back since" if ahead else ago
    message = f"{standing.job} {what}{ago} (max_age {show_duration(standing.max_age)})"
    if standing.message:
        message += f": {standing.message}"
    return (Event(event=EventKind.STALE, key="", message=message, hint=standing.hint),)


def _of_error(error: SyncerError) -> tuple[Event, ...]:
    """A stop and a run by hand are no errors."""
    if isinstance(error, Interrupted | Busy):
        return ()
    event = EventKind.GUARD if isinstance(error, GuardTripped) else EventKind.ERROR
    paths = (error.path,) if error.path else ()
    return (
        Event(event=event, key=_RAISED + error.code, paths=paths, message=error.message, hint=error.hint),
    )


def _of_conflict(report: ConflictReport) -> Event:
    match report.resolution:
        case Resolution.ASKED:
            message = "changed on both sides; nothing was touched"
        case Resolution.KEPT_BOTH:
            message = f"changed on both sides; both are kept, one of them as {report.copy}"
        case Resolution.LOCAL_WON | Resolution.REMOTE_WON:
            message = (
                f"changed on both sides; the {report.resolution.value} version won, the other is in the trash"
            )
    hint = "choose with: syncer conflicts resolve" if report.resolution is Resolution.ASKED else ""
    return Event(
        event=EventKind.CONFLICT, key=_conflict_key(report), paths=(report.path,), message=message, hint=hint
    )


def _conflict_key(report: ConflictReport) -> str:
    """An open conflict is its path, however often it is edited meanwhile; a settled one also its versions."""
    if report.resolution is Resolution.ASKED:
        return report.path
    return "\0".join((report.path, report.copy, _version(report.local), _version(report.remote)))


def _version(entry: Entry) -> str:
    return f"{entry.size} {entry.mtime_ns}"


def _of_hold(hold: Hold) -> Event:
    """One for each guard and side; more paths under the same guard are not news."""
    key = f"{hold.guard} {hold.side.value}"
    return Event(event=EventKind.GUARD, key=key, paths=hold.paths, message=hold.message, hint=hold.hint)


# Tried again by itself: a time-out, a file that is being written. What never works makes a job stale.
_PASSING = (TransientError, ChangedUnderUs, PreconditionFailed)


def _of_failures(report: RunReport) -> tuple[Event, ...]:
    """What failed and will fail again, one for each kind of error."""
    failed = [
        (one.action.path, one.outcome.error)
        for one in report.failures
        if isinstance(one.outcome, Failed) and not isinstance(one.outcome.error, _PASSING)
    ]
    by_code: dict[str, list[tuple[str, SyncerError]]] = {}
    for path, error in failed:
        by_code.setdefault(error.code, []).append((path, error))
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
