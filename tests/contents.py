"""Contents of files for the tests of deltas: bytes, edits of them, and something to copy from."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from syncer.delta.rsync import Command, Copy


def noise(seed: int, size: int) -> bytes:
    """Bytes that repeat nowhere; the same for the same seed."""
    return random.Random(seed).randbytes(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """`removed` bytes at `at` (in thousandths of the content) give way to `data`."""

    at: int
    removed: int
    data: bytes

    def of(self, content: bytes) -> bytes:
        start = len(content) * self.at // 1000
        return content[:start] + self.data + content[start + self.removed :]


def edited(content: bytes, edits: Sequence[Edit]) -> bytes:
    for edit in edits:
        content = edit.of(content)
    return content


def edits(most: int) -> st.SearchStrategy[list[Edit]]:
    """A few edits of up to `most` bytes: inserted, removed, replaced; noise or runs of one byte."""
    size = st.one_of(st.just(0), st.integers(1, 40), st.integers(1, most))
    data = st.tuples(st.integers(0, 99), size).map(
        lambda drawn: bytes(drawn[1]) if drawn[0] < 30 else noise(*drawn)
    )
    return st.lists(st.builds(Edit, at=st.integers(0, 1000), removed=size, data=data), max_size=6)


def contents(most: int) -> st.SearchStrategy[bytes]:
    """Noise, runs of zeros, a short pattern again and again, or nothing at all."""
    size = st.integers(0, most)
    return st.one_of(
        st.builds(noise, st.integers(0, 99), size),
        size.map(bytes),
        st.tuples(st.binary(min_size=1, max_size=300), size).map(lambda p: p[0] * (p[1] // len(p[0]) + 1)),
        st.tuples(st.builds(noise, st.integers(0, 9), size), size).map(lambda p: p[0] + bytes(p[1]) + p[0]),
    )


def cuts(content: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The content in chunks of these sizes, again and again; empty chunks where a size is 0."""
    at = turn = 0
    while at < len(content):
        size = sizes[turn % len(sizes)]
        yield content[at : at + size]
        at, turn = at + size, turn + 1


def cut_sizes() -> st.SearchStrategy[list[int]]:
    """Sizes for `cuts`; not all of them 0."""
    return st.lists(st.integers(0, 5000), min_size=1, max_size=5).filter(any)


@dataclass(frozen=True, slots=True)
class Held:
    """An old content in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def applied(old: bytes, instructions: Sequence[Command]) -> bytes:
    """What the commands make of the old content, done the simplest way."""
    return b"".join(
        old[one.offset : one.offset + one.size] if isinstance(one, Copy) else one.data for one in instructions
    )
