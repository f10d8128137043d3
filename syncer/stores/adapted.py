"""The disk as the protocols need it, where its file system is unlike ext4 (`stores.local.traits`).

The protocols compare inode, size and mtime, name by hard links, and set modes. What means nothing on this
file system is left out here: what may not be relied on looks the same everywhere, and what does not work is
refused with the errno for which each protocol has a way round.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.stat import NO_EXECUTABLE
from syncer.stores.local.traits import Traits

if TYPE_CHECKING:
    _Base = FileSystem
else:
    _Base = object
_FIELDS = 10  # of a stat_result as a tuple; the rest is by name


def adapted(disk: FileSystem, traits: Traits) -> FileSystem:
    """The disk itself where it does all that is expected of it."""
    return disk if traits.usual else cast(FileSystem, Adapted(disk, traits))


class Adapted(_Base):
    """Passes on every call but those below. `disk`: what it passes them to."""

    def __init__(self, disk: FileSystem, traits: Traits) -> None:
        self.disk = disk
        self._traits = traits
        self._numbers = traits.inodes and traits.lasting_inodes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.disk, name)

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        return self._scanned(fd)

    def _scanned(self, fd: int) -> Iterator[tuple[str, os.stat_result]]:
        for name, st in self.disk.scan(fd):
            yield name, self._stamp(st)

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        return self._stamp(self.disk.stat(name, dir_fd))

    def fstat(self, fd: int) -> os.stat_result:
        return self._stamp(self.disk.fstat(fd))

    def _stamp(self, st: os.stat_result) -> os.stat_result:
        """Without the inode's number where it is made up, marked where the executable bit is."""
        named = {"st_atime_ns": st.st_atime_ns, "st_mtime_ns": st.st_mtime_ns, "st_ctime_ns": st.st_ctime_ns}
        if not self._traits.executable:
            named["st_rdev"] = NO_EXECUTABLE
        plain = tuple(st[:_FIELDS])
        return os.stat_result(plain if self._numbers else (plain[0], 0, *plain[2:]), named)

    def set_mode(self, fd: int, mode: int) -> None:
        """FAT refuses modes that are not those of the mount."""
        try:
            self.disk.set_mode(fd, mode)
        except OSError as error:
            if self._traits.modes or error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise

    def set_link_times(self, name: str, dir_fd: int, mtime_ns: int) -> None:
        """On sshfs it is the target, be it outside the root, that would be given the time."""
        if self._traits.link_times:
            self.disk.set_link_times(name, dir_fd, mtime_ns)

    def link(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        if not self._traits.links:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), name)
        self.disk.link(name, dir_fd, new, new_dir_fd)
