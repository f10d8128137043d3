"""The plan of a delta upload: which bytes of the old file stay, which new bytes are sent, and to which
offsets.

Pure. The commands of `delta.indexed_delta` say how the new content follows from the old one, in order; here
they become positions in the new file, joined where that saves a request. The server performs a `CopyRange`
by itself (`copy-data`), so only the bytes of a `WriteRange` cross the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from syncer.delta.format import Command, Copy

_LONGEST_WRITE = 1 << 20  # bytes of new content that are joined in memory


@dataclass(frozen=True, slots=True)
class CopyRange:
    """`size` bytes from `offset` of the old file to `to` of the new one."""

    offset: int
    size: int
    to: int


@dataclass(frozen=True, slots=True)
class WriteRange:
    """New bytes at `to` of the new file."""

    data: bytes
    to: int


Step: TypeAlias = CopyRange | WriteRange


def planned(commands: Iterable[Command]) -> Iterator[Step]:
    """The steps, in order and without gaps from offset 0; they cover the new content exactly once.

    Copies that follow each other in both files become one, literals one write of at most 1 MiB. A step is
    handed out as soon as the next command cannot be joined with it, so a plan of any length takes little
    memory.
    """
    to = 0
    copy: Copy | None = None
    data = bytearray()
    for command in commands:
        if isinstance(command, Copy):
            if data:
                yield WriteRange(bytes(data), to)
                to += len(data)
                data.clear()
            if copy is not None and copy.offset + copy.size == command.offset:
                copy = Copy(copy.offset, copy.size + command.size)
                continue
            if copy is not None:
                yield CopyRange(copy.offset, copy.size, to)
                to += copy.size
            copy = command
            continue
        if copy is not None:
            yield CopyRange(copy.offset, copy.size, to)
            to += copy.size
            copy = None
        data += command.data
        while len(data) >= _LONGEST_WRITE:
            yield WriteRange(bytes(data[:_LONGEST_WRITE]), to)
            to += _LONGEST_WRITE
            del data[:_LONGEST_WRITE]
    if copy is not None:
        yield CopyRange(copy.offset, copy.size, to)
    if data:
        yield WriteRange(bytes(data), to)
