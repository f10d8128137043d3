"""The companion of a large object: its digest, and how it is made from each of the versions before it.

A machine that still has an older version finds here which ranges of the object are new to it: it downloads
those, copies the rest from its own file, and verifies the digest of the whole. So a delta download costs
what the delta upload did. A companion is named by the key and the ETag of its object (`names`), since an
ETag of a multipart upload is known only after Complete; it is written after that, and is a hint: where it
is missing or damaged the whole object is downloaded. Pure.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from syncer.stores.s3.delta import NewRange, OldRange, Piece, normalized
from syncer.wire.bounded_json import loads

MAX_ANCESTORS = 20  # a machine that was away for more versions downloads the whole
MAX_BYTES = 32 << 10  # of a companion; older ancestors are left out beyond that
_UNPACKED = 4 << 20  # bytes of a companion that is read, unpacked
_VALUES = 32 << 20  # bytes that its values may take in memory
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """An older version: its BLAKE3-256 and size, and the pieces of the current content as seen from it.

    `OldRange` is a range of the older version, `NewRange` one of the current
    content that the older one has not.
    """

    digest: bytes
    size: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a companion says. `ancestors`: the newest first."""

    digest: bytes
    size: int
    ancestors: tuple[Ancestor, ...] = ()

    def ancestor(self, digest: bytes) -> Ancestor | None:
        """The older version with this digest."""
        return next((one for one in self.ancestors if one.digest == digest), None)

    def following(self, *, digest: bytes, size: int, pieces: Sequence[Piece]) -> Recipe:
        """The companion of the next version, which the pieces make from this one."""
        parent = Ancestor(digest=self.digest, size=self.size, pieces=tuple(normalized(pieces)))
        older = (
            Ancestor(digest=one.digest, size=one.size, pieces=compose(parent.pieces, one.pieces))
            for one in self.ancestors[: MAX_ANCESTORS - 1]
            if one.digest != digest  # it came back: nothing is downloaded for it
        )
        return Recipe(digest=digest, size=size, ancestors=(parent, *older))

    def content(self) -> bytes:
        """As it is stored: as many ancestors, from the newest on, as `MAX_BYTES` have room for."""
        rows = [_row(one) for one in self.ancestors]
        while True:
            document = {
                "version": _VERSION, "digest": self.digest.hex(), "size": self.size, "ancestors": rows
            }  # fmt: skip
            packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)
            if len(packed) <= MAX_BYTES or not rows:
                return packed
            del rows[max(1, len(rows) * 3 // 4) if len(rows) > 1 else 0 :]

    @classmethod
    def of(cls, content: bytes, *, size: int) -> Recipe | None:
        """What `content` made, of an object of `size` bytes; None where it is damaged, or of another size."""
        try:
            unpacker = zlib.decompressobj()
            text = unpacker.decompress(content, _UNPACKED)
            if unpacker.unconsumed_tail or not unpacker.eof:
                return None
            document: Any = loads(text, most=_VALUES)
            if document["version"] != _VERSION or document["size"] != size:
                return None
            ancestors = tuple(_ancestor(row, size) for row in document["ancestors"])
            return cls(digest=_digest(document["digest"]), size=size, ancestors=ancestors)
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError):
            return None


def compose(later: Iterable[Piece], earlier: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces of the newest content as seen from the oldest.

    `later` makes the newest content from the middle one, `earlier` the middle one from the oldest.
    """
    starts: list[int] = []
    at = 0
    for piece in earlier:
        starts.append(at)
        at += piece.length

    def parts() -> Iterator[Piece]:
        position = 0  # in the newest content
        for piece in later:
            if isinstance(piece, NewRange):
                yield NewRange(position, piece.length)
                position += piece.length
                continue
            start, end = piece.start, piece.start + piece.length
            index = bisect_right(starts, start) - 1
            while start < end:
                under = earlier[index]
                inside = start - starts[index]
                length = min(end - start, under.length - inside)
                if isinstance(under, OldRange):
                    yield OldRange(under.start + inside, length)
                else:
                    yield NewRange(position, length)  # the oldest has not got what came in between
                position += length
                start += length
                index += 1

    return tuple(normalized(parts()))


def _row(ancestor: Ancestor) -> list[object]:
    """Pieces as pairs: the length, and the start in the older version, or -1."""
    pieces = [[piece.length, piece.start if isinstance(piece, OldRange) else -1] for piece in ancestor.pieces]
    return [ancestor.digest.hex(), ancestor.size, pieces]


def _ancestor(row: Sequence[object], size: int) -> Ancestor:
    """Raises ValueError, TypeError where the row cannot be of an object of this size."""
    digest, old_size, pairs = row
    if not isinstance(old_size, int) or not isinstance(digest, str) or not isinstance(pairs, list):
        raise ValueError("not an ancestor")
    pieces: list[Piece] = []
    at = 0
    for length, start in pairs:
        if type(length) is not int or type(start) is not int or length < 1:
            raise ValueError("not a piece")
        if start < -1 or (start + length > old_size and start >= 0):
            raise ValueError("a range beyond the older version")
        pieces.append(OldRange(start, length) if start >= 0 else NewRange(at, length))
        at += length
    if at != size:
        raise ValueError("the pieces do not make up the object")
    return Ancestor(digest=_digest(digest), size=old_size, pieces=tuple(pieces))


def _digest(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != 32:
        raise ValueError("not a digest")
    return found
