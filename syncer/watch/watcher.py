"""Watches one folder for months: reports where something may have changed, whatever goes wrong.

Uses the system's events, and polling where there are none or where they report only part of the changes.
Every few seconds one stat(2) of the root tells whether it is still the same directory, and whether the events
still work. Whenever a change may have been missed, EVERYWHERE is reported. Contents are never looked at.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable
from functools import partial
from typing import Literal

from syncer.clock import SystemClock
from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.engine.scope import EVERYWHERE, Places
from syncer.watch import backend, polling, problems
from syncer.watch.backend import EventSource, OpenEvents
from syncer.watch.executor import EXECUTOR, Call
from syncer.watch.inotify_tree import Select, every_one
from syncer.watch.polling import Looks
from syncer.watch.problems import Break, OnProblem, WatchProblem, WatchProblems

Mode = Literal["events", "events and interval", "polling", "gone"]

POLL = 5.0  # seconds between two checks of the root, and between two polls
INTERVAL = 300.0  # seconds between two polls beside events that report only part of the changes
_SHARE = 20  # a poll is repeated after this many times its own duration at the earliest
_RETRY_EVENTS = 600.0  # seconds until events are asked for again after the system refused them
_STOP_TIMEOUT = 1.0  # seconds to wait for what runs at the end
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_log = logging.getLogger("syncer.watch")


class FolderWatch:
    """Calls `changed` with what may have changed below `root`; from any thread, until `stop`."""

    def __init__(
        self,
        root: str,
        *,
        changed: Callable[[Places], None],
        on_problem: OnProblem,
        open_events: OpenEvents | None = None,
        select: Select = every_one,
        poll: float = POLL,
        interval: float = INTERVAL,
        clock: Clock | None = None,
        wanted: Callable[[], bool] = lambda: True,
        mountinfo: str = "/proc/self/mountinfo",
    ) -> None:
        """`on_problem` gets each problem once, with its remedy. `select`: the watched subdirectories.

        While `wanted` returns False nothing is polled. `interval`: seconds between two polls beside events
        that report only part of the changes, because the folder is a view of files elsewhere. `open_events`
        replaces the events of this system; where it raises OSError the folder is polled.
        """
        self._root = os.path.abspath(root)
        self._changed = changed
        self._open_events = open_events or partial(backend.open_events, select=select)
        self._select = select
        self._poll = poll
        self._interval = interval
        self._least = 0.0  # seconds until the next poll, at the earliest
        self._clock = clock or SystemClock()
        self._problems = WatchProblems(on_problem, self._clock)
        self._wanted = wanted
        self._mountinfo = mountinfo
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._stopped = threading.Event()
        self._identity: tuple[int, int] | None = None  # of the watched root
        self._inside: tuple[str, ...] = ()  # the mounts inside it
        self._events: EventSource | None = None
        self._break: tuple[Break, int] | None = None  # reported by the events, with an errno
        self._missed = False  # whether a change may have been missed, and nobody was told so yet
        self._retry_at = 0.0  # when to ask for events again
        self._looks: Looks | None = None
        self._next_look = 0.0

    def start(self) -> None:
        """Returns once every change from now on is noticed. A second call does nothing."""
        with self._lock:
            if self._call is not None or self._stopped.is_set():
                return
            self._settle()
            try:
                self._call = EXECUTOR.call(self._attend, every=self._poll)
            except RuntimeError:  # no more threads
                self._close()
                raise
            if self._break is not None:
                self._call.wake()

    def stop(self) -> None:
        """Report nothing more. Waits a moment for what runs, but never within a callback."""
        self._stopped.set()
        with self._lock:
            call = self._call
        if call is not None:
            call.end(self._close, _STOP_TIMEOUT)

    @property
    def mode(self) -> Mode:
        """How changes are noticed at the moment. "gone": there is no folder."""
        if self._identity is None:
            return "gone"
        if self._looks is None:
            return "events"
        return "events and interval" if self._least else "polling"

    def _attend(self) -> None:
        """One turn: is it the same root, do the events work or can they be had again, is a poll due?"""
        try:
            self._missed = self._missed or self._is_off()
            if self._missed:
                # Watch first, report afterwards: what changes in between is reported by the new watch.
                self._settle()
                self._tell(EVERYWHERE)
                self._missed = False
            elif self._identity and self._events is None and self._clock.monotonic() >= self._retry_at:
                self._reopen_events()
            if self._looks is not None and self._clock.monotonic() >= self._next_look and self._wanted():
                self._tell_of(self._looks)
        except Exception:  # noqa: BLE001 - the next turn has to come, whatever this one ended in
            _log.exception("unhandled error in the watch of %s; continuing", printable(self._root))
            self._missed = True

    def _is_off(self) -> bool:
        """Whether the watch has to begin anew."""
        if _identity(self._root) != self._identity:
            return True
        if self._mounted() != self._inside:  # no event reports a mount, and what it shows is not watched yet
            return True
        if self._events is None or (self._break is None and self._events.alive):
            return False
        if self._break is None:
            self._problems.report(WatchProblem.BROKEN, *problems.broken(self._root))
        return True

    def _settle(self) -> None:
        """Watch the directory that is at the root now, from the beginning."""
        self._close()
        kind, number = self._break or (None, 0)
        self._break = None
        self._identity, self._inside = _identity(self._root), self._mounted()
        if self._identity is None:
            self._problems.report(WatchProblem.GONE, *problems.gone(self._root))
            return
        self._problems.over(WatchProblem.GONE)
        real = os.path.realpath(self._root)
        if kind is Break.REFUSED:
            self._say_refused(number)
        else:
            self._events = self._open(real)
        if self._reports_half(real) or self._events is None:
            self._looks = Looks(real, self._clock, self._select)
            self._look_again(self._looks)

    def _mounted(self) -> tuple[str, ...]:
        return polling.inside(os.path.realpath(self._root), self._mountinfo)

    def _reports_half(self, real: str) -> bool:
        """Whether the folder has to be polled beside its events; sets `_least`, how often."""
        kind = polling.network(real, self._mountinfo)
        if kind:
            self._problems.report(WatchProblem.NETWORK, *problems.network(self._root, kind, self._poll))
        else:
            self._problems.over(WatchProblem.NETWORK)
        stacked = not kind and self._events is not None and bool(polling.stacked(real, self._mountinfo))
        self._least = self._interval if stacked else 0.0
        return bool(kind) or stacked

    def _reopen_events(self) -> None:
        """Events in place of polling. The last poll comes once they flow, so that no change falls between."""
        real = os.path.realpath(self._root)
        self._events = self._open(real)
        if self._events is not None and self._looks is not None:
            looks = self._looks
            self._looks = looks if self._reports_half(real) else None
            self._tell_of(looks)

    def _open(self, real: str) -> EventSource | None:
        try:
            events = self._open_events(real, self._tell, self._broke)
        except OSError as error:
            if error.errno not in _ABSENT:  # else the root is gone, which `_is_off` sees
                self._say_refused(error.errno or 0)
            return None
        self._problems.over(WatchProblem.REFUSED)
        return events

    def _say_refused(self, number: int) -> None:
        self._retry_at = self._clock.monotonic() + _RETRY_EVENTS
        self._problems.report(WatchProblem.REFUSED, *problems.refused(self._root, number, self._poll))

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = self._looks = None

    def _tell_of(self, looks: Looks) -> None:
        self._tell(Places(directories=frozenset(self._look_again(looks))))

    def _look_again(self, looks: Looks) -> list[RelPath]:
        began = self._clock.monotonic()
        differing = looks.differing()
        now = self._clock.monotonic()
        self._next_look = now + max(self._least, _SHARE * (now - began))
        return differing

    def _tell(self, places: Places) -> None:
        if places and not self._stopped.is_set():
            self._changed(places)

    def _broke(self, kind: Break, number: int) -> None:
        """The events report a break. Their own thread cannot close them: that is left to the next turn."""
        if kind is Break.OVERFLOW:
            self._problems.report(WatchProblem.OVERFLOW, *problems.overflow(self._root))
            self._tell(EVERYWHERE)
        else:
            self._break = kind, number
            if self._call is not None:
                self._call.wake()


def _identity(root: str) -> tuple[int, int] | None:
    """Device and inode of the directory there; None if there is none, or stat(2) fails."""
    try:
        found = os.stat(root)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
