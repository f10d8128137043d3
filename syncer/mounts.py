"""Kinds of mounts, by the names Linux has for them: the one list of what is a network file system.

On some nothing tells what other machines do, and locks are not to be relied on (`is_network`). On others,
made of files that lie elsewhere on this machine, nothing tells what is done to those (`is_stacked`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_NETWORK = re.compile(
    "9p|afs|beegfs|ceph|cifs|coda|davfs|fhgfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|panfs|"
    "pvfs2|smb3|smbfs|vboxsf|virtiofs|vmhgfs|"
    r"fuse\.(afp|blobfuse2?|cephfs|curlftpfs|davfs2?|gcsfuse|glusterfs|goofys|google-drive-ocamlfuse|gvfsd-fuse|"
    "juicefs|mfsmount|moosefs|onedriver|rclone|s3fs|smbnetfs|sshfs|vmhgfs-fuse)"
)
_STACKED = re.compile(r"aufs|ecryptfs|fuse|fuse\..+|overlay|unionfs")
_OCTAL = re.compile(r"\\([0-7]{3})")
MOUNTINFO = "/proc/self/mountinfo"


@dataclass(frozen=True, slots=True)
class Mount:
    """Where something is mounted, and of which kind it is."""

    place: str
    kind: str
    line: str = ""  # of the list of mounts

    @property
    def is_network(self) -> bool:
        return is_network(self.kind)

    @property
    def is_stacked(self) -> bool:
        """A container's own root is an overlay, too; nobody works behind that."""
        return not self.is_network and bool(_STACKED.fullmatch(self.kind)) and self.place != "/"


def is_network(kind: str) -> bool:
    """Whether other machines may change what is there."""
    return bool(_NETWORK.fullmatch(kind))


def read(mountinfo: str = MOUNTINFO) -> list[Mount]:
    """All mounts in their order (proc_pid_mountinfo(5)); none on a system without such a list."""
    try:
        data = Path(mountinfo).read_bytes()
    except OSError:
        return []
    return list(_parsed(data))


@lru_cache(maxsize=4)  # a daemon asks every few seconds for each of its folders, and it is the same list
def _parsed(data: bytes) -> tuple[Mount, ...]:
    return tuple(_each(os.fsdecode(data).split("\n")))


def _each(lines: Iterable[str]) -> Iterator[Mount]:
    for line in lines:
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) > 4:
            place = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
            yield Mount(place, right.split(" ")[0], line)


def under(root: str, mounts: Iterable[Mount]) -> list[Mount]:
    """The mount that a folder lies on, first, and those that are in it."""
    own, inside = Mount("", ""), []
    for mount in mounts:
        if len(mount.place) >= len(own.place) and holds(mount.place, root):
            own = mount  # of two at one place the later one lies on top
        elif holds(root, mount.place):
            inside.append(mount)
    return [own, *inside]


def holds(place: str, path: str) -> bool:
    """Whether the path is that place, or below it."""
    return path == place or path.startswith(place.rstrip("/") + "/")
