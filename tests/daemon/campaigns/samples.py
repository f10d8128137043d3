"""Resource use of processes during a campaign (memory, descriptors, threads, CPU, disk), from /proc.

recorder = Recorder({"server": Source(pid=server.pid, state=state)}, folder=report, every=5)
recorder.start()
...
recorder.stop()
recorder.series["server"]["rss"]      # [(seconds, bytes), ...]; also in report/samples.csv
"""

from __future__ import annotations

import csv
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from blake3 import blake3

Series = list[tuple[float, float]]
FIELDS = ("rss", "peak", "descriptors", "threads", "cpu", "trash", "trash_files", "database", "state", "log")
"""Columns of the CSV: bytes, but for `cpu` (seconds so far) and the counts. `state`: all but trash and
database.
"""
_TICK = os.sysconf("SC_CLK_TCK")
_DATABASE = (".db", ".sqlite", "-wal", "-shm")


@dataclass(slots=True)
class TrashReader:
    """Reads each file once that comes into the trashes below a directory: its digest, and when it was seen.

    A directory is listed again only if its stamp moved, so that a look at thousands of folders of runs
    costs a stat(2) each.
    """

    top: Path
    seen: set[bytes] = field(default_factory=set)  # digests of everything that ever was in a trash
    size: int = 0
    files: int = 0
    _stamps: dict[str, int] = field(default_factory=dict)
    _subs: dict[str, list[str]] = field(default_factory=dict)
    _held: dict[str, dict[str, tuple[int, int, int]]] = field(default_factory=dict)  # inode, mtime, size

    def look(self) -> None:
        """Once more at everything below `top` that lies in a directory of the name `trash`."""
        pending = [str(found) for found in self._trashes()]
        there: set[str] = set()
        while pending:
            folder = pending.pop()
            try:
                stamp = os.stat(folder).st_mtime_ns
                if self._stamps.get(folder) != stamp:
                    self._list(folder)
                    self._stamps[folder] = stamp
            except OSError:
                continue  # removed meanwhile
            there.add(folder)
            pending += self._subs[folder]
        for gone in self._stamps.keys() - there:
            del self._stamps[gone]
            self._held.pop(gone, None)
            self._subs.pop(gone, None)
        self.size = sum(held[2] for folder in self._held.values() for held in folder.values())
        self.files = sum(len(folder) for folder in self._held.values())

    def _trashes(self) -> list[Path]:
        places = [self.top / "trash", self.top / ".syncer" / "trash", *self.top.glob("pairs/*/*/trash")]
        return [place for place in places if place.is_dir()]

    def _list(self, folder: str) -> None:
        before, held, subs = self._held.get(folder, {}), {}, []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    subs.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    held[entry.name] = found.st_ino, found.st_mtime_ns, found.st_size
                    if before.get(entry.name) != held[entry.name]:
                        with suppress(OSError):
                            self.seen.add(blake3(Path(entry.path).read_bytes()).digest())
        self._held[folder], self._subs[folder] = held, subs


@dataclass(slots=True, kw_only=True)
class Source:
    """A process with its state directory, the directories that hold its trashes, and its log file."""

    pid: int
    state: Path
    trashes: list[TrashReader] = field(default_factory=list)
    log: Callable[[], int] = lambda: 0  # bytes

    def sample(self) -> dict[str, float]:
        """Raises OSError when the process has ended."""
        for trash in self.trashes:
            trash.look()
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
        )
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        database, state = self._disk()
        return {
            "rss": _kib(status["VmRSS"]),
            "peak": _kib(status["VmHWM"]),
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
            "threads": int(status["Threads"]),
            "cpu": (int(times[11]) + int(times[12])) / _TICK,
            "trash": sum(trash.size for trash in self.trashes),
            "trash_files": sum(trash.files for trash in self.trashes),
            "database": database,
            "state": state,
            "log": self.log(),
        }

    def _disk(self) -> tuple[int, int]:
        database = state = 0
        for folder, subs, names in os.walk(self.state):
            if "trash" in subs:
                subs.remove("trash")
            for name in names:
                with suppress(OSError):
                    size = os.lstat(os.path.join(folder, name)).st_size
                    if name.endswith(_DATABASE):
                        database += size
                    else:
                        state += size
        return database, state


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024


class Recorder:
    """A thread that samples each source, and writes down what it sees, until it is stopped."""

    def __init__(self, sources: Mapping[str, Source], *, folder: Path, every: float) -> None:
        self._sources = sources
        self._every = every
        self._path = folder / "samples.csv"
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self.broke: list[BaseException] = []
        self.series: dict[str, dict[str, Series]] = {
            name: {column: [] for column in FIELDS} for name in sources
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After a last sample."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.broke:
            raise self.broke[0]

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        try:
            with self._path.open("w", encoding="ascii", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(("seconds", "process", *FIELDS))
                ended = False
                while not ended:
                    ended = self._stop.wait(self._every)
                    for name, source in self._sources.items():
                        now, found = self.elapsed(), source.sample()
                        rows.writerow((f"{now:.1f}", name, *(f"{found[column]:g}" for column in FIELDS)))
                        for column in FIELDS:
                            self.series[name][column].append((now, found[column]))
                    file.flush()
        except BaseException as error:  # noqa: BLE001 - a recorder that broke down must be noticed
            self.broke.append(error)


def rate(series: Series) -> Series:
    """What grew per second, between one sample and the next."""
    return [
        (after[0], (after[1] - before[1]) / (after[0] - before[0]))
        for before, after in pairwise(series)
        if after[0] > before[0]
    ]
