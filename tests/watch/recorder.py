"""Recorder of what a watch reports, and a follower that checks whether the reports suffice.

`Follower` is the contract put to the test: it knows a folder only by looking where it is told to, as a run
does, and has to know all of it in the end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from syncer.engine.paths import is_below, is_private, join
from syncer.engine.scope import NOWHERE, Places
from syncer.watch.watcher import FolderWatch

LONG = 30.0  # seconds after which a test gives up


class Recorder:
    """All that a watch told and said."""

    def __init__(self) -> None:
        self.places = NOWHERE
        self.times = 0
        self.everywhere = 0
        self.said: list[tuple[str, str]] = []
        self._news = threading.Condition()

    def changed(self, places: Places) -> None:
        with self._news:
            self.places |= places
            self.times += 1
            self.everywhere += places.everywhere
            self._news.notify_all()

    def say(self, message: str, remedy: str) -> None:
        with self._news:
            self.said.append((message, remedy))
            self._news.notify_all()

    def forget(self) -> None:
        """What comes from now on."""
        with self._news:
            self.places = NOWHERE
            self.times = self.everywhere = 0

    def covers(self, directory: str) -> bool:
        """Whether one who heard all this looks at the directory."""
        above = accumulate(directory.split("/"), join) if directory else ()
        return directory in self.places.directories or not self.places.trees.isdisjoint(("", *above))

    def until(self, true: Callable[[], bool]) -> None:
        """Waits until it is so."""
        with self._news:
            deadline = time.monotonic() + LONG
            while not true():
                assert time.monotonic() < deadline, (self.places, self.said)
                self._news.wait(0.02)

    def until_told(self, *directories: str) -> None:
        """Waits until all of them were told, or a tree they are in."""
        open_ = list(directories)

        def is_empty() -> bool:
            while open_ and self.covers(open_[-1]):
                open_.pop()
            return not open_

        self.until(is_empty)


@contextmanager
def watching(root: Path | str, heard: Recorder, **options: object) -> Iterator[FolderWatch]:
    """A watch that goes on during the block."""
    watch = FolderWatch(str(root), changed=heard.changed, on_problem=heard.say, **options)  # type: ignore[arg-type]
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


class Follower:
    """What somebody knows of a folder who looks only where he is told to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, tuple[int, ...]]] = {}
        self._all("")

    def changed(self, places: Places) -> None:
        """Looks at single directories, and at all that is known below others; through what is new."""
        with self._lock:
            for directory in sorted(places.directories):
                if directory in self._known:
                    self._single(directory)
            for tree in sorted(places.trees):
                for known in [k for k in self._known if k == tree or is_below(k, tree)]:
                    if known in self._known:
                        self._single(known)

    def wrong(self) -> list[str]:
        """The directories about which it is mistaken."""
        with self._lock:
            true = Follower(self._root)._known
            return sorted(k for k in {*true, *self._known} if true.get(k) != self._known.get(k))

    def _single(self, directory: str) -> None:
        found = _listing(self._root, directory)
        if found is None:
            return self._lose(directory)
        known = self._known.get(directory, {})
        self._known[directory] = found
        for name, seen in {**known, **found}.items():
            below = join(directory, name)
            if name not in found or len(found[name]) > 1:
                self._lose(below)
            elif len(seen) == 1 and below not in self._known:
                self._all(below)

    def _all(self, directory: str) -> None:
        self._known[directory] = {}
        self._single(directory)

    def _lose(self, directory: str) -> None:
        for known in [k for k in self._known if k == directory or is_below(k, directory)]:
            del self._known[known]


def _listing(root: Path, directory: str) -> dict[str, tuple[int, ...]] | None:
    """Names and what they hold: a directory its mode, anything else its inode, mode, size and times."""
    found: dict[str, tuple[int, ...]] = {}
    try:
        with os.scandir(os.path.join(root, directory)) as entries:
            for entry in entries:
                if is_private(entry.name, at_root=not directory):
                    continue
                seen = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    found[entry.name] = (seen.st_mode,)
                else:
                    found[entry.name] = (seen.st_ino, seen.st_mode, seen.st_size, seen.st_mtime_ns)
    except FileNotFoundError:
        return None if not os.path.isdir(os.path.join(root, directory)) else _listing(root, directory)
    except NotADirectoryError:
        return None
    return found
