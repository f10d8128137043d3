"""What is mounted inside a folder, and whether it lies on a file system whose events tell only half.

Half: not what other machines do there, or not what is done to the files that it is made of.

By Linux' own list of mounts; elsewhere the answer is no.
"""

from __future__ import annotations

from syncer import mounts
from syncer.mounts import Mount


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
