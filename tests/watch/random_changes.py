"""Random changes in a folder, as programs and moves from outside make them."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from pathlib import Path

NAMES = ["a", "b", "c", "d", "with space", "line\nbreak", os.fsdecode(b"not-utf8-\xff"), "ä"]


class RandomChanges:
    """Changes `root` at random; what is moved out goes to `outside`, and may come back."""

    def __init__(self, root: Path, outside: Path, seed: int) -> None:
        self._root = root
        self._outside = outside
        self._random = random.Random(seed)
        self._count = 0

    def stir(self, times: int = 1) -> None:
        """So many changes; one that cannot be is none."""
        weighted = [
            (self._write, 8),
            (self._make, 4),
            (self._make_many, 3),
            (self._rename, 6),
            (self._leave, 2),
            (self._come, 2),
            (self._remove, 2),
            (self._swap, 2),
            (self._touch_mode, 1),
            (self._safe_save, 2),
        ]
        for _ in range(times):
            act = self._random.choices([act for act, _ in weighted], [weight for _, weight in weighted])[0]
            with contextlib.suppress(OSError, shutil.Error):
                act()

    def directories(self) -> list[str]:
        """All below the root, and the root."""
        return sorted(os.path.relpath(d, self._root) for d, _, _ in os.walk(self._root))

    def _directory(self) -> Path:
        return self._root / self._random.choice(self.directories())

    def _inner(self) -> Path:
        """Never the root itself. Raises OSError where there is no other."""
        found = self._directory()
        if found == self._root:
            raise FileNotFoundError(found)
        return found

    def _name(self) -> str:
        return self._random.choice(NAMES)

    def _write(self) -> None:
        self._count += 1
        (self._directory() / f"f{self._random.randrange(4)}").write_bytes(b"x" * self._count)

    def _make(self) -> None:
        (self._directory() / self._name()).mkdir()

    def _make_many(self) -> None:
        made = self._directory() / self._name() / self._name() / self._name()
        made.mkdir(parents=True)
        (made / "f").write_bytes(b"1")

    def _rename(self) -> None:
        os.rename(self._inner(), self._directory() / self._name())

    def _leave(self) -> None:
        self._count += 1
        os.rename(self._inner(), self._outside / str(self._count))

    def _come(self) -> None:
        came = self._random.choice([self._outside / "none", *sorted(self._outside.iterdir())])
        os.rename(came, self._directory() / self._name())

    def _remove(self) -> None:
        shutil.rmtree(self._inner())

    def _swap(self) -> None:
        """One directory leaves its name, and another one takes it at once."""
        first, second = self._inner(), self._inner()
        os.rename(first, self._outside / "swap")
        os.rename(second, first)
        os.rename(self._outside / "swap", second)

    def _touch_mode(self) -> None:
        self._directory().chmod(self._random.choice([0o700, 0o750, 0o755]))

    def _safe_save(self) -> None:
        directory = self._directory()
        self._count += 1
        new = directory / ".syncer-tmp-new"
        new.write_bytes(b"y" * self._count)
        os.replace(new, directory / f"f{self._random.randrange(4)}")
