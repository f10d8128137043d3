"""Every call that observes or changes a disk: one small method each.

The folder store and its trash call nothing else, so a test can number the calls, let the
process die before call k, fail it with an errno, let a user edit just before it, or put a
simulated disk in its place. No policy here: errors are plain `OSError`s, names are
single components relative to a directory descriptor, no symlink is ever followed
(except in the path of a root, which the user wrote).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_APPEND = _READ | os.O_RDWR | os.O_APPEND  # O_RDONLY is 0
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DARWIN = sys.platform == "darwin"
_NOREPLACE, _EXCHANGE = (4, 2) if _DARWIN else (1, 2)  # renameatx_np(2), renameat2(2)
_RENAME_FLAGS = "renameatx_np" if _DARWIN else "renameat2"
_NO_FOLLOW, _FORCE_SYNC, _BASIC_STATS = 0x100, 0x2000, 0x7FF  # of statx(2)
_SUBVOLUME = struct.Struct("<312x16s176x")  # struct btrfs_ioctl_get_subvol_info_args: parent_uuid
_GET_SUBVOLUME = 0x81F8943C  # _IOR(0x94, 60, of that)
_libc = ctypes.CDLL(None, use_errno=True)

UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY})
"""What a file system answers that has no NOREPLACE, EXCHANGE or syncfs."""


UNSEEN = os.stat_result((0,) * 10, dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), 0))
"""The `lstat` of a name that is there and cannot be looked at: a mode of 0 is no kind of file."""

_DESCRIPTORS = 1 << 20  # where the system sets no limit


def raise_descriptor_limit() -> int:
    """As many open files as the system lets this process have: the soft limit is often 256 or 1024.

    For what runs jobs or serves, at its start. Answers the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


class FileSystem:
    """The real disk. A descriptor is an `int`; every method may raise OSError."""

    def umask(self) -> int:
        """The process's umask.

        Linux tells it (proc_pid_status(5)). Elsewhere it can only be read by setting it, which other threads
        would notice: call this once, before threads start.
        """
        try:
            with open("/proc/self/status", "rb") as status:
                for line in status:
                    if line.startswith(b"Umask:"):
                        return int(line.split()[1], 8)
        except OSError:
            pass  # no /proc: another system, or a container without it
        mask = os.umask(0o077)
        os.umask(mask)
        return mask

    def effective_user(self) -> int:
        return os.geteuid()

    def any_bytes(self) -> bool:
        """Whether names may be other bytes than UTF-8."""
        return not _DARWIN

    # -- observing ---------------------------------------------------------

    def open_root(self, path: str) -> int:
        """A directory by its absolute path; symlinks in it are followed."""
        return os.open(path, _DIRECTORY)

    def open_directory(self, name: str, dir_fd: int) -> int:
        """A directory within another; ELOOP or ENOTDIR where the name is a symlink."""
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        """Every name in the directory with its `lstat`; names that vanish meanwhile are left out.

        Each scan reads through a descriptor of its own. `os.scandir(fd)` duplicates `fd`, and a duplicate
        shares the position in the directory with the original (dup(2), readdir(3)): two threads that
        scan one descriptor each get a part of the names, and on btrfs and sshfs a second scan of one
        descriptor does not show the names made (or, on sshfs, any names) since the first.

        A name that cannot be looked at (the mount point of a dead FUSE or NFS server: ENOTCONN, ESTALE, EIO)
        comes as `UNSEEN`: it says nothing about the names beside it.

        Lazy, so that a directory of a million names needs no million stamps in memory.
        """
        own = self.open_directory(".", fd)
        try:
            with self.entries(own) as names:
                for name in names:
                    try:
                        yield name.name, name.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    except OSError:
                        yield name.name, UNSEEN
        finally:
            self.close(own)

    def entries(self, fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The names of a directory as readdir(3) gives them from where the descriptor stands: for `scan`."""
        return os.scandir(fd)

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        """`lstat` of a name."""
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)

    def refresh(self, name: str, dir_fd: int) -> None:
        """Has the kernel ask a FUSE or network file system for the stamp of a name anew.

        A rename or an unlink changes the ctime there without the kernel's knowledge (statx(2)). Never fails.
        """
        if not _DARWIN and hasattr(_libc, "statx"):
            answer = ctypes.create_string_buffer(256)
            _libc.statx(dir_fd, os.fsencode(name), _NO_FOLLOW | _FORCE_SYNC, _BASIC_STATS, answer)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def readlink(self, name: str, dir_fd: int) -> str:
        return os.readlink(name, dir_fd=dir_fd)

    def open_read(self, name: str, dir_fd: int) -> int:
        """Opens without following a symlink and without waiting for the writer of a fifo."""
        return os.open(name, _READ, dir_fd=dir_fd)

    def read(self, fd: int, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""
        return os.read(fd, size)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset` on, wherever the descriptor stands."""
        return os.pread(fd, size, offset)

    def open_append(self, name: str, dir_fd: int) -> int:
        """An existing file, to be read and to be written at its end; as carefully as `open_read`."""
        return os.open(name, _APPEND, dir_fd=dir_fd)

    def try_lock(self, fd: int) -> bool:
        """Takes the file for this descriptor alone until it is closed; False if another one has it.

        flock(2): it ends with the process, and keeps out other threads too.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def free_space(self, fd: int) -> int | None:
        """Bytes an unprivileged user can still write; None where the file system says nothing.

        Many FUSE file systems answer zeros to statfs, which is libfuse's own default.
        """
        room = self.statvfs(fd)
        return room.f_bavail * room.f_frsize if room.f_blocks else None

    def statvfs(self, fd: int) -> os.statvfs_result:
        return os.fstatvfs(fd)

    def kind(self, fd: int) -> int:
        """The number of the kind of file system (`f_type` of statfs(2)); 0 where that is not to be had."""
        if _DARWIN or not hasattr(_libc, "fstatfs"):
            return 0
        answer = ctypes.create_string_buffer(512)
        if _libc.fstatfs(fd, answer) != 0:
            return 0
        return int.from_bytes(answer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF

    def is_read_only(self, fd: int) -> bool:
        """Whether the file system, or the subvolume, refuses writes in the directory to everybody (EROFS)."""
        if not hasattr(_libc, "faccessat") or _libc.faccessat(fd, b".", os.W_OK, 0) == 0:
            return False
        return ctypes.get_errno() == errno.EROFS

    def is_subvolume_snapshot(self, fd: int) -> bool:
        """Whether the directory is in a subvolume of btrfs that was made as a snapshot of another one.

        BTRFS_IOC_GET_SUBVOL_INFO (linux/btrfs.h) answers, among others, the UUID of that one.
        """
        answer = bytearray(_SUBVOLUME.size)
        try:
            fcntl.ioctl(fd, _GET_SUBVOLUME, answer)
        except OSError:
            return False
        return any(_SUBVOLUME.unpack(answer)[0])

    def unlimited(self) -> bool:
        """Whether this process may write files of any size (RLIMIT_FSIZE)."""
        return resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY

    def file_system_id(self, fd: int) -> str:
        """What names the file system over reboots, "" where nothing does.

        `f_fsid` comes from the UUID on ext4 and btrfs; XFS and FAT put the device number
        there (fs/xfs/xfs_super.c, fs/fat/inode.c), which the next boot may give to
        another disk, so it says nothing.
        """
        number = self.statvfs(fd).f_fsid
        device = os.fstat(fd).st_dev
        major, minor = os.major(device), os.minor(device)
        encoded = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
        return "" if number in (0, encoded, device) else f"{number:x}"

    def mount_list(self, fd: int) -> tuple[str, str]:
        """The absolute path of an open directory, and the system's list of mounts.

        As in proc_pid_mountinfo(5); OSError where there is no such list.
        """
        place = os.readlink(f"/proc/self/fd/{fd}")
        with open("/proc/self/mountinfo", "rb") as file:
            return place, os.fsdecode(file.read())

    def mount_id(self, fd: int) -> int:
        """The number of the mount that an open file lies on, as in that list (proc_pid_fdinfo(5))."""
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            for line in file:
                name, _, value = line.partition(b":")
                if name == b"mnt_id":
                    return int(value)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def is_unwritten(self, fd: int) -> bool:
        """Whether no process has the file open for writing; False where that cannot be told.

        A lease for reading is to be had then, and only then (fcntl(2), F_SETLEASE); `fd` is open for reading
        only. It is given back at once; the signal for who opens the file in between is one that is ignored.
        """
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        try:
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return True

    def has_attributes(self, fd: int) -> bool:
        """Whether an open file has extended attributes of its own, such as an ACL."""
        try:
            names = os.listxattr(fd) if hasattr(os, "listxattr") else []
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return False
            raise
        return any(not name.startswith("security.") for name in names)

    # -- changing ----------------------------------------------------------

    def create(self, name: str, dir_fd: int) -> int:
        """A new empty file, mode 0600, open for writing; EEXIST if the name is taken."""
        return os.open(name, _CREATE, 0o600, dir_fd=dir_fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Writes a part of `data`, answers how many bytes."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """Cuts a file off, or fills it up with zeros."""
        os.ftruncate(fd, size)

    def set_mode(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def set_owner(self, fd: int, user: int, group: int) -> None:
        os.fchown(fd, user, group)

    def set_times(self, fd: int, mtime_ns: int) -> None:
        """EINVAL where the time is out of range."""
        try:
            os.utime(fd, ns=(mtime_ns, mtime_ns))
        except OverflowError:
            raise OSError(errno.EINVAL, "time out of range") from None

    def set_link_times(self, name: str, dir_fd: int, mtime_ns: int) -> None:
        """The mtime of a symlink itself."""
        try:
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        except OverflowError:
            raise OSError(errno.EINVAL, "time out of range") from None

    def sync(self, fd: int) -> None:
        """Makes a file (data and metadata) or the names of a directory durable."""
        if _DARWIN and hasattr(fcntl, "F_FULLFSYNC"):  # fsync(2) there leaves data in the drive's cache
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def sync_file_system(self, fd: int) -> None:
        """Makes everything on the file system of `fd` durable: syncfs(2), ENOSYS where there is none."""
        _call("syncfs", fd)

    def link(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        """A hard link to the name itself (never through a symlink); EEXIST if `new` is taken."""
        os.link(name, new, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)

    def symlink(self, target: str, name: str, dir_fd: int) -> None:
        os.symlink(target, name, dir_fd=dir_fd)

    def rename(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        """Replaces whatever `new` is: only for names that are ours alone."""
        os.rename(name, new, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)

    def rename_noreplace(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        """EEXIST if `new` is taken; one of UNSUPPORTED where the file system cannot tell."""
        _call(_RENAME_FLAGS, dir_fd, os.fsencode(name), new_dir_fd, os.fsencode(new), _NOREPLACE)

    def exchange(self, name: str, dir_fd: int, other: str, other_dir_fd: int) -> None:
        """The two names swap what they stand for, at once; one of UNSUPPORTED where that is missing."""
        _call(_RENAME_FLAGS, dir_fd, os.fsencode(name), other_dir_fd, os.fsencode(other), _EXCHANGE)

    def unlink(self, name: str, dir_fd: int) -> None:
        os.unlink(name, dir_fd=dir_fd)

    def mkdir(self, name: str, dir_fd: int, mode: int) -> None:
        os.mkdir(name, mode, dir_fd=dir_fd)

    def rmdir(self, name: str, dir_fd: int) -> None:
        os.rmdir(name, dir_fd=dir_fd)


def _call(function: str, *arguments: int | bytes) -> None:
    """A libc function that answers 0 or sets errno; ctypes lets other threads run meanwhile."""
    found = getattr(_libc, function, None)
    if found is None:
        raise OSError(errno.ENOSYS, f"{function} is not there")
    if found(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
