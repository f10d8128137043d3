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
from decimal import Decimal, InvalidOperation

MARKER, SYMLINK = "application/directory", "inode/symlink"
MARKERS = frozenset({MARKER, "text/directory", "application/folder"})
META = "x-object-meta-"
_MTIME, _DIGEST, _EXECUTABLE = "mtime", "syncer-digest", "syncer-executable"
_MANIFEST = "syncer-manifest"
_HEX = re.compile(r"[0-9a-f]{64}")
_LONGEST_NUMBER, _DIGITS = 64, 20  # characters; digits before and after the point
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take
_LONGEST_TARGET = 4095  # bytes: PATH_MAX without its end

Meta = Mapping[str, str]  # names in small letters, without the prefix


def mtime_of(meta: Meta) -> int | None:
    """Nanoseconds since 1970, as far as 64 bits hold them; None where nothing sensible is said."""
    text = meta.get(_MTIME, "")
    try:
        seconds = Decimal(text) if len(text) <= _LONGEST_NUMBER else Decimal("nan")
    except InvalidOperation:
        return None
    if not seconds.is_finite() or not -_DIGITS <= seconds.adjusted() < _DIGITS:
        # Also 1e999999999, whose digits alone would take the memory of a machine.
        return 0 if seconds.is_finite() and not seconds else None
    nanoseconds = int(seconds * 1_000_000_000)
    return nanoseconds if -_FARTHEST <= nanoseconds < _FARTHEST else None


def executable_of(meta: Meta) -> bool | None:
    """None where whoever wrote it did not say."""
    return {"1": True, "0": False}.get(meta.get(_EXECUTABLE, ""))


def digest_of(meta: Meta, etag: str) -> bytes | None:
    """BLAKE3-256 of the content with this ETag."""
    digest, _, of = meta.get(_DIGEST, "").partition("/")
    try:
        found = bytes.fromhex(digest)
    except ValueError:
        return None
    return found if len(found) == 32 and of == etag else None


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
        sign, rest = ("-", -mtime_ns) if mtime_ns < 0 else ("", mtime_ns)
        meta[_MTIME] = f"{sign}{rest // 1_000_000_000}.{rest % 1_000_000_000:09}"
    if executable is not None:
        meta[_EXECUTABLE] = "1" if executable else "0"
    if digest is not None:
        meta[_DIGEST] = f"{digest.hex()}/{etag}"
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
    return plain_type(content_type) == SYMLINK and 0 < size <= _LONGEST_TARGET


def plain_type(content_type: str) -> str:
    """Without its parameters."""
    return content_type.partition(";")[0].strip().lower()
