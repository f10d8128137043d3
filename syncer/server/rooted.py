"""The disk as the server sees it: the served folder is entered by its held descriptor alone.

A store names its root by a path. Here a path at or below the served folder is walked from the
descriptor opened at the start, component by component and never through a symlink, so that
no link planted in the folder, and no exchange of its directories, leads a store outside.
Everything else is `stores.fsops`.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, islice

from syncer.stores.beneath import Cursor
from syncer.stores.fsops import FileSystem

_SOME = 1024  # names that are read without asking
_counting: ContextVar[Callable[[int, int], None]] = ContextVar("counting", default=lambda count, chars: None)


@contextmanager
def counting(told: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block `told` hears how many names a directory has so far, and their characters.

    It raises what then comes out of the scan. Heard of in the context of the caller: a thread or a task.
    """
    token = _counting.set(told)
    try:
        yield
    finally:
        _counting.reset(token)


def counted(count: int, chars: int) -> None:
    """Tells `counting` of names that are held otherwise. Raises what it does."""
    _counting.get()(count, chars)


class RootedFileSystem(FileSystem):
    """Real, but for the way in."""

    def __init__(self, folder: str) -> None:
        """`folder` is a real path. Raises OSError if it is no directory."""
        self._folder = folder
        self._umask = super().umask()
        self._fd = super().open_root(folder)
        self._stopped = False
        self._thread = threading.local()

    def stop(self) -> None:
        """Nothing is read any more, by any thread."""
        self._stopped = True

    @contextmanager
    def cancellable(self, cancelled: Callable[[], bool], *, removing: bool = False) -> Iterator[None]:
        """What this thread reads in the block fails once `cancelled()`; what it removes too, if so wanted."""
        self._thread.cancelled, self._thread.removing = cancelled, removing
        try:
            yield
        finally:
            self._thread.cancelled, self._thread.removing = None, False

    def go_on(self) -> None:
        """Raises OSError if this thread is to end what it does."""
        cancelled: Callable[[], bool] | None = getattr(self._thread, "cancelled", None)
        if self._stopped or (cancelled is not None and cancelled()):
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    def read(self, fd: int, size: int) -> bytes:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().read_at(fd, size, offset)

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        """As on any disk, while it is wanted."""
        self.go_on()
        return super().scan(fd)

    @contextmanager
    def entries(self, fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        """As on any disk, while it is wanted and there is memory for so many names (`counting`)."""
        with super().entries(fd) as names:
            yield chain.from_iterable(self._counted(names))

    def _counted(self, names: Iterator[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
        count = chars = 0
        while some := list(islice(names, _SOME)):
            if len(some) == _SOME:
                self.go_on()
                count += _SOME
                chars += sum(len(entry.name) for entry in some)
                counted(count, chars)
            yield some

    def unlink(self, name: str, dir_fd: int) -> None:
        """As on any disk; what only tidies up may be ended in between."""
        if getattr(self._thread, "removing", False):
            self.go_on()
        super().unlink(name, dir_fd)

    def umask(self) -> int:
        """As it was at the start: stores are made while others work, and asking for it means setting it."""
        return self._umask

    @property
    def folder_fd(self) -> int:
        """The descriptor of the served folder; held until `release`."""
        return self._fd

    def open_root(self, path: str) -> int:
        """A directory by its absolute path; never through a symlink from the served folder on."""
        if path != self._folder and not path.startswith(self._folder.rstrip("/") + "/"):
            return super().open_root(path)
        below = path[len(self._folder) :].strip("/")
        with Cursor(self, self._fd) as cursor:
            # A descriptor of its own, of the very directory that the walk ended in.
            return self.open_directory(".", cursor.enter(below))

    def release(self) -> None:
        """Closes the held folder: nothing can be opened from here on."""
        if self._fd >= 0:
            self.close(self._fd)
        self._fd = -1

    def check(self) -> None:
        """Raises OSError if the folder was removed since."""
        if self.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._folder)
