"""What a static large object is made of: whole segments, parts of segments, and bytes in the manifest itself.

Pure values, and their form on the wire: a JSON list (Swift's `PUT ?multipart-manifest=put`, given back by
`GET ?multipart-manifest=get&format=raw`). Which segments there should be, `planning` settles.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from syncer.wire.bounded_json import loads

_HEX = re.compile(r"[0-9a-f]{32}")
_LARGEST = 1 << 63  # bytes: what a database and every system call can take
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes `start` up to (not with) `end` of one object.

    `path` is `container/object`, not encoded; `etag` and `size` (bytes) are of the whole object.
    """

    path: str
    etag: str
    size: int
    start: int
    end: int

    @classmethod
    def whole(cls, path: str, *, etag: str, size: int) -> Segment:
        """All of an object."""
        return cls(path=path, etag=etag, size=size, start=0, end=size)

    @property
    def length(self) -> int:
        return self.end - self.start

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == self.size

    @property
    def named(self) -> str:
        """What it adds to the ETag of the large object."""
        return self.etag if self.is_whole else f"{self.etag}:{self.start}-{self.end - 1};"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """Bytes that stand in the manifest."""

    data: bytes

    @property
    def length(self) -> int:
        return len(self.data)

    @property
    def named(self) -> str:
        """What it adds to the ETag of the large object."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()


Part: TypeAlias = Segment | Inline


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The parts in order; together they are the content."""

    parts: tuple[Part, ...]

    @cached_property
    def size(self) -> int:
        """Of the content, in bytes."""
        return sum(part.length for part in self.parts)

    @cached_property
    def etag(self) -> str:
        """Of the large object, as Swift computes it: the MD5 of what the parts are named by."""
        named = "".join(part.named for part in self.parts)
        return hashlib.md5(named.encode(), usedforsecurity=False).hexdigest()

    @property
    def segments(self) -> Iterator[Segment]:
        """The parts that are in objects of their own; one object may be named many times."""
        return (part for part in self.parts if isinstance(part, Segment))

    def encoded(self) -> bytes:
        """As it is put."""
        return json.dumps([_out(part) for part in self.parts], separators=(",", ":")).encode()


def parsed(document: bytes) -> Manifest | None:
    """The manifest in an answer in raw form; None where it is none, or one that cannot be understood."""
    try:
        rows = loads(document)
        found = Manifest(parts=tuple(_in(row) for row in rows)) if isinstance(rows, list) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if found is not None and found.size < _LARGEST else None


def _out(part: Part) -> dict[str, str | int]:
    if isinstance(part, Inline):
        return {"data": b64encode(part.data).decode()}
    told: dict[str, str | int] = {"path": f"/{part.path}", "etag": part.etag, "size_bytes": part.size}
    return told if part.is_whole else {**told, "range": f"{part.start}-{part.end - 1}"}


def _in(row: Any) -> Part:
    if "data" in row:
        return Inline(data=b64decode(row["data"], validate=True))
    path, etag, size = row["path"].lstrip("/"), row["etag"].strip('"').lower(), row["size_bytes"]
    if type(size) is not int or not 0 <= size < _LARGEST or not _HEX.fullmatch(etag) or "/" not in path:
        raise ValueError("not a segment")
    path.encode()  # or it could not be asked for: a UnicodeEncodeError is a ValueError
    if not row.get("range"):
        return Segment.whole(path, etag=etag, size=size)
    found = _RANGE.fullmatch(row["range"])
    if found is None:
        raise ValueError("not a range")
    start, end = int(found[1]), int(found[2]) + 1
    if not start < end <= size:
        raise ValueError("a range beyond its segment")
    return Segment(path=path, etag=etag, size=size, start=start, end=end)
