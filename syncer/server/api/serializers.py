"""JSON of the SmartFile API: info objects, pages of children, times in the zone of the hosted service.

One difference to the hosted service: the `size` of a directory is 0, not the total of all below it, which
would take a scan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import split
from syncer.server.errors import HttpError
from syncer.server.folder import Key

PER_PAGE, MOST_PER_PAGE = 100, 500
_MOST_NUMBER = 10**9
_FIRST, _LAST = -62_135_510_400, 253_402_300_799  # the years 1 (a day in) to 9999

Info = dict[str, Any]


def info(
    path: RelPath, entry: Entry, *, key: Key, attributes: Mapping[str, str], items: int | None = None
) -> Info:
    """The info object of one path. `items`: the number of a directory's children, if known."""
    name = split(path)[1]
    is_file = entry.kind is Kind.FILE
    writes = not key.read_only
    return {
        "path": f"/{path}",
        "name": name,
        "isdir": not is_file,
        "isfile": is_file,
        "size": entry.size if is_file else 0,
        "items": items,
        "mime": (guess_type(name)[0] or "application/octet-stream") if is_file else "application/x-directory",
        "extension": os.path.splitext(name)[1] if is_file else "",
        "time": indiana(entry.mtime_ns or 0),
        "attributes": dict(attributes),
        "acl": {"list": True, "read": True, "write": writes, "remove": writes and bool(path)},
        # Derived from the path; below 2^53, the largest integer of JavaScript.
        "id": int.from_bytes(blake2b(os.fsencode(path), digest_size=6).digest(), "big"),
        "owner": None,
        "tags": [],
        "url": f"/api/2/path/info/{quote(path, errors='surrogateescape')}{'/' if path else ''}",
        "etag": entry.version.hex() if is_file else None,
    }


def page(children: Sequence[str], asked: Mapping[str, str], *, paged: bool) -> tuple[Sequence[str], Info]:
    """The names on one page, and the fields that describe the page. Raises HttpError 400."""
    if not paged:
        return children, {}
    limit = min(_positive(asked, "limit", PER_PAGE), MOST_PER_PAGE)
    wanted = _positive(asked, "page", 1)
    pages = max(-(-len(children) // limit), 1)
    numbers = {"page": wanted, "pages": pages, "per_page": limit, "total": len(children)}
    return children[(wanted - 1) * limit : wanted * limit], numbers


def restricted(found: Info, fields: Iterable[str]) -> Info:
    """The named fields, all if none is named; always the path and the fields of a listing."""
    names = {name.strip() for text in fields for name in text.split(",") if name.strip()}
    if not names:
        return found
    kept = names | {"path", "children", "page", "pages", "per_page", "total"}
    return {name: value for name, value in found.items() if name in kept}


def indiana(time_ns: int) -> str:
    """A time as the hosted service sends it: local time of Indianapolis, in seconds, without a zone."""
    seconds = min(max(time_ns // 10**9, _FIRST), _LAST)
    return (
        datetime.fromtimestamp(seconds, UTC)
        .astimezone(ZoneInfo("America/Indiana/Indianapolis"))
        .strftime("%Y-%m-%dT%H:%M:%S")
        .rjust(19, "0")
    )


def _positive(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 0 < int(text) <= _MOST_NUMBER):
        raise HttpError(
            400, f"{name!r} must be a positive number.", fields={name: ["Not a positive number."]}
        )
    return int(text)
