"""One job of the daemon: hears what happens on both sides, and runs when the schedule says so.

A thread of its own makes the runs, one after the other. What is heard is noted down at once, from any
thread, also during a run. It decides neither when (`schedule`) nor what (the engine).
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
from syncer.daemon.status import Counters, JobStatus, Phase
from syncer.engine.interfaces import Clock, Store
from syncer.engine.scope import NOWHERE, Places, Scope
from syncer.errors import GuardTripped, NoCommonVersion, SyncerError
from syncer.jobs import Environment, Runner, RunOptions, factory
from syncer.jobs.cancellation import CancelToken, StoppableClock
from syncer.jobs.results import JobResult, totals
from syncer.jobs.runner import Waiting
from syncer.jobs.state_dir import place_of

_TELLING = frozenset({"events", "polling", "feed", "probe"})  # ways to watch a side that leave nothing untold
_HOLDS = (GuardTripped, NoCommonVersion)  # errors that wait for a person, and clear by themselves
_FOREVER = 3600.0  # seconds that a wait may take; then it is looked again
_log = logging.getLogger("syncer.daemon")


class Watcher(Protocol):
    """Whoever tells that something happened on a side; `mode` says in a word how it knows."""

    @property
    def mode(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherFactory:
    """How a worker is made to hear: who watches either side. Called once, before the first run."""

    local: Callable[[Worker], Watcher | None]
    remote: Callable[[Worker], Watcher | None]


class Worker:
    """From `start` to `stop`; every other method may be called from any thread in between."""

    def __init__(
        self,
        settings: Settings,
        job: JobSettings,
        *,
        cadence: Intervals,
        outlook: WatcherFactory,
        ended: Callable[[Worker, Task, JobResult], None],
        paused: bool = False,
    ) -> None:
        """`ended` hears of each run, in the worker's thread."""
        self.job = job
        self.stopping = CancelToken()
        self._settings = settings
        self._clock: Clock = StoppableClock(self.stopping)
        self._outlook = outlook
        self._told = ended
        self._changed = threading.Condition()
        self._schedule = Schedule(cadence, self._clock.monotonic())
        self._watchers: dict[str, Watcher | None] = {"local": None, "remote": None}
        self._listener: Listener | None = None
        self._halt = CancelToken()  # the run that goes on
        self._paused = paused
        self._flushed = 0  # calls of flush, and those that a run has answered
        self._answered = 0
        self._standing = JobStatus(
            job=job.name,
            phase=Phase.PAUSED if paused else Phase.STARTING,
            since=self._now(),
            max_age=job.max_age,
        )
        self._thread = threading.Thread(target=self._work, name=f"job {job.name}", daemon=True)

    # -- from outside ----------------------------------------------------------------

    def start(self) -> None:
        """Begins to listen, then to run: in this order, so that nothing falls between."""
        self._thread.start()

    def stop(self, signum: int) -> None:
        """No new runs, and the one that goes on ends between two steps; see `join`."""
        with self._changed:
            self.stopping.ask(signum)
            self._halt.ask(signum)
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Whether it has ended within that time; one that never began has."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def pause(self, paused: bool) -> None:
        """No runs until it is taken back; one that goes on ends between two steps, to be gone on with.

        What happens meanwhile is noted.
        """
        with self._changed:
            self._paused = paused
            if paused:
                self._halt.ask(signal.SIGTERM)
            self._enter(self._resting())
            self._changed.notify_all()

    def notice(self, scope: Scope, *, settled: bool = False) -> None:
        """Something may have happened there; news of a whole side may be the end of what a guard holds."""
        with self._changed:
            if self._standing.phase is Phase.HELD and (scope.local.everywhere or scope.remote.everywhere):
                self._schedule.encouraged()
            self._schedule.noticed(scope, self._clock.monotonic(), settled=settled)
            self._changed.notify_all()

    def notice_local(self, places: Places) -> None:
        self.notice(Scope(local=places, remote=NOWHERE))

    def notice_remote(self, places: Places) -> None:
        """From a folder here: changes come one by one."""
        self.notice(Scope(local=NOWHERE, remote=places))

    def hear_remote(self, places: Places) -> None:
        """From a service, which has gathered them."""
        self.notice(Scope(local=NOWHERE, remote=places), settled=True)

    def encourage(self) -> None:
        """What was in the way may be gone: try at once what waits."""
        with self._changed:
            self._schedule.encouraged()
            self._changed.notify_all()

    def say(self, message: str, remedy: str) -> None:
        """Something about watching that a person should know, for `status`."""
        note = f"{message}; {remedy}" if remedy else message
        with self._changed:
            self._standing = replace(self._standing, notes=(*self._standing.notes, note)[-8:])

    def flush(self) -> int:
        """Look at everything now, or as soon as it is no longer paused. The answer is for `flushed`."""
        with self._changed:
            self._schedule.asked()
            self._flushed += 1
            self._changed.notify_all()
            return self._flushed

    def flushed(self, ticket: int, seconds: float) -> bool:
        """Waits until the run that answers a flush has ended, or none will; whether it has."""

        def over() -> bool:
            return self._answered >= ticket or self._paused or self.stopping.signum != 0

        with self._changed:
            self._changed.wait_for(over, seconds)
            return self._answered >= ticket

    @property
    def standing(self) -> JobStatus:
        """How the job stands at this moment."""
        with self._changed:
            schedule, listener = self._schedule, self._listener
            due = schedule.due()
            phase = self._standing.phase
            if phase is Phase.IDLE and schedule.gathering:
                phase = Phase.GATHERING
            return replace(
                self._standing,
                phase=phase,
                last_success=self._now() if self._in_step(phase) else self._standing.last_success,
                progress=listener.progress if listener else None,
                waiting=schedule.waiting,
                retries=tuple(schedule.retries),
                next_run=None if self._paused else self._now() + max(0.0, due - self._clock.monotonic()),
                local_watch=_mode(self._watchers["local"]),
                remote_watch=_mode(self._watchers["remote"]) or "interval",
            )

    def _in_step(self, phase: Phase) -> bool:
        """Whether both sides are known to agree at this very moment: all is told, and nothing happened."""
        modes = {_mode(watcher) for watcher in self._watchers.values()}
        well = self._standing.last_exit in (0, 1) and self._standing.last_full is not None
        return phase is Phase.IDLE and well and not self._schedule.waiting and modes <= _TELLING

    # -- the thread ----------------------------------------------------------------------

    def _work(self) -> None:
        idle = Listener(self.job.name, self.stopping)
        runner = Runner(Environment(settings=self._settings, reporter=idle, clock=self._clock), self.job)
        try:
            self._listen()
            while (taken := self._next()) is not None:
                self._run(runner, *taken)
        finally:
            with self._changed:
                in_step = self._in_step(self._standing.phase)
            if in_step:
                runner.note_in_step()  # else `status` would count from a run that may be long ago
            runner.close()
            for watcher in self._watchers.values():
                if watcher is not None:
                    watcher.stop()
            with self._changed:
                self._enter(Phase.STOPPED)
                self._changed.notify_all()

    def _listen(self) -> None:
        for side, make in (("local", self._outlook.local), ("remote", self._outlook.remote)):
            try:
                watcher = self._watchers[side] = make(self)
                if watcher is not None:
                    watcher.start()
            except Exception as error:  # noqa: BLE001 - a job that is not watched is still run
                _log.exception("%s: the %s side cannot be watched", self.job.name, side)
                self.say(
                    f"the {side} side is not watched: {_bug(error).message}",
                    "restart the daemon once it is mended",
                )

    def _next(self) -> tuple[Task, int] | None:
        """Waits until a run is due; None when the job is to stop."""
        with self._changed:
            while not self.stopping.signum:
                now = self._clock.monotonic()
                left = self._schedule.due() - now
                if left <= 0 and not self._paused:
                    self._enter(Phase.RUNNING)
                    self._halt = CancelToken()
                    return self._schedule.take(now), self._flushed
                self._changed.wait(_FOREVER if self._paused else min(left, _FOREVER))
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
            if task.scope.everywhere and not ending.broken_off:
                self._answered = max(self._answered, ticket)
            self._standing = self._after(task, result, waiting, now - began)
            self._enter(self._resting(result))
            self._changed.notify_all()
        self._tell(task, result)

    def _guarded(self, runner: Runner, task: Task, listener: Listener) -> tuple[JobResult, Waiting | None]:
        """A run, and what waits after it. A bug of ours ends the run, never the thread: it is tried again."""
        try:
            return runner.run(RunOptions(trigger=task.trigger), task.scope, listener), runner.waiting()
        except Exception as error:  # noqa: BLE001 - months of runs must not end with one
            _log.exception("%s: a run ended in a bug", self.job.name)
            with suppress(Exception):
                runner.close()
            return JobResult(job=self.job.name, error=_bug(error)), None

    def _tell(self, task: Task, result: JobResult) -> None:
        try:
            self._told(self, task, result)
        except Exception:  # noqa: BLE001 - the next run matters more
            _log.exception("%s: nobody could be told how a run ended", self.job.name)

    # -- how it stands ---------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        if phase is not self._standing.phase:
            self._standing = replace(self._standing, phase=phase, since=self._now())

    def _resting(self, result: JobResult | None = None) -> Phase:
        """The phase between two runs."""
        if self._listener is not None:
            return Phase.RUNNING
        if self._paused:
            return Phase.PAUSED
        if result is not None and (isinstance(result.error, _HOLDS) or result.exit_code == 4):
            return Phase.HELD
        if self._schedule.backing_off:
            return Phase.BACKING_OFF
        return Phase.IDLE if self._standing.counters.runs else Phase.STARTING

    def _after(self, task: Task, result: JobResult, waiting: Waiting | None, seconds: float) -> JobStatus:
        before, error = self._standing, result.error
        well = result.exit_code in (0, 1) and not self._schedule.retries
        now = self._now()
        full = task.scope.everywhere and result.error is None  # what failed in it, is tried again singly
        if waiting is not None:
            before = replace(
                before, problems=waiting.problems, conflicts=waiting.conflicts, held=waiting.held
            )
        return replace(
            before,
            last_success=now if well and (full or before.last_full) else before.last_success,
            last_full=now if full else before.last_full,
            last_exit=result.exit_code,
            message=error.message if error else "",
            hint=error.hint if error else "",
            counters=_counted(before.counters, task, result, seconds),
        )

    def _now(self) -> float:
        """Wall time, for people only."""
        return self._clock.now_ns() / 1e9


def _bug(error: Exception) -> SyncerError:
    """An exception that nobody foresaw, for people; the log has where it came from."""
    return SyncerError(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug of Syncer; nothing is lost, and it is tried again. The log says more: report it",
    )


def _mode(watcher: Watcher | None) -> str:
    return watcher.mode if watcher is not None else ""


def _counted(before: Counters, task: Task, result: JobResult, seconds: float) -> Counters:
    done = totals(result.report) if result.report else None
    counted = replace(
        before,
        runs=before.runs + 1,
        full_runs=before.full_runs + task.scope.everywhere,
        failed_runs=before.failed_runs + (result.exit_code not in (0, 1)),
        seconds=before.seconds + seconds,
    )
    if done is None:
        return counted
    return replace(
        counted,
        uploaded=counted.uploaded + done.uploaded,
        downloaded=counted.downloaded + done.downloaded,
        deleted=counted.deleted + done.deleted,
        moved=counted.moved + done.moved,
        conflicts=counted.conflicts + done.conflicts,
        bytes_sent=counted.bytes_sent + done.bytes_sent,
        bytes_received=counted.bytes_received + done.bytes_received,
    )


# --------------------------------------------------------------------------------
#
# Who watches the two sides of a job: folders by their events, services by what they tell.


def cadence_of(settings: Settings, job: JobSettings) -> Intervals:
    """A job's times. A folder that is watched need not be looked at in between."""
    daemon = settings.daemon
    told = job.watch and job.remote.folder is not None
    return Intervals(
        quiet=daemon.quiet,
        gather=daemon.gather,
        scan=daemon.scan,
        interval=None if told else job.interval,
        watch=job.watch,
    )


def outlook_of(settings: Settings, job: JobSettings) -> WatcherFactory:
    """Without `watch`, folders are only looked at, at every interval."""

    def local(worker: Worker) -> Watcher | None:
        from syncer.watch.watcher import FolderWatch

        if not job.watch:
            return None
        return FolderWatch(
            str(job.local), changed=worker.notice_local, said=worker.say, interval=job.interval
        )

    def remote(worker: Worker) -> Watcher | None:
        from syncer.watch.watcher import FolderWatch

        folder = job.remote.folder
        if folder is not None:
            if not job.watch:
                return None
            return FolderWatch(
                str(folder), changed=worker.notice_remote, said=worker.say, interval=job.interval
            )
        return RemoteWatcher(
            job.name,
            lambda: _listening(settings, job, worker),
            heard=worker.hear_remote,
            regained=worker.encourage,
        )

    return WatcherFactory(local=local, remote=remote)


def _listening(settings: Settings, job: JobSettings, worker: Worker) -> Store:
    """A store of its own: a question that is left open for long is in nobody's way."""
    place = place_of(settings, job)
    return factory.service(settings, job, place, StoppableClock(worker.stopping))
