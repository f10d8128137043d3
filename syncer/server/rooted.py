"""The disk as the server sees it: the served folder is entered by its held descriptor alone.

A store names its root by a path. Here a path at or below the served folder is walked from the
descriptor opened at the start, component by component and never through a symlink, so that
no link planted in the folder, and no exchange of its directories, leads a store outside.
Everything else is `stores.fsops`.
"""

from __future__ import annotations

import errno
import os

from syncer.stores.beneath import Cursor
from syncer.stores.fsops import FileSystem


class RootedFileSystem(FileSystem):
    """Real, but for the way in."""

    def __init__(self, folder: str) -> None:
        """`folder` is a real path. Raises OSError if it is no directory."""
        self._folder = folder
        self._umask = super().umask()
        self._fd = super().open_root(folder)

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
