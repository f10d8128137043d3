"""The real disk with the manners of other file systems: no mount is needed to meet them.

Each manner is one that a file system has: sshfs, mergerfs, rclone mount, CryFS, exFAT, NTFS, vfat, ecryptfs,
APFS, HFS+, ext4 with casefold (`tests/integration` has the real ones, where they can be mounted).
What a user does goes past it, straight to the disk, as over a second way to the same files.
"""

from __future__ import annotations

import errno
import os
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_IFMT, S_ISDIR, S_ISLNK
from typing import Literal

from syncer.engine.paths import fold
from syncer.stores.local.filesystem import FileSystem

_CONTROL = "".join(map(chr, range(1, 32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What the disk does otherwise.

    `scans`: what a second scan of one descriptor shows: "all", "nothing" (sshfs), or "old" names (btrfs).
    `numbers`: of inodes: those of the disk, one for each "name" that a rename takes along (sshfs), or one for
    each "path" (mergerfs, rclone). `link`: the errno, 0 where it works. `refuses`: characters of names, with
    the errno for a new one and for a rename. `refuses_ends`: what no name may end in. `mode`: of every file;
    None: as it is set. `folds`: what names that are one name may differ in. `respells`: a rename of a name to
    another spelling of it does something (FAT, NTFS, APFS); else it is one file by both names, and nothing
    happens. `decomposes`: names are kept in Unicode form D (HFS+); `utf8`: others than in UTF-8 are refused.
    `tick_ns`: what mtimes are cut to, and the ctime is the mtime.
    """

    scans: Literal["all", "nothing", "old"] = "all"
    numbers: Literal["disk", "name", "path"] = "disk"
    link: int = 0
    mode: int | None = None
    chmod: int = 0
    refuses: str = ""
    refusal: tuple[int, int] = (errno.EINVAL, errno.EINVAL)
    refuses_ends: str = ""
    drops_dots: bool = False
    folds: Literal["", "case", "case and form"] = ""
    respells: bool = True
    decomposes: bool = False
    longest: int = 255
    symlink: int = 0
    link_times: Literal["own", "target"] = "own"
    tick_ns: int = 0
    utf8: bool = False
    statfs: bool = True
    largest: int = 0
    exchanges: bool = False
    kind: int = 0x65735546  # FUSE


ORDINARY = Manner(exchanges=True, kind=0)
SSHFS = Manner(scans="nothing", numbers="name", link_times="target", statfs=False)
MERGERFS = Manner(numbers="path", scans="old")
RCLONE = Manner(link=errno.EIO, numbers="path", mode=0o644)
CRYFS = Manner(link=errno.ERANGE)
NTFS = Manner(mode=0o777)
NO_X = Manner(mode=0o644, link=errno.EPERM, chmod=errno.EPERM)  # vfat with fmask, or bindfs --chmod-ignore
EXFAT = Manner(  # exfat-fuse 1.3
    link=errno.EPERM, mode=0o777, refuses='"*:<>?\\|' + _CONTROL, refusal=(errno.ENOENT, errno.ENOENT),
    symlink=errno.ENOSYS, tick_ns=1_000_000_000, numbers="name", folds="case", utf8=True,
)  # fmt: skip
VFAT = Manner(  # Linux 6.1, mounted with utf8; but for the largest file
    link=errno.EPERM, mode=0o755, refuses='"*:<>?\\|' + _CONTROL, refuses_ends=" ", drops_dots=True,
    symlink=errno.EPERM, tick_ns=2_000_000_000, numbers="name", largest=100_000, folds="case", respells=False,
    exchanges=True, utf8=True, kind=0x4D44,
)  # fmt: skip
POOR = Manner(  # a FUSE program like the two, of which everything is said that one of them was seen to say
    link=errno.ENOSYS, mode=0o755, chmod=errno.EPERM, refuses='"*:<>?|', refuses_ends=" ", drops_dots=True,
    refusal=(errno.EINVAL, errno.ENOENT), symlink=errno.EPERM, tick_ns=2_000_000_000, numbers="path",
    statfs=False, folds="case",
)  # fmt: skip
ENCFS = Manner(longest=189)
ECRYPTFS = Manner(longest=143)
APFS = Manner(folds="case and form", exchanges=True, kind=0)
HFS = Manner(folds="case and form", decomposes=True, kind=0)
CASEFOLD = Manner(folds="case and form", respells=False, exchanges=True, kind=0xEF53)
BTRFS = Manner(scans="old", exchanges=True)
GENTLE = {"sshfs": SSHFS, "mergerfs": MERGERFS, "rclone": RCLONE, "cryfs": CRYFS, "ntfs": NTFS, "no x": NO_X}
"""Those on which everything that ext4 holds can be held, but for the executable bit."""
HARSH = {
    "exfat": EXFAT, "vfat": VFAT, "poor": POOR, "encfs": ENCFS, "apfs": APFS,
    "casefold": CASEFOLD,
}  # fmt: skip
"""Those that cannot hold all names, or take two for one, or hold neither links nor times that say much."""


def _error(code: int, name: str = "") -> OSError:
    return OSError(code, os.strerror(code), name)


def spelt(name: str, manner: Manner, directory: int | Path) -> str:
    """The name in the directory that stands for the same as this one."""
    if not manner.folds:
        return name
    names = os.listdir(directory)
    alike = partial(fold, case=True, form=manner.folds == "case and form")
    return name if name in names else next((n for n in names if alike(n) == alike(name)), name)


class OddDisk(FileSystem):
    """The real disk, behaving as a `manner` says."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.remounts = 0  # each gives new numbers
        self._numbers: dict[tuple[int, str], int] = {}  # by directory and name
        self._at: dict[int, int] = {}  # by descriptor
        self._shown: dict[int, frozenset[str]] = {}  # what a descriptor showed when it was scanned first
        self._lock = threading.Lock()

    def remount(self) -> None:
        self._numbers.clear()
        self.remounts += 1

    # -- numbers and stamps ------------------------------------------------------

    def _key(self, name: str, dir_fd: int) -> tuple[int, str]:
        return super().fstat(dir_fd).st_ino, name

    def _number(self, name: str, dir_fd: int) -> int:
        with self._lock:
            fresh = (len(self._numbers) + 2) * 1000 + self.remounts
            return self._numbers.setdefault(self._key(name, dir_fd), fresh)

    def _stamp(self, st: os.stat_result, number: int | None) -> os.stat_result:
        manner, plain = self.manner, list(st[:10])
        if manner.mode is not None and not S_ISLNK(st.st_mode):
            plain[0] = S_IFMT(st.st_mode) | (0o755 if S_ISDIR(st.st_mode) else manner.mode)
        if manner.numbers != "disk" and number is not None:
            plain[1] = number
        mtime, ctime = st.st_mtime_ns, st.st_ctime_ns
        if manner.tick_ns:
            mtime = ctime = mtime // manner.tick_ns * manner.tick_ns
        return os.stat_result(tuple(plain), {"st_mtime_ns": mtime, "st_ctime_ns": ctime})

    def stat(self, name: str, dir_fd: int) -> os.stat_result:
        name = self._stored(name, dir_fd)
        found = super().stat(name, dir_fd)
        return found if self.manner == ORDINARY else self._stamp(found, self._number(name, dir_fd))

    def fstat(self, fd: int) -> os.stat_result:
        return self._stamp(super().fstat(fd), self._at.get(fd))

    def scan(self, fd: int) -> Iterable[tuple[str, os.stat_result]]:
        for name, st in super().scan(fd):
            yield name, st if self.manner == ORDINARY else self._stamp(st, self._number(name, fd))

    def entries(self, fd: int) -> nullcontext[Iterator[os.DirEntry[str]]]:  # type: ignore[override]
        with super().entries(fd) as found:
            names = list(found)
        if fd in self._shown and self.manner.scans != "all":
            names = [n for n in names if n.name in self._shown[fd]] if self.manner.scans == "old" else []
        self._shown.setdefault(fd, frozenset(n.name for n in names))
        return nullcontext(iter(names))

    # -- descriptors -------------------------------------------------------------

    def _opened(self, fd: int, name: str, dir_fd: int) -> int:
        self._shown.pop(fd, None)
        self._at[fd] = self._number(name, dir_fd)
        return fd

    def open_root(self, path: str) -> int:
        fd = super().open_root(path)
        self._shown.pop(fd, None)
        self._at.pop(fd, None)
        return fd

    def open_directory(self, name: str, dir_fd: int) -> int:
        name = self._stored(name, dir_fd)
        return self._opened(super().open_directory(name, dir_fd), name, dir_fd)

    def open_read(self, name: str, dir_fd: int) -> int:
        name = self._stored(name, dir_fd)
        return self._opened(super().open_read(name, dir_fd), name, dir_fd)

    def open_append(self, name: str, dir_fd: int) -> int:
        name = self._stored(name, dir_fd)
        return self._opened(super().open_append(name, dir_fd), name, dir_fd)

    def create(self, name: str, dir_fd: int) -> int:
        name = self._fit(name, dir_fd, self.manner.refusal[0])
        return self._opened(super().create(name, dir_fd), name, dir_fd)

    def close(self, fd: int) -> None:
        self._shown.pop(fd, None)
        self._at.pop(fd, None)
        super().close(fd)

    # -- names -------------------------------------------------------------------

    def _kept(self, name: str) -> str:
        """The name as it is kept when it is given to something new."""
        name = (name.rstrip(".") or name) if self.manner.drops_dots else name
        return unicodedata.normalize("NFD", name) if self.manner.decomposes else name

    def _stored(self, name: str, dir_fd: int) -> str:
        """The name of what is there by this name; where nothing is, as it would be kept."""
        return spelt(self._kept(name), self.manner, dir_fd)

    def _fit(self, name: str, dir_fd: int, refusal: int) -> str:
        refused = any(c in self.manner.refuses for c in name)
        if refused or (self.manner.refuses_ends and name.endswith(tuple(self.manner.refuses_ends))):
            raise _error(refusal, name)
        if self.manner.utf8 and not name.isprintable() and any("\udc80" <= c <= "\udcff" for c in name):
            raise _error(errno.EILSEQ, name)
        if len(os.fsencode(name)) > self.manner.longest:
            raise _error(errno.ENAMETOOLONG, name)
        return self._stored(name, dir_fd)

    def mkdir(self, name: str, dir_fd: int, mode: int) -> None:
        super().mkdir(self._fit(name, dir_fd, self.manner.refusal[0]), dir_fd, mode)

    def rmdir(self, name: str, dir_fd: int) -> None:
        super().rmdir(self._stored(name, dir_fd), dir_fd)

    def readlink(self, name: str, dir_fd: int) -> str:
        return super().readlink(self._stored(name, dir_fd), dir_fd)

    def unlink(self, name: str, dir_fd: int) -> None:
        name = self._stored(name, dir_fd)
        super().unlink(name, dir_fd)
        self._numbers.pop(self._key(name, dir_fd), None)

    def rename(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        name, given = self._stored(name, dir_fd), new
        new = self._fit(new, new_dir_fd, self.manner.refusal[1])
        if self._key(name, dir_fd) == self._key(new, new_dir_fd):
            if not self.manner.respells:
                return
            new = self._kept(given)
        super().rename(name, dir_fd, new, new_dir_fd)
        self._renumber(self._key(new, new_dir_fd), self._numbers.pop(self._key(name, dir_fd), None))

    def _renumber(self, key: tuple[int, str], number: int | None) -> None:
        if self.manner.numbers == "name" and number is not None:
            self._numbers[key] = number
        else:
            self._numbers.pop(key, None)

    def rename_noreplace(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        if not self.manner.exchanges:
            raise _error(errno.EINVAL)
        new = self._fit(new, new_dir_fd, self.manner.refusal[1])
        name = self._stored(name, dir_fd)
        super().rename_noreplace(name, dir_fd, new, new_dir_fd)
        self._renumber(self._key(new, new_dir_fd), self._numbers.pop(self._key(name, dir_fd), None))

    def exchange(self, name: str, dir_fd: int, other: str, other_dir_fd: int) -> None:
        if not self.manner.exchanges:
            raise _error(errno.EINVAL)
        name, other = self._stored(name, dir_fd), self._stored(other, other_dir_fd)
        super().exchange(name, dir_fd, other, other_dir_fd)
        one, two = self._key(name, dir_fd), self._key(other, other_dir_fd)
        numbers = self._numbers.pop(one, None), self._numbers.pop(two, None)
        self._renumber(one, numbers[1])
        self._renumber(two, numbers[0])

    def link(self, name: str, dir_fd: int, new: str, new_dir_fd: int) -> None:
        if self.manner.link:
            raise _error(self.manner.link, new)
        fit = self._fit(new, new_dir_fd, self.manner.refusal[0])
        super().link(self._stored(name, dir_fd), dir_fd, fit, new_dir_fd)

    def symlink(self, target: str, name: str, dir_fd: int) -> None:
        if self.manner.symlink:
            raise _error(self.manner.symlink, name)
        super().symlink(target, self._fit(name, dir_fd, self.manner.refusal[0]), dir_fd)

    # -- attributes --------------------------------------------------------------

    def set_mode(self, fd: int, mode: int) -> None:
        if self.manner.mode is None:
            super().set_mode(fd, mode)
        elif self.manner.chmod:
            raise _error(self.manner.chmod)

    def set_link_times(self, name: str, dir_fd: int, mtime_ns: int) -> None:
        name = self._stored(name, dir_fd)
        if self.manner.link_times == "own":
            return super().set_link_times(name, dir_fd, mtime_ns)
        os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.manner.largest:
            room = self.manner.largest - super().fstat(fd).st_size
            if room <= 0:
                raise _error(errno.EFBIG)
            data = data[:room]
        return super().write(fd, data)

    def free_space(self, fd: int) -> int | None:
        return super().free_space(fd) if self.manner.statfs else None

    def kind(self, fd: int) -> int:
        return self.manner.kind
