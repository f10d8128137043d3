"""Versions of a folder's entries: `lstat` packed into bytes; and when such a stamp is trusted.

Pure. A version is size, mtime, ctime, inode and mode. The device number is left out: it
changes over reboots; the root's marker and file system id stand for it.
"""

from __future__ import annotations

import os
import struct
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK
from typing import Final

from syncer.engine.model import BlockedEntry, BlockReason, Entry, Kind, Version

_STAMP: Final = struct.Struct("<qqqQI")
PACK: Final = _STAMP.pack  # size, mtime_ns, ctime_ns, inode, mode
UNPACK: Final = _STAMP.unpack
_FURTHEST: Final = 1 << 63
NO_EXECUTABLE: Final = -1
"""`st_rdev` of a file whose executable bit means nothing; only devices have a number there otherwise."""
_SPECIAL: Final = {S_IFIFO: "a fifo", S_IFSOCK: "a socket", S_IFBLK: "a device", S_IFCHR: "a device"}
FINE_MARGIN_NS: Final = 50_000_000
"""A stamp of a fine clock proves nothing for this long: kernel ticks last 1 to 10 ms."""
COARSE_MARGIN_NS: Final = 2_000_000_000
"""The same where stamps are whole milliseconds or coarser (FAT: 2 s, HFS+, old ext4: 1 s)."""


def version(st: os.stat_result) -> Version:
    """36 bytes; equal means the name stands for the same inode in the same state."""
    try:
        return PACK(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_mode)
    except struct.error:  # a time beyond the year 2262, or before 1677
        return PACK(st.st_size, _wrapped(st.st_mtime_ns), _wrapped(st.st_ctime_ns), st.st_ino, st.st_mode)


def _wrapped(time_ns: int) -> int:
    return (time_ns + _FURTHEST) % (2 * _FURTHEST) - _FURTHEST


def mtime(st: os.stat_result) -> int:
    """Nanoseconds since 1970, held within 64 bits: what a database and a peer can take."""
    return min(max(st.st_mtime_ns, -_FURTHEST), _FURTHEST - 1)


def executable(st: os.stat_result) -> bool | None:
    """Whether the owner may run the file; None on a file system that cannot hold that."""
    return None if st.st_rdev == NO_EXECUTABLE else bool(st.st_mode & 0o100)


def identity(st: os.stat_result) -> tuple[int, int, int]:
    """Inode, size and mtime: what a link, a rename or an exchange does not change."""
    return st.st_ino, st.st_size, st.st_mtime_ns


def trusted(st: os.stat_result, now_ns: int) -> bool:
    """Whether any write after `now_ns` (taken before the look) must give another stamp."""
    return ripe(st.st_ctime_ns, now_ns)


def ripe(ctime_ns: int, now_ns: int) -> bool:
    """The same, by the ctime alone."""
    return ctime_ns < now_ns - _margin(ctime_ns)


def untrusted_for_ns(st: os.stat_result, now_ns: int) -> int:
    """How long until the stamp is `trusted`; 0 if it is, or if it lies in the future: no wait helps that."""
    margin = _margin(st.st_ctime_ns)
    missing = st.st_ctime_ns + margin + 1 - now_ns
    return missing if 0 < missing <= margin + 1 else 0


def _margin(ctime_ns: int) -> int:
    fine = ctime_ns % 1_000_000 != 0
    return FINE_MARGIN_NS if fine else COARSE_MARGIN_NS


def kind(st: os.stat_result) -> Kind | None:
    """None for what is never synced: fifo, socket, device."""
    return _KINDS.get(S_IFMT(st.st_mode))


_KINDS: Final = {S_IFREG: Kind.FILE, S_IFDIR: Kind.DIRECTORY, S_IFLNK: Kind.SYMLINK}
DIRECTORY: Final = Entry(kind=Kind.DIRECTORY, size=0, version=b"")


def file_entry(st: os.stat_result, now_ns: int, digest: bytes | None = None) -> Entry:
    """A regular file; `now_ns` was taken before the look (see `trusted`)."""
    return Entry(
        kind=Kind.FILE,
        size=st.st_size,
        version=version(st),
        mtime_ns=mtime(st),
        executable=executable(st),
        digest=digest,
        trusted=trusted(st, now_ns),
    )


def link_entry(st: os.stat_result, target: str, digest: bytes, now_ns: int) -> Entry:
    """A symlink with its target; `now_ns` as for `file_entry`."""
    return Entry(
        kind=Kind.SYMLINK,
        size=len(os.fsencode(target)),
        version=version(st),
        mtime_ns=mtime(st),
        digest=digest,
        target=target,
        trusted=trusted(st, now_ns),
    )


def unsupported(st: os.stat_result) -> BlockedEntry:
    """What a fifo, socket or device is to the engine."""
    name = _SPECIAL.get(S_IFMT(st.st_mode), "neither a file, a directory nor a symlink")
    return BlockedEntry(BlockReason.UNSUPPORTED, f"{name}: never synced")


def matches(st: os.stat_result, expected: Entry) -> bool:
    """Whether the name still is what was planned on, to the last bit of its stamp."""
    if expected.kind is Kind.DIRECTORY:
        return kind(st) is Kind.DIRECTORY
    return version(st) == expected.version
