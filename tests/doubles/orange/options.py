"""How the double behaves where nobody knows how the service does, and where it fails on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True, kw_only=True)
class Options:
    """May be changed at any time. Seconds and sizes in bytes."""

    collisions: Literal["error", "rename", "overwrite"] = "error"  # what a taken name does
    opaque_ids: bool = False  # ids that no path can be read from; they change with the path all the same
    shape: Literal["flat", "nested", "old", "none"] = "flat"  # of errors
    write_status: Literal[200, 201, 202, 204] = 200
    write_body: bool = True
    touches_date: bool = False  # a rename or a move is a modification
    lag: int = 0  # listings that show what was before a write of the API
    page_cap: int | None = None  # the longest answer to who names no limit
    counted_apart: bool = False  # limit and offset count files and folders each for itself
    flat: bool = True  # whether flat=true is heeded
    url_seconds: float | None = None  # for which a download address holds; it is a 404 then
    url_status: int = 404
    ranges: bool = False
    room: int = 10 << 30
    largest: int | None = None
    restricted: bool = False  # only the application's own folder, made by the first upload
    renamed: Callable[[str], str] = str  # what the service makes of a name
    scope_refused: bool = True  # a refresh that names a scope
    refresh_again: bool = False  # a refresh brings another refresh token
