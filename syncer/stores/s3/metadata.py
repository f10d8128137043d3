"""Metadata of an S3 object: mtime, executable bit, symlink, digest, as we and other tools write it. Pure.

    x-amz-meta-mtime                seconds since 1970, up to nine decimals; rclone and s3fs use it, too
    x-amz-meta-mode                 s3fs: st_mode in decimal; rclone --metadata: in octal. Ours: symlinks only
    x-amz-meta-syncer-executable    1 or 0
    x-amz-meta-syncer-digest        BLAKE3-256 of the content in hex, a slash, the MD5 ETag that goes with it

A digest counts only beside its ETag, since other tools copy metadata to other content: s3fs keeps all of it
when it writes an edited file. The ETag of a multipart upload is not known before Complete, so the digest of
such an object stands in its companion (`recipes`), which is named by the ETag. A symlink is an object that
holds its target, as s3fs writes it; a directory is an empty object whose name ends in a slash, or of a type
for directories.
"""

from __future__ import annotations

import stat
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

Meta = Mapping[str, str]  # names in small letters, without x-amz-meta-

DIRECTORY_TYPE, SYMLINK_TYPE = "application/x-directory", "inode/symlink"
_DIRECTORY_TYPES = frozenset({DIRECTORY_TYPE, "application/directory", "httpd/unix-directory"})
_MTIME, _MODE, _DIGEST, _EXECUTABLE = "mtime", "mode", "syncer-digest", "syncer-executable"
_KINDS = frozenset(
    {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK}
)


def mtime_of(meta: Meta) -> int | None:
    """Nanoseconds since 1970, as far as 64 bits hold them; None where nothing sensible is said."""
    return mtime_in(meta.get(_MTIME, "").removesuffix("s").strip())


def mode_of(meta: Meta) -> int | None:
    """st_mode as s3fs (decimal) or rclone (octal) wrote it; None where neither reading makes sense.

    A mode with a file type has at most 16 bits, and its type is one of seven values; that tells the two
    apart: s3fs's 33188 is no octal number, and rclone's 100644 is too large as a decimal one.
    """
    text = meta.get(_MODE, "")
    if not text.isascii() or not text.isdigit() or len(text) > 8:
        return None
    octal = int(text, 8) if not set(text) & set("89") else None
    decimal = int(text) if not text.startswith("0") else None
    for value in (decimal, octal):
        if value is not None and value <= 0xFFFF and stat.S_IFMT(value) in _KINDS:
            return value
    return octal if octal is not None and octal <= 0o7777 else None


def executable_of(meta: Meta) -> bool | None:
    """None where the tool that wrote the object did not say."""
    ours = executable_in(meta.get(_EXECUTABLE, ""))
    if ours is not None:
        return ours
    mode = mode_of(meta)
    return None if mode is None or not stat.S_ISREG(mode) else bool(mode & 0o111)


def digest_of(meta: Meta, etag: str) -> bytes | None:
    """BLAKE3-256 of the content with this ETag."""
    return digest_in(meta.get(_DIGEST, ""), etag)


def file_meta(
    *, mtime_ns: int | None, executable: bool | None, digest: bytes | None = None, etag: str = ""
) -> dict[str, str]:
    """Metadata of a file. `etag`: the MD5 of the content; without it the digest is left out."""
    meta: dict[str, str] = {}
    if mtime_ns is not None:
        meta[_MTIME] = mtime_text(mtime_ns)
    if executable is not None:
        meta[_EXECUTABLE] = executable_text(executable)
    if digest is not None and etag:
        meta[_DIGEST] = digest_text(digest, etag)
    return meta


def symlink_meta(*, mtime_ns: int | None) -> dict[str, str]:
    """Metadata of a symlink, whose target is the content; s3fs reads it as one by its mode."""
    mode = {_MODE: str(stat.S_IFLNK | 0o777)}
    return mode if mtime_ns is None else {**mode, _MTIME: mtime_text(mtime_ns)}


def is_directory(key: str, size: int, content_type: str = "") -> bool:
    """Whether an object is a directory's marker: by the slash at its end, or by its type."""
    return size == 0 and (key.endswith("/") or plain_type(content_type) in _DIRECTORY_TYPES)


def is_symlink(meta: Meta, size: int, content_type: str) -> bool:
    """Whether an object is a symlink, of ours or of s3fs."""
    if not 0 < size <= LONGEST_TARGET:
        return False
    mode = mode_of(meta)
    return plain_type(content_type) == SYMLINK_TYPE or (mode is not None and stat.S_ISLNK(mode))
