"""Trees of small files, the same for the same seed, and copies of them.

Everything generated lies in one folder `data/` below the root, so that a peer can be given
`root/data` and never meets what Syncer keeps at a root (`.syncer/`). Contents are random, so no
two files are equal and nothing compresses; times are fixed, in the past, with nanoseconds.
It writes with ordinary calls, without fsync, and never holds a tree in memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

DATA = "data"
PER_DIRECTORY = 40
SMALLEST, LARGEST = 100, 4000  # bytes in a small file
_DEPTH = 7
_EPOCH_NS = 1_600_000_000 * 10**9
_YEAR_NS = 365 * 86_400 * 10**9
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What decides a tree, wholly."""

    files: int
    seed: int = 2
    per_directory: int = PER_DIRECTORY


def grow(root: Path, spec: Spec) -> None:
    """Makes the tree below `root`, which must not exist yet. Raises OSError."""
    random = Random(f"{spec.seed}/{spec.files}/{spec.per_directory}")
    for folder, count in _directories(random, spec):
        path = root / DATA / folder
        path.mkdir(parents=True)
        for number in range(count):
            name = f"{random.choice(_WORDS)}-{number:03d}.{random.choice(_ENDINGS)}"
            write(path / name, random.randbytes(random.randint(SMALLEST, LARGEST)), _moment(random))


def big_file(path: Path, size: int, *, seed: int = 2) -> None:
    """One file of `size` random bytes. Raises OSError."""
    random = Random(f"{seed}/{size}")
    with path.open("xb") as file:
        for start in range(0, size, _PIECE):
            file.write(random.randbytes(min(_PIECE, size - start)))
    moment = _moment(random)
    os.utime(path, ns=(moment, moment))


def picked(root: Path, count: int, random: Random) -> list[Path]:
    """Different files, each in another directory while there are enough. Raises OSError."""
    folders = sorted(Path(folder) for folder, _, names in os.walk(root / DATA) if names)
    random.shuffle(folders)
    chosen: list[Path] = []
    for turn in range(PER_DIRECTORY):
        for folder in folders:
            if len(chosen) == count:
                return chosen
            names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
            chosen.extend(folder / name for name in names[turn : turn + 1])
    return chosen


def clone(source: Path, target: Path) -> None:
    """An independent copy with the same times: no hard links. Raises CalledProcessError."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(source / DATA), str(target / DATA)], check=True)


def write(path: Path, data: bytes, moment: int | None) -> None:
    """The file with these bytes and this mtime in ns (None: now). Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(handle, data)
        if moment is not None:
            os.utime(handle, ns=(moment, moment))
    finally:
        os.close(handle)


def _directories(random: Random, spec: Spec) -> Iterator[tuple[str, int]]:
    """Relative names, parents first, and how many files each holds."""
    known = [""]
    made = 0
    left = spec.files
    while left > 0 or made == 0:
        made += 1
        parent = random.choice(known)
        name = os.path.join(parent, f"{random.choice(_WORDS)}-{made:05d}")
        if name.count(os.sep) < _DEPTH:
            known.append(name)
        count = min(left, spec.per_directory)
        left -= count
        yield name, count


def _moment(random: Random) -> int:
    return _EPOCH_NS + random.randrange(_YEAR_NS)


_WORDS = ("invoice", "letter", "notes", "photo", "plan", "recipe", "report", "sketch", "summer", "übung")
_ENDINGS = ("txt", "md", "jpg", "pdf", "py", "csv")
