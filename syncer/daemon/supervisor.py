"""Supervisor of the daemon: a worker per job, signals, control socket, reload, and an orderly shutdown.

The main thread waits for signals and checks everything twice a minute; the workers make the runs.
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
from syncer.daemon.worker import Worker, intervals_of, watchers_of
from syncer.engine.scope import EVERYTHING
from syncer.errors import ConfigError, SyncerError, UsageError
from syncer.formatting import near
from syncer.jobs.results import JobResult
from syncer.stores.local.filesystem import raise_descriptor_limit

Load = Callable[[], tuple[Settings, Sequence[JobSettings]]]

TICK = 30.0  # seconds between two rounds of the main loop
_STOP_TIMEOUT = 4.0  # seconds; product documentation promises 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_log = logging.getLogger("syncer.daemon")
_COMMON_DESCRIPTORS = 150  # shared by all jobs, and of a few runs; an idle job between folders has none
_SERVICE_DESCRIPTORS = 3  # connections of an idle job whose remote is a service


def serve(load: Load, *, started: Callable[[str], None]) -> int:
    """Run the daemon until it is stopped; returns the exit code: 0 for `stop`, 128 + number for a signal.

    `load` reads the config, now and at every reload. `started` is called with the path of the control socket
    once all workers run. Raises ConfigError, Busy (another daemon has this state directory), StateError.
    """
    with suppress(OSError):  # a stderr without a descriptor
        faulthandler.enable()  # systemd's watchdog sends SIGABRT: the log then shows where the daemon hung
    allocator.spare()
    settings, jobs = load()
    with ExitStack() as stack:
        lock = stack.enter_context(InstanceLock.acquire(settings.state_dir))
        systemd = Systemd()
        stack.callback(systemd.close)
        supervisor = Supervisor(load, settings, jobs, systemd=systemd)
        control = stack.enter_context(ControlServer(lock, supervisor))
        if settings.daemon.metrics:
            metrics = stack.enter_context(serve_metrics(settings.daemon.metrics, supervisor.status))
            _log.info("metrics at http://%s/metrics", metrics.address)
        with supervisor.signal_handlers():
            supervisor.start()
            systemd.ready(status_line(supervisor.status()))
            systemd.watch(supervisor.is_alive)
            started(str(control.path))
            return supervisor.wait()


class Supervisor:
    """Starts, reloads and stops the workers. Implements `control_api.Controlled`."""

    def __init__(
        self, load: Load, settings: Settings, jobs: Sequence[JobSettings], *, systemd: Systemd
    ) -> None:
        self._load = load
        self._settings = settings
        self._systemd = systemd
        self._clock = SystemClock()
        self._started = self._clock.now_ns() / 1e9
        self._notifier = Notifier(self._clock)
        self._suspend = SuspendDetector()
        self._reloading = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._wake_pipe = _WakePipe()  # wakes the main loop
        self._reload_asked = False
        self._ending: int | None = None  # the signal that ends the daemon; 0 for `stop`
        self._beat = self._trimmed = self._clock.monotonic()
        paused = pause_file.paused(settings.state_dir)
        for job in jobs:
            self._workers[job.name] = self._worker(settings, job, paused=job.name in paused)

    # -- control_api.Controlled ----------------------------------------------------------

    def status(self) -> DaemonStatus:
        """See `control_api.Controlled`, like the following methods."""
        return DaemonStatus(
            pid=os.getpid(),
            started=self._started,
            version=__version__,
            config=str(self._settings.path or ""),
            jobs=tuple(worker.status for worker in list(self._workers.values())),
        )

    def pause(self, jobs: Sequence[str]) -> None:
        self._pause(jobs, on=True)

    def resume(self, jobs: Sequence[str]) -> None:
        self._pause(jobs, on=False)

    def flush(self, jobs: Sequence[str], *, wait: float) -> Sequence[JobStatus]:
        """The status of a job that is paused, or not done in time, is the one it has then."""
        workers = self._named(jobs)
        tickets = [(worker, worker.flush()) for worker in workers]
        deadline = self._clock.monotonic() + wait
        if wait > 0:
            for worker, ticket in tickets:
                worker.flushed(ticket, max(0.0, deadline - self._clock.monotonic()))
        return [worker.status for worker in workers]

    def reload(self) -> None:
        """Restart the jobs whose settings changed; the others go on undisturbed."""
        with self._reloading:
            self._systemd.reloading()
            try:
                settings, jobs = self._load()
                if settings.state_dir != self._settings.state_dir:  # lock and socket are in the old one
                    raise ConfigError(
                        f"{settings.origin}: state_dir is another directory now; the old config holds",
                        hint="end the daemon and start it again",
                    )
                if settings.daemon.metrics != self._settings.daemon.metrics:
                    _log.warning("a changed metrics address takes effect at the next start of the daemon")
                self._replace(settings, {job.name: job for job in jobs})
                _log.info("the config was read again")
            finally:
                self._systemd.ready(status_line(self.status()))

    def stop(self) -> None:
        self._end(0)

    # -- main loop -----------------------------------------------------------------------

    def start(self) -> None:
        """Start all workers."""
        _check_descriptors([worker.job for worker in self._workers.values()])
        for worker in self._workers.values():
            worker.start()

    def wait(self) -> int:
        """The main loop, until the daemon is to end; returns the exit code."""
        while self._ending is None:
            self._wake_pipe.wait(TICK)
            try:
                self._check_all()
            except Exception:  # noqa: BLE001 - the next round has to come, whatever this one ended in
                _log.exception("unhandled error in the daemon's main loop; continuing")
        self._systemd.stopping()
        hooks = threading.Thread(target=self._notifier.stop, name="hooks end")
        hooks.start()
        self._finish(list(self._workers.values()), self._ending or signal.SIGTERM)
        hooks.join()
        return 128 + self._ending if self._ending else 0

    def is_alive(self) -> bool:
        """Whether the main loop still turns; for systemd's watchdog."""
        return self._clock.monotonic() - self._beat < 4 * TICK

    @contextmanager
    def signal_handlers(self) -> Iterator[None]:
        """Install handlers: SIGINT and SIGTERM end the daemon, a second one at once; SIGHUP reloads."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in _SIGNALS}
        # Python runs handlers in the main thread. If the kernel gives a signal to another thread just before
        # the main thread begins to poll, only this descriptor wakes it before the next tick.
        before_fd = signal.set_wakeup_fd(self._wake_pipe.write_end, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Signal handler. Takes no lock: the interrupted thread may hold it."""
        if number == signal.SIGHUP:
            self._reload_asked = True
            self._wake_pipe.wake()
            return
        if self._ending:
            os._exit(128 + number)
        self._end(number)

    def _end(self, number: int) -> None:
        if self._ending is None:
            self._ending = number
        self._wake_pipe.wake()

    def _check_all(self) -> None:
        self._beat = self._clock.monotonic()
        if self._reload_asked:
            self._reload_asked = False
            try:
                self.reload()
            except SyncerError as error:
                _log.error("the config was not read again, the old one holds: %s", error.message)
        jump = self._suspend.news()
        if jump:
            _log.info("%s: everything is scanned again", jump)
        for worker in list(self._workers.values()):
            if jump:
                worker.notice(EVERYTHING, settled=True)
                worker.reset_backoff()
            self._notifier.check_stale(self._settings, worker.job, worker.status)
        self._systemd.status(status_line(self.status()))
        if self._clock.monotonic() - self._trimmed >= TICK:  # it may be woken more often
            allocator.trim()
            self._trimmed = self._clock.monotonic()

    # -- workers -------------------------------------------------------------------------

    def _worker(self, settings: Settings, job: JobSettings, *, paused: bool) -> Worker:
        return Worker(
            settings,
            job,
            intervals=intervals_of(settings, job),
            watchers=watchers_of(settings, job),
            ended=self._ended,
            paused=paused,
        )

    def _ended(self, worker: Worker, task: Task, result: JobResult) -> None:
        """Called after every run, in the worker's thread."""
        for note in result.notes:
            _log.warning("%s: %s", result.job, note)
        if result.error is not None:
            _log.warning("%s: %s", result.job, result.error.message)
        self._notifier.run_ended(self._settings, worker.job, result, whole=task.scope.everywhere)
        self._systemd.status(status_line(self.status()))

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
        # Everything that can fail is done: only now are jobs stopped that could not be started again.
        self._finish(gone, signal.SIGTERM)
        self._settings = settings
        self._workers = {name: same.get(name) or new[name] for name in jobs}
        for worker in new.values():
            if self._ending is None:
                worker.start()

    def _finish(self, workers: Sequence[Worker], number: int) -> None:
        """Stop workers. One that does not end in time is abandoned like in a kill: the next run recovers."""
        for worker in workers:
            worker.stop(number)
        deadline = self._clock.monotonic() + _STOP_TIMEOUT
        for worker in workers:
            if not worker.join(deadline - self._clock.monotonic()):
                _log.warning("%s: did not stop in time; it goes on where it was next time", worker.job.name)

    def _named(self, jobs: Sequence[str]) -> list[Worker]:
        """The workers of these jobs, all of them for no names. Raises UsageError."""
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


class _WakePipe:
    """A pipe that wakes one waiting thread; signal handlers and set_wakeup_fd may write to it."""

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        for end in (self._read_end, self.write_end):
            os.set_blocking(end, False)
            weakref.finalize(self, os.close, end)
        self._poll = select.poll()
        self._poll.register(self._read_end, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Wait for `wake`, or so many seconds."""
        self._poll.poll(seconds * 1000)
        with suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def wake(self) -> None:
        """End the current wait, or the next one. Takes no lock."""
        with suppress(BlockingIOError):  # full: the thread wakes anyway
            os.write(self.write_end, b"!")


def _check_descriptors(jobs: Sequence[JobSettings]) -> None:
    """Raise the limit of open files as far as allowed; warn if it is too low for these jobs."""
    wanted = _COMMON_DESCRIPTORS + _SERVICE_DESCRIPTORS * sum(job.remote.folder is None for job in jobs)
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
    """The settings on which all jobs depend: where they change, every job is restarted."""
    return settings.accounts, settings.state_dir, settings.daemon
