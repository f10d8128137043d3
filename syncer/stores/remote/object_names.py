"""Names of objects (Swift, S3): which path may be one, and how it stands in a URL. Pure.

A name is the root's prefix followed by the path, in UTF-8, nothing escaped: every other tool gives the object
the same one.
"""

from __future__ import annotations

from urllib.parse import quote

from syncer.engine.model import RelPath
from syncer.engine.paths import parts, printable, unsafe
from syncer.errors import Unholdable
from syncer.stores.common import is_private_path

MAX_NAME_BYTES = 255  # of one part of a path: what the disks on the other side can hold


def quoted(name: str) -> str:
    """UTF-8, percent-encoded, the slashes left. Raises Unholdable where it is not UTF-8."""
    try:
        return quote(name.encode(), safe="/")
    except UnicodeEncodeError:
        raise Unholdable(f"{printable(name)}: the name is not UTF-8", path=name) from None


def checked(path: RelPath, *, prefix: str, longest: int, what: str) -> RelPath:
    """The path, if an object may be called so. Raises Unholdable.

    `longest`: bytes of prefix and path together; `what` has so many at most, in words for the error.
    """
    if not path or is_private_path(path):
        raise Unholdable(f"{printable(path) or 'the root'}: not a path that is synced", path=path)
    if reason := wrong(path):
        raise Unholdable(f"{printable(path)}: {reason}", path=path)
    if len((prefix + path).encode()) > longest:
        raise Unholdable(f"{printable(path)}: longer than the {longest} bytes of {what}", path=path)
    return path


def wrong(path: RelPath) -> str:
    """Why no object may be given this path; "" if one may."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    for depth, part in enumerate(parts(path)):
        if reason := unsafe(part, at_root=depth == 0):
            return reason
        if len(part.encode()) > MAX_NAME_BYTES:
            return f"the name is longer than {MAX_NAME_BYTES} bytes"
    return ""
