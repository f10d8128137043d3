"""Attributes of a file that Syncer writes: digest, mtime, executable bit, symlink target.

    syncer    1|f|12|2026-01-01T05:00:00|<BLAKE3 hex>|1767261600123456789|x|
    modified  2026-01-01 10:00:00          (UTC; what other programs of this API read)

A symlink is a file that holds its target's text and is marked `l`. A mark speaks of one size at one time
of the service; attributes may outlive the content they were written for, so a mark is believed only
while both are as it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from syncer.stores.smartfile import times

ATTRIBUTE, MODIFIED = "syncer", "modified"
FOREIGN_DIGEST = "checksum"  # kissync's MD5: never carried to other content
LONGEST_TARGET = 1024  # bytes of a symlink's text; what an attribute can hold is not documented
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take
_FORM = re.compile(
    r"1\|([fl])\|(\d{1,19})\|([^|]{1,40})\|([0-9a-f]{64})?\|(-?\d{1,19})?\|([x-])\|([^|]{0,3072})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`size` and `time` (as the service shows it) name the content; `target` is that of a symlink."""

    size: int
    time: str
    digest: bytes | None = None  # BLAKE3-256
    mtime_ns: int | None = None
    executable: bool = False
    target: str | None = None

    def attributes(self) -> dict[str, str]:
        """The attributes to write."""
        written = {ATTRIBUTE: self._text()}
        modified = None if self.mtime_ns is None else times.to_modified(self.mtime_ns)
        return written if modified is None else {**written, MODIFIED: modified}

    def _text(self) -> str:
        fields = (
            "1",
            "f" if self.target is None else "l",
            str(self.size),
            self.time,
            self.digest.hex() if self.digest else "",
            "" if self.mtime_ns is None else str(self.mtime_ns),
            "x" if self.executable else "-",
            quote(target_bytes(self.target)) if self.target is not None else "",
        )
        return "|".join(fields)


def read(attributes: Mapping[str, str]) -> Mark | None:
    """The mark in the attributes; None where there is none that can be parsed."""
    found = _FORM.fullmatch(attributes.get(ATTRIBUTE, ""))
    if found is None:
        return None
    kind, size, time, digest, mtime, executable, target = found.groups()
    link = unquote_to_bytes(target).decode("utf-8", "surrogateescape") if kind == "l" else None
    modified = int(mtime) if mtime else None
    if link is not None and (not link or "\0" in link):
        return None
    if modified is not None and not -_FARTHEST <= modified < _FARTHEST:
        return None
    return Mark(
        size=int(size),
        time=time,
        digest=bytes.fromhex(digest) if digest else None,
        mtime_ns=modified,
        executable=executable == "x",
        target=link,
    )


def target_bytes(target: str) -> bytes:
    """The content of a symlink's file."""
    return target.encode("utf-8", "surrogateescape")
