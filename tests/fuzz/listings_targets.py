"""Listings from outside, as a fuzzer sees them: what is no listing is refused in the words of its store.

The first byte chooses whose listing the rest is: that of a server of ours (in lines, or one of many
megabytes, which is read entry by entry), of Swift, of SmartFile, of Orange.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from syncer.engine.model import Entry, Listing
from syncer.engine.paths import tree_key
from syncer.errors import PermanentError, TransientError
from syncer.stores.orange import items as orange
from syncer.stores.peer import large_listings
from syncer.stores.peer import listing as listings
from syncer.stores.peer.client import _lines
from syncer.stores.smartfile import info as smartfile
from syncer.stores.swift import listing as swift
from syncer.stores.swift import objects
from syncer.stores.swift.names import ContainerPath
from syncer.wire.bounded_json import loads
from syncer.wire.validation import checked_child

_FARTHEST = 1 << 63


class _OnePage:
    """Objects (`stores.swift.objects.Objects`) whose listing is one page."""

    place = ContainerPath(container="box")

    def __init__(self, rows: list[objects.ListingRow]) -> None:
        self._pages = [rows]

    def rows(self, **_: str) -> list[objects.ListingRow]:
        return self._pages.pop() if self._pages else []


def _sound(entry: object) -> None:
    """What a database, a disk and the wire can hold."""
    if isinstance(entry, Entry):
        assert 0 <= entry.size < _FARTHEST
        assert entry.mtime_ns is None or -_FARTHEST <= entry.mtime_ns < _FARTHEST
        assert isinstance(entry.version, bytes)


def lines(data: bytes) -> None:
    """Of a server of ours."""
    with suppress(PermanentError, TransientError):
        for directory, told in listings._listings(_lines([data[:7], data[7:], b"\n"])):
            tree_key(directory)
            if isinstance(told, Listing):
                large_listings.weight(told)
                for seen in told.entries.values():
                    _sound(seen)


def large(data: bytes) -> None:
    """The same, entry by entry: whatever both ways take, they take for the same."""
    found: Any = None
    with suppress(PermanentError):
        found = large_listings.large_listing(bytearray(data), checked_child)
    if found is not None and isinstance(found[1], Listing):
        [usual] = listings._listings(iter([bytearray(data)]))
        assert usual == found


def of_swift(data: bytes) -> None:
    """A page, as JSON."""
    try:
        rows = loads(data)
    except ValueError:
        return
    with suppress(TransientError):
        read = [objects._row(row) for row in rows] if isinstance(rows, list) else []
        list(swift.pages(_OnePage(read), ""))  # type: ignore[arg-type]
        for row in read:
            assert row.is_prefix or (0 <= row.size < _FARTHEST and len(row.stamp.version) == 24)
            assert isinstance(row.is_marker, bool)


def of_smartfile(data: bytes) -> None:
    """One name."""
    try:
        document = loads(data)
    except ValueError:
        return
    with suppress(smartfile.Malformed):
        found = smartfile.read(document, 1_800_000_000 * 10**9)
        if not found.directory:
            _sound(found.entry())


def of_orange(data: bytes) -> None:
    """One item."""
    try:
        document = loads(data)
    except ValueError:
        return
    with suppress(orange.Malformed):
        orange.folder(document)
    with suppress(orange.Malformed):
        _sound(orange.file(document, None).entry())


TARGETS: tuple[Callable[[bytes], None], ...] = (lines, large, of_swift, of_smartfile, of_orange)


def once(data: bytes) -> None:
    """One input. Raises what is wrong with us."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


def _text(value: object) -> bytes:
    return json.dumps(value).encode("ascii")


def seeds() -> tuple[bytes, ...]:
    """Sound inputs to begin with, for each target."""
    entry = [1, 5, "00ff", 1_700_000_000_000_000_000, True, "ab" * 32, None, True]
    link = [2, 5, "00ff", None, None, None, "to/\udc80", True]
    listing = _text(
        ["a/b", ["00", {"n": entry, "m": link, "o": {"trouble": "busy", "message": "m"}}, ["a/b/x"]]]
    )
    rows = _text([
        {"name": "a", "bytes": 5, "hash": "ab" * 16, "last_modified": "2026-01-01T00:00:00.123456",
         "content_type": "text/plain"},
        {"subdir": "b/"},
        {"name": "c", "bytes": 5, "hash": "ab" * 16, "slo_etag": '"cd"', "symlink_path": "/v1/x",
         "last_modified": "2026-01-01T00:00:00Z", "content_type": None},
    ])  # fmt: skip
    mark = f"1|l|12|2026-01-01T05:00:00|{'ab' * 32}|1767261600123456789|x|a%20b"
    name = {"name": "n", "isdir": False, "isfile": True, "size": "5", "time": "2026-01-01T05:00:00",
            "attributes": {"syncer": mark, "modified": "2026-01-01 10:00:00"}}  # fmt: skip
    item = {
        "id": "x",
        "name": "n",
        "size": 5,
        "lastUpdateDate": "2026-01-01T10:00:00+0100",
        "downloadUrl": "u",
    }
    return (
        b"\0" + listing + b'\n["c",{"error":{"code":"not-found"}}]\n\n',
        b"\1" + listing,
        b"\1" + b'["c",{"error":{"code":"not-found"}}]',
        b"\2" + rows,
        b"\3" + _text(name),
        b"\3" + b'{"isdir":true,"name":null}',
        b"\4" + _text(item),
    )
