"""The daemon as a whole: a worker for each job, the control socket, reload, and an orderly end.

One thread waits for signals and looks after everything twice a minute; the work is done by the workers.
It decides nothing about files.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

from syncer import __version__, allocator
from syncer.clock import SystemClock
from syncer.config import JobSettings, Settings
from syncer.daemon import pause_file
from syncer.daemon.control_api import ControlServer
from syncer.daemon.instance import InstanceLock
from syncer.daemon.metrics_server import serve_metrics
from syncer.daemon.notifications import Notifier
from syncer.daemon.schedule import Task
from syncer.daemon.status import DaemonStatus, JobStatus
from syncer.daemon.suspend import SuspendDetector
from syncer.daemon.systemd import Systemd, status_line
from syncer.daemon.worker import Worker, cadence_of, outlook_of
from syncer.engine.scope import EVERYTHING
from syncer.errors import ConfigError, SyncerError, UsageError
from syncer.formatting import near
from syncer.jobs.results import JobResult
from syncer.stores.local.filesystem import raise_descriptor_limit

Load = Callable[[], tuple[Settings, Sequence[JobSettings]]]

TICK = 30.0  # seconds
_ENDS_WITHIN = 4.0  # seconds; a stop is promised within 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_log = logging.getLogger("syncer.daemon")
_IN_COMMON = 150  # descriptors: of what all jobs share, and of a few that run; one between folders holds none
_PER_SERVICE = 3  # of an idle job whose remote is a service: its connections


def serve(load: Load, *, started: Callable[[str], None]) -> int:
    """Runs until it is stopped; the exit code: 0 for `stop`, 128 + the number for a signal.

    `load` reads the config, now and at every reload. `started` hears the control socket's path once all
    jobs are at work. Raises ConfigError, Busy (another daemon has this state directory), StateError.
    """
    with suppress(OSError):  # a stderr that is no file
        faulthandler.enable()  # a watchdog that gives up on us sends SIGABRT: then the log says where we hung
    allocator.spare()
    settings, jobs = load()
    with ExitStack() as stack:
        tenure = stack.enter_context(InstanceLock.acquire(settings.state_dir))
        systemd = Systemd()
        stack.callback(systemd.close)
        supervisor = Supervisor(load, settings, jobs, systemd=systemd)
        control = stack.enter_context(ControlServer(tenure, supervisor))
        if settings.daemon.metrics:
            metrics = stack.enter_context(serve_metrics(settings.daemon.metrics, supervisor.standing))
            _log.info("metrics at http://%s/metrics", metrics.address)
        with supervisor.heeding_signals():
            supervisor.start()
            systemd.ready(status_line(supervisor.standing()))
            systemd.watch(supervisor.is_alive)
            started(str(control.path))
            return supervisor.wait()


class Supervisor:
    """Implements `control.Controlled`."""

    def __init__(
        self, load: Load, settings: Settings, jobs: Sequence[JobSettings], *, systemd: Systemd
    ) -> None:
        self._load = load
        self._settings = settings
        self._systemd = systemd
        self._clock = SystemClock()
        self._began = self._clock.now_ns() / 1e9
        self._alarms = Notifier(self._clock)
        self._wakefulness = SuspendDetector()
        self._reloading = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._bell = _Bell()  # something is to be done by the waiting thread
        self._reload_asked = False
        self._ending: int | None = None  # the signal; 0 for `stop`
        self._beat = self._trimmed = self._clock.monotonic()
        paused = pause_file.paused(settings.state_dir)
        for job in jobs:
            self._workers[job.name] = self._worker(settings, job, paused=job.name in paused)

    # -- control.Controlled ------------------------------------------------------------

    def standing(self) -> DaemonStatus:
        """See `control.Controlled`, like all in this part."""
        return DaemonStatus(
            pid=os.getpid(),
            started=self._began,
            version=__version__,
            config=str(self._settings.path or ""),
            jobs=tuple(worker.standing for worker in list(self._workers.values())),
        )

    def pause(self, jobs: Sequence[str]) -> None:
        self._pause(jobs, on=True)

    def resume(self, jobs: Sequence[str]) -> None:
        self._pause(jobs, on=False)

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """A job that is paused, or that does not end in time, is told as it stands."""
        workers = self._named(jobs)
        tickets = [(worker, worker.flush()) for worker in workers]
        deadline = self._clock.monotonic() + wait
        if wait > 0:
            for worker, ticket in tickets:
                worker.flushed(ticket, max(0.0, deadline - self._clock.monotonic()))
        return [worker.standing for worker in workers]

    def reload(self) -> None:
        """Jobs whose settings are others now are begun anew; the rest goes on undisturbed."""
        with self._reloading:
            self._systemd.reloading()
            try:
                settings, jobs = self._load()
                self._refuse_to_move(settings)
                if settings.daemon.metrics != self._settings.daemon.metrics:
                    _log.warning("another port for metrics is taken at the next start only")
                self._replace(settings, {job.name: job for job in jobs})
                _log.info("the config was read again")
            finally:
                self._systemd.ready(status_line(self.standing()))

    def stop(self) -> None:
        self._end(0)

    # -- its life ------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to watch and to run every job."""
        _check_descriptors([worker.job for worker in self._workers.values()])
        for worker in self._workers.values():
            worker.start()

    def wait(self) -> int:
        """Looks after everything until somebody ends it; the exit code."""
        while self._ending is None:
            self._bell.wait(TICK)
            try:
                self._look_after()
            except Exception:  # noqa: BLE001 - whatever goes wrong in this turn, there has to be a next one
                _log.exception("the daemon stumbled")
        self._systemd.stopping()
        hooks = threading.Thread(target=self._alarms.stop, name="hooks end")
        hooks.start()
        self._finish(list(self._workers.values()), self._ending or signal.SIGTERM)
        hooks.join()
        return 128 + self._ending if self._ending else 0

    def is_alive(self) -> bool:
        """Whether the thread that looks after everything still does."""
        return self._clock.monotonic() - self._beat < 4 * TICK

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end it, a second one at once; SIGHUP reads the config again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        # Whichever thread the system gives a signal to, and at whatever moment: without this the main thread,
        # which is the one to handle it, might begin to wait right then, and find out at the next tick.
        bell = signal.set_wakeup_fd(self._bell.button, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(bell)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """No lock may be taken here: the thread that is interrupted may hold it."""
        if number == signal.SIGHUP:
            self._reload_asked = True
            self._bell.ring()
            return
        if self._ending:
            os._exit(128 + number)
        self._end(number)

    def _end(self, number: int) -> None:
        if self._ending is None:
            self._ending = number
        self._bell.ring()

    def _look_after(self) -> None:
        self._beat = self._clock.monotonic()
        if self._reload_asked:
            self._reload_asked = False
            try:
                self.reload()
            except SyncerError as error:
                _log.error("the config was not read again, the old one holds: %s", error.message)
        news = self._wakefulness.news()
        if news:
            _log.info("%s: everything is looked at again", news)
        for worker in list(self._workers.values()):
            if news:
                worker.notice(EVERYTHING, settled=True)
                worker.encourage()
            self._alarms.stands(self._settings, worker.job, worker.standing)
        self._systemd.status(status_line(self.standing()))
        if self._clock.monotonic() - self._trimmed >= TICK:  # it may be woken more often
            allocator.trim()
            self._trimmed = self._clock.monotonic()

    # -- workers -------------------------------------------------------------------------

    def _worker(self, settings: Settings, job: JobSettings, *, paused: bool) -> Worker:
        return Worker(
            settings,
            job,
            cadence=cadence_of(settings, job),
            outlook=outlook_of(settings, job),
            ended=self._ended,
            paused=paused,
        )

    def _ended(self, worker: Worker, task: Task, result: JobResult) -> None:
        """After every run, in the worker's thread."""
        for note in result.notes:
            _log.warning("%s: %s", result.job, note)
        if result.error is not None:
            _log.warning("%s: %s", result.job, result.error.message)
        self._alarms.run_ended(self._settings, worker.job, result, whole=task.scope.everywhere)
        self._systemd.status(status_line(self.standing()))

    def _replace(self, settings: Settings, jobs: Mapping[str, JobSettings]) -> None:
        alike = _shared(settings) == _shared(self._settings)
        same = {n: worker for n, worker in self._workers.items() if alike and jobs.get(n) == worker.job}
        gone = [worker for name, worker in self._workers.items() if name not in same]
        _check_descriptors(list(jobs.values()))
        paused = pause_file.paused(settings.state_dir)
        new = {
            name: self._worker(settings, job, paused=name in paused)
            for name, job in jobs.items()
            if name not in same
        }
        self._finish(gone, signal.SIGTERM)
        self._settings = settings
        self._workers = {name: same.get(name) or new[name] for name in jobs}
        for worker in new.values():
            if self._ending is None:
                worker.start()

    def _refuse_to_move(self, settings: Settings) -> None:
        """Raises ConfigError: lock and control socket are those of the directory it began with."""
        if settings.state_dir != self._settings.state_dir:
            raise ConfigError(
                f"{settings.origin}: state_dir is another directory now; the old config holds",
                hint="end the daemon and start it again",
            )

    def _finish(self, workers: Sequence[Worker], number: int) -> None:
        """What does not end in time is left behind as a kill leaves it: the next run heals that."""
        for worker in workers:
            worker.stop(number)
        deadline = self._clock.monotonic() + _ENDS_WITHIN
        for worker in workers:
            if not worker.join(deadline - self._clock.monotonic()):
                _log.warning("%s: did not stop in time; it goes on where it was next time", worker.job.name)

    def _named(self, jobs: Sequence[str]) -> list[Worker]:
        """All of them for no names. Raises UsageError."""
        workers = self._workers
        for name in jobs:
            if name not in workers:
                raise UsageError(
                    f'the daemon runs no job "{name}"{near(name, workers)}',
                    hint=f"its jobs: {', '.join(workers)}; after a change of the config: send it SIGHUP",
                )
        return [workers[name] for name in dict.fromkeys(jobs)] or list(workers.values())

    def _pause(self, jobs: Sequence[str], *, on: bool) -> None:
        workers = self._named(jobs)
        pause_file.set_paused(self._settings.state_dir, [worker.job.name for worker in workers], on)
        for worker in workers:
            worker.pause(on)


class _Bell:
    """Ends the waiting of one thread, or the next one. May be rung at any moment, by the kernel as well."""

    def __init__(self) -> None:
        self._ear, self.button = os.pipe()
        for end in (self._ear, self.button):
            os.set_blocking(end, False)
            weakref.finalize(self, os.close, end)
        self._poll = select.poll()
        self._poll.register(self._ear, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Until it rings, or for so long."""
        self._poll.poll(seconds * 1000)
        with suppress(BlockingIOError):
            os.read(self._ear, 4096)

    def ring(self) -> None:
        """Takes no lock."""
        with suppress(BlockingIOError):  # full: it rings
            os.write(self.button, b"!")


def _check_descriptors(jobs: Sequence[JobSettings]) -> None:
    """Takes as many as the system gives, and says so where they are too few for these jobs."""
    wanted = _IN_COMMON + _PER_SERVICE * sum(job.remote.folder is None for job in jobs)
    limit = raise_descriptor_limit()
    if limit < wanted:
        _log.warning(
            "%d jobs want some %d open files, and this process may have %d: some will fail; raise it "
            "(LimitNOFILE= in the service, `ulimit -Hn` in the shell), or run fewer jobs in one daemon",
            len(jobs),
            wanted,
            limit,
        )


def _shared(settings: Settings) -> object:
    """What all jobs depend on."""
    return settings.accounts, settings.state_dir, settings.daemon
