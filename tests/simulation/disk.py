"""A disk in memory that behaves like a POSIX file system, and writes down what changes on it.

It has every method of `stores.local.filesystem.FileSystem` with the same errors, so the real folder store
runs on it. Its log of effects is what `powercut` builds the disks from that a crash could have
left. Its clock is virtual: every effect is a tick, sleeping costs nothing. For one thread at a
time but for looking (a run with one worker).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG

from syncer.stores.local.filesystem import FileSystem
from tests.simulation.inodes import ROOT, Barrier, Effect, Inode, Naming, Writing

TICK_NS = 1_100_003
START_NS = 1_790_000_000_000_000_007
LONGEST = 255


def _error(code: int, name: str = "") -> OSError:
    return OSError(code, os.strerror(code), name)


class DiskClock:
    """The disk's own time (`engine.interfaces.Clock`)."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now = now_ns

    def now_ns(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / 1e9

    def sleep(self, seconds: float) -> None:
        self._now += int(seconds * 1e9)

    def tick(self) -> int:
        self._now += TICK_NS
        return self._now


class Disk(FileSystem):
    """One file system; "/" is inode 1."""

    def __init__(self, inodes: dict[int, Inode] | None = None, *, now_ns: int = START_NS) -> None:
        self.clock = DiskClock(now_ns)
        self.inodes = inodes or {ROOT: Inode(ROOT, S_IFDIR | 0o755, ctime_ns=START_NS, links=2)}
        self.log: list[Effect] = []
        self._next = max(self.inodes) + 1
        self._open: dict[int, list[int]] = {}  # descriptor: inode, position
        self._appending: set[int] = set()
        self._locks: dict[int, int] = {}  # inode: descriptor
        self._next_fd = 1000
        self._lock = threading.Lock()

    def copy(self) -> Disk:
        """The same content, nothing open, an empty log."""
        return Disk({n: i.copy() for n, i in self.inodes.items()}, now_ns=self.clock.now_ns())

    # -- what is not on the disk ---------------------------------------------

    def umask(self) -> int:
        return 0o022

    def effective_user(self) -> int:
        return 1000

    def any_bytes(self) -> bool:
        return True

    def kind(self, fd: int) -> int:
        return 0

    def unlimited(self) -> bool:
        return True

    def free_space(self, fd: int) -> int | None:
        self._at(fd)
        return 1 << 40

    def file_system_id(self, fd: int) -> str:
        self._at(fd)
        return "simulated"

    def mount_list(self, fd: int) -> tuple[str, str]:
        raise _error(errno.ENOSYS)

    # -- observing -----------------------------------------------------------

    def open_root(self, path: str) -> int:
        inode = self.inodes[ROOT]
        for name in path.strip("/").split("/") if path.strip("/") else []:
            inode = self._child(inode, name)
            self._must_be_directory(inode)
        return self._opened(inode)

    def open_directory(self, name: str, dir_fd: int) -> int:
        inode = self._child(self._at(dir_fd), name)
        self._must_be_directory(inode)
        return self._opened(inode)

    def close(self, fd: int) -> None:
        if self._open.pop(fd, None) is None:
            raise _error(errno.EBADF)
        self._appending.discard(fd)
        self._locks = {inode: holder for inode, holder in self._locks.items() if holder != fd}

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        directory = self._at(fd)
        self._must_be_directory(directory)
        return [(n, self.inodes[i].stat()) for n, i in directory.entries.items()]

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        return self._child(self._at(dir_fd), name).stat()

    def refresh(self, name: str, dir_fd: int) -> None:
        return

    def fstat(self, fd: int) -> os.stat_result:
        return self._at(fd).stat()

    def readlink(self, name: str, dir_fd: int) -> str:
        inode = self._child(self._at(dir_fd), name)
        if S_IFMT(inode.mode) != S_IFLNK:
            raise _error(errno.EINVAL, name)
        return os.fsdecode(inode.data)

    def open_read(self, name: str, dir_fd: int) -> int:
        inode = self._child(self._at(dir_fd), name)
        if S_IFMT(inode.mode) == S_IFLNK:
            raise _error(errno.ELOOP, name)
        return self._opened(inode)

    def read(self, fd: int, size: int) -> bytes:
        inode = self._at(fd)
        if inode.is_directory:
            raise _error(errno.EISDIR)
        place = self._open[fd]
        data = inode.data[place[1] : place[1] + size]
        place[1] += len(data)
        return data

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        inode = self._at(fd)
        if inode.is_directory:
            raise _error(errno.EISDIR)
        return inode.data[offset : offset + size]

    def open_append(self, name: str, dir_fd: int) -> int:
        inode = self._child(self._at(dir_fd), name)
        if inode.is_directory:
            raise _error(errno.EISDIR, name)
        fd = self.open_read(name, dir_fd)
        self._appending.add(fd)
        return fd

    def try_lock(self, fd: int) -> bool:
        return self._locks.setdefault(self._at(fd).number, fd) == fd

    # -- changing content ------------------------------------------------------

    def create(self, name: str, dir_fd: int) -> int:
        directory = self._room(self._at(dir_fd), name)
        inode = self._born(S_IFREG | 0o600)
        self._name("create", [(directory, name, inode.number)], born=inode)
        return self._opened(inode)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        inode, place = self._at(fd), self._open[fd]
        fresh = bytes(data)
        if fd in self._appending:
            place[1] = len(inode.data)
        inode.data = (
            inode.data[: place[1]].ljust(place[1], b"\0") + fresh + inode.data[place[1] + len(fresh) :]
        )
        place[1] += len(fresh)
        inode.mtime_ns = self.clock.now_ns() + TICK_NS
        self._changed(inode)
        return len(fresh)

    def truncate(self, fd: int, size: int) -> None:
        inode = self._at(fd)
        inode.data = inode.data[:size].ljust(size, b"\0")
        inode.mtime_ns = self.clock.now_ns() + TICK_NS
        self._changed(inode)

    def overwrite(self, name: str, dir_fd: int, data: bytes) -> None:
        """What an editor does that writes into the file itself (no method of `FileSystem`)."""
        inode = self._child(self._at(dir_fd), name)
        inode.data = data
        inode.mtime_ns = self.clock.now_ns() + TICK_NS
        self._changed(inode)

    def set_mode(self, fd: int, mode: int) -> None:
        inode = self._at(fd)
        inode.mode = S_IFMT(inode.mode) | mode
        self._changed(inode)

    def set_owner(self, fd: int, user: int, group: int) -> None:
        self._changed(self._at(fd))

    def set_times(self, fd: int, mtime_ns: int) -> None:
        inode = self._at(fd)
        inode.mtime_ns = mtime_ns
        self._changed(inode)

    def set_link_times(self, name: str, dir_fd: int, mtime_ns: int) -> None:
        inode = self._child(self._at(dir_fd), name)
        inode.mtime_ns = mtime_ns
        self._changed(inode)

    def sync(self, fd: int) -> None:
        self.log.append(Barrier(self._at(fd).number))

    def sync_file_system(self, fd: int) -> None:
        self._at(fd)
        self.log.append(Barrier(0))

    def sync_failed(self, fd: int) -> None:
        """A sync that reported an error (no method of `FileSystem`)."""
        self.log.append(Barrier(self._at(fd).number, worked=False))

    # -- changing names --------------------------------------------------------

    def link(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        inode = self._child(self._at(dir_fd), name)
        directory = self._room(self._at(new_dir_fd), new)
        if inode.is_directory:
            raise _error(errno.EPERM, name)
        inode.links += 1
        self._name("link", [(directory, new, inode.number)])

    def symlink(self, target: str, name: str, dir_fd: int) -> None:
        directory = self._room(self._at(dir_fd), name)
        inode = self._born(S_IFLNK | 0o777, os.fsencode(target))
        self._name("symlink", [(directory, name, inode.number)], born=inode)

    def rename(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        here, there = self._at(dir_fd), self._at(new_dir_fd)
        inode = self._child(here, name)
        self._no_loop(inode, there)
        taken = there.entries.get(new)
        if taken is None:
            self._room(there, new)
        else:
            old = self.inodes[taken]
            if taken == inode.number:
                return
            self._may_replace(inode, old)
            self._loses_a_name(old)
        self._moves(inode, there)
        self._name("rename", [(here, name, None), (there, new, inode.number)])

    def rename_noreplace(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        here, there = self._at(dir_fd), self._at(new_dir_fd)
        inode = self._child(here, name)
        if new in there.entries:
            raise _error(errno.EEXIST, new)
        self._room(there, new)
        self._no_loop(inode, there)
        self._moves(inode, there)
        self._name("rename", [(here, name, None), (there, new, inode.number)])

    def exchange(self, name: str, dir_fd: int, other: str, other_dir_fd: int) -> None:
        here, there = self._at(dir_fd), self._at(other_dir_fd)
        one, two = self._child(here, name), self._child(there, other)
        self._no_loop(one, there)
        self._no_loop(two, here)
        if one.number == two.number:
            return
        self._moves(one, there)
        self._moves(two, here)
        two.ctime_ns = self.clock.now_ns() + TICK_NS
        self._name("exchange", [(here, name, two.number), (there, other, one.number)])

    def unlink(self, name: str, dir_fd: int) -> None:
        directory = self._at(dir_fd)
        inode = self._child(directory, name)
        if inode.is_directory:
            raise _error(errno.EISDIR, name)
        self._loses_a_name(inode)
        self._name("unlink", [(directory, name, None)])

    def mkdir(self, name: str, dir_fd: int, mode: int) -> None:
        directory = self._room(self._at(dir_fd), name)
        inode = self._born(S_IFDIR | mode & ~self.umask())
        inode.up, inode.links = directory.number, 2
        self._name("mkdir", [(directory, name, inode.number)], born=inode)

    def rmdir(self, name: str, dir_fd: int) -> None:
        directory = self._at(dir_fd)
        inode = self._child(directory, name)
        self._must_be_directory(inode)
        if inode.entries:
            raise _error(errno.ENOTEMPTY, name)
        self._loses_a_name(inode)
        self._name("rmdir", [(directory, name, None)])

    # -- inside ----------------------------------------------------------------

    def _at(self, fd: int) -> Inode:
        if fd not in self._open:
            raise _error(errno.EBADF)
        return self.inodes[self._open[fd][0]]

    def _opened(self, inode: Inode) -> int:
        with self._lock:
            self._next_fd += 1
            self._open[self._next_fd] = [inode.number, 0]
            return self._next_fd

    def _child(self, directory: Inode, name: str) -> Inode:
        self._must_be_directory(directory)
        if len(os.fsencode(name)) > LONGEST:
            raise _error(errno.ENAMETOOLONG, name)
        number = directory.entries.get(name)
        if number is None:
            raise _error(errno.ENOENT, name)
        return self.inodes[number]

    def _must_be_directory(self, inode: Inode) -> None:
        if not inode.is_directory:
            raise _error(errno.ENOTDIR)

    def _room(self, directory: Inode, name: str) -> Inode:
        """The directory, if it can get the name."""
        self._must_be_directory(directory)
        if len(os.fsencode(name)) > LONGEST:
            raise _error(errno.ENAMETOOLONG, name)
        if name in directory.entries:
            raise _error(errno.EEXIST, name)
        if directory.links == 0:
            raise _error(errno.ENOENT, name)
        return directory

    def _born(self, mode: int, data: bytes = b"") -> Inode:
        now = self.clock.now_ns() + TICK_NS
        inode = Inode(self._next, mode, data, mtime_ns=now, ctime_ns=now)
        self.inodes[self._next] = inode
        self._next += 1
        return inode

    def _no_loop(self, inode: Inode, target: Inode) -> None:
        """EINVAL where a directory would come to stand below itself."""
        above = target.number
        while inode.is_directory and above != ROOT:
            if above == inode.number:
                raise _error(errno.EINVAL)
            above = self.inodes[above].up

    def _may_replace(self, inode: Inode, old: Inode) -> None:
        if old.is_directory and not inode.is_directory:
            raise _error(errno.EISDIR)
        if inode.is_directory and not old.is_directory:
            raise _error(errno.ENOTDIR)
        if old.entries:
            raise _error(errno.ENOTEMPTY)

    def _loses_a_name(self, inode: Inode) -> None:
        inode.links = 0 if inode.is_directory else inode.links - 1
        inode.ctime_ns = self.clock.now_ns() + TICK_NS

    def _moves(self, inode: Inode, directory: Inode) -> None:
        if inode.is_directory:
            inode.up = directory.number

    def _changed(self, inode: Inode) -> None:
        inode.ctime_ns = self.clock.tick()
        self.log.append(Writing(inode.copy()))

    def _name(
        self, call: str, changes: list[tuple[Inode, str, int | None]], *, born: Inode | None = None
    ) -> None:
        now = self.clock.tick()
        for directory, name, number in changes:
            if number is None:
                directory.entries.pop(name, None)
            else:
                directory.entries[name] = number
                self.inodes[number].ctime_ns = now
            directory.mtime_ns = directory.ctime_ns = now
        named = tuple((d.number, n, i) for d, n, i in changes)
        self.log.append(Naming(call, named, now, born.copy() if born else None))
