"""Delta against a block index: the commands from an old content to a new one, without reading the old one.

The search follows the diagonal: as long as the next chunk of the old content stands where it is expected, one
hash per chunk tells (about the speed of BLAKE3). Where it does not, the rsync sums are searched around there,
and the last match tells where the old content goes on. The index of the new content is made on the way:
chunks found again keep their sums, only the bytes between them are summed. Since the old content is never
read, a copy may in theory be a false match; the receiver finds that by the BLAKE3-256 of the whole.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate
from typing import TypeAlias

from blake3 import blake3

from syncer.delta.block_index import BlockIndex, Chunk, piece_digest, piece_length
from syncer.delta.chunking import cut, spread
from syncer.delta.format import Command, Copy, Literal
from syncer.delta.rsync import Effort, SearchBudget, seamed, search
from syncer.delta.signature import Signature, SignatureParams
from syncer.errors import BadDelta

_Work: TypeAlias = Future[Chunk] | Future[blake3]

_SHARE = 2 << 20  # bytes of new content that are worth a thread
_BACKLOG = 8  # pieces of work that wait for the second thread


def difference(
    old: BlockIndex,
    chunks: Iterable[bytes],
    *,
    workers: int = 1,
    patience: SearchBudget | None = None,
    digest: Callable[[], bytes] | None = None,
) -> IndexedDelta:
    """The commands from the old content to the new one; see `IndexedDelta`.

    A second thread hashes and sums; `workers` threads search where nothing is found any more. `digest`
    returns the BLAKE3-256 of all chunks after the last one, for a caller that hashes them anyway.
    """
    return IndexedDelta(old, chunks, workers=workers, patience=patience or SearchBudget(), digest=digest)


class IndexedDelta:
    """Commands, to be iterated once; then `sketch` and `digest` (BLAKE3-256) are those of the new content.

    Errors of `chunks` are raised unchanged. In memory are the sums, the last few chunks of the new content,
    and librsync's hash table once the first change was met.
    """

    def __init__(
        self,
        old: BlockIndex,
        chunks: Iterable[bytes],
        *,
        workers: int,
        patience: SearchBudget,
        digest: Callable[[], bytes] | None,
    ) -> None:
        self._old = old
        self._chunks = chunks
        self._digest = digest
        self._finder = _Finder(old, patience, workers)
        self._far = piece_length(old.parameters) * (2 * workers if workers > 1 else 1)
        self._begun = False
        self._sketch: BlockIndex | None = None

    @property
    def sketch(self) -> BlockIndex:
        """Raises ValueError before the end."""
        if self._sketch is None:
            raise ValueError("the delta was not read to its end")
        return self._sketch

    @property
    def digest(self) -> bytes:
        return self.sketch.digest

    def __iter__(self) -> Iterator[Command]:
        if self._begun:
            raise ValueError("a delta is read once")
        self._begun = True
        carried = _BlockIndexBuilder(self._old.parameters, self._digest)
        try:
            yield from self._follow(_Window(self._chunks, carried), carried)
            self._sketch = carried.sketch()
        finally:
            carried.close()

    def _follow(self, window: _Window, carried: _BlockIndexBuilder) -> Iterator[Command]:
        """The search loop: each turn takes some bytes from the window and yields the commands that make them.

        Invariant: the commands so far make exactly the bytes that were taken, and `carried` has seen them
        all, so a wrong guess of the diagonal costs time or literal bytes, never correctness.
        """
        pieces, finder = self._old.pieces, self._finder
        least = piece_length(self._old.parameters)
        diagonal = 0  # where in the old content the next byte comes from, if nothing changed
        lost = False  # whether the last search found nothing: then farther ones, on all processors
        while window.filled(1):
            index = bisect_left(finder.offsets, diagonal)
            want = self._far if lost else least
            if index < len(pieces):
                # The first old chunk that begins at or after the diagonal. Behind an insertion or deletion
                # the diagonal lies within a chunk: the bytes up to the next chunk's begin are the gap.
                piece, gap = pieces[index], finder.offsets[index] - diagonal
                want = max(want, gap + piece.length)
                if window.matches(piece, gap):
                    # Unchanged, found by one hash: one copy of the whole chunk, and its sums are carried
                    # over.
                    yield from self._between(window, carried, gap, diagonal)
                    carried.keep(piece, window)
                    yield Copy(finder.offsets[index], piece.length)
                    diagonal, lost = finder.offsets[index] + piece.length, False
                    continue
            # Changed around here: search the sums in what the window has. The last match moves the diagonal.
            found, size, diagonal = self._changed(window, want, diagonal)
            lost = not any(isinstance(command, Copy) for command in found)
            carried.add(window.take(size))
            yield from found

    def _between(
        self, window: _Window, carried: _BlockIndexBuilder, gap: int, diagonal: int
    ) -> Iterator[Command]:
        """The bytes before a chunk that was found again. None is held back: the chunk follows right after."""
        if gap:
            data = window.take(gap)
            carried.add(data)
            yield from self._finder.find(data, diagonal)

    def _changed(self, window: _Window, want: int, diagonal: int) -> tuple[list[Command], int, int]:
        """Search `want` bytes; returns the commands, how many bytes they make, and the new diagonal.

        Up to a block less one byte at the end is left in the window, where a block might begin in it.
        """
        ends = window.filled(want + 1) <= want
        data = window.peek(want)
        found = self._finder.find(data, diagonal)
        tail = b""
        if found and isinstance(last := found[-1], Literal):
            tail = last.data
            found.pop()
        # A block that begins in the last block_len - 1 bytes of the view ends beyond it, and was not found.
        # Those bytes are searched again with what follows; all before them is literal for good.
        held = 0 if ends else min(len(tail), self._old.parameters.block_len - 1)
        if found and isinstance(copy := found[-1], Copy):
            diagonal = copy.offset + copy.size
        new = len(tail) - held
        if new:
            found.append(Literal(tail[:new]))
        # Where nothing matched, the diagonal is only moved on by the bytes taken: an edit in place keeps it
        # true.
        behind = new if len(tail) < len(data) else len(data) - held
        return found, len(data) - held, diagonal + behind


class _Window:
    """The new content from the current position on, as views of the chunks that came, without a copy."""

    def __init__(self, chunks: Iterable[bytes], carried: _BlockIndexBuilder) -> None:
        self._chunks = iter(chunks)
        self._carried = carried
        self._held: deque[memoryview] = deque()
        self._size = 0

    def filled(self, size: int) -> int:
        """Read until `size` bytes are in the window or the content ends; returns how many are there."""
        while self._size < size and (chunk := next(self._chunks, None)) is not None:
            self._carried.seen(chunk)
            self._held.append(memoryview(chunk))
            self._size += len(chunk)
        return self._size

    def _views(self, start: int, size: int) -> Iterator[memoryview]:
        """Views of these bytes, as far as the window has them."""
        for view in self._held:
            if size <= 0:
                return
            if start < len(view):
                part = view[start : start + size]
                size -= len(part)
                yield part
            start = max(start - len(view), 0)

    def peek(self, size: int) -> bytes:
        return b"".join(self._views(0, size))

    def take(self, size: int) -> bytes:
        data = self.peek(size)
        self.drop(size)
        return data

    def drop(self, size: int) -> None:
        """Move the position on by at most `size` bytes."""
        while size and self._held:
            view = self._held.popleft()
            self._size -= min(size, len(view))
            if size < len(view):
                self._held.appendleft(view[size:])
                return
            size -= len(view)

    def matches(self, piece: Chunk, gap: int) -> bool:
        """True if the chunk stands `gap` bytes after the position."""
        end = gap + piece.length
        return self.filled(end) >= end and piece_digest(*self._views(gap, piece.length)) == piece.digest


class _Finder:
    """Finds blocks of the old content in new bytes; librsync's hash table is made for the first search.

    librsync is given the sums of all chunks in a row. It takes them for one content without the bytes that
    have no sums (the rest of each chunk behind its last whole block), so its offsets are "virtual": they are
    translated to offsets of the old content here.
    """

    def __init__(self, old: BlockIndex, patience: SearchBudget, workers: int) -> None:
        self._old = old
        self._effort = Effort(patience)
        self._workers = workers
        self._loaded: Signature | None = None
        self._gave_up = not old.pieces
        self._block = old.parameters.block_len
        self._blocks = [piece.length // self._block for piece in old.pieces]
        self._first = list(accumulate(self._blocks, initial=0))[:-1]
        self.offsets = list(accumulate((piece.length for piece in old.pieces), initial=0))[:-1]
        self._sums = b""

    def find(self, data: bytes, diagonal: int) -> list[Command]:
        """Commands that make `data`, with neighbouring literals joined.

        `diagonal` is where the old content would go on: of several equal blocks the one there is preferred.
        """
        if self._gave_up or len(data) < self._block:
            return [Literal(data)]
        try:
            return list(_joined(self._real(self._found(data), diagonal)))
        except BadDelta:
            # Too many equal weak sums (or a crafted content): searching on could take hours. From here on
            # only whole chunks on the diagonal are found, and the rest is sent as literals.
            self._gave_up, self._loaded = True, None
            return [Literal(data)]

    def _found(self, data: bytes) -> Iterator[Command]:
        """Commands in virtual offsets; many bytes are searched by several threads, and the seams repaired."""
        if self._loaded is None:
            self._sums = b"".join(piece.sums for piece in self._old.pieces)
            parameters = self._old.parameters
            self._loaded = Signature(parameters, parameters.header + self._sums)
        found = partial(search, self._loaded, effort=self._effort)
        share = -(-len(data) // self._workers)
        if share < _SHARE:
            return iter(found(data))
        return seamed(spread(found, cut([data], share), workers=self._workers), found, self._block)

    def _real(self, made: Iterable[Command], diagonal: int) -> Iterator[Command]:
        """The commands in offsets of the old content."""
        expected = self._virtual(diagonal)
        for command in made:
            if isinstance(command, Literal):
                expected += len(command.data)
                yield command
            else:
                start = self._straight(command, expected)
                yield from self._copies(start, start + command.size)
                expected = start + command.size

    def _straight(self, copy: Copy, expected: int) -> int:
        """The virtual offset to copy from: the expected one, if its blocks have the same sums.

        Of equal blocks librsync names the first. A copy from where the last one ended joins with it, which
        makes one long copy of, for example, a run of zeros.
        """
        if expected % self._block or copy.size % self._block:
            return copy.offset
        width = self._old.parameters.width
        count = copy.size // self._block * width
        here, there = copy.offset // self._block * width, expected // self._block * width
        equal = self._sums[here : here + count] == self._sums[there : there + count]
        return expected if equal else copy.offset

    def _copies(self, at: int, end: int) -> Iterator[Copy]:
        """Copies that make a virtual range; it is split where bytes without sums lie between two chunks."""
        while at < end:
            index = bisect_right(self._first, at // self._block) - 1
            within = at - self._first[index] * self._block
            size = min(end - at, self._blocks[index] * self._block - within)
            if size <= 0:
                raise BadDelta("librsync found a block beyond the sums")
            yield Copy(self.offsets[index] + within, size)
            at += size

    def _virtual(self, offset: int) -> int:
        index = bisect_right(self.offsets, offset) - 1
        return self._first[index] * self._block + offset - self.offsets[index]


def _joined(made: Iterable[Command]) -> Iterator[Command]:
    """The commands, with neighbouring literals joined; bounded by the size of one window."""
    held: list[bytes] = []
    for command in made:
        if isinstance(command, Literal):
            held.append(command.data)
            continue
        if held:
            yield Literal(b"".join(held))
            held.clear()
        yield command
    if held:
        yield Literal(b"".join(held))


class _BlockIndexBuilder:
    """Builds the block index of the new content; a second thread hashes and sums.

    No chunk but the last is shorter than a quarter of the usual length: bytes between two chunks found again
    are joined with their neighbour, and summed with it, until they are long enough. So hundreds of edits do
    not leave thousands of short chunks, whose ends have no sums and cannot be found.
    """

    def __init__(self, parameters: SignatureParams, digest: Callable[[], bytes] | None) -> None:
        self._parameters = parameters
        self._digest = digest  # of all content, if the caller makes it
        self._usual = piece_length(parameters)
        self._least = self._usual // 4
        self._whole = blake3()
        self._size = 0
        self._fresh = bytearray()
        self._pieces: list[Chunk | Future[Chunk]] = []
        self._hand = ThreadPoolExecutor(1)
        self._waiting: deque[_Work] = deque()

    def seen(self, chunk: bytes) -> None:
        """The next bytes of the new content, for its digest."""
        self._size += len(chunk)
        if self._digest is None:
            self._submitted(self._hand.submit(self._whole.update, chunk))

    def _submitted(self, work: _Work) -> None:
        self._waiting.append(work)
        if len(self._waiting) > _BACKLOG:
            self._waiting.popleft().result()

    def keep(self, piece: Chunk, window: _Window) -> None:
        """Carry over a chunk that was found again at the window's position.

        If it is short, or follows bytes too few for a chunk of their own, its bytes are summed anew with
        them.
        """
        if piece.length < self._least or 0 < len(self._fresh) < self._least:
            self.add(window.take(piece.length))
        else:
            window.drop(piece.length)
            self._close(len(self._fresh))
            self._pieces.append(piece)

    def add(self, data: bytes) -> None:
        """Bytes that were not found as a whole chunk, and have to be summed."""
        self._fresh += data
        while len(self._fresh) >= self._usual + self._least:
            self._close(self._usual)

    def _close(self, size: int) -> None:
        if size:
            data = bytes(memoryview(self._fresh)[:size])
            del self._fresh[:size]
            made = self._hand.submit(Chunk.of, data, self._parameters)
            self._pieces.append(made)
            self._submitted(made)

    def sketch(self) -> BlockIndex:
        """The finished index, once all of the content was seen."""
        self._close(len(self._fresh))
        pieces = tuple(one.result() if isinstance(one, Future) else one for one in self._pieces)
        while self._waiting:
            self._waiting.popleft().result()
        digest = self._digest() if self._digest is not None else self._whole.digest()
        return BlockIndex(size=self._size, digest=digest, parameters=self._parameters, pieces=pieces)

    def close(self) -> None:
        self._hand.shutdown(wait=True, cancel_futures=True)
