"""What can be wrong with the watching of a folder, in words; each is said once until it is over."""

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

Said = Callable[[str, str], None]  # a message, and what to do about it

_CALM = 600.0  # seconds after which what happens in a moment counts as over
_LIMITS = Path("/proc/sys/fs/inotify")
_WATCHES, _INSTANCES = 524_288, 1024  # directories, observers: enough for nearly everybody


class Break(Enum):
    """What an observer says of itself."""

    OVERFLOW = "overflow"  # events were lost
    UPROOTED = "uprooted"  # the root is not where it was
    REFUSED = "refused"  # something cannot be watched; it ends here


class WatchProblem(Enum):
    """What was said. The first two are over when they did not happen again for a while."""

    OVERFLOW = "overflow"
    BROKEN = "broken"
    REFUSED = "refused"
    GONE = "gone"
    NETWORK = "network"


_MOMENTARY: Final = (WatchProblem.OVERFLOW, WatchProblem.BROKEN)


class WatchProblems:
    """What was said of one folder already. Safe to share."""

    def __init__(self, said: Said, clock: Clock) -> None:
        self._said = said
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[WatchProblem, float] = {}

    def say(self, trouble: WatchProblem, message: str, remedy: str = "") -> None:
        """Only if it is new."""
        now = self._clock.monotonic()
        with self._lock:
            last = self._last.get(trouble)
            self._last[trouble] = now
        if last is None or (trouble in _MOMENTARY and now - last > _CALM):
            self._said(message, remedy)

    def over(self, trouble: WatchProblem) -> None:
        """The next one is new."""
        with self._lock:
            self._last.pop(trouble, None)


def refused(root: str, number: int, poll: float) -> tuple[str, str]:
    """Why the system gives no events (errno of inotify_add_watch(2) or inotify_init(2)), and the remedy."""
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
    """More happened than the system keeps for us."""
    return (
        f"more happened in {printable(root)} at once than the system keeps: all of it is looked at",
        "nothing has to be done; if it comes often, run `sudo sysctl fs.inotify.max_queued_events=131072`",
    )


def broken(root: str) -> tuple[str, str]:
    """The observer's end."""
    return (
        f"the watch of {printable(root)} broke off: it began anew, and all of the folder is looked at",
        "nothing has to be done; if it comes often, please report it",
    )


def gone(root: str) -> tuple[str, str]:
    """No directory at the root."""
    return f"{printable(root)} is not there", "mount it or put it back: it is noticed when it is"


def network(root: str, kind: str, poll: float) -> tuple[str, str]:
    """A file system that others change, too."""
    message = (
        f"{printable(root)} lies on a network file system ({kind}), so what other machines do there is not "
        f"told: all of it is looked at every {poll:g} s or more besides"
    )
    return message, "let Syncer run on the machine that holds the files, if you can"


def _more(name: str, enough: int) -> str:
    """The commands that raise a limit now and for good; to twice of what it is where that is more."""
    try:
        enough = max(enough, 2 * int((_LIMITS / name).read_text()))
    except (OSError, ValueError):
        pass
    setting = f"fs.inotify.{name}={enough}"
    return (
        f"run `sudo sysctl {setting}`; to keep it over restarts also "
        f"`echo {setting} | sudo tee /etc/sysctl.d/60-syncer.conf`"
    )
