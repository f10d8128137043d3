"""Incremental parser of large directory listings: a line of many megabytes, one entry at a time.

`json.loads` would make some ten objects of each entry before the first could be checked. Here every entry
becomes a value of the engine before the next one is parsed, so that the memory is that of the entries. Small
listings are parsed whole, which is faster.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from json.decoder import JSONDecoder

from syncer.engine.model import BlockedEntry, Entry, Listing, RelPath
from syncer.engine.paths import printable
from syncer.errors import PermanentError
from syncer.wire.bounded_json import Json, loads
from syncer.wire.schema import (
    malformed,
    octets,
    optional,
    path_in,
    seen_in,
    take,
)

LARGE = 1 << 20  # bytes of a line from which on it is parsed entry by entry
MOST = 128 << 20  # bytes that the entries of one directory may take: some 300,000 with names of 20 characters
_ENTRY = 360  # bytes of an entry with its version, its time and its place in a directory
_FIRST, _LAST = 1 << 10, 256 << 10  # characters given to the decoder for one value, at first and at most
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = JSONDecoder().raw_decode


def weight(listing: Listing) -> int:
    """Bytes of memory that a listing takes, about."""
    return sum(entry_weight(name, seen) for name, seen in listing.entries.items())


def entry_weight(name: str, seen: Entry | BlockedEntry) -> int:
    """Bytes of memory that one name takes in a listing, about."""
    text = seen.target if isinstance(seen, Entry) else seen.message
    return _ENTRY + sys.getsizeof(name) + (sys.getsizeof(text) if text else 0)


def large_listing(
    text: bytearray, check: Callable[[str, Entry | BlockedEntry], None]
) -> tuple[RelPath, Json | Listing]:
    """Parse a directory with its listing, or with the error (as JSON) that stands in its place. Clears the
    text.

    `check` raises PermanentError for an entry that cannot be, as this does for a malformed listing.
    """
    if not text.isascii():
        raise malformed("JSON in ASCII")
    scan = _Scan(text.decode("ascii"))
    text.clear()
    scan.pass_over("[")
    directory = path_in(scan.value())
    scan.pass_over(",")
    if scan.sees("{"):
        error = scan.rest("]")
        return directory, error
    scan.pass_over("[")
    fingerprint = optional(scan.value(), octets)
    scan.pass_over(",")
    entries = _entries(scan, directory, check)
    scan.pass_over(",")
    leftovers = take(scan.rest("]]"), list, "a list of leftovers")
    return directory, Listing(
        entries=entries, fingerprint=fingerprint, leftovers=tuple(path_in(value) for value in leftovers)
    )


def _entries(
    scan: _Scan, directory: RelPath, check: Callable[[str, Entry | BlockedEntry], None]
) -> dict[str, Entry | BlockedEntry]:
    entries: dict[str, Entry | BlockedEntry] = {}
    size = 0
    scan.pass_over("{")
    while not scan.sees("}"):
        if entries:
            scan.pass_over(",")
        name = take(scan.value(), str, "a name")
        scan.pass_over(":")
        seen = seen_in(scan.value())
        if seen is None:
            raise malformed("an entry")
        check(name, seen)
        entries[name] = seen
        size += entry_weight(name, seen)
        if size > MOST:
            raise too_many(directory)
    scan.pass_over("}")
    return entries


def too_many(directory: RelPath) -> PermanentError:
    """The error of a directory with more entries than fit the memory limit."""
    return PermanentError(
        f"{printable(directory) or 'the root'}: the server lists more in one directory than can be held "
        f"in memory ({MOST >> 20} MiB)",
        hint="spread the files over several directories, or leave this one out with `ignore`",
        path=directory,
    )


class _Scan:
    """A JSON text and the position behind what was parsed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def sees(self, char: str) -> bool:
        """Whether `char` is the next character."""
        self._skip()
        return self._text.startswith(char, self._at)

    def pass_over(self, char: str) -> None:
        """Skip `char`. Raises PermanentError if another character comes."""
        if not self.sees(char):
            raise malformed("a listing")
        self._at += 1

    def value(self) -> Json:
        """Parse the next value, of at most 256 Ki characters: a longer one could make too many objects."""
        self._skip()
        size = _FIRST
        while True:
            piece = self._text[self._at : self._at + size]
            try:
                found: tuple[Json, int] = _decode(piece)
            except (json.JSONDecodeError, RecursionError, ValueError):
                if size >= _LAST or len(piece) < size:
                    raise malformed("a listing") from None
                size *= 8
                continue
            # A number that ends with the piece may go on behind it; nothing in a listing ends with one.
            self._at += found[1]
            return found[0]

    def rest(self, end: str) -> Json:
        """Parse the last value, between the position and the `end` of the text. Raises PermanentError."""
        remaining = self._text[self._at :].rstrip()
        self._text = ""
        if not remaining.endswith(end):
            raise malformed("a listing")
        try:
            return loads(remaining[: -len(end)].encode("ascii"), most=MOST // 4)
        except ValueError:
            raise malformed("a listing") from None
