"""The folder's root: its held descriptor, walks below it by descriptors, temporary names, clock, disk.

No protocol here. The root is opened once and held: what happens to its path later
cannot lead a run elsewhere.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import stat_result
from types import TracebackType
from typing import TypeVar

from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import PRIVATE, ROOT_ID, TEMPORARY
from syncer.engine.paths import split as split_path
from syncer.stores.adapted import adapted
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.traits import USUAL, Place, Traits, probe

# -- Walking beneath a root by descriptors: no path is ever looked up as a whole ----
#
# Every component is opened with O_NOFOLLOW from its parent's descriptor, so a directory that became a
# symlink stops the walk instead of leading it outside. The descriptors of the last path stay open, down to
# a certain depth: neighbours in tree order cost one `openat`.


MOST = 24
"""Descriptors that one walk holds beside the root's, however deep it is."""
_CLOSED = -1


class DirectoryCursor:
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

    def __enter__(self) -> DirectoryCursor:
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


MARKER = ROOT_ID  # in `.syncer` at the root
TAG_LENGTH = 8
TOKEN_LENGTH = 8  # bytes of `engine.interfaces.WriteRequest.token`


ResultT = TypeVar("ResultT")


def is_ours_to_use(fs: FileSystem, own_fd: int, root_fd: int) -> bool:
    """Whether `.syncer` is this user's, the system's, or whose the root is."""
    return fs.fstat(own_fd).st_uid in (os.geteuid(), fs.fstat(root_fd).st_uid, 0)


class FolderRoot:
    """Shared by the threads that use one folder store.

    `abandoned` has temporaries that nobody will use and that are in nobody's reach: their directory was moved
    away under us. By name, with what was made there.
    """

    def __init__(
        self,
        root: str,
        *,
        fs: FileSystem,
        clock: Clock,
        tag: str,
        abandoned: dict[str, stat_result] | None = None,
        traits: Traits = USUAL,
        on_adapted: Callable[[FileSystem], None] = lambda fs: None,
    ) -> None:
        """`traits` hold until the root is opened, and then unless others are kept there.

        `on_adapted` is told of the disk as it is to be used from then on.
        """
        self.root = root
        self.disk = fs
        self.fs = fs
        self.traits = traits
        self._given = traits
        self._on_adapted = on_adapted
        self.clock = clock
        self.tag = tag
        self.umask = fs.umask()
        self.abandoned: dict[str, stat_result] = {} if abandoned is None else abandoned
        self._lock = threading.Lock()
        self._fds: list[int] = []

    def root_fd(self) -> int:
        """The held root. Raises OSError while there is none."""
        with self._lock:
            if not self._fds:
                self._fds.append(self.disk.open_root(self.root))
                self._learn()
            return self._fds[-1]

    def reopen(self) -> int:
        """Looks at the root's path afresh and holds what is there; raises OSError if it is no directory.

        The former root stays open until `close`: another thread may be using it.
        """
        fresh = self.disk.open_root(self.root)
        with self._lock:
            if self._fds and self._same(self._fds[-1], fresh):
                self.disk.close(fresh)
            else:
                self._fds.append(fresh)
                self._learn()
            return self._fds[-1]

    def _same(self, one: int, other: int) -> bool:
        a, b = self.disk.fstat(one), self.disk.fstat(other)
        return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)

    # -- what the file system does -----------------------------------------------

    def _learn(self) -> None:
        """A root without a marker is about to get one, or only looked at, or one of a server's many."""
        self._use(self._at_root(Place.known) or self._given)

    def try_within(self, own_fd: int) -> bool:
        """Whether it could be found out what the file system does, in `.syncer` of a root about to be marked.

        Before the marker, which is named by the same protocols as everything else.
        """
        try:
            self._use(probe(self.disk, own_fd, self.temporary()))
        except OSError:
            return False
        return True

    def keep_traits(self) -> None:
        """The root has a (new) marker: what was found out is kept beside it."""
        self._at_root(lambda place: place.keep(self.traits))

    def limit_size(self, largest: int) -> None:
        """A file could not grow beyond so many bytes: none that is larger need be tried again."""
        traits = replace(self.traits, largest_file=largest)
        with self._lock:
            self.traits = traits
        self._at_root(lambda place: place.keep(traits))

    def _use(self, traits: Traits) -> None:
        self.traits = traits
        self.fs = adapted(self.disk, traits)
        self._on_adapted(self.fs)

    def _at_root(self, call: Callable[[Place], ResultT]) -> ResultT | None:
        """None where there is no marked root, or where it cannot be written to."""
        try:
            own_fd = self.disk.open_directory(PRIVATE, self._fds[-1])
        except OSError:
            return None
        try:
            if not is_ours_to_use(self.disk, own_fd, self._fds[-1]):
                return None
            return call(
                Place(
                    fs=self.disk,
                    own_fd=own_fd,
                    marker=self.disk.stat(MARKER, own_fd),
                    temporary=self.temporary,
                    is_own=self.is_own,
                )
            )
        except OSError:
            return None
        finally:
            self.disk.close(own_fd)

    @contextmanager
    def cursor(self) -> Iterator[DirectoryCursor]:
        """A walk of its own; raises OSError where the root cannot be opened."""
        root_fd = self.root_fd()  # first: it tells which disk to use
        with DirectoryCursor(self.fs, root_fd) as cursor:
            yield cursor

    def temporary(self) -> str:
        """A fresh private name: the owner's tag tells whose leftovers it may become."""
        return f"{TEMPORARY}{self.tag}{secrets.token_hex(4)}"

    def partial(self, token: bytes) -> str:
        """The private name of content that may be gone on with: longer than any other one of ours."""
        return f"{TEMPORARY}{self.tag}{token.hex()}"

    def is_partial(self, name: str) -> bool:
        """Whether it may be one of `staging`'s, going by its length."""
        return self.is_own(name) and len(name) == len(self.partial(bytes(TOKEN_LENGTH)))

    def is_own(self, name: str) -> bool:
        return name.startswith(TEMPORARY + self.tag)

    def close(self) -> None:
        with self._lock:
            while self._fds:
                self.fs.close(self._fds.pop())
