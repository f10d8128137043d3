"""rsync deltas: made by a search against a signature, and applied to the old content.

Everything streams; a few pieces of 4 MiB are in memory at a time. Applying is done here,
not by librsync: each command is checked against both sizes before a byte is handed
out. Whether the result is the right one is for the caller to find out, by a digest of the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Protocol

from syncer.delta.chunking import cut, spread
from syncer.delta.format import (
    NEVER,
    SHARE,
    Command,
    Copy,
    Literal,
    commands,
    encode,
)
from syncer.delta.signature import (
    FROM_NETWORK,
    HEADER,
    Signature,
    SignatureLimits,
    SignatureParams,
    SumType,
    signature,
)
from syncer.errors import BadDelta, ChangedUnderUs

__all__ = [
    "FROM_NETWORK",
    "HEADER",
    "SHARE",
    "Command",
    "Copy",
    "Effort",
    "SumType",
    "SignatureLimits",
    "Literal",
    "SignatureParams",
    "SearchBudget",
    "Readable",
    "Signature",
    "commands",
    "delta",
    "encode",
    "patch",
    "search",
    "seamed",
    "signature",
]

_PIECE = 4 << 20  # bytes of new content searched at once by one worker
_READ = 1 << 20  # most bytes read from the old content at once
_WORK = 1 << 30  # bytes that one call of librsync may sum in the worst case: a second or two


class Readable(Protocol):
    """The old content; `ports.Basis` is one."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer only where the content ends."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBudget:
    """How long a search may take: `per_mib` seconds for each MiB, and `grace` more in all.

    Where every position of the new content has the weak sum of some block, but not its
    strong one, librsync sums a block at every byte. Usual is 3 ms for a MiB, and 40 ms where nothing
    matches any of a million blocks.
    """

    grace: float = 5.0
    per_mib: float = 0.5
    work: int = _WORK  # bytes that one call of librsync may sum: how often the clock is asked
    clock: Callable[[], float] = time.thread_time  # of this thread: a busy machine is no attack


class Effort:
    """What the searches of one delta took beyond the usual, all together. Safe to share between threads."""

    def __init__(self, patience: SearchBudget) -> None:
        self.patience = patience
        self._beyond = 0.0
        self._lock = Lock()

    def add(self, seconds: float, size: int) -> None:
        """So long for so many bytes. What went quickly pays for nothing later. Raises BadDelta."""
        usual = self.patience.per_mib * size / (1 << 20)
        with self._lock:
            self._beyond = max(self._beyond + seconds - usual, 0.0)
            tired = self._beyond > self.patience.grace
        if tired:
            raise BadDelta("the search takes too long: too many blocks with the same weak sum")


def search(against: Signature, data: bytes, *, effort: Effort) -> list[Command]:
    """The commands that make `data` of the signed content. Raises BadDelta when out of patience."""
    patience = effort.patience
    step = min(max(patience.work // against.parameters.block_len, 64), _READ)
    made: list[bytes] = []
    before = patience.clock()
    with against.table() as table, table.search() as job:
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            made.append(job.feed(piece))
            now = patience.clock()
            effort.add(now - before, len(piece))
            before = now
        made.append(job.feed(b"", last=True))
    return list(commands(made))


def delta(
    against: Signature,
    chunks: Iterable[bytes],
    *,
    workers: int = 1,
    patience: SearchBudget | None = None,
    every: int = NEVER,
) -> Iterator[bytes]:
    """A complete delta from the content of the signature to that of the chunks.

    The same bytes however many workers search; `every` as for `encode`. Raises BadDelta where the
    search would take too long; whatever `chunks` raises comes out unchanged.
    """
    block = against.parameters.block_len
    found = partial(search, against, effort=Effort(patience or SearchBudget()))
    pieces = spread(found, cut(chunks, max(_PIECE, 2 * block)), workers=workers)
    yield from encode(seamed(pieces, found, block), every=every)


def seamed(
    pieces: Iterable[list[Command]], found: Callable[[bytes], list[Command]], block: int
) -> Iterator[Command]:
    """The answers for pieces of content as one sequence; a block across the end of one is found after all."""
    tail = b""
    for piece in pieces:
        rest = piece[::-1]
        head = _literal(rest, block - 1)
        seam = tail + head
        yield from found(seam) if tail and len(seam) >= block else (Literal(seam),)
        body = rest[::-1]
        tail = _literal(body, block - 1, back=True)
        yield from body
    yield Literal(tail)


def _literal(stack: list[Command], most: int, *, back: bool = False) -> bytes:
    """Takes literal bytes, `most` at most, from the top of the stack: their beginning, or their end."""
    taken = b""
    while stack and len(taken) < most and isinstance(top := stack[-1], Literal):
        stack.pop()
        room = most - len(taken)
        if back:
            kept, data = top.data[:-room], top.data[-room:]
            taken = data + taken
        else:
            data, kept = top.data[:room], top.data[room:]
            taken += data
        if kept:
            stack.append(Literal(kept))
    return taken


def patch(basis: Readable, chunks: Iterable[bytes], *, size: int) -> Iterator[bytes]:
    """The new content of exactly `size` bytes, in pieces of at most 1 MiB, from a delta of the old.

    Nothing is handed out of a command that goes beyond the old content or beyond `size`. Raises
    BadDelta, ChangedUnderUs where the old content ends early; what `basis` and `chunks` raise
    comes out unchanged.
    """
    left = size
    for command in commands(chunks, basis=basis.size, output=size):
        if isinstance(command, Literal):
            left -= len(command.data)
            yield command.data
        else:
            left -= command.size
            yield from _copied(basis, command)
    if left:
        raise BadDelta(f"a delta makes {size - left} bytes where {size} were announced")


def _copied(basis: Readable, command: Copy) -> Iterator[bytes]:
    offset, end = command.offset, command.offset + command.size
    while offset < end:
        data = basis.read(offset, min(end - offset, _READ))
        if not 0 < len(data) <= end - offset:
            raise ChangedUnderUs(f"the old content ended at {offset + len(data)} while it was copied from")
        yield data
        offset += len(data)
