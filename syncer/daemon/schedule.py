"""Schedule of a job: when its next run is due and what it scans, with debouncing, intervals and retries.

Pure: monotonic times in seconds come in, tasks come out. Changes are gathered until they settle; a full run
comes at the start and at every scan interval; a path that failed is retried with exponential backoff, and so
is a job whose remote does not answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from syncer.engine.model import BlockReason, RelPath
from syncer.engine.paths import is_below, split
from syncer.engine.report import RunReport
from syncer.engine.scope import EVERYTHING, EVERYWHERE, NOTHING, NOWHERE, Scope, on_both_sides
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
from syncer.watch.debounce import Debouncer

FIRST_PATH, LAST_PATH = 1.0, 600.0  # seconds until a failed path is retried, doubled each time
FIRST_JOB, LAST_JOB = 1.0, 300.0  # the same for a run that failed as a whole
MANY_PATHS = 1000  # failed in one run: then the cause is not the paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of a job, in seconds. `interval` None: all changes are reported, nothing is polled."""

    quiet: float = 0.2
    gather: float = 5.0
    scan: float = 3600.0
    interval: float | None = 300.0
    watch: bool = True  # local changes are reported; else the local side is scanned at every interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A run that is due."""

    scope: Scope
    trigger: str  # start, watch, interval, scan, retry, flush


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What the end of a run means for the next one."""

    delay: float = 0.0  # seconds until the whole run is repeated, because it failed; 0: it did not
    constant_delay: bool = False  # the delay does not grow with further failures
    broken_off: bool = False  # nothing failed, but the run was stopped half-way
    paths: frozenset[RelPath] = frozenset()  # failed singly
    young: frozenset[RelPath] = frozenset()  # perhaps still written: scanned again after `settles` s
    settles: float = 0.0
    settled: Callable[[RelPath], bool] = field(default=lambda path: False, compare=False)  # by the run


@dataclass(slots=True)
class _Retry:
    """A path that failed: how often, and when it is retried."""

    times: int
    at: float


@dataclass(slots=True)
class Schedule:
    """The schedule of one job; not thread-safe. `spread` adds jitter to a delay."""

    intervals: Intervals
    now: float
    spread: Callable[[float], float] = field(default=lambda delay: delay * random.uniform(0.75, 1.25))
    _debouncer: Debouncer = field(init=False)
    _scan_at: float = field(init=False)
    _interval_at: float = field(init=False)
    _pending: Scope = NOTHING  # what a failed run should have scanned
    _pending_trigger: str = ""
    _failed: int = 0  # runs in a row
    _not_before: float = 0.0
    _flush_requested: bool = False
    _retries: dict[RelPath, _Retry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._debouncer = Debouncer(quiet=self.intervals.quiet, most=self.intervals.gather)
        self._scan_at = self.now
        self._interval_at = self.now + (self.intervals.interval or 0.0)
        self._pending, self._pending_trigger = EVERYTHING, "start"

    def noticed(self, scope: Scope, now: float, *, settled: bool = False) -> None:
        """Something may have changed there. `settled`: do not wait for more changes."""
        self._debouncer.add(scope, now, settled=settled)

    def asked(self) -> None:
        """A flush was requested: scan everything now."""
        self._flush_requested = True
        self.reset_backoff()

    def reset_backoff(self) -> None:
        """The cause of failures may be gone, such as a network that was down: retry at once."""
        self._not_before = 0.0
        self._failed = 0
        for retry in self._retries.values():
            retry.at = min(retry.at, 0.0)

    def due(self) -> float:
        """When the next run is due, if nothing is reported before."""
        if self._flush_requested:
            return 0.0
        times = [self._scan_at, *(retry.at for retry in self._retries.values())]
        if self.intervals.interval is not None:
            times.append(self._interval_at)
        if self._debouncer.due is not None:
            times.append(self._debouncer.due)
        if self._pending:
            times.append(0.0)
        return max(min(times), self._not_before)

    def take(self, now: float) -> Task:
        """The run that is due, together with everything else that is due by then."""
        scope, trigger = self._pending, self._pending_trigger
        if self._flush_requested:
            scope, trigger = EVERYTHING, "flush"
        elif now >= self._scan_at:
            scope, trigger = EVERYTHING, trigger or "scan"
        elif self.intervals.interval is not None and now >= self._interval_at:
            local = NOWHERE if self.intervals.watch else EVERYWHERE
            scope, trigger = scope | Scope(local=local, remote=EVERYWHERE), trigger or "interval"
        ready = [path for path, retry in self._retries.items() if retry.at <= now]
        if ready:
            # The parent of each path, and the path itself, since it may be a directory.
            around = on_both_sides(place for path in ready for place in (path, split(path)[0]))
            scope, trigger = scope | around, trigger or "retry"
        # In a full run changes need not settle: whatever comes after this moment belongs to the next run.
        gathered = self._debouncer.take(None if scope.everywhere else now)
        scope, trigger = scope | gathered, trigger or "watch"
        self._pending, self._pending_trigger, self._flush_requested = NOTHING, "", False
        return Task(scope=EVERYTHING if scope.everywhere else scope, trigger=trigger)

    def ended(self, task: Task, ending: Ending, now: float) -> None:
        """Record the end of a run; what it failed to scan stays pending.

        A path that failed again waits twice as long. One that was handled is dropped from the retries, which
        may be long before its retry is due, because something changed there.
        """
        if ending.broken_off:
            self._pending, self._pending_trigger = self._pending | task.scope, task.trigger
            return
        if ending.delay:
            # Runs that only found the lock held elsewhere must not make the next real failure wait as
            # if it were one of many.
            self._failed = max(1, self._failed) if ending.constant_delay else self._failed + 1
            grown = ending.delay if ending.constant_delay else ending.delay * 2 ** min(self._failed - 1, 20)
            self._not_before = now + self.spread(min(grown, max(LAST_JOB, ending.delay)))
            self._pending, self._pending_trigger = self._pending | task.scope, task.trigger
            return
        self._failed, self._not_before = 0, 0.0
        if task.scope.everywhere:
            self._scan_at = now + self.intervals.scan
        if task.scope.remote.everywhere and self.intervals.interval is not None:
            # Jitter only shortens: the user was promised a look at least once in an interval.
            self._interval_at = now + min(self.intervals.interval, self.spread(self.intervals.interval))
        before = self._retries
        kept = {
            path: retry
            for path, retry in before.items()
            if not (ending.settled(path) or _is_in(path, task.scope))
        }
        for path in ending.paths:
            times = before[path].times + 1 if path in before else 1
            delay = min(FIRST_PATH * 2 ** min(times - 1, 20), LAST_PATH)
            kept[path] = _Retry(times, now + self.spread(delay))
        for path in ending.young:
            kept[path] = _Retry(0, now + ending.settles)
        self._retries = kept

    @property
    def retries(self) -> Mapping[RelPath, float]:
        """Paths that will be retried, and when (monotonic seconds)."""
        return {path: retry.at for path, retry in sorted(self._retries.items())}

    @property
    def waiting(self) -> int:
        """Number of directories and trees that the next runs will scan, for display."""
        return self._debouncer.waiting + len(self._retries) + bool(self._pending or self._flush_requested)

    @property
    def gathering(self) -> bool:
        """Whether changes were reported that no run has scanned yet."""
        return self._debouncer.due is not None

    @property
    def backing_off(self) -> bool:
        """Whether the last run failed, and the next one is delayed because of that."""
        return self._failed > 0


def _is_in(path: RelPath, scope: Scope) -> bool:
    """Whether a run over the scope scans the parent directory of the path on both sides.

    Scanned on one side only, the directory may look unchanged there, and is not opened.
    """
    above = split(path)[0]
    return all(
        above in places.directories or any(above == tree or is_below(above, tree) for tree in places.trees)
        for places in (scope.local, scope.remote)
    )


# Seconds until a run that failed as a whole is repeated:
_BUSY = 2.0  # another process syncs this pair
_GUARD = 60.0  # a disk may be mounted again at any time
_UPDATE = 3600.0  # a server of another version: the remote watcher notices its update before
_PERSON = 60.0  # credentials and config need a person


def ending_of(result: JobResult) -> Ending:
    """The retry policy: a delay for a run that failed as a whole, else the paths that failed in it."""
    if result.error is not None:
        return _ending_of_error(result.error)
    report = result.report or RunReport()
    changing = [problem.path for problem in report.problems if problem.code == BlockReason.BUSY.value]
    failed = frozenset([failure.action.path for failure in report.failures] + changing)
    if len(failed) > MANY_PATHS:
        return Ending(delay=FIRST_JOB)
    settles = report.settles_ns / 1e9
    if len(report.young) > MANY_PATHS:
        return Ending(delay=max(settles, FIRST_JOB), constant_delay=True)
    return Ending(paths=failed, young=frozenset(report.young), settles=settles, settled=report.judged)


def _ending_of_error(error: SyncerError) -> Ending:
    match error:
        case Interrupted():
            return Ending(broken_off=True)
        case Busy():
            return Ending(delay=_BUSY, constant_delay=True)
        case GuardTripped():
            return Ending(delay=_GUARD, constant_delay=True)
        case NoCommonVersion():
            return Ending(delay=_UPDATE, constant_delay=True)
        case AuthError() | ConfigError():
            return Ending(delay=_PERSON)
        case _:
            return Ending(delay=FIRST_JOB)
