"""The real clock (`engine.interfaces.Clock`), and how much time surely passed between two runs.

Nothing else in Syncer asks the system for the time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000
_UPTIME: Final = Path("/proc/uptime")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """Wall time for names and for the age of stamps, monotonic time for waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """How long this boot of the machine has lasted, suspension included. `boot` is "" where that is
    unknown.
    """

    boot: str = ""
    ns: int = 0


def uptime() -> Uptime:
    """Linux tells it in proc(5), by a clock that nobody can set; elsewhere it is unknown."""
    try:
        boot = _BOOT.read_text("ascii").strip()
        seconds, _, fraction = _UPTIME.read_text("ascii").split()[0].partition(".")
        return Uptime(boot=boot, ns=int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9]))
    except (OSError, ValueError, IndexError):
        return Uptime()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment by both clocks: what the wall clock said (ns since 1970), and the uptime."""

    wall_ns: int
    uptime: Uptime


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """`ns` is how much time passed at least; `jump_ns` by how much the wall clock was set (0: not known to
    be).
    """

    ns: int
    jump_ns: int = 0


def passed(before: Moment, after: Moment) -> Passed:
    """The time between two moments of one machine, never more than it really was.

    Within one boot the uptime tells it, whatever was done to the wall clock. Over a reboot the wall clock may
    have been wrong at either end (a board without a battery, a dead one): it is believed for a day at most.
    """
    wall = after.wall_ns - before.wall_ns
    same_boot = bool(before.uptime.boot) and before.uptime.boot == after.uptime.boot
    ran = after.uptime.ns - before.uptime.ns
    if same_boot and ran >= 0:
        return Passed(ns=ran, jump_ns=wall - ran)
    since_boot = after.uptime.ns if before.uptime.boot and after.uptime.boot and not same_boot else 0
    return Passed(ns=max(since_boot, min(max(wall, 0), DAY_NS)), jump_ns=min(wall, 0))
