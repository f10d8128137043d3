"""Scans a folder's directories: fingerprints of many, the full listing of one.

`fingerprints` is the hot path: a run over an unchanged tree does nothing else. It
builds no object per name and follows no symlink. It holds no state, so that several
processes can share the work.
"""

from __future__ import annotations

import re
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from os import stat_result

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    Listing,
    RelPath,
)
from syncer.engine.paths import PRIVATE, TEMPORARY
from syncer.stores.common import link_digest
from syncer.stores.local import stat
from syncer.stores.local.errors import obstacle
from syncer.stores.local.filesystem import UNSEEN, FileSystem
from syncer.stores.local.root import DirectoryCursor
from syncer.stores.local.snapshots import OBSTACLE, is_snapshot

_ENCODING = sys.getfilesystemencoding()
_ERRORS = sys.getfilesystemencodeerrors()
_PRIVATE_LINE = PRIVATE.encode() + b"/"
_LEFTOVER = re.compile(re.escape(TEMPORARY) + "[0-9a-f]{16}")  # of whatever pair; never a user's own file
_PARTIAL = re.compile(re.escape(TEMPORARY) + "[0-9a-f]{24}")  # see `staging`; of whatever pair
_DAY_NS = 24 * 3600 * 10**9
PARTIAL_NS = 7 * _DAY_NS
"""How long what arrived of some content is kept, for a put that goes on with it."""
_AT_ONCE = 4096  # lines that are joined
RENAMING = BlockedEntry(BlockReason.BUSY, "it is being renamed; the next run goes on with it")
"""What stands for a name that is on its way to another spelling."""
LOOKS = 3
"""So often is a directory read at most that changes while it is read."""


def fingerprints(fs: FileSystem, root_fd: int, paths: Iterable[RelPath]) -> Iterator[bytes | None]:
    """The fingerprint of each directory, in order; None for one that has to be listed.

    That is one that is gone, is no directory any more, or cannot be read. Temporary names count,
    so a directory with leftovers (or with a partial, as long as it lies there) differs from what
    is remembered, and is listed. Quickest
    where `paths` come in tree order.
    """
    with DirectoryCursor(fs, root_fd) as cursor:
        for path in paths:
            try:
                yield _fingerprint(fs, cursor.enter(path), at_root=not path)
            except OSError:
                yield None


def _fingerprint(fs: FileSystem, fd: int, *, at_root: bool) -> bytes | None:
    """`engine.fingerprint.fingerprint` of a directory, without anything in between."""
    lines: list[bytes] = []
    add, pack = lines.append, stat.PACK
    for name, st in fs.scan(fd):
        line = name.encode(_ENCODING, _ERRORS) + b"/"
        mode = st.st_mode
        if mode & 0o170000 == 0o040000:
            add(line)
        else:
            try:
                add(line + pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, mode))
            except struct.error:  # a time far from ours
                add(line + stat.version(st))
    lines.sort()
    if at_root:
        place = bisect_left(lines, _PRIVATE_LINE)
        if place < len(lines) and lines[place].startswith(_PRIVATE_LINE):
            del lines[place]
    return joined(lines)


def joined(lines: Sequence[bytes]) -> bytes:
    """The digest of all lines, with a NUL between them: of very many, some at a time."""
    if len(lines) <= _AT_ONCE:
        return blake2b(b"\0".join(lines), digest_size=16).digest()
    hasher = blake2b(digest_size=16)
    for start in range(0, len(lines), _AT_ONCE):
        hasher.update((b"\0" if start else b"") + b"\0".join(lines[start : start + _AT_ONCE]))
    return hasher.digest()


def listing(fs: FileSystem, fd: int, *, now_ns: int, at_root: bool, is_own: Callable[[str], bool]) -> Listing:
    """The complete listing of one directory. Raises OSError.

    `now_ns` must have been taken before the directory was read: it decides which stamps are old enough to be
    trusted. `leftovers` are bare names, without partial files younger than `PARTIAL_NS`, which a write may
    resume.
    """
    entries: dict[str, Entry | BlockedEntry] = {}
    leftovers: list[str] = []
    waiting: dict[str, Entry | BlockedEntry] = {}
    before = shape(fs.fstat(fd))
    for turn in range(LOOKS):
        known, entries, leftovers, waiting = entries, {}, [], {}
        for name, st in fs.scan(fd):
            if at_root and name == PRIVATE:
                continue
            if not name.startswith(TEMPORARY):
                entries[name] = entry_from_stat(fs, name, fd, st, now_ns)
                continue
            if _is_leftover(name, now_ns - st.st_ctime_ns, is_own):
                leftovers.append(name)
            if stat.kind(st) is Kind.DIRECTORY and (away := on_its_way(fs, name, fd)):
                waiting[away] = RENAMING
        # `readdir` may leave out a name that is renamed over meanwhile (POSIX leaves it open), and a name
        # left out would look deleted: so one seen once counts until a look of its own finds nothing.
        for name in known.keys() - entries.keys():
            try:
                entries[name] = entry_from_stat(fs, name, fd, fs.stat(name, fd), now_ns)
            except FileNotFoundError:
                continue
        # The directory's own times change when a name comes or goes: equal ones say that none did meanwhile,
        # within a clock tick. The fingerprint is compared again by the next run in any case.
        after = shape(fs.fstat(fd)) if turn < LOOKS - 1 else before
        if after == before:
            break
        before = after
    entries = {**waiting, **entries}
    return Listing(entries=entries, fingerprint=_of(entries), leftovers=tuple(leftovers))


def on_its_way(fs: FileSystem, aside: str, dir_fd: int) -> str:
    """The name of what is in one of our own directories, on its way to another spelling; "" if nothing is."""
    fd = fs.open_directory(aside, dir_fd)
    try:
        names = [name for name, _ in fs.scan(fd)]
    finally:
        fs.close(fd)
    return names[0] if len(names) == 1 and not names[0].startswith(TEMPORARY) else ""


def _is_leftover(name: str, age_ns: int, is_own: Callable[[str], bool]) -> bool:
    """By the ctime, which cannot be set; the mtime may be that of the content that was to come."""
    if _PARTIAL.fullmatch(name):
        return age_ns > PARTIAL_NS
    return is_own(name) or (_LEFTOVER.fullmatch(name) is not None and age_ns > _DAY_NS)


def _of(entries: dict[str, Entry | BlockedEntry]) -> bytes | None:
    pairs = [(n, e.version) for n, e in entries.items() if isinstance(e, Entry) and e.trusted]
    return fingerprint(pairs) if len(pairs) == len(entries) else None


def shape(st: stat_result) -> tuple[int, int]:
    """The times of a directory, which change when names come or go."""
    return st.st_mtime_ns, st.st_ctime_ns


def entry_from_stat(
    fs: FileSystem, name: str, dir_fd: int, st: stat_result, now_ns: int
) -> Entry | BlockedEntry:
    """The entry of one name from its `lstat`; for a symlink, with its target."""
    if st is UNSEEN:
        return _unseen(fs, name, dir_fd)
    what = stat.kind(st)
    if what is Kind.FILE:
        return stat.file_entry(st, now_ns)
    if what is Kind.DIRECTORY:
        return _directory(fs, name, dir_fd, st)
    if what is Kind.SYMLINK:
        return _link(fs, name, dir_fd, st, now_ns)
    return stat.unsupported(st)


def _directory(fs: FileSystem, name: str, dir_fd: int, st: stat_result) -> Entry | BlockedEntry:
    try:
        return OBSTACLE if is_snapshot(fs, name, dir_fd, st) else stat.DIRECTORY
    except OSError:
        return stat.DIRECTORY  # listing it tells why it cannot be


def _unseen(fs: FileSystem, name: str, dir_fd: int) -> BlockedEntry:
    try:
        fs.stat(name, dir_fd)
    except FileNotFoundError:
        return BlockedEntry(BlockReason.BUSY, "it vanished while it was looked at")
    except OSError as error:
        return obstacle(error)
    return BlockedEntry(BlockReason.BUSY, "it could not be looked at for a moment")


def _link(fs: FileSystem, name: str, dir_fd: int, st: stat_result, now_ns: int) -> Entry | BlockedEntry:
    try:
        target = fs.readlink(name, dir_fd)
        if stat.version(fs.stat(name, dir_fd)) != stat.version(st):
            return BlockedEntry(BlockReason.BUSY, "the symlink changed while it was read")
    except FileNotFoundError:
        return BlockedEntry(BlockReason.BUSY, "the symlink vanished while it was read")
    except OSError as error:
        return obstacle(error)
    return stat.link_entry(st, target, link_digest(target), now_ns)
