"""What is mounted inside a folder, and whether it lies on a file system whose events tell only half.

Half: not what other machines do there.

By Linux' own list of mounts (proc_pid_mountinfo(5)); elsewhere the answer is no.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_KINDS = re.compile(
    "9p|afs|beegfs|ceph|cifs|coda|davfs|fhgfs|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|panfs|"
    "pvfs2|smb3|smbfs|vboxsf|virtiofs|vmhgfs"
)
_FUSE = re.compile(
    r"fuse\.(afp|blobfuse2?|cephfs|curlftpfs|davfs2|gcsfuse|glusterfs|goofys|google-drive-ocamlfuse|gvfsd-fuse|"
    "juicefs|mfsmount|moosefs|onedriver|rclone|s3fs|smbnetfs|sshfs|vmhgfs-fuse)"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def network(root: str, mounts: str) -> str:
    """The kind of network file system that the folder, or something in it, lies on; "" for none.

    `mounts` is a file like /proc/self/mountinfo; without it nothing is known.
    """
    try:
        lines = os.fsdecode(Path(mounts).read_bytes()).split("\n")
    except OSError:
        return ""
    own, inside = ("", ""), ""
    for place, kind in _parsed(lines):
        if len(place) >= len(own[0]) and _holds(place, root):
            own = place, kind  # of two at one place the later one lies on top
        elif _holds(root, place) and _is_network(kind):
            inside = kind
    return own[1] if _is_network(own[1]) else inside


def inside(root: str, mounts: str) -> tuple[str, ...]:
    """The lines of the list of mounts that tell what is mounted inside the folder, in order."""
    try:
        lines = os.fsdecode(Path(mounts).read_bytes()).split("\n")
    except OSError:
        return ()
    return tuple(
        line for line in lines for place, _ in _parsed([line]) if place != root and _holds(root, place)
    )


def _parsed(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) > 4:
            yield _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]), right.split(" ")[0]


def _holds(place: str, path: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def _is_network(kind: str) -> bool:
    return bool(_KINDS.fullmatch(kind) or _FUSE.fullmatch(kind))
