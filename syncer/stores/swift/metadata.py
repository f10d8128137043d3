"""Metadata of objects: mtime, digest, executable bit, symlinks, directory markers. Pure.

    X-Object-Meta-Mtime                seconds since 1970, up to nine decimals; rclone and `swift` use it, too
    X-Object-Meta-Syncer-Digest        BLAKE3-256 of the content in hex, a slash, the ETag that goes with it
    X-Object-Meta-Syncer-Executable    1 or 0
    X-Object-Meta-Syncer-Manifest      where the list of its segments is (`companions`), a slash, the ETag

Both digests count only beside their ETag: metadata may be copied to other content by other tools. A symlink
is an object of type `inode/symlink` that holds the target; a directory is an empty one of type
`application/directory`, and several other markers are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncer.stores.remote.object_metadata import (
    LONGEST_TARGET,
    digest_in,
    digest_text,
    executable_in,
    executable_text,
    mtime_in,
    mtime_text,
    plain_type,
)

MARKER, SYMLINK = "application/directory", "inode/symlink"
MARKERS = frozenset({MARKER, "text/directory", "application/folder"})
META = "x-object-meta-"
_MTIME, _DIGEST, _EXECUTABLE = "mtime", "syncer-digest", "syncer-executable"
_MANIFEST = "syncer-manifest"
_HEX = re.compile(r"[0-9a-f]{64}")

Meta = Mapping[str, str]  # names in small letters, without the prefix


def mtime_of(meta: Meta) -> int | None:
    """Nanoseconds since 1970, as far as 64 bits hold them; None where nothing sensible is said."""
    return mtime_in(meta.get(_MTIME, ""))


def executable_of(meta: Meta) -> bool | None:
    """None where whoever wrote it did not say."""
    return executable_in(meta.get(_EXECUTABLE, ""))


def digest_of(meta: Meta, etag: str) -> bytes | None:
    """BLAKE3-256 of the content with this ETag."""
    return digest_in(meta.get(_DIGEST, ""), etag)


def manifest_in(meta: Meta, etag: str) -> str:
    """The digest of the document that lists the segments of the large object with this ETag; "" for none."""
    digest, _, of = meta.get(_MANIFEST, "").partition("/")
    return digest if _HEX.fullmatch(digest) and of == etag else ""


def referring(digest: str, etag: str) -> dict[str, str]:
    """Metadata that names such a document."""
    return {_MANIFEST: f"{digest}/{etag}"}


def written(
    *, mtime_ns: int | None, executable: bool | None, digest: bytes | None = None, etag: str = ""
) -> dict[str, str]:
    """Metadata of a file."""
    meta: dict[str, str] = {}
    if mtime_ns is not None:
        meta[_MTIME] = mtime_text(mtime_ns)
    if executable is not None:
        meta[_EXECUTABLE] = executable_text(executable)
    if digest is not None:
        meta[_DIGEST] = digest_text(digest, etag)
    return meta


def headers_of(meta: Meta) -> dict[str, str]:
    """As headers of a request."""
    return {META + name: value for name, value in meta.items()}


def meta_in(headers: Mapping[str, str]) -> dict[str, str]:
    """From the headers of an answer."""
    return {k.lower()[len(META) :]: v for k, v in headers.items() if k.lower().startswith(META)}


def is_marker(name: str, size: int, content_type: str) -> bool:
    """Whether such an object is a directory's: by its type, or by the slash at its end."""
    return size == 0 and (name.endswith("/") or plain_type(content_type) in MARKERS)


def is_symlink(content_type: str, size: int) -> bool:
    """Whether such an object is one of our symlinks."""
    return plain_type(content_type) == SYMLINK and 0 < size <= LONGEST_TARGET
