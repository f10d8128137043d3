"""What processes cost while nothing happens: processor time and memory, as the kernel counts them (Linux).

Processor time is a difference of /proc/PID/stat, memory is /proc/PID/smaps_rollup (proc(5)). Nothing is
asked of the processes themselves.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One process: its share of a core, its memory in bytes (`peak`: the most since it began)."""

    share: float
    rss: int
    pss: int
    peak: int


def costs(processes: Mapping[str, int], seconds: float) -> dict[str, Cost]:
    """All processes (names and ids) over the same time. Raises OSError if one has ended."""
    began = time.monotonic()
    before = {name: cpu_seconds(pid) for name, pid in processes.items()}
    time.sleep(seconds)
    took = time.monotonic() - began
    return {name: _cost(pid, (cpu_seconds(pid) - before[name]) / took) for name, pid in processes.items()}


def cpu_seconds(pid: int, proc: Path = _PROC) -> float:
    """Time in user and kernel mode of all threads so far, in hundredths."""
    text = (proc / str(pid) / "stat").read_text()
    fields = text.rpartition(")")[2].split()  # a name may hold blanks and brackets
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(path: Path, *names: str) -> list[int]:
    """Values in bytes of a file of `Name:   123 kB` lines, in the order asked for. Raises KeyError."""
    found = {}
    for line in path.read_text().splitlines():
        name, colon, value = line.partition(":")
        if colon and value.endswith("kB"):
            found[name] = int(value.split()[0]) * 1024
    return [found[name] for name in names]


def _cost(pid: int, share: float) -> Cost:
    rss, pss = memory(_PROC / str(pid) / "smaps_rollup", "Rss", "Pss")
    [peak] = memory(_PROC / str(pid) / "status", "VmHWM")
    return Cost(share=share, rss=rss, pss=pss, peak=peak)
