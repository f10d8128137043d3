"""What a figure is worth nothing without: the machine, the file system, the versions.

No names, addresses or paths: the line is meant to be published.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import syncer
from benchmarks.peers import versions

_BUSY = 0.5  # load per core
_MOUNTS = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`memory` in bytes; `load` is the one-minute average per core before the first case."""

    system: str
    cores: int
    memory: int
    file_system: str
    load: float
    versions: dict[str, str]

    @property
    def busy(self) -> bool:
        """Whether others worked on it, so that wall times say little."""
        return self.load > _BUSY

    def line(self) -> str:
        """All of it on one line."""
        programs = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.system}, {self.cores} cores, {self.memory / 2**30:.0f} GiB, {self.file_system}; "
            f"{programs}; load per core at the start {self.load:.1f}"
        )


def look(folder: Path) -> Machine:
    """This machine, and the file system that holds `folder`."""
    cores = os.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        cores=cores,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        file_system=file_system(folder),
        load=os.getloadavg()[0] / cores,
        versions={
            "syncer": syncer.__version__,
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **versions(),
        },
    )


def file_system(folder: Path) -> str:
    """Its type, from the longest mount point above the folder; where that is not told, "unknown"."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return "file system unknown"
    above = {str(folder), *map(str, folder.parents)}
    return max(((len(at), kind) for _, at, kind, *_ in mounts if at in above), default=(0, "unknown"))[1]
