"""A folder under watch for months: where something happens is told as it happens, whatever goes wrong.

By the system's events; by looking at everything every few seconds where there are none, or where they
tell only half. Every few seconds a single look at the root tells whether it is still the same directory,
and whether the observer lives. Whenever something may have gone unnoticed, EVERYWHERE is told. What is
there, nobody here asks.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from syncer.clock import SystemClock
from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.engine.scope import EVERYWHERE, Places
from syncer.watch import polling, problems
from syncer.watch.backend import Events
from syncer.watch.executor import EXECUTOR, Call
from syncer.watch.polling import Looks
from syncer.watch.problems import Break, Said, WatchProblem, WatchProblems

if TYPE_CHECKING:
    from syncer.watch.backend import Observer

Mode = Literal["events", "events and interval", "polling", "gone"]

POLL = 5.0  # seconds between two looks
INTERVAL = 300.0  # seconds between two looks where events come and may miss something
_SHARE = 20  # a look that took so long is repeated after so many times that, at the earliest
_AGAIN = 600.0  # seconds until the system is asked for events again that it refused
_PATIENCE = 1.0  # seconds to wait for what goes on at the end
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_log = logging.getLogger("syncer.watch")


class FolderWatch:
    """Tells `changed` where something may have happened below `root`; from any thread, until `stop`."""

    def __init__(
        self,
        root: str,
        *,
        changed: Callable[[Places], None],
        said: Said,
        observer: Callable[[], Observer] | None = None,
        poll: float = POLL,
        interval: float = INTERVAL,
        clock: Clock | None = None,
        wanted: Callable[[], bool] = lambda: True,
        mountinfo: str = "/proc/self/mountinfo",
    ) -> None:
        """`said` gets each trouble once, with its remedy. While nothing is `wanted`, no look is taken.

        Every `interval` seconds all is looked at where events may miss what happens behind the mount.

        Where `observer` (by default the system's) raises OSError, there are looks only.
        """
        self._root = os.path.abspath(root)
        self._changed = changed
        self._new_observer = observer
        self._poll = poll
        self._interval = interval
        self._least = 0.0  # seconds until the next look, at the earliest
        self._clock = clock or SystemClock()
        self._troubles = WatchProblems(said, self._clock)
        self._wanted = wanted
        self._mountinfo = mountinfo
        self._lock = threading.Lock()
        self._call: Call | None = None
        self._stopped = threading.Event()
        self._identity: tuple[int, int] | None = None  # of the root that is watched
        self._inside: tuple[str, ...] = ()  # what is mounted inside it
        self._events: Events | None = None
        self._break: tuple[Break, int] | None = None  # what the observer said of itself, with an errno
        self._owing = False  # whether something may have gone unnoticed, and nobody was told yet
        self._again = 0.0  # when to ask for events again
        self._looks: Looks | None = None
        self._next_look = 0.0

    def start(self) -> None:
        """Returns once nothing that happens from now on goes unnoticed. Costs nothing a second time."""
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
        """Nothing more is told. Waits for what goes on, but not for long, nor in who is told just now."""
        self._stopped.set()
        with self._lock:
            call = self._call
        if call is not None:
            call.end(self._close, _PATIENCE)

    @property
    def mode(self) -> Mode:
        """How changes are noticed at the moment. "gone": there is no folder."""
        if self._identity is None:
            return "gone"
        if self._looks is None:
            return "events"
        return "events and interval" if self._least else "polling"

    def _attend(self) -> None:
        try:
            self._check()
            self._look()
        except Exception:  # noqa: BLE001 - whatever goes wrong in this turn, there has to be a next one
            _log.exception("the watch of %s stumbled", printable(self._root))
            self._owing = True

    def _check(self) -> None:
        """Is it the same root, does the observer live, may events be had again?"""
        self._owing = self._owing or self._is_off()
        if self._owing:
            self._settle()
            self._tell(EVERYWHERE)
            self._owing = False
        elif self._identity and self._events is None and self._clock.monotonic() >= self._again:
            self._ask_again()

    def _is_off(self) -> bool:
        if _identity(self._root) != self._identity:
            return True
        if (
            self._mounted() != self._inside
        ):  # no event tells of it, and what it shows is watched by nobody yet
            return True
        if self._events is None or (self._break is None and self._events.alive):
            return False
        if self._break is None:
            self._troubles.say(WatchProblem.BROKEN, *problems.broken(self._root))
        return True

    def _settle(self) -> None:
        """Watch whatever stands at the root now, from the beginning."""
        self._close()
        kind, number = self._break or (None, 0)
        self._break = None
        self._identity, self._inside = _identity(self._root), self._mounted()
        if self._identity is None:
            self._troubles.say(WatchProblem.GONE, *problems.gone(self._root))
            return
        self._troubles.over(WatchProblem.GONE)
        real = os.path.realpath(self._root)
        if kind is Break.REFUSED:
            self._say_refused(number)
        else:
            self._events = self._opened(real)
        if self._tells_half(real) or self._events is None:
            self._looks = Looks(real, self._clock)
            self._look_again(self._looks)

    def _mounted(self) -> tuple[str, ...]:
        return polling.inside(os.path.realpath(self._root), self._mountinfo)

    def _tells_half(self, real: str) -> bool:
        """Whether looks are needed beside events; how often, `_least` says."""
        network = self._is_network(real)
        stacked = not network and self._events is not None and bool(polling.stacked(real, self._mountinfo))
        self._least = self._interval if stacked else 0.0
        return network or stacked

    def _is_network(self, real: str) -> bool:
        kind = polling.network(real, self._mountinfo)
        if kind:
            self._troubles.say(WatchProblem.NETWORK, *problems.network(self._root, kind, self._poll))
        else:
            self._troubles.over(WatchProblem.NETWORK)
        return bool(kind)

    def _ask_again(self) -> None:
        """Events in place of looks: the last look comes when they flow, so nothing falls between."""
        real = os.path.realpath(self._root)
        self._events = self._opened(real)
        if self._events is not None and self._looks is not None:
            looks = self._looks
            self._looks = looks if self._tells_half(real) else None
            self._tell_of(looks)

    def _opened(self, real: str) -> Events | None:
        try:
            events = Events(real, happened=self._tell, broke=self._broke, observer=self._new_observer)
        except OSError as error:
            if error.errno not in _ABSENT:  # a root that went just now is no trouble of the system's
                self._say_refused(error.errno or 0)
            return None
        self._troubles.over(WatchProblem.REFUSED)
        return events

    def _say_refused(self, number: int) -> None:
        self._again = self._clock.monotonic() + _AGAIN
        self._troubles.say(WatchProblem.REFUSED, *problems.refused(self._root, number, self._poll))

    def _close(self) -> None:
        if self._events is not None:
            self._events.close()
        self._events = self._looks = None

    def _look(self) -> None:
        if self._looks is not None and self._clock.monotonic() >= self._next_look and self._wanted():
            self._tell_of(self._looks)

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
        """The observer says what is wrong with it; its own thread is not the one to mend it."""
        if kind is Break.OVERFLOW:
            self._troubles.say(WatchProblem.OVERFLOW, *problems.overflow(self._root))
            self._tell(EVERYWHERE)
        else:
            self._break = kind, number
            if self._call is not None:
                self._call.wake()


def _identity(root: str) -> tuple[int, int] | None:
    """Which directory stands there; None if none does, or nobody can tell."""
    try:
        found = os.stat(root)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
