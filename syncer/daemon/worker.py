"""Worker thread of one job: collects change notifications from both sides and runs the job when it is due.

One thread makes the runs, one after the other. Notifications are recorded from any thread, also during a run.
When to run is decided by `schedule`, what to do by the engine.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from syncer.config import JobSettings, Settings
from syncer.daemon.progress import Listener
from syncer.daemon.remote_watcher import RemoteWatcher
from syncer.daemon.schedule import Intervals, Schedule, Task, ending_of
from syncer.daemon.status import JobStatus, Phase
from syncer.engine.interfaces import Clock
from syncer.engine.scope import NOWHERE, Places, Scope
from syncer.errors import GuardTripped, NoCommonVersion, SyncerError
from syncer.jobs import Environment, Runner, RunOptions, factory
from syncer.jobs.cancellation import CancelToken, StoppableClock
from syncer.jobs.results import JobResult, totals
from syncer.jobs.runner import Waiting
from syncer.jobs.state_dir import place_of
from syncer.stores.local.snapshots import without_snapshots

_COMPLETE = frozenset({"events", "polling", "feed", "probe"})  # watch modes that report every change
_HELD = (GuardTripped, NoCommonVersion)  # errors that wait for a person, and clear by themselves
_MAX_WAIT = 3600.0  # seconds
_log = logging.getLogger("syncer.daemon")


class Watcher(Protocol):
    """Reports changes on one side; `mode` names how it detects them."""

    @property
    def mode(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherFactory:
    """Makes the watchers of both sides, once, before the first run; None for a side without one."""

    local: Callable[[Worker], Watcher | None]
    remote: Callable[[Worker], Watcher | None]


class Worker:
    """Runs one job from `start` to `stop`. The methods in between may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        job: JobSettings,
        *,
        intervals: Intervals,
        watchers: WatcherFactory,
        ended: Callable[[Worker, Task, JobResult], None],
        paused: bool = False,
    ) -> None:
        """`ended` is called after each run, in the worker's thread."""
        self.job = job
        self.stopping = CancelToken()
        self._settings = settings
        self._clock: Clock = StoppableClock(self.stopping)
        self._factory = watchers
        self._ended = ended
        self._changed = threading.Condition()
        self._schedule = Schedule(intervals, self._clock.monotonic())
        self._watchers: dict[str, Watcher | None] = {"local": None, "remote": None}
        self._listener: Listener | None = None
        self._halt = CancelToken()  # of the current run
        self._paused = paused
        self._flushed = 0  # number of flush requests, and of those that a run has answered
        self._answered = 0
        self._status = JobStatus(
            job=job.name,
            phase=Phase.PAUSED if paused else Phase.STARTING,
            since=self._now(),
            max_age=job.max_age,
        )
        self._thread = threading.Thread(target=self._work, name=f"job {job.name}", daemon=True)

    def start(self) -> None:
        """Start the watchers, then the runs: in this order no change is missed in between."""
        self._thread.start()

    def stop(self, signum: int) -> None:
        """Start no more runs, and end the current one between two steps; `join` waits for that."""
        with self._changed:
            self.stopping.ask(signum)
            self._halt.ask(signum)
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Wait up to so long for the thread to end; returns whether it has (also if it never started)."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def pause(self, paused: bool) -> None:
        """Start no runs while paused; the current one ends between two steps and is continued on resume.

        Changes are still recorded.
        """
        with self._changed:
            self._paused = paused
            if paused:
                self._halt.ask(signal.SIGTERM)
            self._enter(self._resting())
            self._changed.notify_all()

    def notice(self, scope: Scope, *, settled: bool = False) -> None:
        """Something may have changed there. `settled`: do not wait for more changes.

        News of a whole side may mean that the reason for a guard is gone, such as an unmounted disk.
        """
        with self._changed:
            if self._status.phase is Phase.HELD and (scope.local.everywhere or scope.remote.everywhere):
                self._schedule.reset_backoff()
            self._schedule.noticed(scope, self._clock.monotonic(), settled=settled)
            self._changed.notify_all()

    def notice_local(self, places: Places) -> None:
        """Changes in the local folder."""
        self.notice(Scope(local=places, remote=NOWHERE))

    def notice_remote(self, places: Places) -> None:
        """Changes in a folder of this machine: they come one by one, and are gathered."""
        self.notice(Scope(local=NOWHERE, remote=places))

    def notice_service(self, places: Places) -> None:
        """Changes at a service, which has gathered them."""
        self.notice(Scope(local=NOWHERE, remote=places), settled=True)

    def reset_backoff(self) -> None:
        """Retry at once what waits for a retry."""
        with self._changed:
            self._schedule.reset_backoff()
            self._changed.notify_all()

    def add_note(self, message: str, remedy: str) -> None:
        """Show a problem with watching in `status`; the last eight are kept."""
        note = f"{message}; {remedy}" if remedy else message
        with self._changed:
            self._status = replace(self._status, notes=(*self._status.notes, note)[-8:])

    def flush(self) -> int:
        """Scan everything now, or as soon as the job is resumed. Returns a ticket for `flushed`."""
        with self._changed:
            self._schedule.asked()
            self._flushed += 1
            self._changed.notify_all()
            return self._flushed

    def flushed(self, ticket: int, seconds: float) -> bool:
        """Wait for the run that answers the ticket to end; False if it did not, or none will come."""

        def over() -> bool:
            return self._answered >= ticket or self._paused or self.stopping.signum != 0

        with self._changed:
            self._changed.wait_for(over, seconds)
            return self._answered >= ticket

    @property
    def status(self) -> JobStatus:
        """Status of the job at this moment."""
        with self._changed:
            schedule, listener = self._schedule, self._listener
            due = schedule.due()
            phase = self._status.phase
            if phase is Phase.IDLE and schedule.gathering:
                phase = Phase.GATHERING
            return replace(
                self._status,
                phase=phase,
                last_success=self._now() if self._in_step(phase) else self._status.last_success,
                progress=listener.progress if listener else None,
                waiting=schedule.waiting,
                retries=tuple(schedule.retries),
                next_run=None if self._paused else self._now() + max(0.0, due - self._clock.monotonic()),
                local_watch=_mode(self._watchers["local"]),
                remote_watch=_mode(self._watchers["remote"]) or "interval",
            )

    def _in_step(self, phase: Phase) -> bool:
        """Whether both sides agree now: every change is reported, and none came since the last good run."""
        modes = {_mode(watcher) for watcher in self._watchers.values()}
        succeeded = self._status.last_exit in (0, 1) and self._status.last_full is not None
        return phase is Phase.IDLE and succeeded and not self._schedule.waiting and modes <= _COMPLETE

    def _work(self) -> None:
        idle = Listener(self.job.name, self.stopping)
        runner = Runner(Environment(settings=self._settings, reporter=idle, clock=self._clock), self.job)
        try:
            # Watchers first: what changes before the first run is then reported, not missed.
            self._start_watchers()
            while (taken := self._next()) is not None:
                self._run(runner, *taken)
        finally:
            with self._changed:
                in_step = self._in_step(self._status.phase)
            if in_step:
                runner.note_in_step()  # `status` would show the time of the last run, which may be long ago
            runner.close()
            for watcher in self._watchers.values():
                if watcher is not None:
                    watcher.stop()
            with self._changed:
                self._enter(Phase.STOPPED)
                self._changed.notify_all()

    def _start_watchers(self) -> None:
        for side, make in (("local", self._factory.local), ("remote", self._factory.remote)):
            try:
                watcher = self._watchers[side] = make(self)
                if watcher is not None:
                    watcher.start()
            except Exception as error:  # noqa: BLE001 - without a watcher the job still runs at its intervals
                _log.exception("%s: the %s side cannot be watched", self.job.name, side)
                self.add_note(
                    f"the {side} side is not watched: {_bug(error).message}",
                    "restart the daemon once it is mended",
                )

    def _next(self) -> tuple[Task, int] | None:
        """Wait until a run is due: its task, and the flush requests that it answers. None to stop."""
        with self._changed:
            while not self.stopping.signum:
                now = self._clock.monotonic()
                left = self._schedule.due() - now
                if left <= 0 and not self._paused:
                    self._enter(Phase.RUNNING)
                    # A new token for each run: a pause cancels the current run, not the later ones.
                    self._halt = CancelToken()
                    return self._schedule.take(now), self._flushed
                self._changed.wait(_MAX_WAIT if self._paused else min(left, _MAX_WAIT))
            return None

    def _run(self, runner: Runner, task: Task, ticket: int) -> None:
        began = self._clock.monotonic()
        with self._changed:
            listener = self._listener = Listener(self.job.name, self._halt)
        result, waiting = self._guarded(runner, task, listener)
        now, ending = self._clock.monotonic(), ending_of(result)
        with self._changed:
            self._listener = None
            self._schedule.ended(task, ending, now)
            # A flush is answered only by a complete run that began after it: `ticket` was read at its start.
            if task.scope.everywhere and not ending.broken_off:
                self._answered = max(self._answered, ticket)
            self._status = self._after(task, result, waiting, now - began)
            self._enter(self._resting(result))
            self._changed.notify_all()
        try:
            self._ended(self, task, result)
        except Exception:  # noqa: BLE001 - the next run matters more
            _log.exception("%s: unhandled error after a run", self.job.name)

    def _guarded(self, runner: Runner, task: Task, listener: Listener) -> tuple[JobResult, Waiting | None]:
        """Make a run. An unexpected exception becomes the result of the run, and the next one tries again."""
        try:
            return runner.run(RunOptions(trigger=task.trigger), task.scope, listener), runner.waiting()
        except Exception as error:  # noqa: BLE001 - months of runs must not end with one
            _log.exception("%s: unhandled error in a run", self.job.name)
            with suppress(
                Exception
            ):  # database and connections may be in any state: the next run opens new ones
                runner.close()
            return JobResult(job=self.job.name, error=_bug(error)), None

    def _enter(self, phase: Phase) -> None:
        if phase is not self._status.phase:
            self._status = replace(self._status, phase=phase, since=self._now())

    def _resting(self, result: JobResult | None = None) -> Phase:
        """The phase between two runs."""
        if self._listener is not None:
            return Phase.RUNNING
        if self._paused:
            return Phase.PAUSED
        if result is not None and (isinstance(result.error, _HELD) or result.exit_code == 4):
            return Phase.HELD
        if self._schedule.backing_off:
            return Phase.BACKING_OFF
        return Phase.IDLE if self._status.counters.runs else Phase.STARTING

    def _after(self, task: Task, result: JobResult, waiting: Waiting | None, seconds: float) -> JobStatus:
        before, error = self._status, result.error
        succeeded = result.exit_code in (0, 1) and not self._schedule.retries
        now = self._now()
        full = task.scope.everywhere and result.error is None  # paths that failed in it are retried singly
        if waiting is not None:
            before = replace(
                before, problems=waiting.problems, conflicts=waiting.conflicts, held=waiting.held
            )
        counters = replace(
            before.counters,
            runs=before.counters.runs + 1,
            full_runs=before.counters.full_runs + task.scope.everywhere,
            failed_runs=before.counters.failed_runs + (result.exit_code not in (0, 1)),
            seconds=before.counters.seconds + seconds,
        )
        if result.report:
            done = totals(result.report)
            counters = replace(
                counters,
                uploaded=counters.uploaded + done.uploaded,
                downloaded=counters.downloaded + done.downloaded,
                deleted=counters.deleted + done.deleted,
                moved=counters.moved + done.moved,
                conflicts=counters.conflicts + done.conflicts,
                bytes_sent=counters.bytes_sent + done.bytes_sent,
                bytes_received=counters.bytes_received + done.bytes_received,
            )
        return replace(
            before,
            last_success=now if succeeded and (full or before.last_full) else before.last_success,
            last_full=now if full else before.last_full,
            last_exit=result.exit_code,
            message=error.message if error else "",
            hint=error.hint if error else "",
            counters=counters,
        )

    def _now(self) -> float:
        """Wall time in seconds since 1970, for display only."""
        return self._clock.now_ns() / 1e9


def _bug(error: Exception) -> SyncerError:
    """An unexpected exception as an error for people; its traceback is in the log."""
    return SyncerError(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug of Syncer; nothing is lost, and it is tried again. The log says more: report it",
    )


def _mode(watcher: Watcher | None) -> str:
    return watcher.mode if watcher is not None else ""


def intervals_of(settings: Settings, job: JobSettings) -> Intervals:
    """The intervals of a job. A remote folder that is watched needs no scan at an interval."""
    daemon = settings.daemon
    watched = job.watch and job.remote.folder is not None
    return Intervals(
        quiet=daemon.quiet,
        gather=daemon.gather,
        scan=daemon.scan,
        interval=None if watched else job.interval,
        watch=job.watch,
    )


def watchers_of(settings: Settings, job: JobSettings) -> WatcherFactory:
    """The watchers of a job. Without `watch` folders have none, and are scanned at every interval."""

    def local(worker: Worker) -> Watcher | None:
        from syncer.watch.watcher import FolderWatch

        if not job.watch:
            return None
        return FolderWatch(
            str(job.local),
            changed=worker.notice_local,
            on_problem=worker.add_note,
            interval=job.interval,
            select=without_snapshots,
        )

    def remote(worker: Worker) -> Watcher | None:
        from syncer.watch.watcher import FolderWatch

        folder = job.remote.folder
        if folder is not None:
            if not job.watch:
                return None
            return FolderWatch(
                str(folder),
                changed=worker.notice_remote,
                on_problem=worker.add_note,
                interval=job.interval,
                select=without_snapshots,
            )
        clock = StoppableClock(worker.stopping)
        return RemoteWatcher(
            job.name,
            # A store of its own: a long poll must not block the connection that runs use.
            lambda: factory.service(settings, job, place_of(settings, job), clock),
            changed=worker.notice_service,
            recovered=worker.reset_backoff,
        )

    return WatcherFactory(local=local, remote=remote)
