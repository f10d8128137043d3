"""The plan of a delta upload: the service makes a new version of an object from the old one and few bytes.

A multipart upload takes parts copied by range from objects (UploadPartCopy) and parts that are sent. Every
part but the last has at least 5 MiB, so a changed run of 4 KiB cannot be a part of its own. Two ways around:

    widen    the run is sent together with its unchanged neighbourhood, up to 5 MiB
    helper   a helper object is made of [a copy of 5 MiB of the old object][the new bytes]: its last part may
             be of any size. A range of the helper is then a part of the final object. For several runs close
             together helpers are chained, each made of the one before and one more piece.

A helper costs four requests and no bytes of content; which way is cheaper depends on the line (`LineSpeed`).
The plan is a value; `delta_upload` makes the helpers in their order, then the parts, and deletes the helpers.
Measured: 512 MiB with 20 edits of 4 KiB and an insert of 1 KiB send 92 KB (rsync: 800 KB). Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from syncer.delta.format import Command, Copy

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLimits:
    """Of multipart uploads (S3 API, "Amazon S3 multipart upload limits"), and our own part sizes; bytes."""

    min_part: int = 5 * MIB
    max_part: int = 5 << 30
    max_parts: int = 10_000
    max_object: int = 5 << 40
    sent_part: int = 16 * MIB  # a part that is sent: what one failed request costs
    copied_part: int = 512 * MIB  # a part that is copied: several are copied at the same time


LIMITS = PartLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSpeed:
    """What was measured of the line: seconds for a request without content, bytes/s sent, bytes/s copied.

    Where several requests are under way at the same time, `latency` is the share of one of them.
    """

    latency: float = 0.05
    bandwidth: float = 2.5e6
    copy_rate: float = 100e6


@dataclass(frozen=True, slots=True)
class OldRange:
    """A range of the old object."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class NewRange:
    """A range of the new content, which is sent."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class HelperRange:
    """A range of a helper, by its number in `UploadPlan.helpers`."""

    helper: int
    start: int
    length: int


Piece = OldRange | NewRange
PartSource = OldRange | NewRange | HelperRange


@dataclass(frozen=True, slots=True)
class HelperObject:
    """A helper object of two parts: `base`, at least the smallest part long, and `tail`, of any length."""

    base: OldRange | HelperRange
    tail: Piece

    @property
    def length(self) -> int:
        return self.base.length + self.tail.length


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """Helpers in the order in which they are made, then the parts of the new object in theirs."""

    helpers: tuple[HelperObject, ...]
    parts: tuple[PartSource, ...]

    @property
    def sent(self) -> int:
        """Bytes of content that go up."""
        tails = sum(helper.tail.length for helper in self.helpers if isinstance(helper.tail, NewRange))
        return tails + sum(part.length for part in self.parts if isinstance(part, NewRange))

    @property
    def copied(self) -> int:
        """Bytes that the service copies within itself."""
        bases = sum(helper.length for helper in self.helpers)
        tails = sum(helper.tail.length for helper in self.helpers if isinstance(helper.tail, NewRange))
        return bases - tails + sum(part.length for part in self.parts if not isinstance(part, NewRange))

    @property
    def requests(self) -> int:
        """Create, the parts and Complete of each helper and of the object, and the bulk delete of helpers."""
        return 4 * len(self.helpers) + -(-len(self.helpers) // 1000) + len(self.parts) + 2

    def cost(self, line: LineSpeed) -> float:
        """Seconds on this line."""
        return self.requests * line.latency + self.sent / line.bandwidth + self.copied / line.copy_rate


def plan(
    pieces: Iterable[Piece], *, old_size: int, line: LineSpeed | None = None, limits: PartLimits = LIMITS
) -> UploadPlan | None:
    """The cheapest upload of the new content that the pieces make up, in their order.

    None where sending all of it in one go is no dearer, or the old object is too small to copy from.
    """
    line = line or LineSpeed()
    wanted = normalized(pieces)
    size = sum(piece.length for piece in wanted)
    if (
        size > limits.max_object
        or old_size < limits.min_part
        or not any(isinstance(p, OldRange) for p in wanted)
    ):
        return None
    gap = 0
    while True:
        found = _Planner(_without_gaps(wanted, gap), old_size, size, line, limits).run()
        if len(found.parts) <= limits.max_parts:
            break
        # Too many edits for 10,000 parts: copies that are shorter than the gap are sent as well.
        gap = max(2 * gap, limits.min_part)
        if gap > size:
            return None
    whole = size / line.bandwidth + (2 + -(-size // limits.sent_part)) * line.latency
    return found if found.cost(line) < whole else None


def pieces_of(commands: Iterable[Command]) -> Iterator[Piece]:
    """The pieces that the commands of a delta (`indexed_delta.difference`) stand for, one for each."""
    at = 0
    for command in commands:
        if isinstance(command, Copy):
            yield OldRange(command.offset, command.size)
            at += command.size
        else:
            yield NewRange(at, len(command.data))
            at += len(command.data)


def normalized(pieces: Iterable[Piece]) -> list[Piece]:
    """Without empty pieces; those that follow each other without a gap are one."""
    made: list[Piece] = []
    for piece in pieces:
        last = made[-1] if made else None
        if not piece.length:
            continue
        if last is not None and type(last) is type(piece) and last.start + last.length == piece.start:
            made[-1] = replace(last, length=last.length + piece.length)
        else:
            made.append(piece)
    return made


def _without_gaps(pieces: Sequence[Piece], gap: int) -> list[Piece]:
    """With copies that are shorter than `gap` sent instead."""
    made: list[Piece] = []
    at = 0
    for piece in pieces:
        made.append(
            NewRange(at, piece.length) if isinstance(piece, OldRange) and piece.length < gap else piece
        )
        at += piece.length
    return normalized(made)


@dataclass(slots=True)
class _Way:
    """How a run of short pieces can be handled; nothing is changed before it is chosen."""

    helpers: list[HelperObject]
    parts: list[PartSource]
    borrowed_left: int = 0  # bytes that the part before the run gives up at its end
    borrowed_right: int = 0  # bytes that the piece behind the run gives up at its beginning

    def cost(self, line: LineSpeed) -> float:
        return UploadPlan(helpers=tuple(self.helpers), parts=tuple(self.parts)).cost(line)


class _Planner:
    """Goes through the pieces once, from the start of the new content to its end.

    Invariants: every part in `_parts` has at least `min_part` bytes, or stands beside a sent part that it
    will be joined with; `_at` is the number of bytes of new content that the parts make up; helpers refer
    only to the old object, the new content and helpers before them.
    """

    def __init__(
        self, pieces: Sequence[Piece], old_size: int, new_size: int, line: LineSpeed, limits: PartLimits
    ) -> None:
        self._left = deque(pieces)
        self._old_size = old_size
        self._new_size = new_size
        self._line = line
        self._limits = limits
        self._min = limits.min_part
        self._helpers: list[HelperObject] = []
        self._parts: list[PartSource] = []
        self._at = 0

    def run(self) -> UploadPlan:
        """The plan; its number of parts may be beyond the limit."""
        while self._left:
            # The last piece may be a part as it is, however short.
            if self._left[0].length >= self._min or len(self._left) == 1:
                self._emit(self._left.popleft())
                continue
            # A run ends as soon as it is long enough to be a part: a chain copies all that is before it
            # once more with each piece, so a long one would copy the square of its length.
            run: list[Piece] = []
            length = 0
            while len(self._left) > 1 and self._left[0].length < self._min and length < self._min:
                run.append(self._left.popleft())
                length += run[-1].length
            ways = [self._widened(run), *self._helped(run)]
            self._take(min(ways, key=lambda way: way.cost(self._line)), run)
        return UploadPlan(helpers=tuple(self._helpers), parts=tuple(self._split()))

    # -- the two ways ------------------------------------------------------------------

    def _widened(self, run: Sequence[Piece]) -> _Way:
        """The run is sent, with as much of its neighbours as makes it a part."""
        start, length = self._at, sum(piece.length for piece in run)
        before, behind = self._parts[-1] if self._parts else None, self._left[0]
        if length >= self._min or isinstance(before, NewRange) or isinstance(behind, NewRange):
            return _Way(
                [], [NewRange(start, length)]
            )  # a sent neighbour is joined with it: long enough together
        need = self._min - length
        if len(self._left) == 1 and behind.length <= need:
            return _Way(
                [], [NewRange(start, length + behind.length)], borrowed_right=behind.length
            )  # it is the last
        if len(self._left) == 1 or behind.length >= need + self._min:
            return _Way([], [NewRange(start, length + need)], borrowed_right=need)
        if isinstance(before, OldRange) and before.length >= need + self._min:
            return _Way([], [NewRange(start - need, length + need)], borrowed_left=need)
        # What would be left of it is too short to be a part: all of it is sent.
        return _Way([], [NewRange(start, length + behind.length)], borrowed_right=behind.length)

    def _helped(self, run: Sequence[Piece]) -> Iterator[_Way]:
        """The run is appended, piece by piece, to a copy of the bytes in front; nothing where impossible."""
        before, behind = self._parts[-1] if self._parts else None, self._left[0]
        if isinstance(before, OldRange) and before.length >= self._min:
            # Those bytes are taken from the part before; what is left of it is a part still, or nothing.
            take = self._min if before.length >= 2 * self._min else before.length
            yield self._chained(OldRange(before.start + before.length - take, take), 0, run, left=take)
            return
        # No copy in front: any bytes of the old object are the base, which the final part leaves out.
        padding = OldRange(0, self._min)
        length = sum(piece.length for piece in run)
        if length >= self._min:
            yield self._chained(padding, self._min, run)
        elif isinstance(behind, OldRange):
            last = len(self._left) == 1
            take = self._min if behind.length >= 2 * self._min else behind.length
            if length + take >= self._min or last:
                tail = OldRange(behind.start, take)
                yield self._chained(padding, self._min, [*run, tail], right=take)

    def _chained(
        self, base: OldRange, skip: int, run: Sequence[Piece], *, left: int = 0, right: int = 0
    ) -> _Way:
        """Helpers that append the pieces to `base`, and the part: the last one without `skip` bytes."""
        first = len(self._helpers)
        made: list[HelperObject] = []
        source: OldRange | HelperRange = base
        at = self._at
        for piece in run:
            made.append(HelperObject(source, piece))
            at += piece.length
            source = HelperRange(first + len(made) - 1, 0, made[-1].length)
        assert isinstance(source, HelperRange)
        final = HelperRange(source.helper, skip, source.length - skip)
        return _Way(made, [final], borrowed_left=left, borrowed_right=right)

    # -- the result ---------------------------------------------------------------------

    def _take(self, way: _Way, run: Sequence[Piece]) -> None:
        """Carries a way out: borrowed bytes leave the neighbours, which vanish where nothing is left."""
        if way.borrowed_left:
            before = self._parts.pop()
            assert isinstance(before, OldRange)
            if before.length > way.borrowed_left:
                self._parts.append(OldRange(before.start, before.length - way.borrowed_left))
        if way.borrowed_right:
            behind = self._left.popleft()
            rest = behind.length - way.borrowed_right
            if rest:
                self._left.appendleft(replace(behind, start=behind.start + way.borrowed_right, length=rest))
        self._helpers += way.helpers
        for part in way.parts:
            self._emit(part)
        self._at = self._at - way.borrowed_left

    def _emit(self, part: PartSource) -> None:
        last = self._parts[-1] if self._parts else None
        if (
            isinstance(part, NewRange)
            and isinstance(last, NewRange)
            and last.start + last.length == part.start
        ):
            self._parts[-1] = NewRange(last.start, last.length + part.length)
        else:
            self._parts.append(part)
        self._at += part.length

    def _split(self) -> Iterator[PartSource]:
        """Parts that are no longer than allowed, in equal shares; all but the last long enough."""
        room = max(1, self._limits.max_parts - len(self._parts))
        least = -(-self._new_size // room)  # larger parts where the object has more than 10,000 of ours
        for part in self._parts:
            usual = self._limits.sent_part if isinstance(part, NewRange) else self._limits.copied_part
            most = min(max(usual, least, self._min), self._limits.max_part)
            count = max(1, min(-(-part.length // most), part.length // self._min))
            at = 0
            for number in range(count):
                length = (part.length - at) // (count - number)
                yield replace(part, start=part.start + at, length=length)
                at += length
