"""Listings page by page to their very end, each page checked: what is cut or goes round is no listing."""

from __future__ import annotations

from collections.abc import Iterator

from syncer.errors import TransientError
from syncer.stores.swift.names import LAST
from syncer.stores.swift.objects import Objects, Row


def pages(objects: Objects, prefix: str, *, delimiter: str = "") -> Iterator[list[Row]]:
    """Until an empty page comes: a short one is not the end everywhere. Our own objects are jumped over.

    Raises NotFound where there is no container, TransientError for what cannot be a listing.
    """
    place = objects.place
    marker = ""
    while rows := objects.rows(prefix=prefix, marker=marker, delimiter=delimiter):
        last = _checked(rows, prefix, marker)
        yield [row for row in rows if row.name != prefix]
        # The trash may hold more than the tree does.
        marker = place.behind_private if last.startswith(place.private) and not delimiter else last


def _checked(rows: list[Row], prefix: str, marker: str) -> str:
    """The last name. Raises TransientError where the names do not ascend from the marker."""
    before = marker.encode()
    for row in rows:
        key = row.name.encode()
        if key <= before or not row.name.startswith(prefix):
            raise TransientError("Swift's listing is out of order")
        before = key
    return rows[-1].name


def behind(prefix: str) -> str:
    """Sorts behind all names that begin with the prefix."""
    return prefix + LAST
