"""Noticing changes where no events tell of them: what each directory looked like last, and looks like now.

By stamps (lstat(2)), never by content, and never through a link. A directory that cannot be listed looks
like nothing; one with an entry that changed a moment ago is told once more at the next look, since an
edit right after a look may leave every stamp as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b

from syncer import mounts
from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, join
from syncer.mounts import Mount

_YOUNG = 2_000_000_000  # nanoseconds: the coarsest stamps of a file system that is in use


class Looks:
    """The directories of a folder as they were at the last look."""

    def __init__(self, root: str, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._known: dict[RelPath, bytes] = {}

    def differing(self) -> list[RelPath]:
        """The directories that look otherwise than at the last call, come or gone ones among them."""
        now = dict(self._walk())
        before, self._known = self._known, now
        return [
            p for p in {**before, **now} if before.get(p) != now.get(p) or before.get(p, b"")[-1:] == b"y"
        ]

    def _walk(self) -> Iterator[tuple[RelPath, bytes]]:
        ahead: list[RelPath] = [""]
        while ahead:
            path = ahead.pop()
            names, shape = self._shape(path)
            yield path, shape
            ahead += (join(path, name) for name in names)

    def _shape(self, path: RelPath) -> tuple[list[str], bytes]:
        """The subdirectories, and a digest of names and stamps with "y" behind it if one is young."""
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
                        directories.append(entry.name)  # what changes in it, shows in it
                    else:
                        stamp += f"/{seen.st_size}/{seen.st_mtime_ns}/{seen.st_ctime_ns}"
                        youngest = min(youngest, abs(now - seen.st_ctime_ns))
                    stamps.append(os.fsencode(stamp))
        except OSError:
            return directories, b""  # gone in the middle, or not to be read
        hasher = blake2b(b"\0".join(sorted(stamps)), digest_size=16)
        return directories, hasher.digest() + (b"y" if youngest < _YOUNG else b"-")


# --------------------------------------------------------------------------------
#
# What is mounted inside a folder, and whether it lies on a file system whose events tell only half.
#
# Half: not what other machines do there, or not what is done to the files that it is made of.
#
# By Linux' own list of mounts; elsewhere the answer is no.


def network(root: str, mountinfo: str) -> str:
    """The kind of network file system that the folder, or something in it, lies on; "" for none."""
    return next((m.kind for m in _under(root, mountinfo) if m.is_network), "")


def stacked(root: str, mountinfo: str) -> str:
    """The kind of file system made of files elsewhere that the folder, or something in it, lies on."""
    return next((m.kind for m in _under(root, mountinfo) if m.is_stacked), "")


def inside(root: str, mountinfo: str) -> tuple[str, ...]:
    """The lines of the list of mounts that tell what is mounted inside the folder, in order."""
    found = mounts.read(mountinfo)
    return tuple(m.line for m in found if m.place != root and mounts.holds(root, m.place))


def _under(root: str, mountinfo: str) -> list[Mount]:
    return mounts.under(root, mounts.read(mountinfo))
