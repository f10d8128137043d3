"""The delta format of librsync as values: copies from the old content, and literal bytes.

Strict both ways: what is read is checked before anything of it is handed out, what is
written is the shortest form. It neither searches for matches nor looks at the old content.
Format (librsync 2.3.2, command.h and prototab.c), numbers big-endian: magic 0x72730236,
then commands: 0x00 end; 0x01-0x40 literal of so many bytes; 0x41-0x44 literal, its length in
1, 2, 4 or 8 bytes; 0x45-0x54 copy, its offset in 1, 2, 4 or 8 bytes and its length
likewise; all others are reserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from syncer.errors import BadDelta

MAGIC = bytes.fromhex("72730236")
LITERAL = 1 << 20  # most bytes of one literal that is handed out
SHARE, NEVER = 16 << 20, 1 << 63  # bytes of new content: for `every` of `encode`
_BATCH = 1 << 16  # `encode` hands out at least so many bytes at once
_MOST = (1 << 63) - 1  # a length beyond is negative to librsync
_END, _SHORT, _LONG, _LAST_LITERAL, _COPY, _LAST_COPY = 0x00, 0x40, 0x41, 0x44, 0x45, 0x54


@dataclass(frozen=True, slots=True)
class Copy:
    """`size` bytes of the old content from `offset`."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Literal:
    """New bytes."""

    data: bytes


Command: TypeAlias = Copy | Literal


def commands(delta: Iterable[bytes], *, basis: int = _MOST, output: int = _MOST) -> Iterator[Command]:
    """The commands of a complete delta; literals in pieces of at most 1 MiB.

    `basis` is the size of the old content, `output` the most that all commands together may
    produce. A command that goes beyond is refused before anything of it is handed out.
    Raises BadDelta: wrong magic, reserved command, length 0, no end, bytes after it.
    """
    reader = _Reader(delta)
    if reader.exactly(4) != MAGIC:
        raise BadDelta("this is not a delta: wrong magic number")
    while (op := reader.exactly(1)[0]) != _END:
        if op <= _LAST_LITERAL:
            size = op if op <= _SHORT else reader.number(1 << (op - _LONG))
            output = _left(output, size)
            yield from reader.literals(size)
        elif op <= _LAST_COPY:
            first, second = divmod(op - _COPY, 4)
            offset, size = reader.number(1 << first), reader.number(1 << second)
            output = _left(output, size)
            if offset + size > basis:
                raise BadDelta(f"a copy of {size} bytes at {offset} is beyond the old content")
            yield Copy(offset, size)
        else:
            raise BadDelta(f"reserved command {op:#04x} in a delta")
    if reader.more():
        raise BadDelta("bytes follow the end of a delta")


def _left(output: int, size: int) -> int:
    if size == 0:
        raise BadDelta("a command of length 0 in a delta")
    if size > output:
        raise BadDelta(f"a command for {size} bytes where at most {output} are left")
    return output - size


class _Reader:
    """Cuts what it needs from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._data = b""
        self._at = 0

    def exactly(self, size: int) -> bytes:
        """`size` (small) bytes. Raises BadDelta where there are less."""
        end = self._at + size
        data = self._data[self._at : end]
        self._at = end
        while len(data) < size:
            if not self.more():
                raise BadDelta("a delta ends too early")
            self._at = size - len(data)
            data += self._data[: self._at]
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.exactly(size), "big")

    def literals(self, size: int) -> Iterator[Literal]:
        """The next `size` bytes in pieces, as they come."""
        while size:
            if not self.more():
                raise BadDelta("a delta ends within a literal")
            data = self._data[self._at : self._at + min(size, LITERAL)]
            self._at += len(data)
            size -= len(data)
            yield Literal(data)

    def more(self) -> bool:
        """Whether there is another byte; it is buffered then."""
        while self._at >= len(self._data):
            data = next(self._chunks, None)
            if data is None:
                return False
            self._data, self._at = bytes(data), 0
        return True


def encode(instructions: Iterable[Command], *, every: int = NEVER) -> Iterator[bytes]:
    """The delta, in its shortest encodings: what touches is merged, up to 1 MiB for literals.

    Nothing depends on where the input was cut. Whoever applies the delta while it is made asks for
    something to do after `every` so many bytes of the new content: all that is known by then, and an empty
    piece, which says that it should be passed on at once.
    """
    out = bytearray(MAGIC)
    for command in _merged(instructions, every):
        if isinstance(command, Copy):
            out += _copy(command)
        elif command.data:
            out += _literal_head(len(command.data))
            out += command.data
        else:
            if out:
                yield bytes(out)
                out.clear()
            yield b""
        if len(out) >= _BATCH:
            yield bytes(out)
            out.clear()
    out.append(_END)
    yield bytes(out)


def _merged(instructions: Iterable[Command], every: int) -> Iterator[Command]:
    """Neighbours made one; an empty literal after each `every` bytes, nothing held back then."""
    held = _PendingLiteral()
    made = 0  # bytes since the last empty literal
    for command in instructions:
        if isinstance(command, Copy):
            made += command.size
            yield from held.copied(command)
        else:
            made += len(command.data)
            yield from held.added(command.data)
        if made >= every:
            yield from held.let_go()
            yield Literal(b"")
            made = 0
    yield from held.let_go()


class _PendingLiteral:
    """A copy or a literal, never both, that what comes next may belong to."""

    def __init__(self) -> None:
        self._offset = self._size = 0
        self._data = bytearray()

    def copied(self, copy: Copy) -> Iterator[Command]:
        if self._size and self._offset + self._size == copy.offset:
            self._size += copy.size
            return
        yield from self.let_go()
        self._offset, self._size = copy.offset, copy.size

    def added(self, data: bytes) -> Iterator[Command]:
        if self._size and data:
            yield from self.let_go()
        self._data += data
        while len(self._data) >= LITERAL:
            yield Literal(bytes(self._data[:LITERAL]))
            del self._data[:LITERAL]

    def let_go(self) -> Iterator[Command]:
        if self._size:
            yield Copy(self._offset, self._size)
            self._size = 0
        if self._data:
            yield Literal(bytes(self._data))
            self._data.clear()


def _copy(command: Copy) -> bytes:
    first, offset = _number(command.offset)
    second, size = _number(command.size)
    return bytes((_COPY + 4 * first + second,)) + offset + size


def _literal_head(size: int) -> bytes:
    if size <= _SHORT:
        return bytes((size,))
    width, number = _number(size)
    return bytes((_LONG + width,)) + number


def _number(value: int) -> tuple[int, bytes]:
    """Which of the four widths, and the number in it."""
    for index in range(3):
        if value < 1 << (8 << index):
            return index, value.to_bytes(1 << index, "big")
    return 3, value.to_bytes(8, "big")
