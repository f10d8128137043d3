"""Notifications: passes new events of the jobs on to hooks and to the desktop (notify-send, osascript).

Desktop notifications are optional: a failure is one line in the log. At most four are shown in a minute.
Their commands run like hooks.
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
_MAX_SHOWN, _WINDOW = 4, 60.0  # notifications in so many seconds
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
# The texts are arguments, never part of the script.
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
Finder = Callable[[str], str | None]


class DesktopNotifications:
    """Shows calls on the desktop, at most four in a minute; the next one then says how many were left out."""

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
        self._shown: list[float] = []
        self._omitted = 0

    def show(self, call: Call) -> None:
        """Show the call, or count it if there were too many. A no-op without a program that shows it."""
        title, body = words(call)
        now = self._clock.monotonic()
        self._shown = [moment for moment in self._shown if now - moment < _WINDOW]
        if len(self._shown) >= _MAX_SHOWN:
            self._omitted += 1
            return
        if self._omitted:
            body += f" (and {counted(self._omitted, 'message')} before)"
        command = command_for(title, body, find=self._find, platform=self._platform)
        if command is None:
            return
        self._shown.append(now)
        self._omitted = 0
        self._hooks.call(command, call, lane=LANE)


def words(call: Call) -> tuple[str, str]:
    """Title and body, printable. Without names of files, and without messages, which may contain names: the
    arguments of a command are readable for every user of the machine (/proc/PID/cmdline).
    """
    number = len(call.paths) + call.more
    where = f"{counted(number, 'path')}: " if number else ""
    return f"{_TITLES[call.event]}: {printable(call.job)}", f"{where}{_BODIES[call.event]}"


def command_for(title: str, body: str, *, find: Finder, platform: str) -> tuple[str, ...] | None:
    """The command that shows a notification; None if the program for it is missing."""
    if platform == "darwin":
        program = find("osascript")
        script = [word for line in _SCRIPT for word in ("-e", line)]
        return (program, *script, "--", title, body) if program else None
    program = find("notify-send")
    # notify-send takes markup in the body; whatever looks like markup here is text.
    return (program, "--app-name=Syncer", "--", title, escape(body, quote=False)) if program else None


class Notifier:
    """Notifies of the events of all jobs of a daemon, each once. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hooks = Hooks()
        self._desktop = DesktopNotifications(self._hooks, clock=clock)
        self._lock = threading.Lock()
        self._reported: dict[str, EventDeduplicator] = {}
        self._began: dict[str, float] = {}

    def run_ended(self, settings: Settings, job: JobSettings, result: JobResult, *, whole: bool) -> None:
        """Notify of the new events of a run. `whole`: the run scanned everything."""
        with self._lock:
            events = self._of(job).of_run(result, whole=whole)
        self._notify(settings, job, events)

    def check_stale(self, settings: Settings, job: JobSettings, status: JobStatus) -> None:
        """Notify if the last success is too long ago; to be called regularly."""
        now = self._clock.now_ns() / 1e9
        with self._lock:
            reported = self._of(job)
            events = reported.of_status(status, began=self._began[job.name], now=now)
        self._notify(settings, job, events)

    def stop(self) -> None:
        """End the hooks that run, within two seconds."""
        self._hooks.stop()

    def _of(self, job: JobSettings) -> EventDeduplicator:
        self._began.setdefault(job.name, self._clock.now_ns() / 1e9)
        return self._reported.setdefault(job.name, EventDeduplicator())

    def _notify(self, settings: Settings, job: JobSettings, events: Sequence[Event]) -> None:
        hooks = settings.hooks(job)
        for call in calls(job.name, events, at=self._clock.now_ns() / 1e9):
            command = hooks.get(call.event.key, ())
            self._hooks.call(command, call, pass_env=settings.daemon.pass_env)
            if settings.daemon.desktop:
                self._desktop.show(call)
