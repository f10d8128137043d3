"""A word on the desktop, where there is one: `notify-send`, or `osascript` on macOS.

An extra: nothing depends on it, and what goes wrong with it is a line in the log at most. Here is settled
what is said and how often; `Hooks` runs the command as it runs every other.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from html import escape

from syncer.clock import SystemClock
from syncer.config import JobSettings, Settings
from syncer.daemon.events import Event, EventDeduplicator, EventKind
from syncer.daemon.hooks import Call, Hooks, calls
from syncer.daemon.status import JobStatus
from syncer.engine.interfaces import Clock
from syncer.engine.paths import printable
from syncer.formatting import counted
from syncer.jobs.results import JobResult

LANE = "desktop"
_AT_MOST, _IN = 4, 60.0  # words within so many seconds
_TITLES = {
    EventKind.CONFLICT: "Conflict",
    EventKind.ERROR: "Sync failed",
    EventKind.GUARD: "Sync held back",
    EventKind.STALE: "Not in sync for long",
}
_BODIES = {
    EventKind.CONFLICT: "changed on both sides; `syncer conflicts` lists them",
    EventKind.ERROR: "`syncer status` says what went wrong",
    EventKind.GUARD: "held back; `syncer status` says what and why",
    EventKind.STALE: "no success for longer than max_age; `syncer status` says more",
}
# The words come as arguments, never as part of the script.
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
Finder = Callable[[str], str | None]


class DesktopNotifications:
    """Tells calls on the desktop, a few in a minute; how many were left out is said with the next one."""

    def __init__(
        self,
        hooks: Hooks,
        *,
        clock: Clock | None = None,
        find: Finder = shutil.which,
        platform: str = sys.platform,
    ) -> None:
        self._hooks = hooks
        self._clock = clock or SystemClock()
        self._find = find
        self._platform = platform
        self._told: list[float] = []
        self._left_out = 0

    def tell(self, call: Call) -> None:
        """Show it, or count it where there were many. Does nothing where there is no way to show it."""
        title, body = words(call)
        now = self._clock.monotonic()
        self._told = [moment for moment in self._told if now - moment < _IN]
        if len(self._told) >= _AT_MOST:
            self._left_out += 1
            return
        if self._left_out:
            body += f" (and {counted(self._left_out, 'message')} before)"
        command = command_for(title, body, find=self._find, platform=self._platform)
        if command is None:
            return
        self._told.append(now)
        self._left_out = 0
        self._hooks.tell(command, call, lane=LANE)


def words(call: Call) -> tuple[str, str]:
    """Title and body, in characters that can be shown. No name of a file and no message, which may hold some:
    the arguments of a command are for every user of the machine to read.
    """
    number = len(call.paths) + call.more
    where = f"{counted(number, 'path')}: " if number else ""
    return f"{_TITLES[call.event]}: {printable(call.job)}", f"{where}{_BODIES[call.event]}"


def command_for(title: str, body: str, *, find: Finder, platform: str) -> tuple[str, ...] | None:
    """The command that shows it; None where the program for it is missing."""
    if platform == "darwin":
        program = find("osascript")
        script = [word for line in _SCRIPT for word in ("-e", line)]
        return (program, *script, "--", title, body) if program else None
    program = find("notify-send")
    # A body may hold markup: what looks like it is a file's name and has to be seen as it is.
    return (program, "--app-name=Syncer", "--", title, escape(body, quote=False)) if program else None


# --------------------------------------------------------------------------------
#
# What a person wants to be told of a job, passed on once: to hooks, to the desktop.


class Notifier:
    """For all jobs of a daemon. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hooks = Hooks(clock=clock)
        self._desktop = DesktopNotifications(self._hooks, clock=clock)
        self._lock = threading.Lock()
        self._news: dict[str, EventDeduplicator] = {}
        self._began: dict[str, float] = {}

    def run_ended(self, settings: Settings, job: JobSettings, result: JobResult, *, whole: bool) -> None:
        """Whatever is new in a run's result. `whole`: it looked everywhere."""
        with self._lock:
            told = self._of(job).of_run(result, whole=whole)
        self._tell(settings, job, told)

    def stands(self, settings: Settings, job: JobSettings, standing: JobStatus) -> None:
        """To be called now and then: is the last success too long ago?"""
        now = self._clock.now_ns() / 1e9
        with self._lock:
            news = self._of(job)
            told = news.of_standing(standing, began=self._began[job.name], now=now)
        self._tell(settings, job, told)

    def stop(self) -> None:
        """Ends hooks that run, within two seconds."""
        self._hooks.stop()

    def _of(self, job: JobSettings) -> EventDeduplicator:
        self._began.setdefault(job.name, self._clock.now_ns() / 1e9)
        return self._news.setdefault(job.name, EventDeduplicator())

    def _tell(self, settings: Settings, job: JobSettings, told: Sequence[Event]) -> None:
        hooks = settings.hooks(job)
        for call in calls(job.name, told, at=self._clock.now_ns() / 1e9):
            command = hooks.get(call.event.key, ())
            self._hooks.tell(command, call, pass_env=settings.daemon.pass_env)
            if settings.daemon.desktop:
                self._desktop.tell(call)
