"""JSON from another machine: how much memory its values would take is known before they are made.

A few KiB of zstd unpack to megabytes of `[[],[],…`, and each of those becomes an object of 60 to 240 bytes: a
limit on the text alone bounds nothing. `weigh` estimates from above by counting the characters that begin a
value, which takes a hundredth of the time of parsing. Pure; what an answer may weigh is the caller's to say.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple, TypeAlias

from syncer.errors import PermanentError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MOST = 96 << 20  # bytes that the values of one document may take, unless the caller says otherwise
_UNCOUNTED = 256 << 10  # bytes of text that cannot come to more than 10 MiB: not worth counting
# Bytes of CPython 3.11 to 3.14 on 64 bits, rounded up: an object with its first key, a list with its first
# element, and any other element with its place and the head of a string.
_OBJECT, _LIST, _MEMBER, _ELEMENT = 248, 104, 136, 72
_ASTRAL = re.compile(rb"\\u[dD][89abAB]")


class TooLarge(PermanentError):
    """The values of a document would take more memory than was set aside for them."""


class Weight(NamedTuple):
    """What a document comes to at most: values, and bytes that parsing takes, the text itself left out."""

    values: int
    size: int


def weigh(text: bytes | bytearray) -> Weight:
    """By the punctuation. Characters within strings are counted like others: a list of names full of commas
    weighs too much, never too little.
    """
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
    """The value of a document. Raises TooLarge, ValueError for what is no JSON."""
    if len(text) > _UNCOUNTED and (found := weigh(text).size) > most:
        raise TooLarge(
            f"an answer whose values take {found >> 20} MiB of memory, where {most >> 20} MiB are bearable"
        )
    return parsed(text)


def parsed(text: bytes | bytearray) -> Json:
    """The value of a document that was weighed, or is small. Raises ValueError."""
    try:
        value: Json = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value
