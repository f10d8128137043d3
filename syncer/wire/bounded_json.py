"""JSON documents from another machine, parsed only if the memory for their values is within a limit.

A few KiB of zstd decompress to megabytes of `[[],[],…`, and each of those becomes an object of 60 to 240
bytes, so a limit on the text alone bounds nothing. `weigh` computes an upper bound from the number of
characters that begin a value, in a hundredth of the time of parsing. The caller sets the limit.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, TypeAlias

from syncer.errors import PermanentError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MOST = 96 << 20  # bytes: the default limit on the memory that the values of one document take
_UNCOUNTED = 256 << 10  # bytes of text whose values take 10 MiB at most: not worth weighing
# Bytes of CPython 3.11 to 3.14 on 64 bits, rounded up: an object with its first key, a list with its first
# element, and any other element with its slot and the header of a string.
_OBJECT, _LIST, _MEMBER, _ELEMENT = 248, 104, 136, 72
_ASTRAL = re.compile(rb"\\u[dD][89abAB]")


class TooLarge(PermanentError):
    """The values of a document would take more memory than the limit."""


class Weight(NamedTuple):
    """Upper bounds for a document: number of values, and bytes that parsing takes besides the text."""

    values: int
    size: int


def weigh(text: bytes | bytearray) -> Weight:
    """Count the punctuation, also within strings: a name full of commas weighs too much, never too little."""
    objects, lists, members, others = map(text.count, (b"{", b"[", b":", b","))
    plain = text.isascii()
    # Python keeps four bytes a character in strings with one beyond U+FFFF, two with one beyond Latin-1.
    if not plain or _ASTRAL.search(text):
        width = 4
    else:
        width = 2 if b"\\u" in text else 1
    # The text is decoded whole; strings are copied out of it, with escapes in pieces that are then joined.
    strings = len(text) if width == 1 else 2 * width * len(text)
    size = _OBJECT * objects + _LIST * lists + _MEMBER * members + _ELEMENT * others
    return Weight(1 + objects + lists + members + others, size + strings + len(text) * (1 if plain else 4))


def loads(text: bytes | bytearray, *, most: int = MOST) -> Json:
    """Parse a document whose values take at most `most` bytes. Raises TooLarge; ValueError if it is no
    JSON.
    """
    if len(text) > _UNCOUNTED and (found := weigh(text).size) > most:
        raise TooLarge(
            f"the response is too large: its values take {found >> 20} MiB of memory, "
            f"the limit is {most >> 20} MiB"
        )
    return parse(text)


def parse(text: bytes | bytearray) -> Json:
    """Parse a document that was weighed, or is small. Raises ValueError."""
    try:
        value: Json = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: each small file takes two calls


def dumps(value: Json) -> bytes:
    """Serialize without blanks, in ASCII."""
    return _encode(value).encode("ascii")
