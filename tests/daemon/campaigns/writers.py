"""Simulated users: each edits a folder concurrently, in every way that programs do.

A user may destroy contents: whatever a user read at a place right before overwriting or deleting it
there is given up, everywhere. All else that was ever written has to stand somewhere to the end. What
the synchroniser put in place between that look and the deed is not given up: it came from elsewhere.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from syncer.engine.paths import PRIVATE, TEMPORARY

NAMES = ("a", "b", "c.txt", "é", "d", "e e", "new\nline", "F", "f")
SIZES = (1, 40, 700, 3000, 3000, 20_000)
LARGE = (90_000, 400_000, 3_000_000)
_MOST = 400  # names of a folder; beyond that a user tidies up


class Book:
    """Which contents there have been, and which of them somebody gave up. Safe to share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: set[bytes] = set()
        self._written: dict[bytes, str] = {}
        self._given_up: set[bytes] = set()
        self._count = 0

    def fresh(self, size: int, word: int) -> bytes:
        """A content that there has never been."""
        with self._lock:
            self._count += 1
            head = b"%d.%d\n" % (self._count, word)
        return head + blake3(head).digest(size)

    @contextmanager
    def writing(self, data: bytes, where: Path) -> Iterator[bytes]:
        """Around the writing: what somebody may see from now on, and has to be there once it went well."""
        with self.writing_digest(blake3(data).digest(), where):
            yield data

    @contextmanager
    def writing_digest(self, digest: bytes, where: Path) -> Iterator[None]:
        """The same for a content that is too large to be at hand."""
        with self._lock:
            self._begun.add(digest)
        yield
        with self._lock:
            self._written[digest] = str(where)

    def give_up(self, data: bytes) -> None:
        """To be called before it is destroyed."""
        self.give_up_digest(blake3(data).digest())

    def give_up_digest(self, digest: bytes) -> None:
        with self._lock:
            self._given_up.add(digest)

    @property
    def count(self) -> int:
        """Contents written."""
        return len(self._written)

    def known(self, digest: bytes) -> bool:
        """Whether a user wrote that; nothing at all is what a new file begins with."""
        with self._lock:
            return digest in self._begun or digest == blake3(b"").digest()

    def due(self) -> dict[bytes, str]:
        """What has to stand somewhere, and where it was written."""
        with self._lock:
            return {digest: where for digest, where in self._written.items() if digest not in self._given_up}


@dataclass(slots=True, kw_only=True)
class User:
    """One pair of hands at one folder. `pause`: seconds between two steps, at random up to that."""

    root: Path
    book: Book
    random: random.Random
    pause: float = 0.1
    steps: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _broke: list[BaseException] = field(default_factory=list)

    def begin(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, name=f"user of {self.root}", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(60)
            assert not self._thread.is_alive()
        assert not self._broke, self._broke

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
                time.sleep(self.random.random() * self.pause)
        except BaseException as error:  # noqa: BLE001 - a user that broke down must be noticed
            self._broke.append(error)

    def step(self) -> None:
        """One edit; what is in its way by now is somebody else's doing, and left."""
        self.steps += 1
        weights: dict[Callable[[], None], int] = {
            self.create: 4, self.save: 5, self.save_with_backup: 2, self.patch: 4, self.append: 3,
            self.write_anew: 3, self.remove: 4, self.rename: 3, self.rename_directory: 2,
            self.make_tree: 1, self.remove_tree: 1, self.turn: 1, self.make_executable: 1,
        }  # fmt: skip
        if self.steps % 20 == 0 and self.count() > _MOST:
            weights = {self.remove: 1, self.remove_tree: 2}
        [step] = self.random.choices(list(weights), list(weights.values()))
        with suppress(OSError):
            step()

    def count(self) -> int:
        """Names in the folder, while others take and give some."""
        return sum(len(subs) + len(files) for _, subs, files in os.walk(self.root))

    # -- files -------------------------------------------------------------------------

    def create(self) -> None:
        """A new file under its name from the beginning."""
        place = self._new_place()
        place.parent.mkdir(parents=True, exist_ok=True)
        self._make(place)

    def save(self) -> None:
        """As a careful editor does: a temporary, fsync(2), rename(2) over it."""
        place = self._some_file() or self._new_place()
        beside = place.with_name(f".{place.name}.swp")
        with self.book.writing(self._content(large=True), place) as data:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._give_up(place)
            os.rename(beside, place)

    def save_with_backup(self) -> None:
        """As vim does with 'backup': the old file aside, a new one in its place, the old one gone."""
        place = self._some_file()
        if place is None:
            return
        aside = place.with_name(f"{place.name}~")
        self._give_up(aside)
        os.rename(place, aside)
        self._make(place)
        self._give_up(aside)
        aside.unlink()

    def patch(self) -> None:
        """A few bytes in the middle of a file, in place."""
        place = self._some_file()
        if place is None:
            return
        with place.open("r+b", buffering=0) as file:
            old = file.read()
            few = b"<%d>" % self.random.getrandbits(64)
            at = self.random.randrange(len(old) + 1)
            self.book.give_up(old)
            with self.book.writing(old[:at] + few + old[at + len(few) :], place):
                os.pwrite(file.fileno(), few, at)

    def append(self) -> None:
        """A line at the end."""
        place = self._some_file()
        if place is None:
            return
        with place.open("r+b", buffering=0) as file:
            old = file.read()
            line = b"line %d\n" % self.random.getrandbits(64)
            self.book.give_up(old)
            with self.book.writing(old + line, place):
                os.pwrite(file.fileno(), line, len(old))

    def write_anew(self) -> None:
        """Cut to nothing and written again, in place, as a shell's `>` does."""
        place = self._some_file()
        if place is None:
            return
        with place.open("r+b", buffering=0) as file:
            self.book.give_up(file.read())
            with self.book.writing(self._content(), place) as data:
                file.truncate(0)
                os.pwrite(file.fileno(), data, 0)

    def remove(self) -> None:
        place = self._some_file()
        if place is not None:
            self._give_up(place)
            place.unlink()

    def make_executable(self) -> None:
        place = self._some_file()
        if place is not None:
            place.chmod(place.stat().st_mode ^ 0o100)

    # -- names -------------------------------------------------------------------------

    def rename(self) -> None:
        origin, place = self._some_file(), self._new_place()
        if origin is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            self._give_up(place)
            os.rename(origin, place)

    def rename_directory(self) -> None:
        origin, place = self._some(directories=True), self._new_place()
        if origin is not None and origin not in place.parents and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(origin, place)

    def make_tree(self) -> None:
        top = self._new_place()
        for name in self.random.sample(NAMES, 3):
            below = top / name / self.random.choice(NAMES)
            below.mkdir(parents=True, exist_ok=True)
            place = below / self.random.choice(NAMES)
            self._make(place)

    def remove_tree(self) -> None:
        top = self._some(directories=True)
        if top is not None:
            self.remove_all(top)

    def remove_all(self, top: Path) -> None:
        for folder, _, files in os.walk(top, topdown=False):
            for name in files:
                place = Path(folder, name)
                if TEMPORARY not in name:
                    self._give_up(place)
                    place.unlink()
            os.rmdir(folder)

    def turn(self) -> None:
        """A file becomes a directory."""
        place = self._some_file()
        if place is not None:
            self._give_up(place)
            place.unlink()
            place.mkdir()
            self._make(place / "inside")

    # -- choosing ----------------------------------------------------------------------

    def _make(self, place: Path) -> None:
        with self.book.writing(self._content(), place) as data, place.open("xb", buffering=0) as file:
            file.write(data)

    def _content(self, *, large: bool = False) -> bytes:
        """What is written in one call is small: it is all there, or none of it."""
        size = self.random.choice(LARGE if large and self.random.random() < 0.1 else SIZES)
        return self.book.fresh(size, self.random.getrandbits(60))

    def _give_up(self, place: Path) -> None:
        with suppress(FileNotFoundError):
            if not place.is_symlink():
                self.book.give_up(place.read_bytes())

    def _new_place(self) -> Path:
        return self.root.joinpath(
            *(self.random.choice(NAMES) for _ in range(self.random.choice((1, 2, 2, 3))))
        )

    def _some_file(self) -> Path | None:
        return self._some(directories=False)

    def _some(self, *, directories: bool) -> Path | None:
        found = []
        for folder, subs, files in os.walk(self.root):
            if folder == str(self.root) and PRIVATE in subs:
                subs.remove(PRIVATE)
            found += [Path(folder, n) for n in (subs if directories else files) if TEMPORARY not in n]
        return self.random.choice(sorted(found)) if found else None
