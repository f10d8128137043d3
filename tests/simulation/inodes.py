"""The things a simulated disk is made of: inodes, and what one effect changes for good.

Values and plain records; no calls of a file system (`disk`), no power cut (`powercut`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from stat import S_IFDIR, S_IFMT

ROOT = 1


@dataclass(slots=True)
class Inode:
    """A file, directory or symlink. `entries` are a directory's names; `up` its parent (0: removed)."""

    number: int
    mode: int
    data: bytes = b""
    mtime_ns: int = 0
    ctime_ns: int = 0
    links: int = 1
    entries: dict[str, int] = field(default_factory=dict)
    up: int = ROOT

    @property
    def is_directory(self) -> bool:
        return S_IFMT(self.mode) == S_IFDIR

    def copy(self) -> Inode:
        return Inode(
            number=self.number,
            mode=self.mode,
            data=self.data,
            mtime_ns=self.mtime_ns,
            ctime_ns=self.ctime_ns,
            links=self.links,
            entries=dict(self.entries),
            up=self.up,
        )

    def stat(self) -> os.stat_result:
        size = len(self.entries) if self.is_directory else len(self.data)
        seconds = (self.mtime_ns // 10**9, self.mtime_ns // 10**9, self.ctime_ns // 10**9)
        visible = (self.mode, self.number, 7, self.links, 1000, 1000, size, *seconds)
        exact = {"st_mtime_ns": self.mtime_ns, "st_ctime_ns": self.ctime_ns, "st_atime_ns": self.mtime_ns}
        return os.stat_result(visible, exact)


@dataclass(frozen=True, slots=True)
class Naming:
    """Names that change at once: (directory, name, inode or None), and the call that did it.

    `born` is the inode as it was made, for what comes into being with its name.
    """

    call: str
    changes: tuple[tuple[int, str, int | None], ...]
    moment_ns: int
    born: Inode | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """The inode as it is after its data, mode or times changed."""

    after: Inode


@dataclass(frozen=True, slots=True)
class Barrier:
    """A sync of one inode (a file's content, a directory's names), or of everything (0).

    After one that failed the kernel believes the data to be clean: no later sync of it helps.
    """

    inode: int
    worked: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """The state database is durable with this content."""

    image: bytes


Effect = Naming | Writing | Barrier | Committed
