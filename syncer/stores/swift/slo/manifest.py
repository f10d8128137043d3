"""SLO manifests: parse, write, fetch, and a local cache of manifests by the digest of their content.

A manifest belongs to one version of an object: its parts give the ETag, so that one that was read for another
version, or is remembered wrongly, is known. Losing what is remembered costs the next download its savings.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from syncer.engine.model import Version
from syncer.errors import NotFound
from syncer.stores.swift import objects
from syncer.stores.swift.client import Call, Connection
from syncer.stores.swift.objects import NEWEST
from syncer.wire.bounded_json import loads

# --------------------------------------------------------------------------------
#
# What a static large object is made of: whole segments, parts of segments, and bytes in the manifest
# itself.
#
# Pure values, and their form on the wire: a JSON list (Swift's `PUT ?multipart-manifest=put`, given back by
# `GET ?multipart-manifest=get&format=raw`). Which segments there should be, `layout` settles.


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
        """The JSON document of a PUT with `multipart-manifest=put`."""
        rows: list[dict[str, str | int]] = []
        for part in self.parts:
            if isinstance(part, Inline):
                rows.append({"data": b64encode(part.data).decode()})
                continue
            row: dict[str, str | int] = {"path": f"/{part.path}", "etag": part.etag, "size_bytes": part.size}
            if not part.is_whole:
                row["range"] = f"{part.start}-{part.end - 1}"
            rows.append(row)
        return json.dumps(rows, separators=(",", ":")).encode()


def parsed(document: bytes) -> Manifest | None:
    """The manifest in an answer in raw form; None where it is none, or one that cannot be understood."""
    try:
        rows = loads(document)
        found = Manifest(parts=tuple(_in(row) for row in rows)) if isinstance(rows, list) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if found is not None and found.size < _LARGEST else None


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


RAW = "multipart-manifest=get&format=raw"
MOST = 1000  # manifests that are remembered: some 100 KB each at worst
_SLACK = 100  # writes between two looks at how many there are
_NAME = re.compile(r"[0-9a-f]{64}\.json|\.new-[0-9a-f]{16}")
_STATIC = "X-Static-Large-Object"


def asked(
    connection: Connection, url: str, *, query: str = "", about: str = ""
) -> tuple[Manifest, int] | None:
    """The manifest of the object at `url` (below the storage URL), and how many bytes came for it.

    None where the object is no static large one, or its manifest is in no form that is known. `query`
    names a version. Raises NotFound, Unreadable, TransientError, AuthError.
    """
    words = f"{RAW}&{query}" if query else RAW
    call = Call(method="GET", path=url, query=words, headers=NEWEST, about=about)
    with connection.stream(call) as answer:
        if answer.headers.get(_STATIC, "").lower() != "true":
            return None  # what would follow is the content
        document = answer.read()
    found = parsed(document)
    return None if found is None else (found, len(document))


class Manifests:
    """What is remembered, as files by the content's BLAKE3-256 in a private folder (None: nothing is).

    Never raises for what is on the disk. Safe to share between threads and processes.
    """

    def __init__(self, folder: Path | None, *, most: int = MOST) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._written = 0

    def get(self, digest: bytes | None) -> Manifest | None:
        """A manifest of the content with this digest."""
        if self._folder is None or digest is None:
            return None
        place = self._place(self._folder, digest)
        try:
            found = parsed(place.read_bytes())
            os.utime(place)
        except OSError:
            return None
        return found

    def keep(self, digest: bytes, manifest: Manifest, *, instead: bytes | None = None) -> None:
        """Store a manifest, in place of the one of the content before."""
        if self._folder is None:
            return
        temporary = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.touch(mode=0o600)
            temporary.write_bytes(manifest.encoded())
            os.replace(temporary, self._place(self._folder, digest))
        except OSError:
            _drop(temporary)
        if instead is not None and instead != digest:
            self.discard(instead)
        self._bound(self._folder)

    def discard(self, digest: bytes) -> None:
        """Remove a manifest."""
        if self._folder is not None:
            _drop(self._place(self._folder, digest))

    def _bound(self, folder: Path) -> None:
        with self._lock:
            self._written += 1
            due = self._written % _SLACK == 1
        if due:
            for _, place in sorted(_all(folder), reverse=True)[self._most :]:
                _drop(place)

    @staticmethod
    def _place(folder: Path, digest: bytes) -> Path:
        return folder / f"{digest.hex()}.json"


def fits(manifest: Manifest | None, version: Version) -> bool:
    """Whether the manifest is that of this version of an object: by the ETag."""
    return manifest is not None and manifest.etag == objects.etag_in(version)


def current(
    connection: Connection, url: str, version: Version, *, about: str = ""
) -> tuple[Manifest, int] | None:
    """What `asked` answers, if the object is the version that is meant and a static large object."""
    try:
        found = asked(connection, url, about=about)
    except NotFound:
        return None
    return found if found is not None and fits(found[0], version) else None


def _all(folder: Path) -> Iterator[tuple[int, Path]]:
    try:
        for item in os.scandir(folder):
            if _NAME.fullmatch(item.name):
                yield item.stat(follow_symlinks=False).st_mtime_ns, Path(item.path)
    except OSError:
        return  # another process took one away; the next look sees the rest


def _drop(place: Path) -> None:
    try:
        place.unlink(missing_ok=True)
    except OSError:
        return
