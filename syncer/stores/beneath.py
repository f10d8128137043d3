"""Walking beneath a root by descriptors: no path is ever looked up as a whole.

Every component is opened with O_NOFOLLOW from its parent's descriptor, so a directory that
became a symlink stops the walk instead of leading it outside. The descriptors of
the last path stay open, down to a certain depth: neighbours in tree order cost one `openat`.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType

from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, TEMPORARY
from syncer.engine.paths import split as split_path
from syncer.stores.fsops import FileSystem

MOST = 24
"""Descriptors that one walk holds beside the root's, however deep it is."""
_CLOSED = -1


class Cursor:
    """Descriptors of one directory and of the nearest ones above it. For one thread."""

    def __init__(self, fs: FileSystem, root_fd: int) -> None:
        self._fs = fs
        self._root_fd = root_fd
        self._path: RelPath = ""
        self._names: list[str] = []
        self._fds: list[int] = [root_fd]  # of the root and of each name; _CLOSED where it is not held
        self._first = 1  # below it all but the root's are closed

    def enter(self, path: RelPath) -> int:
        """The descriptor of the directory `path`; valid until the next `enter`.

        Raises OSError: ENOENT, or ENOTDIR/ELOOP where a component is no directory (any more).
        """
        if path == self._path and self._fds[-1] != _CLOSED:
            return self._fds[-1]
        names = path.split("/") if path else []
        self._leave(_common(names, self._names))
        if self._fds[-1] == _CLOSED:
            self._walk_again()
        for name in names[len(self._names) :]:
            check_name(name)
            self._descend(name)
        return self._fds[-1]

    def _walk_again(self) -> None:
        """From the root to where the walk stands; it stands higher up where a directory is gone."""
        names = self._names.copy()
        self._leave(0)
        for name in names:
            self._descend(name)

    def _descend(self, name: str) -> None:
        self._fds.append(self._fs.open_directory(name, self._fds[-1]))
        self._names.append(name)
        self._path = f"{self._path}/{name}" if self._path else name  # a later name may not be there
        if len(self._fds) - self._first > MOST:
            self._fs.close(self._fds[self._first])
            self._fds[self._first] = _CLOSED
            self._first += 1

    def parent(self, path: RelPath) -> tuple[int, str]:
        """The descriptor of the directory that holds `path`, and the last name."""
        directory, name = split_path(path)
        check_name(name)
        return self.enter(directory), name

    def _leave(self, keep: int) -> None:
        self._path = "/".join(self._names[:keep])
        while len(self._names) > keep:
            self._names.pop()
            fd = self._fds.pop()
            if fd != _CLOSED:
                self._fs.close(fd)
        self._first = min(self._first, len(self._fds))

    def rewind(self) -> None:
        """Back to the root: the next walk looks at every component afresh."""
        self._leave(0)

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(0)


def _common(left: list[str], right: list[str]) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def check_name(name: str) -> None:
    """EINVAL for what is not one name: the last line of defence, the engine looks first."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)


def is_ours(path: RelPath) -> bool:
    """Whether the path is, or is below, one of Syncer's own names: no plan may touch it."""
    return path == PRIVATE or path.startswith(PRIVATE + "/") or (TEMPORARY in path and _temporary(path))


def _temporary(path: RelPath) -> bool:
    return any(part.startswith(TEMPORARY) for part in path.split("/"))
