"""The work folder of a session: where it lies, the trees in it, what is built once.

A pair of equal trees of each size is built when a case first asks for it and shared by
the cases of that size. The folder is removed at the end, unless it is to be kept.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.trees import DATA, Spec, clone, grow

_MEMORY = Path("/dev/shm")
_ROOM = 8 << 30  # bytes that must be free there


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two roots. Syncer gets the roots, its peers the `data` folders in them."""

    local: Path
    remote: Path

    @property
    def data(self) -> tuple[Path, Path]:
        """What peers work on: the same files, without Syncer's own folder at the root."""
        return self.local / DATA, self.remote / DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The folder; `told` hears what takes long."""

    folder: Path
    told: Callable[[str], None] = lambda _: None
    _done: set[str] = field(default_factory=set)

    def pair(self, files: int) -> Pair:
        """Two equal trees of that many files, on Syncer's side not known yet. Raises OSError."""
        pair = Pair(local=self.folder / f"{files}" / "local", remote=self.folder / f"{files}" / "remote")

        def build() -> None:
            self.told(f"building two trees of {files:,} files")
            grow(pair.local, Spec(files=files))
            clone(pair.local, pair.remote)

        self.once(f"pair {files}", build)
        return pair

    def drop(self, files: int) -> None:
        """Forgets the pair of that size and all that was said about it."""
        for key in [key for key in self._done if key.split()[-1] == str(files)]:
            self._done.discard(key)
        empty(self.folder / f"{files}")

    def once(self, key: str, build: Callable[[], None]) -> None:
        """Builds unless it was built; a key about a pair ends with its number of files."""
        if key not in self._done:
            build()
            self._done.add(key)

    def home(self, name: str) -> Path:
        """A home folder of its own for a program; made when missing. Raises OSError."""
        path = self.folder / "homes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def outputs(self) -> Path:
        """Where the output of measured processes goes."""
        return self.home("outputs")


@contextmanager
def ground(chosen: Path | None, *, keep: bool, told: Callable[[str], None]) -> Iterator[Ground]:
    """A fresh folder below `chosen`, else in memory where there is room, else where temporary files go."""
    folder = Path(tempfile.mkdtemp(prefix="syncer-bench-", dir=chosen or default_place())).resolve()
    try:
        yield Ground(folder=folder, told=told)
    finally:
        if keep:
            told(f"kept: {folder}")
        else:
            empty(folder)


def default_place() -> Path:
    """Memory when it has 8 GiB to spare, else the folder for temporary files."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())


def empty(folder: Path) -> None:
    """Removes the folder and all in it, if it is there. Raises OSError."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
