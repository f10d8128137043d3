"""Small changes in one folder, and how long each takes to arrive in another.

Who writes does not wait for arrivals: people do not either. Arrivals are polled for with stat(2), which no
watcher hears of, and counted once the content is right. It knows nothing of who carries the changes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from math import ceil
from pathlib import Path
from random import Random
from threading import Event, Thread

from benchmarks.running import BenchError
from benchmarks.trees import DATA

SIZE = 1000  # bytes of a written file
POLL = 0.002  # seconds between two looks for arrivals
SHORTEST, LONGEST = 0.3, 1.5  # seconds between two changes
PATIENCE = 120.0  # seconds that an arrival may take
_CHATTER = 0.1  # seconds between two lines of a busy log


class Kind(Enum):
    """What somebody does to a file."""

    NEW = "new"
    OVERWRITE = "overwrite"
    RENAME = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something to be done to a file of its own; paths are relative to the root. `origin`: of a rename."""

    kind: Kind
    path: str
    content: bytes
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How long a change took."""

    kind: Kind
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Time, as a test may set it."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class _Pending:
    """A change on its way to the root `target`; `before` is what stood under its name there."""

    change: Change
    target: Path
    began: float
    before: tuple[int, int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.before = _stamp(self.target / self.change.path)

    def arrived(self) -> bool:
        """Content is read only where something moved; of a rename, the old name has to be gone, too."""
        path, origin = self.target / self.change.path, self.change.origin
        if _stamp(path) in (None, self.before) or (origin and (self.target / origin).exists()):
            return False
        try:
            return path.read_bytes() == self.change.content
        except FileNotFoundError:
            return False


def drawn(
    root: Path, count: int, random: Random, *, turn: str = "", kinds: Sequence[Kind] = tuple(Kind)
) -> list[Change]:
    """So many changes in random directories, of these kinds in turns, no file twice. Raises OSError.

    `turn` tells the names of one drawing from those of another over the same tree.
    """
    folders = sorted(folder for folder, _, names in os.walk(root / DATA) if names)
    touched: set[str] = set()
    changes: list[Change] = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        folder = os.path.relpath(random.choice(folders), root)
        fresh = f"{folder}/{kind.value}-{turn}{number:04d}.txt"
        if kind is Kind.NEW:
            changes.append(Change(kind=kind, path=fresh, content=random.randbytes(SIZE)))
            continue
        old = _untouched(root, folders, touched, random)
        if kind is Kind.RENAME:
            content = (root / old).read_bytes()
            changes.append(Change(kind=kind, path=fresh, content=content, origin=old))
        else:
            changes.append(Change(kind=kind, path=old, content=random.randbytes(SIZE)))
    return changes


def _untouched(root: Path, folders: Sequence[str], touched: set[str], random: Random) -> str:
    """A file that no change was drawn for yet."""
    for _ in range(1000):
        folder = random.choice(folders)
        name = random.choice(sorted(e.name for e in os.scandir(folder) if e.is_file(follow_symlinks=False)))
        path = os.path.relpath(os.path.join(folder, name), root)
        if path not in touched:
            touched.add(path)
            return path
    raise BenchError("the tree has too few files for so many changes")


def apply(root: Path, change: Change) -> None:
    """Does it, as a program does that knows nothing of synchronisation. Raises OSError."""
    if change.kind is Kind.RENAME:
        (root / change.origin).rename(root / change.path)
    else:
        (root / change.path).write_bytes(change.content)


def arrivals(
    source: Path,
    target: Path,
    changes: Sequence[Change],
    random: Random,
    *,
    timer: Timer | None = None,
    patience: float = PATIENCE,
) -> list[Arrival]:
    """All changes with random pauses, and when each was there. Raises BenchError if one never is."""
    timer = timer or Timer()
    ahead = list(reversed(changes))
    pending: list[_Pending] = []
    done: list[Arrival] = []
    due = last = timer.now()
    while ahead or pending:
        if ahead and timer.now() >= due:
            last = timer.now()
            pending.append(_Pending(ahead[-1], target, last))
            apply(source, ahead.pop())
            due = last + random.uniform(SHORTEST, LONGEST)
        here = [one for one in pending if one.arrived()]
        if here:
            now = timer.now()
            done += [Arrival(kind=one.change.kind, seconds=now - one.began) for one in here]
            pending = [one for one in pending if one not in here]
        elif timer.now() - last > patience:
            raise BenchError(f"{len(pending)} changes did not arrive, such as {pending[0].change.path}")
        timer.sleep(POLL)
    return done


def burst(
    source: Path,
    target: Path,
    changes: Sequence[Change],
    *,
    timer: Timer | None = None,
    patience: float = PATIENCE,
) -> float:
    """Seconds from the first of many changes at once until the last one has arrived. Raises BenchError."""
    timer = timer or Timer()
    began = timer.now()
    pending = [_Pending(change, target, began) for change in changes]
    for change in changes:
        apply(source, change)
    while pending:
        while pending and pending[-1].arrived():
            pending.pop()
        if timer.now() - began > patience:
            raise BenchError(f"{len(pending)} of {len(changes)} changes at once did not arrive")
        timer.sleep(POLL)
    return timer.now() - began


@contextmanager
def chatter(file: Path) -> Iterator[None]:
    """Somebody appends a line to the file ten times a second, and never rests."""
    over = Event()

    def talk() -> None:
        with file.open("a", buffering=1) as log:
            while not over.wait(_CHATTER):
                log.write("nothing happened\n")

    talker = Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; of at least one value."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
