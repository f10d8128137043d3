"""What all parts of the folder store stand on: the disk, the held root, the clock, our temporary names.

No protocol here. The root is opened once and held: what happens to its path later
cannot lead a run elsewhere.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import stat_result

from syncer.engine.paths import TEMPORARY
from syncer.engine.ports import Clock
from syncer.stores.beneath import Cursor
from syncer.stores.fsops import FileSystem

TAG_LENGTH = 8
TOKEN_LENGTH = 8  # bytes of `engine.ports.Put.token`


class Ground:
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
    ) -> None:
        self.root = root
        self.fs = fs
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
                self._fds.append(self.fs.open_root(self.root))
            return self._fds[-1]

    def reopen(self) -> int:
        """Looks at the root's path afresh and holds what is there; raises OSError if it is no directory.

        The former root stays open until `close`: another thread may be using it.
        """
        fresh = self.fs.open_root(self.root)
        with self._lock:
            if self._fds and self._same(self._fds[-1], fresh):
                self.fs.close(fresh)
            else:
                self._fds.append(fresh)
            return self._fds[-1]

    def _same(self, one: int, other: int) -> bool:
        a, b = self.fs.fstat(one), self.fs.fstat(other)
        return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A walk of its own; raises OSError where the root cannot be opened."""
        with Cursor(self.fs, self.root_fd()) as cursor:
            yield cursor

    def temporary(self) -> str:
        """A fresh private name: the owner's tag tells whose leftovers it may become."""
        return f"{TEMPORARY}{self.tag}{secrets.token_hex(4)}"

    def partial(self, token: bytes) -> str:
        """The private name of content that may be gone on with: longer than any other one of ours."""
        return f"{TEMPORARY}{self.tag}{token.hex()}"

    def is_partial(self, name: str) -> bool:
        """Whether it may be one of `partial`'s, going by its length."""
        return self.is_own(name) and len(name) == len(self.partial(bytes(TOKEN_LENGTH)))

    def is_own(self, name: str) -> bool:
        return name.startswith(TEMPORARY + self.tag)

    def close(self) -> None:
        with self._lock:
            while self._fds:
                self.fs.close(self._fds.pop())
