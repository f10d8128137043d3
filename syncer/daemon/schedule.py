"""When a job's next run is due, and over what: the daemon's clockwork, without a clock and without threads.

Pure: times come in (monotonic, in seconds), tasks come out. Changes are gathered until they are quiet; a
full run comes at the start and every so often; a path that failed is tried again later and later, and so is
a job whose remote does not answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
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

FIRST_PATH, LAST_PATH = 1.0, 600.0  # seconds until a path that failed is tried again, doubled each time
FIRST_JOB, LAST_JOB = 1.0, 300.0  # the same for a job that could not be run at all
MANY_PATHS = 1000  # that failed at once: it is not the paths


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """A job's times, in seconds. `interval` None: nothing need be asked, whatever happens is told."""

    quiet: float = 0.2
    gather: float = 5.0
    scan: float = 3600.0
    interval: float | None = 300.0
    watch: bool = True  # local changes are told; otherwise they are looked for at every interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A run to be made."""

    scope: Scope
    trigger: str  # start, watch, interval, scan, retry, flush


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, as far as it matters for the next one.

    `delay`: the run as a whole failed, and is to be made again after so many seconds at first (0: it did
    not). `paths` failed singly. `steady`: however often it fails, the delay does not grow. `settled` says of
    a path that is not among those whether the run has seen to it.
    """

    delay: float = 0.0
    steady: bool = False
    broken_off: bool = False  # nothing is wrong, but it was stopped half-way
    paths: frozenset[RelPath] = frozenset()
    young: frozenset[RelPath] = frozenset()  # may still be being written: looked at again after `settles` s
    settles: float = 0.0
    settled: Callable[[RelPath], bool] = field(default=lambda path: False, compare=False)


@dataclass(slots=True)
class _Retry:
    """One path that failed: how often, and when it is tried again."""

    times: int
    at: float


@dataclass(slots=True)
class Schedule:
    """For one job; not safe to share. `spread` makes a delay differ from others that began at one moment."""

    cadence: Intervals
    now: float
    spread: Callable[[float], float] = field(default=lambda delay: delay * random.uniform(0.75, 1.25))
    _gathering: Debouncer = field(init=False)
    _scan_at: float = field(init=False)
    _interval_at: float = field(init=False)
    _owed: Scope = NOTHING  # what a failed run should have looked at
    _owed_trigger: str = ""
    _failed: int = 0  # runs in a row
    _not_before: float = 0.0
    _asked: bool = False
    _retries: dict[RelPath, _Retry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._gathering = Debouncer(quiet=self.cadence.quiet, most=self.cadence.gather)
        self._scan_at = self.now
        self._interval_at = self.now + (self.cadence.interval or 0.0)
        self._owed, self._owed_trigger = EVERYTHING, "start"

    # -- what happens ----------------------------------------------------------------

    def noticed(self, scope: Scope, now: float, *, settled: bool = False) -> None:
        """Something may have happened there. `settled`: nothing is gained by waiting for more."""
        self._gathering.add(scope, now, settled=settled)

    def asked(self) -> None:
        """Somebody wants everything looked at, now."""
        self._asked = True
        self.encouraged()

    def encouraged(self) -> None:
        """What was in the way may be gone, such as a network that was away: no need to wait any longer."""
        self._not_before = 0.0
        self._failed = 0
        for retry in self._retries.values():
            retry.at = min(retry.at, 0.0)

    # -- what is to be done --------------------------------------------------------------

    def due(self) -> float:
        """When the next run is due, if nothing else happens."""
        if self._asked:
            return 0.0
        times = [self._scan_at, *(retry.at for retry in self._retries.values())]
        if self.cadence.interval is not None:
            times.append(self._interval_at)
        if self._gathering.due is not None:
            times.append(self._gathering.due)
        if self._owed:
            times.append(0.0)
        return max(min(times), self._not_before)

    def take(self, now: float) -> Task:
        """The run that is due, with everything that may as well be done in it."""
        scope, trigger = self._owed, self._owed_trigger
        if self._asked:
            scope, trigger = EVERYTHING, "flush"
        elif now >= self._scan_at:
            scope, trigger = EVERYTHING, trigger or "scan"
        elif self.cadence.interval is not None and now >= self._interval_at:
            local = NOWHERE if self.cadence.watch else EVERYWHERE
            scope, trigger = scope | Scope(local=local, remote=EVERYWHERE), trigger or "interval"
        ready = [path for path, retry in self._retries.items() if retry.at <= now]
        if ready:
            scope, trigger = scope | _around(ready), trigger or "retry"
        gathered = self._gathering.take(None if scope.everywhere else now)
        scope, trigger = scope | gathered, trigger or "watch"
        self._owed, self._owed_trigger, self._asked = NOTHING, "", False
        return Task(scope=EVERYTHING if scope.everywhere else scope, trigger=trigger)

    def ended(self, task: Task, ending: Ending, now: float) -> None:
        """The run is over; what it could not do is owed."""
        if ending.broken_off:
            self._owed, self._owed_trigger = self._owed | task.scope, task.trigger
            return
        if ending.delay:
            self._failed = max(1, self._failed) if ending.steady else self._failed + 1
            grown = ending.delay if ending.steady else ending.delay * 2 ** min(self._failed - 1, 20)
            self._not_before = now + self.spread(min(grown, max(LAST_JOB, ending.delay)))
            self._owed, self._owed_trigger = self._owed | task.scope, task.trigger
            return
        self._failed, self._not_before = 0, 0.0
        self._looked(task.scope, now)
        self._mark(task.scope, ending, now)

    def _looked(self, scope: Scope, now: float) -> None:
        if scope.everywhere:
            self._scan_at = now + self.cadence.scan
        if scope.remote.everywhere and self.cadence.interval is not None:
            self._interval_at = now + min(self.cadence.interval, self.spread(self.cadence.interval))

    def _mark(self, scope: Scope, ending: Ending, now: float) -> None:
        """A path that failed again waits twice as long; one that was looked at and did not is forgotten.

        That may be long before it was due: something happened there.
        """
        before = self._retries
        kept = {p: retry for p, retry in before.items() if not (ending.settled(p) or _is_in(p, scope))}
        for path in ending.paths:
            times = before[path].times + 1 if path in before else 1
            delay = min(FIRST_PATH * 2 ** min(times - 1, 20), LAST_PATH)
            kept[path] = _Retry(times, now + self.spread(delay))
        for path in ending.young:
            kept[path] = _Retry(0, now + ending.settles)
        self._retries = kept

    # -- for people ------------------------------------------------------------------------

    @property
    def retries(self) -> Mapping[RelPath, float]:
        """Paths that are tried again, and when."""
        return {path: retry.at for path, retry in sorted(self._retries.items())}

    @property
    def waiting(self) -> int:
        """How many places will be looked at."""
        return self._gathering.waiting + len(self._retries) + (1 if self._owed or self._asked else 0)

    @property
    def gathering(self) -> bool:
        """Whether something happened that no run has seen yet."""
        return self._gathering.due is not None

    @property
    def backing_off(self) -> bool:
        """Whether the last run failed, and the next one waits because of that."""
        return self._failed > 0


def _around(paths: Iterable[RelPath]) -> Scope:
    """The directories that these paths stand in, and the paths themselves: they may be directories."""
    return on_both_sides(place for path in paths for place in (path, split(path)[0]))


def _is_in(path: RelPath, scope: Scope) -> bool:
    """Whether a run over the scope looks at the directory that the path stands in, and on both sides.

    Asked on one side only, it may look as it always did, and is not opened.
    """
    above = split(path)[0]
    return all(
        above in places.directories or any(above == tree or is_below(above, tree) for tree in places.trees)
        for places in (scope.local, scope.remote)
    )


# --------------------------------------------------------------------------------
#
# What a run's end means for the next one: when is it tried again, and which paths singly. Pure.


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
    busy = [p.path for p in report.problems if p.code == BlockReason.BUSY.value]
    return [a.action.path for a in report.failures] + busy
