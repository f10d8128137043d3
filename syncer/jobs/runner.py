"""`Runner`: runs one job any number of times, with its database and connection open in between.

Each run takes the lock of the pair. After an error everything is closed and opened again by the next run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from syncer.clock import Moment
from syncer.config import JobSettings
from syncer.engine import sync as cycle
from syncer.engine.interfaces import Clock, Reporter, Store
from syncer.engine.model import RelPath
from syncer.engine.paths import split
from syncer.engine.report import RunReport
from syncer.engine.scan import ScanResult
from syncer.engine.scope import EVERYTHING, Scope, on_both_sides
from syncer.errors import GuardTripped, StateError, SyncerError
from syncer.jobs import (
    conflict_choices,
    factory,
    recording,
    results,
    root_identity,
    session,
)
from syncer.jobs.recent_deletions import RecentDeletions
from syncer.jobs.results import JobResult
from syncer.jobs.session import Environment, RunOptions
from syncer.jobs.state_dir import PairDirectory
from syncer.state import (
    NAME,
    CorruptDatabase,
    PairLock,
    State,
    open_state,
    quarantine,
    root_log,
)
from syncer.stores.local.filesystem import raise_descriptor_limit

_NOTED = 600.0  # seconds after which it is written down that nothing was to be done: a disk is not worn by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for the user after a run, as counts."""

    problems: int
    conflicts: int
    held: int  # deletions that a guard keeps back


def sync(world: Environment, job: JobSettings, options: RunOptions) -> JobResult:
    """One run of one job. Errors are in the result; nothing is raised but bugs and signals' Interrupted."""
    runner = Runner(world, job)
    try:
        return runner.run(replace(options, patient=True))
    finally:
        runner.close()


class Runner:
    """Runs one job, in one thread at a time."""

    def __init__(self, world: Environment, job: JobSettings) -> None:
        raise_descriptor_limit()
        self._world = world
        self._job = job
        self._state: State | None = None
        self._state_inode = 0
        self._service: Store | None = None
        self._strokes = RecentDeletions()
        self._waiting: Waiting | None = None
        self._noted = float("-inf")  # when it was last written down that both sides agree
        self._lock = threading.RLock()  # another job may want its descriptors

    def run(
        self, options: RunOptions, scope: Scope = EVERYTHING, reporter: Reporter | None = None
    ) -> JobResult:
        """One run over a part of the tree, or all of it; `run` is 0 in the result if there was nothing to do.

        Errors are in the result; nothing is raised but bugs.
        """
        with _slots(), self._lock:
            result = self._run_once(options, scope, reporter)
        _keep_open(self)
        return result

    def _run_once(self, options: RunOptions, scope: Scope, reporter: Reporter | None) -> JobResult:
        world = self._world if reporter is None else replace(self._world, reporter=reporter)
        notes: list[str] = []
        try:
            place = session.prepared(world.settings, self._job)
            if not place.known:
                place = self._found_again(world, notes) or place
            with PairLock.acquire(place.directory):
                result = self._soundly(world, options, scope, place, notes)
        except SyncerError as error:
            result = JobResult(job=self._job.name, error=error, notes=tuple(notes))
        self._waiting = self._counted()
        if result.error is not None:
            self.close()  # whatever was wrong, the next run begins afresh
        elif result.exit_code == 3:
            self._hang_up()
        return result

    def _found_again(self, world: Environment, notes: list[str]) -> PairDirectory | None:
        """Find the state of roots that were moved, or are reached by another account."""
        from syncer.jobs import relocation

        place = relocation.adopt(world.settings, self._job, world.clock)
        if place is not None:
            notes.append(
                "the roots were moved, or are reached in another way: what was known of them is kept"
            )
        return place

    def waiting(self) -> Waiting | None:
        """What waits for the user after the last run; None if the state could not be read."""
        return self._waiting

    def note_in_step(self) -> None:
        """Record that both sides agree now, though no run was needed: `max_age` counts from here."""
        self._noted = self._world.clock.monotonic()
        with self._lock:
            if self._state is not None:
                with suppress(StateError):  # the next run meets it again, and says so
                    self._state.ledger.note_success()

    def _note_now_and_then(self, clock: Clock) -> None:
        if clock.monotonic() - self._noted >= _NOTED:
            self.note_in_step()

    def _counted(self) -> Waiting | None:
        if self._state is None:
            return None
        try:
            return Waiting(
                problems=sum(seen.problem.waits for seen in self._state.ledger.problems()),
                conflicts=len(self._state.ledger.conflicts()),
                held=sum(len(held["paths"]) for held in recording.held(self._state.memory)),
            )
        except StateError:
            return None

    def close(self) -> None:
        """Close the database and the connection; the next run opens them again."""
        with self._lock:
            self._close_state()
            self._hang_up()
        with _open_lock:
            _open.pop(self, None)

    def _close_state(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            _quietly(state)

    def lend_descriptors(self) -> None:
        """Closes the database between two runs, for jobs that need descriptors more. Not while it runs."""
        if self._lock.acquire(blocking=False):
            try:
                self._close_state()
            finally:
                self._lock.release()

    def _hang_up(self) -> None:
        service, self._service = self._service, None
        if service is not None:
            _quietly(service)

    # -- one run -----------------------------------------------------------------

    def _soundly(
        self, world: Environment, options: RunOptions, scope: Scope, place: PairDirectory, notes: list[str]
    ) -> JobResult:
        """Run; a damaged database is set aside once, and the run starts over as a first run."""
        for _ in range(2):
            try:
                state = self._opened(world, place, notes)
                seen = self._glance(world, options, scope, place, state)
                if seen is not None and not seen.directories:
                    self._note_now_and_then(world.clock)
                    return JobResult(job=self._job.name, report=RunReport(looked=frozenset()))
                return self._run(world, options, place, state, seen, notes)
            except CorruptDatabase as damage:
                self.close()
                notes.append(quarantine(place.directory, damage.message, now_ns=world.clock.now_ns))
        raise StateError(f"the state database in {place.directory} is damaged again and again")

    def _opened(self, world: Environment, place: PairDirectory, notes: list[str]) -> State:
        """The open database; opened again if its file was replaced or removed meanwhile."""
        path = place.directory / NAME
        if self._state is not None and _inode(path) != self._state_inode:
            _quietly(self._state)
            self._state = None
        if self._state is None:
            self._state = open_state(place.directory, now_ns=world.clock.now_ns)
            self._state_inode = _inode(path)
            notes += session.note(self._state)
        return self._state

    def _glance(
        self, world: Environment, options: RunOptions, scope: Scope, place: PairDirectory, state: State
    ) -> ScanResult | None:
        """The scan of a run over a part of the tree; None for a full run."""
        if scope.everywhere:
            return None
        waiting = [p for held in recording.held(state.memory) for p in held["paths"]]
        waiting += conflict_choices.made(state.memory, state.ledger.conflicts())
        with self._stores(world, place) as stores:
            pair = session.opened(world, self._job, options, place, state, stores).pair
            return cycle.find_changed_directories(pair, scope | _around(waiting))

    def _stores(
        self, world: Environment, place: PairDirectory, run: str = ""
    ) -> AbstractContextManager[factory.Stores]:
        if self._service is None and not self._job.remote.folder:
            factory.check_known(world.settings, self._job)
            self._service = factory.service(world.settings, self._job, place, world.clock)
        return factory.stores(
            world.settings, self._job, place, clock=world.clock, run=run, kept=self._service
        )

    def _run(
        self,
        world: Environment,
        options: RunOptions,
        place: PairDirectory,
        state: State,
        seen: ScanResult | None,
        notes: list[str],
    ) -> JobResult:
        number = state.ledger.start_run(options.trigger)
        heard = recording.RecordingReporter(world.reporter)
        job = self._job.name
        try:
            report = self._cycle(heard, world, options, place, state, seen, number, notes)
            kept = recording.kept_conflicts(state.ledger)
            result = JobResult(job=job, run=number, report=report, notes=tuple(notes), kept=kept)
        except CorruptDatabase:
            raise
        except SyncerError as error:
            done = heard.so_far()
            result = JobResult(job=job, run=number, report=done, error=error, notes=tuple(notes))
        self._strokes.remember(result.report, world.clock.monotonic())
        if seen is not None and _is_nothing(result):
            state.ledger.forget_run(number)
            self._note_now_and_then(world.clock)
            return replace(result, run=0)
        _end(state, number, result)
        self._noted = world.clock.monotonic()
        return result

    def _cycle(
        self,
        heard: recording.RecordingReporter,
        world: Environment,
        options: RunOptions,
        place: PairDirectory,
        state: State,
        seen: ScanResult | None,
        number: int,
        notes: list[str],
    ) -> RunReport:
        world = replace(world, reporter=heard)
        with self._stores(world, place, str(number)) as stores:
            try:
                report = self._reconciled(heard, world, options, place, state, stores, seen, number, notes)
            except (GuardTripped, StateError):
                raise
            except SyncerError:
                notes += self._keep_house(world, state, stores, heard.so_far(), whole=False)
                raise
            notes += self._keep_house(world, state, stores, report, whole=seen is None)
            return report

    def _keep_house(
        self,
        world: Environment,
        state: State,
        stores: factory.Stores,
        report: RunReport | None,
        *,
        whole: bool,
    ) -> list[str]:
        """The trash, after a run: whatever its exit code, or a path that always fails would let it grow for
        ever.
        """
        from syncer.jobs import retention

        now = Moment(wall_ns=world.clock.now_ns(), uptime=world.uptime())
        return retention.keep_house(state, stores.folders, self._job, now, report, whole=whole)

    def _reconciled(
        self,
        heard: recording.RecordingReporter,
        world: Environment,
        options: RunOptions,
        place: PairDirectory,
        state: State,
        stores: factory.Stores,
        seen: ScanResult | None,
        number: int,
        notes: list[str],
    ) -> RunReport:
        from syncer.jobs import relocation

        job, clock = self._job, world.clock
        names = session.names(job)
        notes += relocation.begin_anew(state.memory, stores)
        if not state.memory.get_setting("local_root"):
            originals = relocation.copied(world.settings, job, clock)
            notes += relocation.mark_copies(stores, originals, job.mode.source)
        found = root_identity.admit(
            state.memory,
            stores.local,
            stores.remote,
            names=names,
            accept=options.yes,
            source=job.mode.source,
        )
        relocation.remember(state.memory, world.settings, job, place)
        for side, folder in stores.folders.items():
            if job.mode.may_change(side):
                folder.keep_private()
        decided = conflict_choices.collect(
            state.memory, state.ledger.conflicts(), stores.local, stores.remote
        )
        notes += [f"{path} changed after it was resolved: choose again" for path in decided.void]
        pair = session.opened(world, job, options, place, state, stores).pair
        lately = self._strokes.lately(clock.monotonic()) if options.max_delete is None else {}
        older = self._strokes.went_back(clock.monotonic()) if options.max_delete is None else {}
        meant = recording.put_back(state.memory)
        policy = replace(
            pair.policy,
            choices=decided.valid,
            deleted_lately=lately,
            went_back_lately=older,
            meant=frozenset(meant),
        )
        with root_log.remembering(world.settings.state_dir, place.id, job.name, state.memory, clock) as log:
            pair = replace(pair, policy=policy, roots=found, echoes=log)
            try:
                report = cycle.sync(pair, seen)
                if report.young and options.patient:
                    report = _settled(pair, report)
            except SyncerError:
                root_log.note(log, heard.so_far() or RunReport(), broken_off=True)
                raise
            root_log.note(log, report)
        settled = [path for path in (*decided.valid, *decided.void) if report.judged(path)]
        conflict_choices.forget(state.memory, settled)
        if meant:
            recording.remember_put_back(state.memory, [p for p in meant if not report.judged(p)])
        told = recording.record(
            state.ledger,
            number,
            report,
            now_ns=clock.now_ns(),
            stores=(stores.local, stores.remote),
            chosen=decided.valid,
        )
        if report.holds or not report.left:
            recording.remember_holds(state.memory, report.holds)
        return told


def _settled(pair: cycle.SyncContext, first: RunReport) -> RunReport:
    """Run again after the settle time, over the files that were too young in the first run."""
    pair.clock.sleep(first.settles_ns / 1e9)
    pair = replace(pair, roots=None)
    return first.and_then(cycle.sync(pair, cycle.find_changed_directories(pair, _around(first.young))))


_OPEN_MOST = 16
"""The number of databases that stay open between runs, three descriptors each (least recently used)."""
_open: dict[Runner, None] = {}  # the longest idle first
_open_lock = threading.Lock()


@cache
def _slots() -> threading.Semaphore:
    """Limits concurrent runs: each takes a dozen descriptors, and hundreds of jobs may start at once."""
    return threading.BoundedSemaphore(max(8, raise_descriptor_limit() // 128))


def _keep_open(runner: Runner) -> None:
    with _open_lock:
        _open.pop(runner, None)
        _open[runner] = None
        idle = list(_open)[:-_OPEN_MOST]
        for one in idle:
            del _open[one]
    for one in idle:
        one.lend_descriptors()


def _around(paths: Iterable[RelPath]) -> Scope:
    """The scope of these paths and their parent directories, on both sides."""
    return on_both_sides({place for path in paths for place in (split(path)[0], path)})


def _is_nothing(result: JobResult) -> bool:
    """Whether a run over a part of the tree did nothing worth a row in the history."""
    report = result.report
    if result.error or result.notes or report is None or report.exit_code:
        return False
    return not any(results.loud(a.action) for a in report.actions)


def _end(state: State, number: int, result: JobResult) -> None:
    """Record the end of the run; an error of the database itself is in the result already."""
    try:
        if result.error:
            recording.record_broken_off(state.ledger, number, result.report)
        recording.close(state.ledger, number, result)
    except CorruptDatabase:
        raise
    except StateError:
        if not result.error:
            raise


def _inode(path: Path) -> int:
    """0 where there is no file of that name."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _quietly(held: State | Store) -> None:
    """Close and ignore errors: the error that led here has been reported."""
    try:
        held.close()
    except SyncerError:
        return
