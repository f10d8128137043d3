"""How a changed file is laid out: which parts of the segments there are stay, what is sent, and in what form.

Pure. What did not change stays where it is, as parts of segments; little that is new goes into the manifest
itself, more of it into new segments. Each edit so leaves more and smaller parts, and bytes of segments that
nobody reads any more ("dead" ones), up to the `LayoutLimits`; beyond them what is cheapest to rewrite is
rewritten, well below them, so that it does not have to be done again with the next edit.
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
"""How near two fragments are that become one: bytes between them, in lengths of `shortest`; -1: none."""

_FINER = 16  # times, where only whole segments are exchanged: 1 MiB with the usual thresholds
_SPARED = (1.0, 0.9, 0.75, 0.5)
"""Shares of the dead bytes that may stay, beyond which the segments least in use are given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutLimits:
    """From which size on a file has segments, and how far its object may be frayed. Sizes in bytes.

    `worth`: smaller files are sent whole: eight MiB cross a usual line in the time that the requests for
    segments take. `segment`: of a new one; large enough that reading costs few requests, small enough that a
    broken-off upload loses little (and is held in memory). `shortest`: shorter parts are held up by clusters,
    one a second after the first ten (Swift's `rate_limit_under_size`), so there are at most `most_short`.
    `inline`: bytes of one piece in the manifest; `most_inline` of all together: they are sent again with each
    edit. Fewer than `crumb` bytes that stay between new ones are sent with them. `fraying`: so many times the
    parts of a fresh object are allowed (each is a request within the cluster, some 5 ms, against 100 ms for
    16 MiB: reading stays within 1.5 times), `least_parts` in any case. `dead` and `least_dead`: a share of
    the file's size, and bytes that are allowed in any case; they cost storage.
    """

    worth: int = 8 * _MIB
    segment: int = 16 * _MIB
    shortest: int = _MIB
    most_short: int = 8
    inline: int = 64 << 10
    most_inline: int = 256 << 10
    crumb: int = 8 << 10
    fraying: int = 6
    least_parts: int = 64
    dead: float = 0.5
    least_dead: int = 32 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SloFeatures:
    """What a cluster takes as a manifest. Ceph's has neither `ranges` nor `inline`: whole segments only."""

    ranges: bool = True
    inline: bool = True
    parts: int = 1000
    segment: int = 5 << 30  # bytes of a single object


@dataclass(frozen=True, slots=True)
class Upload:
    """`size` bytes of the new content from `start`, to be a new segment."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class InlineBytes:
    """`size` bytes of the new content from `start`, to stand in the manifest."""

    start: int
    size: int


Step: TypeAlias = Segment | Upload | InlineBytes


@dataclass(frozen=True, slots=True)
class NewBytes:
    """So many bytes of the new content that are to be sent; `solid`: not within the manifest."""

    size: int
    solid: bool = False

    @property
    def length(self) -> int:
        return self.size


_Piece: TypeAlias = Segment | NewBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragmentation:
    """How frayed a layout is."""

    parts: int  # that are objects
    short: int
    inline: int
    dead: int

    def within(self, limit: Fragmentation) -> bool:
        """Whether it is no more than this."""
        return (
            self.parts <= limit.parts
            and self.short <= limit.short
            and self.inline <= limit.inline
            and self.dead <= limit.dead
        )

    @property
    def eased(self) -> Fragmentation:
        """What a rewrite is to leave of this limit, so that the next edits need none."""
        return Fragmentation(
            parts=self.parts * 7 // 8,
            short=self.short // 2,
            inline=self.inline * 3 // 4,
            dead=self.dead * 9 // 10,
        )


def segment_size(size: int, dialect: SloFeatures, thresholds: LayoutLimits) -> int:
    """Bytes of a segment of a file of `size` bytes: more where the file would have too many of them."""
    share = 4 if dialect.ranges else 2  # whole segments fray less: more of the parts may be in use at first
    step = thresholds.shortest if dialect.ranges else max(1, thresholds.shortest // _FINER)
    fair = -(-size // (max(dialect.parts // share, 1) * step)) * step
    return max(1, min(max(thresholds.segment, fair), dialect.segment - thresholds.shortest))


def suited(thresholds: LayoutLimits, dialect: SloFeatures) -> LayoutLimits:
    """The thresholds for a cluster. Where only whole segments are exchanged, an edit costs one: finer ones
    (Ceph holds up no small ones: the limit that makes them dear is OpenStack Swift's).
    """
    if dialect.ranges:
        return thresholds
    return replace(
        thresholds,
        segment=max(1, thresholds.segment // _FINER),
        shortest=max(1, thresholds.shortest // _FINER),
    )


def fresh(size: int, dialect: SloFeatures, thresholds: LayoutLimits) -> tuple[Step, ...]:
    """The layout of a file of which nothing is there."""
    return _steps([NewBytes(size, solid=True)], dialect, _Sizes.of(size, dialect, thresholds))


def planned(
    old: Manifest, changes: Iterable[Copy | NewBytes], *, dialect: SloFeatures, thresholds: LayoutLimits
) -> tuple[Step, ...]:
    """The layout of the content that `changes` make of the old one; any may be kept that `old` names."""
    pieces = _translated(old, changes)
    size = sum(piece.length for piece in pieces)
    if not dialect.ranges:
        pieces = _whole_ones(pieces)
    sizes = _Sizes.of(size, dialect, thresholds)
    pieces = _merged(_absorbed(_merged(pieces), thresholds.crumb))
    limit = limits(size, dialect, thresholds)
    if not wear(_steps(pieces, dialect, sizes), thresholds).within(limit):
        pieces = _consolidated(pieces, dialect, sizes, limit)
    if _sent(pieces) > size * 9 // 10:
        return fresh(size, dialect, thresholds)
    return _steps(pieces, dialect, sizes)


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


def limits(size: int, dialect: SloFeatures, thresholds: LayoutLimits) -> Fragmentation:
    """How frayed the object of a file of `size` bytes may be."""
    least = len(_cut(size, _Sizes.of(size, dialect, thresholds)))
    return Fragmentation(
        parts=min(max(thresholds.least_parts, least * thresholds.fraying), max(dialect.parts * 9 // 10, 1)),
        short=thresholds.most_short,
        inline=thresholds.most_inline,
        dead=max(thresholds.least_dead, int(size * thresholds.dead)),
    )


def wear(steps: Sequence[Step], thresholds: LayoutLimits) -> Fragmentation:
    """How frayed this layout is."""
    objects = [_length(step) for step in steps if not isinstance(step, InlineBytes)]
    inline = sum(step.size for step in steps if isinstance(step, InlineBytes))
    return Fragmentation(
        parts=len(objects),
        short=sum(size < thresholds.shortest for size in objects),
        inline=inline,
        dead=sum(segment.size - used for segment, used in _use(steps).values()),
    )


# -- from commands to pieces -------------------------------------------------------


def _translated(old: Manifest, changes: Iterable[Copy | NewBytes]) -> list[_Piece]:
    starts = list(accumulate((part.length for part in old.parts), initial=0))
    pieces: list[_Piece] = []
    for change in changes:
        if isinstance(change, NewBytes):
            pieces.append(change)
            continue
        at, end = change.offset, change.offset + change.size
        index = bisect_right(starts, at) - 1
        while at < end:
            part, start = old.parts[index], starts[index]
            until = min(end, starts[index + 1])
            if until > at:
                pieces.append(_part(part, at - start, until - start))
            at, index = until, index + 1
    return pieces


def _part(part: Segment | Inline, start: int, end: int) -> _Piece:
    if isinstance(part, Inline):
        return NewBytes(end - start)  # a manifest is sent as a whole, and so are these
    return replace(part, start=part.start + start, end=part.start + end)


def _merged(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Neighbours that are one piece as one."""
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
    """A few bytes that stay between bytes that are new are sent with them: a part costs more."""
    for index, piece in enumerate(pieces):
        sides = pieces[max(index - 1, 0) : index] + pieces[index + 1 : index + 2]
        small = isinstance(piece, Segment) and piece.length < least and not piece.is_whole
        yield NewBytes(piece.length) if small and any(isinstance(s, NewBytes) for s in sides) else piece


def _whole_ones(pieces: Iterable[_Piece]) -> list[_Piece]:
    """Only segments that stay as a whole are kept."""
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
    def of(cls, size: int, dialect: SloFeatures, thresholds: LayoutLimits) -> _Sizes:
        return cls(segment=segment_size(size, dialect, thresholds), thresholds=thresholds)


class _IsolatedFragments(Enum):
    """Which fragments are rewritten even if no other is near."""

    NONE = 0
    SHORT = 1  # parts of segments
    SOME = 2  # the largest that are in the manifest, too: as many as are too many
    ALL = 3


def _consolidated(
    pieces: list[_Piece], dialect: SloFeatures, sizes: _Sizes, limit: Fragmentation
) -> list[_Piece]:
    """The cheapest of a number of ways that leaves some of what is allowed; at worst all is sent."""
    goal = limit.eased
    best: list[_Piece] = [NewBytes(sum(piece.length for piece in pieces), solid=True)]
    ways = [set[str]()] + [_scraps(pieces, int(goal.dead * share)) for share in _SPARED]
    alone = {lone: _alone(pieces, lone, goal.inline, dialect, sizes) for lone in _IsolatedFragments}
    for index, scraps in enumerate(ways):
        if scraps in ways[:index]:
            continue
        for gap in _GAPS:
            for lone in _IsolatedFragments:
                way = _rewritten(pieces, scraps, gap * sizes.thresholds.shortest, alone[lone], dialect, sizes)
                if _sent(way) < _sent(best):
                    left = wear(_steps(way, dialect, sizes), sizes.thresholds)
                    best = way if left.within(goal) else best
    return best


def _alone(
    pieces: Sequence[_Piece], lone: _IsolatedFragments, inline: int, dialect: SloFeatures, sizes: _Sizes
) -> set[int]:
    """The places of fragments that are rewritten wherever they are."""
    found: set[int] = set()
    enclosed: list[tuple[int, int]] = []
    for index, piece in enumerate(pieces):
        if isinstance(piece, NewBytes) and _encloses(piece, dialect, sizes):
            enclosed.append((piece.size, index))
        elif piece.length < sizes.thresholds.shortest and lone is not _IsolatedFragments.NONE:
            found.add(index)
    left = sum(size for size, _ in enclosed)
    for size, index in sorted(enclosed, reverse=True):
        if lone is _IsolatedFragments.ALL or (lone is _IsolatedFragments.SOME and left > inline):
            found.add(index)
            left -= size
    return found


def _scraps(pieces: Sequence[_Piece], dead: int) -> set[str]:
    """The segments least in use, so many that no more than `dead` bytes of the others are not."""
    used = sorted(_use(pieces).values(), key=lambda one: one[1] / one[0].size)
    left = sum(segment.size - count for segment, count in used)
    scraps: set[str] = set()
    for segment, count in used:
        if left <= dead:
            break
        scraps.add(segment.path)
        left -= segment.size - count
    return scraps


def _use(pieces: Sequence[_Piece | Step]) -> dict[str, tuple[Segment, int]]:
    """How many bytes of each segment are in use."""
    ranges: dict[str, list[Segment]] = {}
    for piece in pieces:
        if isinstance(piece, Segment):
            ranges.setdefault(piece.path, []).append(piece)
    return {path: (found[0], _covered(found)) for path, found in ranges.items()}


def _covered(ranges: list[Segment]) -> int:
    total = end = 0
    for one in sorted(ranges, key=lambda one: one.start):
        total += max(0, one.end - max(end, one.start))
        end = max(end, one.end)
    return total


def _rewritten(
    pieces: Sequence[_Piece],
    scraps: set[str],
    gap: float,
    alone: set[int],
    dialect: SloFeatures,
    sizes: _Sizes,
) -> list[_Piece]:
    """Fragments no farther than `gap` from each other as one."""
    short = sizes.thresholds.shortest
    sent = [isinstance(piece, Segment) and piece.path in scraps for piece in pieces]
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
        whole = index in alone or piece.length >= short
        again.append(NewBytes(piece.length, solid=whole) if sent[index] else piece)
    return _merged(_grown(_merged(again), dialect, sizes))


def _grown(pieces: Sequence[_Piece], dialect: SloFeatures, sizes: _Sizes) -> list[_Piece]:
    """What is rewritten as segments takes from its neighbours until it is no short one."""
    out: list[_Piece] = []
    rest = deque(pieces)
    while rest:
        piece = rest.popleft()
        if isinstance(piece, NewBytes) and not _encloses(piece, dialect, sizes):
            piece = NewBytes(_fed(piece.size, out, rest, dialect, sizes.thresholds.shortest), solid=True)
        out.append(piece)
    return out


def _fed(size: int, out: list[_Piece], rest: deque[_Piece], dialect: SloFeatures, shortest: int) -> int:
    """The size with what was taken: from behind, else from before; an edge, where enough is left."""
    while size < shortest and (rest or out):
        behind = bool(rest)
        near = rest.popleft() if behind else out.pop()
        need = shortest - size
        if not isinstance(near, Segment) or not dialect.ranges or near.length - need < shortest:
            size += near.length
        elif behind:
            rest.appendleft(replace(near, start=near.start + need))
            size = shortest
        else:
            out.append(replace(near, end=near.end - need))
            size = shortest
    return size


# -- from pieces to steps --------------------------------------------------------------


def _steps(pieces: Iterable[_Piece], dialect: SloFeatures, sizes: _Sizes) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    for piece in pieces:
        if isinstance(piece, Segment):
            steps.append(piece)
        elif _encloses(piece, dialect, sizes):
            steps.append(InlineBytes(at, piece.size))
        else:
            place = at
            for size in _cut(piece.size, sizes):
                steps.append(Upload(place, size))
                place += size
        at += piece.length
    return tuple(steps)


def _encloses(piece: NewBytes, dialect: SloFeatures, sizes: _Sizes) -> bool:
    return dialect.inline and not piece.solid and piece.size <= sizes.thresholds.inline


def _cut(size: int, sizes: _Sizes) -> list[int]:
    """Sizes of segments; a short rest is added to the last one."""
    count, rest = divmod(size, sizes.segment)
    found = [sizes.segment] * count
    if rest and found and rest < sizes.thresholds.shortest:
        found[-1] += rest
    elif rest:
        found.append(rest)
    return found


def _length(step: Segment | Upload) -> int:
    return step.length if isinstance(step, Segment) else step.size


def _sent(pieces: Iterable[_Piece]) -> int:
    return sum(piece.size for piece in pieces if isinstance(piece, NewBytes))
