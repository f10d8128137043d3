"""JSON from another machine: how much memory its values would take is known before they are made.

A few KiB of zstd unpack to megabytes of `[[],[],…`, and each of those becomes an object of 60 to 240 bytes: a
limit on the text alone bounds nothing. `weight` estimates from above by counting the characters that begin a
value, which takes a hundredth of the time of parsing. Pure; what an answer may weigh is the caller's to say.
"""

from __future__ import annotations

import json

from syncer.errors import PermanentError
from syncer.wire.frames import Json

MOST = 96 << 20  # bytes that the values of one document may take, unless the caller says otherwise
_UNCOUNTED = 256 << 10  # bytes of text that cannot come to more than 10 MiB: not worth counting
# Bytes of CPython 3.11 to 3.14 on 64 bits, rounded up: an object with its first key, a list with its first
# element, and any other element with its place and the head of a string.
_OBJECT, _LIST, _MEMBER, _ELEMENT = 248, 104, 136, 72


class TooLarge(PermanentError):
    """The values of a document would take more memory than was set aside for them."""


def weight(text: bytes | bytearray) -> int:
    """Bytes that parsing takes at most, the text itself left out.

    Characters within strings are counted like others: a list of names full of commas weighs too much, never
    too little.
    """
    heads = _OBJECT * text.count(b"{") + _LIST * text.count(b"[")
    rest = _MEMBER * text.count(b":") + _ELEMENT * text.count(b",")
    # The text is decoded whole, and strings are copied out of it, twice: a character takes up to four bytes
    # in each as soon as one in the same string lies beyond the Basic Multilingual Plane.
    decoded = len(text) if text.isascii() else 4 * len(text)
    copied = len(text) if text.isascii() and b"\\u" not in text else 8 * len(text)
    return heads + rest + decoded + copied


def loads(text: bytes | bytearray, *, most: int = MOST) -> Json:
    """The value of a document. Raises TooLarge, ValueError for what is no JSON."""
    if len(text) > _UNCOUNTED and (found := weight(text)) > most:
        raise TooLarge(
            f"an answer whose values take {found >> 20} MiB of memory, where {most >> 20} MiB are bearable"
        )
    try:
        value: Json = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value
