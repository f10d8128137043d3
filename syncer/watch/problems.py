"""Problems of watching a folder, as messages with remedies; each is reported once until it is over."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

from syncer.engine.interfaces import Clock
from syncer.engine.paths import printable

OnProblem = Callable[[str, str], None]  # receives a message and its remedy

_QUIET = 600.0  # seconds without a repetition after which a momentary problem is over
_LIMITS = Path("/proc/sys/fs/inotify")
_WATCHES, _INSTANCES = 524_288, 1024  # directories and inotify instances: enough for most users


class Break(Enum):
    """Ways in which a source of events breaks."""

    OVERFLOW = "overflow"  # events were lost
    UPROOTED = "uprooted"  # the root was moved or deleted
    REFUSED = "refused"  # the kernel refused a watch; the source ends


class WatchProblem(Enum):
    """Kinds of problems. The first two are momentary: over when they do not repeat for a while."""

    OVERFLOW = "overflow"
    BROKEN = "broken"
    REFUSED = "refused"
    GONE = "gone"
    NETWORK = "network"


_MOMENTARY: Final = (WatchProblem.OVERFLOW, WatchProblem.BROKEN)


class WatchProblems:
    """Remembers which problems of one folder were reported. Thread-safe."""

    def __init__(self, on_problem: OnProblem, clock: Clock) -> None:
        self._on_problem = on_problem
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[WatchProblem, float] = {}

    def report(self, problem: WatchProblem, message: str, remedy: str = "") -> None:
        """Report the problem, unless it was reported and is not over yet."""
        now = self._clock.monotonic()
        with self._lock:
            last = self._last.get(problem)
            self._last[problem] = now
        if last is None or (problem in _MOMENTARY and now - last > _QUIET):
            self._on_problem(message, remedy)

    def over(self, problem: WatchProblem) -> None:
        """The problem is over: report it again when it comes back."""
        with self._lock:
            self._last.pop(problem, None)


def refused(root: str, number: int, poll: float) -> tuple[str, str]:
    """There are no events; `number`: errno of inotify_add_watch(2) or inotify_init(2)."""
    instead = f"looking at all of {printable(root)} every {poll:g} s or more instead"
    if number == errno.ENOSPC:
        return f"more directories than this system lets a user watch: {instead}", _more(
            "max_user_watches", _WATCHES
        )
    if number == errno.EMFILE:
        return (
            f"no inotify instance left (other programs have them), or too many open files: {instead}",
            _more("max_user_instances", _INSTANCES),
        )
    return f"this system gives no events of changes ({os.strerror(number)}): {instead}", ""


def overflow(root: str) -> tuple[str, str]:
    """The queue of the kernel overflowed."""
    return (
        f"more happened in {printable(root)} at once than the system keeps: all of it is looked at",
        "nothing has to be done; if it comes often, run `sudo sysctl fs.inotify.max_queued_events=131072`",
    )


def broken(root: str) -> tuple[str, str]:
    """The source of events ended unexpectedly."""
    return (
        f"the watch of {printable(root)} broke off: it began anew, and all of the folder is looked at",
        "nothing has to be done; if it comes often, please report it",
    )


def gone(root: str) -> tuple[str, str]:
    """There is no directory at the root."""
    return f"{printable(root)} is not there", "mount it or put it back: it is noticed when it is"


def network(root: str, kind: str, poll: float) -> tuple[str, str]:
    """The folder is on a network file system."""
    message = (
        f"{printable(root)} lies on a network file system ({kind}), so what other machines do there is not "
        f"told: all of it is looked at every {poll:g} s or more besides"
    )
    return message, "let Syncer run on the machine that holds the files, if you can"


def _more(name: str, enough: int) -> str:
    """The commands that raise a limit now and permanently: to `enough`, or twice its present value."""
    try:
        enough = max(enough, 2 * int((_LIMITS / name).read_text()))
    except (OSError, ValueError):
        pass
    setting = f"fs.inotify.{name}={enough}"
    return (
        f"run `sudo sysctl {setting}`; to keep it over restarts also "
        f"`echo {setting} | sudo tee /etc/sysctl.d/60-syncer.conf`"
    )
