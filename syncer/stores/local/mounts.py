"""Mounts inside a folder: the mount points below it, and the mount that a directory lies on.

By Linux' own list (proc_pid_mountinfo(5)), which has bind mounts too: those have the device number of the
file system around them. Where the system keeps no such list nothing is known, and nothing is said.

An identity tells whether the same thing is mounted as last time, over reboots too: the file system's own
id where it has one, else its UUID, else what was mounted (`server:/export`); and which part of it. It leaves
this machine in listings, so it is a digest of all that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private
from syncer.stores.local.filesystem import FileSystem
from syncer.stores.local.root import DirectoryCursor

UNKNOWN = "?"
"""The identity of a mount that is in no list (any more): equal to none that was remembered."""
AUTOFS = "autofs"
_OCTAL = re.compile(r"\\([0-7]{3})")
_WITH_ID = re.compile("tmpfs|ramfs|btrfs|bcachefs|zfs|overlay")  # no device of their own, but an id
_UUIDS = "/dev/disk/by-uuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountLine:
    """One line of the list of mounts. `place` is the absolute path of the mount point."""

    id: int
    parent: int
    device: str  # major:minor
    root: str  # the directory of the file system that is mounted
    place: str
    kind: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """The mounts inside a folder. `points` are mount points with identities, `by_id` the same by mount id."""

    root_id: int
    points: Mapping[RelPath, str] = field(default_factory=dict)
    by_id: Mapping[int, str] = field(default_factory=dict)


def inside(fs: FileSystem, root_fd: int) -> Inside | None:
    """What is mounted inside the directory; None where the system does not tell.

    An automount point (autofs) is touched first, so that what it stands for is mounted.
    """
    try:
        shown = _shown(fs, root_fd)
        if any(line.kind == AUTOFS for line in shown.values()):
            _touch(fs, root_fd, [path for path, line in shown.items() if line.kind == AUTOFS])
            shown = _shown(fs, root_fd)
        found = {path: line for path, line in shown.items() if line.kind != AUTOFS}
        names = {path: identity(fs, root_fd, path, line) for path, line in found.items()}
        by_id = {line.id: names[path] for path, line in found.items()}
        return Inside(root_id=fs.mount_id(root_fd), points=names, by_id=by_id)
    except OSError:
        return None


def _shown(fs: FileSystem, root_fd: int) -> dict[RelPath, MountLine]:
    place, text = fs.mount_list(root_fd)
    if _escaped(place.rstrip("/") + "/") not in text:
        return {}
    top = fs.mount_id(root_fd)
    lines = {line.id: line for line in parse(text)}
    return {
        path: line
        for line in lines.values()
        if (path := _below(line.place, place)) and not _ours(path) and _visible(line, top, lines)
    }


def _visible(line: MountLine, top: int, lines: Mapping[int, MountLine]) -> bool:
    """Whether a walk from the mount `top` gets there: nothing is mounted over it, or over a way to it."""
    covered = {other.parent for other in lines.values() if _covers(other, lines)}
    if line.id in covered or line.id == top:
        return False
    seen: set[int] = set()
    while line.id != top:
        above = lines.get(line.parent)
        if above is None or line.id in seen:
            return False
        seen.add(line.id)
        if above.id in covered and above.place != line.place:
            return False
        line = above
    return True


def _covers(line: MountLine, lines: Mapping[int, MountLine]) -> bool:
    below = lines.get(line.parent)
    return below is not None and below.id != line.id and below.place == line.place


def _ours(path: RelPath) -> bool:
    return is_private(path.partition("/")[0], at_root=True)


def _touch(fs: FileSystem, root_fd: int, paths: list[RelPath]) -> None:
    for path in paths:
        try:
            with DirectoryCursor(fs, root_fd) as cursor:
                cursor.enter(path)
        except OSError:
            continue


def parse(text: str) -> Iterator[MountLine]:
    """The lines of a list of mounts; those that are not as the manual says are left out."""
    for line in text.split("\n"):
        left, _, right = line.partition(" - ")
        fields, more = left.split(" "), right.split(" ")
        if len(fields) > 5 and len(more) > 1 and fields[0].isdigit() and fields[1].isdigit():
            yield MountLine(
                id=int(fields[0]),
                parent=int(fields[1]),
                device=fields[2],
                root=_plain(fields[3]),
                place=_plain(fields[4]),
                kind=more[0],
                source=_plain(more[1]),
            )


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)


def _escaped(text: str) -> str:
    return re.sub(r"[\\ \t\n]", lambda found: f"\\{ord(found[0]):03o}", text)


def _below(place: str, root: str) -> RelPath:
    above = root.rstrip("/") + "/"
    return place[len(above) :] if place.startswith(above) else ""


def identity(fs: FileSystem, root_fd: int, path: RelPath, line: MountLine) -> str:
    """What is mounted there, as 16 hex digits."""
    local = line.source.startswith("/dev/") or _WITH_ID.fullmatch(line.kind)
    # A network file system is not asked: one whose server is gone may never answer.
    own = (_own_id(fs, root_fd, path) or _uuid(line.device)) if local else ""
    text = "\0".join((line.kind, own or line.source, line.root))
    return blake2b(os.fsencode(text), digest_size=8).hexdigest()


def _own_id(fs: FileSystem, root_fd: int, path: RelPath) -> str:
    try:
        with DirectoryCursor(fs, root_fd) as cursor:
            return fs.file_system_id(cursor.enter(path))
    except OSError:
        return ""


def _uuid(device: str) -> str:
    """The UUID of the file system on a block device, as udev has it; "" where it has none."""
    try:
        names = os.listdir(_UUIDS)
    except OSError:
        return ""
    for name in names:
        try:
            number = os.stat(f"{_UUIDS}/{name}").st_rdev
        except OSError:
            continue
        if device == f"{os.major(number)}:{os.minor(number)}":
            return name
    return ""


class Table:
    """The mounts inside one root as they were looked at last. Several threads may ask."""

    def __init__(self) -> None:
        self._found: Inside | None = None

    def look(self, fs: FileSystem, root_fd: int) -> Mapping[RelPath, str] | None:
        """The mount points now, each with what is mounted there; None where the system does not tell."""
        self._found = inside(fs, root_fd)
        return None if self._found is None else self._found.points

    def of(self, fs: FileSystem, root_fd: int, fd: int) -> str:
        """On what a directory of the root lies that is open as `fd`; "" where it is the root's own mount.

        Of the open descriptor itself: whatever is mounted there a moment later does not matter.
        """
        found = self._found
        if found is None or (not found.points and fs.fstat(fd).st_dev == fs.fstat(root_fd).st_dev):
            return ""
        try:
            number = fs.mount_id(fd)
            if number == found.root_id:
                return ""
            if number not in found.by_id:
                self.look(fs, root_fd)  # mounted since
            found = self._found
            return found.by_id.get(number, UNKNOWN) if found is not None else UNKNOWN
        except OSError:
            return UNKNOWN
