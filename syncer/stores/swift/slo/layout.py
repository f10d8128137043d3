"""Layout of a static large object (SLO).

Which parts of the old segments stay, what is uploaded, and how. Pure.

Unchanged bytes stay where they are, as ranges of existing segments. A few new bytes go into the manifest
itself (inline), more of them into new segments. So each edit leaves more and smaller parts, and bytes of
segments that no manifest uses any more ("dead" bytes). Up to the `LayoutLimits` that is accepted; beyond them
the parts that are cheapest to rewrite are uploaded again, to well below the limits, so that the next edit
needs no rewrite.

Why a layout is always right, whatever is decided here: a step either names a range of a segment that the old
manifest names for exactly these bytes, or says that the bytes come from the new content, in order. Deciding
badly costs transfer or storage, never content; and every step list covers the content from 0 to its size
without gap or overlap, which each function below preserves (it replaces pieces by others of the same total
length).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import accumulate
from typing import TypeAlias

from syncer.delta.rsync import Command, Copy
from syncer.stores.swift.slo.manifest import Inline, Manifest, Segment

_MIB = 1 << 20
_GAPS = (-1, 0, *(0.5 * 1.5**n for n in range(20)))
"""Distances (in lengths of `shortest`) up to which two fragments are rewritten as one; -1: none are."""

_FINER = 16  # segments are so many times smaller where only whole ones can be reused: 1 MiB by default
_SPARED = (1.0, 0.9, 0.75, 0.5)
"""Shares of the allowed dead bytes that are tried as a goal.

The least used segments are abandoned until then.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutLimits:
    """From which size on a file has segments, and how fragmented its object may be. Sizes in bytes.

    `worth`: smaller files are sent whole: eight MiB cross a usual line in the time that the requests for
    segments take. `segment`: of a new one; large enough that reading costs few requests, small enough that a
    broken-off upload loses little (and is held in memory). `shortest`: shorter parts are held up by clusters,
    one a second after the first ten (Swift's `rate_limit_under_size`), so there are at most `most_short`.
    `inline`: bytes of one piece in the manifest; `most_inline` of all together: they are sent again with each
    edit. Fewer than `min_kept_gap` bytes that stay between new ones are sent with them. `max_fragmentation`:
    so many times the parts of a fresh object are allowed (each is a request within the cluster, some 5 ms,
    against 100 ms for 16 MiB: reading stays within 1.5 times), `least_parts` in any case. `dead` and
    `least_dead`: a share of the file's size, and bytes that are allowed in any case; they cost storage.
    """

    worth: int = 8 * _MIB
    segment: int = 16 * _MIB
    shortest: int = _MIB
    most_short: int = 8
    inline: int = 64 << 10
    most_inline: int = 256 << 10
    min_kept_gap: int = 8 << 10
    max_fragmentation: int = 6
    least_parts: int = 64
    dead: float = 0.5
    least_dead: int = 32 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SloFeatures:
    """What a cluster accepts in a manifest. Ceph has neither `ranges` nor `inline`: whole segments only."""

    ranges: bool = True
    inline: bool = True
    parts: int = 1000
    segment: int = 5 << 30  # bytes of a single object


@dataclass(frozen=True, slots=True)
class Upload:
    """`size` bytes of the new content from `start`, uploaded as a new segment."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class InlineBytes:
    """`size` bytes of the new content from `start`, written into the manifest."""

    start: int
    size: int


Step: TypeAlias = Segment | Upload | InlineBytes


@dataclass(frozen=True, slots=True)
class NewBytes:
    """`size` bytes of the new content that are sent; `solid`: as a segment, not within the manifest."""

    size: int
    solid: bool = False

    @property
    def length(self) -> int:
        return self.size


_Piece: TypeAlias = Segment | NewBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragmentation:
    """How fragmented a layout is: number of parts and of short ones, bytes inline, dead bytes."""

    parts: int  # that are objects
    short: int
    inline: int
    dead: int

    def within(self, limit: Fragmentation) -> bool:
        """Whether nothing of it exceeds the limit."""
        return (
            self.parts <= limit.parts
            and self.short <= limit.short
            and self.inline <= limit.inline
            and self.dead <= limit.dead
        )

    @property
    def rewrite_goal(self) -> Fragmentation:
        """The goal of a rewrite: below the limit, so that the next edits need none."""
        return Fragmentation(
            parts=self.parts * 7 // 8,
            short=self.short // 2,
            inline=self.inline * 3 // 4,
            dead=self.dead * 9 // 10,
        )


def segment_size(size: int, features: SloFeatures, thresholds: LayoutLimits) -> int:
    """Bytes of a segment of a file of `size` bytes: more where the file would have too many of them."""
    # A fresh object uses at most a quarter of the parts that a manifest may have, so that edits can split
    # them; where only whole segments are reused parts are never split, and half of them may be in use at
    # first.
    share = 4 if features.ranges else 2
    step = thresholds.shortest if features.ranges else max(1, thresholds.shortest // _FINER)
    fair = -(-size // (max(features.parts // share, 1) * step)) * step
    return max(1, min(max(thresholds.segment, fair), features.segment - thresholds.shortest))


def suited(thresholds: LayoutLimits, features: SloFeatures) -> LayoutLimits:
    """The limits for a cluster.

    Where only whole segments can be reused an edit costs a segment: smaller ones.

    Ceph does not slow down short segments; the limit that makes them expensive is OpenStack Swift's.
    """
    if features.ranges:
        return thresholds
    return replace(
        thresholds,
        segment=max(1, thresholds.segment // _FINER),
        shortest=max(1, thresholds.shortest // _FINER),
    )


def fresh(size: int, features: SloFeatures, thresholds: LayoutLimits) -> tuple[Step, ...]:
    """The layout of a file of which nothing is in the cluster."""
    return _steps([NewBytes(size, solid=True)], features, _Sizes.of(size, features, thresholds))


def planned(
    old: Manifest, changes: Iterable[Copy | NewBytes], *, features: SloFeatures, thresholds: LayoutLimits
) -> tuple[Step, ...]:
    """The layout of the content that `changes` make of the old one; segments of `old` may be reused."""
    # Every piece has the length of the bytes that it stands for, in order: `size` is that of the new content,
    # and no step below changes the sum.
    pieces = _translated(old, changes)
    size = sum(piece.length for piece in pieces)
    if not features.ranges:
        pieces = _whole_ones(pieces)
    sizes = _Sizes.of(size, features, thresholds)
    pieces = _merged(_absorbed(_merged(pieces), thresholds.min_kept_gap))
    limit = limits(size, features, thresholds)
    # The layout without any rewrite is the cheapest one to upload. Only if it is too fragmented more is sent.
    if not fragmentation_of(_steps(pieces, features, sizes), thresholds).within(limit):
        pieces = _consolidated(pieces, features, sizes, limit)
    # With hardly anything reused a fresh layout costs about the same, and has neither dead bytes nor old
    # parts.
    if _sent(pieces) > size * 9 // 10:
        return fresh(size, features, thresholds)
    return _steps(pieces, features, sizes)


def gathered(commands: Iterable[Command]) -> list[Copy | NewBytes]:
    """The commands of a delta without their bytes, neighbours joined."""
    found: list[Copy | NewBytes] = []
    for command in commands:
        last = found[-1] if found else None
        if isinstance(command, Copy):
            if isinstance(last, Copy) and last.offset + last.size == command.offset:
                found[-1] = Copy(last.offset, last.size + command.size)
            else:
                found.append(command)
        elif isinstance(last, NewBytes):
            found[-1] = NewBytes(last.size + len(command.data))
        elif command.data:
            found.append(NewBytes(len(command.data)))
    return found


def limits(size: int, features: SloFeatures, thresholds: LayoutLimits) -> Fragmentation:
    """How fragmented the object of a file of `size` bytes may be."""
    least = len(_cut(size, _Sizes.of(size, features, thresholds)))
    return Fragmentation(
        parts=min(
            max(thresholds.least_parts, least * thresholds.max_fragmentation),
            max(features.parts * 9 // 10, 1),
        ),
        short=thresholds.most_short,
        inline=thresholds.most_inline,
        dead=max(thresholds.least_dead, int(size * thresholds.dead)),
    )


def fragmentation_of(steps: Sequence[Step], thresholds: LayoutLimits) -> Fragmentation:
    """The fragmentation of a layout.

    Dead bytes count for each segment once: all bytes of a named segment are stored, used or not.
    """
    objects = [
        step.length if isinstance(step, Segment) else step.size
        for step in steps
        if not isinstance(step, InlineBytes)
    ]
    inline = sum(step.size for step in steps if isinstance(step, InlineBytes))
    return Fragmentation(
        parts=len(objects),
        short=sum(size < thresholds.shortest for size in objects),
        inline=inline,
        dead=sum(segment.size - used for segment, used in _use(steps).values()),
    )


# -- from commands to pieces -------------------------------------------------------


def _translated(old: Manifest, changes: Iterable[Copy | NewBytes]) -> list[_Piece]:
    """Copies of the old content as ranges of the segments that hold it; a copy may span several parts."""
    # starts[i] is where part i begins in the old content; the last entry is its size.
    starts = list(accumulate((part.length for part in old.parts), initial=0))
    pieces: list[_Piece] = []
    for change in changes:
        if isinstance(change, NewBytes):
            pieces.append(change)
            continue
        at, end = change.offset, change.offset + change.size
        index = bisect_right(starts, at) - 1  # the part that holds the first byte of the copy
        while at < end:
            part, start = old.parts[index], starts[index]
            until = min(end, starts[index + 1])
            if until > at:
                if isinstance(part, Inline):
                    # Bytes of the old manifest have to be sent again with the new one.
                    pieces.append(NewBytes(until - at))
                else:
                    low, high = part.start + at - start, part.start + until - start
                    pieces.append(replace(part, start=low, end=high))
            at, index = until, index + 1
    return pieces


def _merged(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Join neighbours: new bytes, and ranges of a segment of which one begins where the other ends."""
    out: list[_Piece] = []
    for piece in pieces:
        last = out[-1] if out else None
        if isinstance(piece, NewBytes) and isinstance(last, NewBytes):
            out[-1] = NewBytes(last.size + piece.size, last.solid or piece.solid)
        elif (
            isinstance(piece, Segment)
            and isinstance(last, Segment)
            and (last.path, last.end) == (piece.path, piece.start)
        ):
            out[-1] = replace(last, end=piece.end)
        else:
            out.append(piece)
    return out


def _absorbed(pieces: list[_Piece], least: int) -> Iterator[_Piece]:
    """Send short kept ranges along with new bytes beside them: a part of its own costs more than the bytes.

    A whole segment is never given up for that: it costs no range, and could be reused by later edits.
    """
    for index, piece in enumerate(pieces):
        sides = pieces[max(index - 1, 0) : index] + pieces[index + 1 : index + 2]
        small = isinstance(piece, Segment) and piece.length < least and not piece.is_whole
        yield NewBytes(piece.length) if small and any(isinstance(s, NewBytes) for s in sides) else piece


def _whole_ones(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Keep only whole segments: for clusters whose manifests have no ranges."""
    return [
        piece if isinstance(piece, NewBytes) or piece.is_whole else NewBytes(piece.length)
        for piece in _merged(pieces)
    ]


# -- what is rewritten ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    segment: int
    thresholds: LayoutLimits

    @classmethod
    def of(cls, size: int, features: SloFeatures, thresholds: LayoutLimits) -> _Sizes:
        return cls(segment=segment_size(size, features, thresholds), thresholds=thresholds)


class _IsolatedFragments(Enum):
    """Which fragments are rewritten even if no other fragment is near."""

    NONE = 0
    SHORT = 1  # parts of segments
    SOME = 2  # also the largest of those inline, until the rest fits
    ALL = 3


def _consolidated(
    pieces: list[_Piece], features: SloFeatures, sizes: _Sizes, limit: Fragmentation
) -> list[_Piece]:
    """The cheapest of several rewrites that reaches the goal; at worst everything is sent.

    A search over three independent choices: which segments are abandoned (the least used ones, for fewer dead
    bytes), how near fragments must be to be rewritten as one (for fewer parts), which isolated fragments are
    rewritten (for fewer short parts and inline bytes). 5 x 21 x 4 candidates at most, each linear in the
    number of pieces. The start value sends everything: no dead bytes, no short parts, and the parts of a
    fresh object.
    """
    goal = limit.rewrite_goal
    best: list[_Piece] = [NewBytes(sum(piece.length for piece in pieces), solid=True)]
    ways = [set[str]()] + [_least_used(pieces, int(goal.dead * share)) for share in _SPARED]
    alone = {
        isolation: _isolated(pieces, isolation, goal.inline, features, sizes)
        for isolation in _IsolatedFragments
    }
    for index, abandoned in enumerate(ways):
        if abandoned in ways[:index]:
            continue
        for gap in _GAPS:
            for isolation in _IsolatedFragments:
                way = _rewritten(
                    pieces, abandoned, gap * sizes.thresholds.shortest, alone[isolation], features, sizes
                )
                if _sent(way) < _sent(best):
                    left = fragmentation_of(_steps(way, features, sizes), sizes.thresholds)
                    best = way if left.within(goal) else best
    return best


def _isolated(
    pieces: Sequence[_Piece], isolation: _IsolatedFragments, inline: int, features: SloFeatures, sizes: _Sizes
) -> set[int]:
    """Indices of the fragments that are rewritten even if isolated."""
    found: set[int] = set()
    enclosed: list[tuple[int, int]] = []
    for index, piece in enumerate(pieces):
        if isinstance(piece, NewBytes) and _encloses(piece, features, sizes):
            enclosed.append((piece.size, index))
        elif piece.length < sizes.thresholds.shortest and isolation is not _IsolatedFragments.NONE:
            found.add(index)
    left = sum(size for size, _ in enclosed)
    for size, index in sorted(enclosed, reverse=True):
        if isolation is _IsolatedFragments.ALL or (isolation is _IsolatedFragments.SOME and left > inline):
            found.add(index)
            left -= size
    return found


def _least_used(pieces: Sequence[_Piece], dead: int) -> set[str]:
    """Paths of the least used segments, so many that the others have at most `dead` dead bytes.

    Ordered by the share that is used: abandoning those frees most storage for the bytes that are sent again.
    """
    used = sorted(_use(pieces).values(), key=lambda one: one[1] / one[0].size)
    left = sum(segment.size - count for segment, count in used)
    abandoned: set[str] = set()
    for segment, count in used:
        if left <= dead:
            break
        abandoned.add(segment.path)
        left -= segment.size - count
    return abandoned


def _use(pieces: Sequence[_Piece | Step]) -> dict[str, tuple[Segment, int]]:
    """For each segment how many of its bytes are used; bytes that two parts share count once."""
    ranges: dict[str, list[Segment]] = {}
    for piece in pieces:
        if isinstance(piece, Segment):
            ranges.setdefault(piece.path, []).append(piece)
    return {path: (found[0], _covered(found)) for path, found in ranges.items()}


def _covered(ranges: list[Segment]) -> int:
    """The length of the union of ranges: sweep by start, count what lies beyond the furthest end so far."""
    total = end = 0
    for one in sorted(ranges, key=lambda one: one.start):
        total += max(0, one.end - max(end, one.start))
        end = max(end, one.end)
    return total


def _rewritten(
    pieces: Sequence[_Piece],
    abandoned: set[str],
    gap: float,
    alone: set[int],
    features: SloFeatures,
    sizes: _Sizes,
) -> list[_Piece]:
    """Rewrite fragments, and everything between two of them that are at most `gap` bytes apart, as one.

    A fragment is new bytes, a short range, or a range of an abandoned segment.
    """
    short = sizes.thresholds.shortest
    sent = [isinstance(piece, Segment) and piece.path in abandoned for piece in pieces]
    # `last` is the latest fragment, `between` the length of the long kept ranges since then.
    last, between = -1, 0
    for index, piece in enumerate(pieces):
        if piece.length >= short and not sent[index]:
            between += piece.length
            continue
        if index in alone:
            sent[index] = True
        if last >= 0 and between <= gap:
            sent[last : index + 1] = [True] * (index + 1 - last)
        last, between = index, 0
    again: list[_Piece] = []
    for index, piece in enumerate(pieces):
        # What replaces a long range must become a segment: it would not fit the manifest.
        whole = index in alone or piece.length >= short
        again.append(NewBytes(piece.length, solid=whole) if sent[index] else piece)
    return _merged(_grown(_merged(again), features, sizes))


def _grown(pieces: Sequence[_Piece], features: SloFeatures, sizes: _Sizes) -> list[_Piece]:
    """Let new segments take bytes from their neighbours until they are at least `shortest` long.

    Otherwise a rewrite would only replace one short part by another.
    """
    out: list[_Piece] = []
    rest = deque(pieces)
    while rest:
        piece = rest.popleft()
        if isinstance(piece, NewBytes) and not _encloses(piece, features, sizes):
            piece = NewBytes(_fed(piece.size, out, rest, features, sizes.thresholds.shortest), solid=True)
        out.append(piece)
    return out


def _fed(size: int, out: list[_Piece], rest: deque[_Piece], features: SloFeatures, shortest: int) -> int:
    """The size after taking from the piece behind, or else before: all of it, or an edge of a long segment.

    An edge is taken only if what is left of the segment is not short itself.
    """
    while size < shortest and (rest or out):
        behind = bool(rest)
        near = rest.popleft() if behind else out.pop()
        need = shortest - size
        if not isinstance(near, Segment) or not features.ranges or near.length - need < shortest:
            size += near.length
        elif behind:
            rest.appendleft(replace(near, start=near.start + need))
            size = shortest
        else:
            out.append(replace(near, end=near.end - need))
            size = shortest
    return size


# -- from pieces to steps --------------------------------------------------------------


def _steps(pieces: Iterable[_Piece], features: SloFeatures, sizes: _Sizes) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    for piece in pieces:
        if isinstance(piece, Segment):
            steps.append(piece)
        elif _encloses(piece, features, sizes):
            steps.append(InlineBytes(at, piece.size))
        else:
            place = at
            for size in _cut(piece.size, sizes):
                steps.append(Upload(place, size))
                place += size
        at += piece.length
    return tuple(steps)


def _encloses(piece: NewBytes, features: SloFeatures, sizes: _Sizes) -> bool:
    return features.inline and not piece.solid and piece.size <= sizes.thresholds.inline


def _cut(size: int, sizes: _Sizes) -> list[int]:
    """Sizes of new segments for `size` bytes; a short rest is added to the last one."""
    count, rest = divmod(size, sizes.segment)
    found = [sizes.segment] * count
    if rest and found and rest < sizes.thresholds.shortest:
        found[-1] += rest
    elif rest:
        found.append(rest)
    return found


def _sent(pieces: Iterable[_Piece]) -> int:
    return sum(piece.size for piece in pieces if isinstance(piece, NewBytes))
