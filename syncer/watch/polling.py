"""Polling: compares the stamps of every directory with those of the last look, where events are not enough.

Also reads the list of mounts: a network file system or a stacked one reports only part of its changes.

Stamps come from lstat(2); no content is read and no symlink followed. A directory that cannot be listed
compares as empty. One with an entry that changed in the last two seconds is reported once more by the next
look, because an edit right after a look may leave every stamp as it was.
"""

from __future__ import annotations

import os
from hashlib import blake2b

from syncer import mounts
from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, join
from syncer.watch.inotify_tree import Select, every_one

_YOUNG = 2_000_000_000  # nanoseconds: the coarsest stamps among file systems in use (FAT)


class Looks:
    """The directories of a folder as they were at the last look."""

    def __init__(self, root: str, clock: Clock, select: Select = every_one) -> None:
        """`select` says which subdirectories are looked into."""
        self._root = root
        self._clock = clock
        self._select = select
        self._known: dict[RelPath, bytes] = {}

    def differing(self) -> list[RelPath]:
        """The directories that changed since the last call, new and deleted ones among them."""
        now: dict[RelPath, bytes] = {}
        pending: list[RelPath] = [""]
        while pending:
            path = pending.pop()
            names, now[path] = self._digest(path)
            selected = self._select(os.path.join(self._root, path), names) if names else names
            pending += (join(path, name) for name in selected)
        before, self._known = self._known, now
        return [
            p for p in {**before, **now} if before.get(p) != now.get(p) or before.get(p, b"")[-1:] == b"y"
        ]

    def _digest(self, path: RelPath) -> tuple[list[str], bytes]:
        """The subdirectories, and a digest of names and stamps, followed by "y" if one of them is young."""
        directories: list[str] = []
        stamps: list[bytes] = []
        now, youngest = self._clock.now_ns(), _YOUNG
        try:
            with os.scandir(os.path.join(self._root, path)) as entries:
                for entry in entries:
                    if is_private(entry.name, at_root=not path):
                        continue
                    seen = entry.stat(follow_symlinks=False)
                    stamp = f"{entry.name}/{seen.st_ino}/{seen.st_mode}"
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(entry.name)  # changes in it show in its own digest
                    else:
                        stamp += f"/{seen.st_size}/{seen.st_mtime_ns}/{seen.st_ctime_ns}"
                        youngest = min(youngest, abs(now - seen.st_ctime_ns))
                    stamps.append(os.fsencode(stamp))
        except OSError:
            return directories, b""  # deleted meanwhile, or not readable
        hasher = blake2b(b"\0".join(sorted(stamps)), digest_size=16)
        return directories, hasher.digest() + (b"y" if youngest < _YOUNG else b"-")


def network(root: str, mountinfo: str) -> str:
    """The type of the network file system that the folder, or something in it, is on; "" for none.

    Its events report nothing of what other machines do. Like all here by /proc/self/mountinfo (proc(5)), so
    that the answer is "" on systems other than Linux.
    """
    return next((m.kind for m in mounts.under(root, mounts.read(mountinfo)) if m.is_network), "")


def stacked(root: str, mountinfo: str) -> str:
    """The type of the stacked file system (overlayfs, FUSE, …) that the folder, or something in it, is on.

    Its events report nothing of what is done to the files underneath.
    """
    return next((m.kind for m in mounts.under(root, mounts.read(mountinfo)) if m.is_stacked), "")


def inside(root: str, mountinfo: str) -> tuple[str, ...]:
    """The lines of the list of mounts for what is mounted inside the folder, in order."""
    found = mounts.read(mountinfo)
    return tuple(m.line for m in found if m.place != root and mounts.holds(root, m.place))
