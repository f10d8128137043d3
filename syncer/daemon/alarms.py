"""What a person wants to be told of a job, passed on once: to hooks, to the desktop."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from syncer.config import JobSettings, Settings
from syncer.daemon.desktop import Desktop
from syncer.daemon.happenings import Happening, News
from syncer.daemon.hooks import Hooks, calls
from syncer.daemon.standing import JobStanding
from syncer.engine.ports import Clock
from syncer.jobs.results import JobResult


class Alarms:
    """For all jobs of a daemon. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hooks = Hooks(clock=clock)
        self._desktop = Desktop(self._hooks, clock=clock)
        self._lock = threading.Lock()
        self._news: dict[str, News] = {}
        self._began: dict[str, float] = {}

    def run_ended(self, settings: Settings, job: JobSettings, result: JobResult, *, whole: bool) -> None:
        """Whatever is new in a run's result. `whole`: it looked everywhere."""
        with self._lock:
            told = self._of(job).of_run(result, whole=whole)
        self._tell(settings, job, told)

    def stands(self, settings: Settings, job: JobSettings, standing: JobStanding) -> None:
        """To be called now and then: is the last success too long ago?"""
        now = self._clock.now_ns() / 1e9
        with self._lock:
            news = self._of(job)
            told = news.of_standing(standing, began=self._began[job.name], now=now)
        self._tell(settings, job, told)

    def stop(self) -> None:
        """Ends hooks that run, within two seconds."""
        self._hooks.stop()

    def _of(self, job: JobSettings) -> News:
        self._began.setdefault(job.name, self._clock.now_ns() / 1e9)
        return self._news.setdefault(job.name, News())

    def _tell(self, settings: Settings, job: JobSettings, told: Sequence[Happening]) -> None:
        hooks = settings.hooks(job)
        for call in calls(job.name, told, at=self._clock.now_ns() / 1e9):
            command = hooks.get(call.event.key, ())
            self._hooks.tell(command, call, pass_env=settings.daemon.pass_env)
            if settings.daemon.desktop:
                self._desktop.tell(call)
