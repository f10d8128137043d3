"""Packed listing: one directory as bytes, for a server that passes it on; no object for each name.

A line is a name, a slash and the version (`stat`), which says all there is to say of a file; it is also
what a directory's fingerprint is made of. A million names take some 120 MB so, and several times that
as entries.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from syncer.engine.model import BlockedEntry, Entry
from syncer.engine.paths import PRIVATE, TEMPORARY
from syncer.stores.local import stat
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.scan import (
    LOOKS,
    RENAMING,
    entry_from_stat,
    joined,
    on_its_way,
    shape,
)
from syncer.stores.local.snapshots import KEPT_BY

_LINE, _ODD = 56, 700  # bytes beyond the name's own: of a line in a list, of a value kept beside it
_WIDE = 4  # bytes of a character of a link's target
_MANY, _ENOUGH = 1024, 256 << 10  # names, or bytes, from which on memory is asked for
_OBSTACLE = b"?"  # instead of a version


class OddEntries:
    """Entries by name. A link's target is held as bytes: as text it takes two to four times as much."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry | BlockedEntry] = {}
        self._targets: dict[bytes, bytes] = {}

    def __setitem__(self, name: bytes, seen: Entry | BlockedEntry) -> None:
        self._targets.pop(name, None)
        if isinstance(seen, Entry) and seen.target is not None:
            self._targets[name] = os.fsencode(seen.target)
            seen = replace(seen, target="")
        self._entries[name] = seen

    def get(self, name: bytes) -> Entry | BlockedEntry | None:
        """The entry as it was set, None for a name that has none."""
        seen = self._entries.get(name)
        target = self._targets.get(name)
        if target is None or not isinstance(seen, Entry):
            return seen
        return replace(seen, target=os.fsdecode(target))

    def __len__(self) -> int:
        return len(self._entries)

    def is_doubtful(self) -> bool:
        """Whether one of them cannot be trusted, so that the directory has no fingerprint."""
        return any(map(_is_doubtful, self._entries.values()))


@dataclass(slots=True)
class Packed:
    """`lines` are sorted. `odd`: by name, what is neither a file nor a directory, or no line can say.

    `fingerprint` as in `Listing`.
    """

    lines: list[bytes] = field(default_factory=list)
    odd: OddEntries = field(default_factory=OddEntries)
    fingerprint: bytes | None = None

    def directories(self) -> Iterator[bytes]:
        """The names of the directories, in no order."""
        return (line[:-1] for line in self.lines if line.find(b"/") + 1 == len(line))


def listing(
    fs: FileSystem,
    fd: int,
    *,
    now_ns: int,
    at_root: bool,
    hides: Callable[[str], bool],
    hold: Callable[[int], None],
) -> Packed:
    """One directory, without our own names and those that `hides`. Raises OSError, and what `hold` raises.

    `now_ns` as for `scanning.listing`. `hold` is told how many bytes are in use, from many names on.
    """
    found, whole = Packed(), True
    before = shape(fs.fstat(fd))
    for turn in range(LOOKS):
        known, found = found, Packed()
        held = _size(known.lines)
        whole = _read(fs, fd, found, now_ns, at_root=at_root, hides=hides, hold=lambda n: hold(held + n))  # noqa: B023
        _complete(fs, fd, found, known, now_ns)
        after = shape(fs.fstat(fd)) if turn < LOOKS - 1 else before
        if after == before:
            break
        before = after
    if whole and not found.odd.is_doubtful():
        found.fingerprint = joined(found.lines)
    return found


def _read(
    fs: FileSystem,
    fd: int,
    found: Packed,
    now_ns: int,
    *,
    at_root: bool,
    hides: Callable[[str], bool],
    hold: Callable[[int], None],
) -> bool:
    """One pass; whether everything in the directory is in it, and old enough to be trusted."""
    lines, add, pack = found.lines, found.lines.append, stat.PACK
    whole, size, asked, held = True, 0, _MANY, _ENOUGH
    old = now_ns - stat.COARSE_MARGIN_NS  # what is older is trusted in any case
    device = fs.fstat(fd).st_dev
    aside: list[str] = []
    for name, st in fs.scan(fd):
        plain = name.isascii() and name[0] != "."
        if not plain:
            if name.startswith(TEMPORARY):
                aside.append(name)
                continue
            if at_root and name == PRIVATE:
                continue
            if hides(name):
                whole = False
                continue
        line = os.fsencode(name) + b"/"
        mode = st.st_mode
        kind = mode & 0o170000
        if kind == 0o040000:
            odd = st.st_dev != device or name in KEPT_BY  # it may be a snapshot
        else:
            ctime = st.st_ctime_ns
            try:
                line += pack(st.st_size, st.st_mtime_ns, ctime, st.st_ino, mode)
                odd = kind != 0o100000
            except struct.error:  # a time far from ours
                line, odd = line + stat.version(st), True
            if not odd and ctime >= old and not stat.ripe(ctime, now_ns):
                whole = False
        if odd:
            seen = entry_from_stat(fs, name, fd, st, now_ns)
            line = _beside(found, name, seen, line)
            size += _ODD + _WIDE * len((seen.target if isinstance(seen, Entry) else seen.message) or "")
        add(line)
        size += len(line)
        if len(lines) > asked or size > held:
            held = size + _ENOUGH
            hold(size + _LINE * len(lines) * 5 // 4)  # before as many again are read
            asked += max(asked // 8, _MANY)
    lines.sort()
    _add_renamed(fs, fd, found, aside, hides)
    return whole


def _beside(found: Packed, name: str, seen: Entry | BlockedEntry, line: bytes) -> bytes:
    """Keeps the value of a name that no line can say; answers the line."""
    if seen is stat.DIRECTORY:
        return line
    key = os.fsencode(name)
    found.odd[key] = seen
    return key + b"/" + _OBSTACLE if isinstance(seen, BlockedEntry) else line


def _add_renamed(
    fs: FileSystem, fd: int, found: Packed, aside: list[str], hides: Callable[[str], bool]
) -> None:
    """Names that are on their way to another spelling, in directories of our own: they are not gone."""
    for own in aside:
        try:
            name = on_its_way(fs, own, fd)
        except OSError:
            continue  # a file, or gone by now
        key = os.fsencode(name) + b"/"
        place = bisect_left(found.lines, key)
        there = place < len(found.lines) and found.lines[place].startswith(key)
        if name and not there and not hides(name):
            found.lines.insert(place, _beside(found, name, RENAMING, key))


def _complete(fs: FileSystem, fd: int, found: Packed, known: Packed, now_ns: int) -> None:
    """Adds what an earlier pass saw and this one left out, if it is there: see `scanning.listing`."""
    missing = _missing(known.lines, found.lines)
    for key in missing:
        name = os.fsdecode(key)
        try:
            st = fs.stat(name, fd)
        except FileNotFoundError:
            continue
        seen = entry_from_stat(fs, name, fd, st, now_ns)
        version = b"" if seen is stat.DIRECTORY else stat.version(st)
        if version:
            found.odd[key] = seen
        found.lines.append(key + b"/" + (_OBSTACLE if isinstance(seen, BlockedEntry) else version))
    if missing:
        found.lines.sort()


def _missing(known: list[bytes], found: list[bytes]) -> list[bytes]:
    """The names of the one list that the other has not; both are sorted, by name and slash."""
    missing: list[bytes] = []
    there = iter(found)
    key = b""
    for line in known:
        name = line[: line.index(b"/") + 1]
        while key < name and (after := next(there, None)) is not None:
            key = after[: after.index(b"/") + 1]
        if key != name:
            missing.append(name[:-1])
    return missing


def _is_doubtful(seen: Entry | BlockedEntry) -> bool:
    return not isinstance(seen, Entry) or not seen.trusted


def _size(lines: list[bytes]) -> int:
    return sum(map(len, lines)) + _LINE * len(lines)
