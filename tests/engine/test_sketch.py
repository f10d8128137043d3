"""The kept signature: what it tells apart, what it carries forward, what becomes of a damaged one."""

from __future__ import annotations

import itertools
import random
import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.delta.block_index import BlockIndex, Chunk, piece_length
from syncer.delta.indexed_delta import IndexedDelta, difference
from syncer.delta.rsync import (
    Command,
    Copy,
    Literal,
    Signature,
    SignatureParams,
    delta,
    encode,
)
from syncer.delta.signature import sums
from tests.contents import Edit, applied, contents, cut_sizes, cuts, edited, edits, noise

MIB = 1 << 20
FINE = SignatureParams(block_len=64, strong_len=4)


def sketch(content: bytes) -> BlockIndex:
    return BlockIndex.of([content], size=len(content))


def told(old: bytes, new: bytes, known: BlockIndex | None = None) -> tuple[list[Command], IndexedDelta]:
    """The difference, after checking everything that must hold of any."""
    found = difference(known or sketch(old), [new])
    made = list(found)
    assert applied(old, made) == new
    assert found.digest == blake3(new).digest()
    sound(found.sketch, new)
    return made, found


def sound(made: BlockIndex, content: bytes) -> None:
    """The sketch is one of this content, made anew or carried forward."""
    assert (made.size, made.digest) == (len(content), blake3(content).digest())
    at, block = 0, made.parameters.block_len
    for piece in made.pieces:
        data = content[at : at + piece.length]
        assert piece == Chunk.of(data, made.parameters)
        assert len(piece.sums) == len(data) // block * made.parameters.width
        at += len(data)
    assert at == len(content)


def sent(made: Iterable[Command]) -> int:
    return sum(map(len, encode(made)))


def by_hand(content: bytes, sizes: list[int]) -> BlockIndex:
    """A sketch with small blocks and pieces of any lengths, so that small contents have many."""
    pieces = tuple(Chunk.of(data, FINE) for data in cuts(content, sizes) if data)
    return BlockIndex(size=len(content), digest=blake3(content).digest(), parameters=FINE, pieces=pieces)


@given(contents(20_000), edits(3000), cut_sizes(), cut_sizes())
@settings(max_examples=200)
def test_the_commands_make_the_new_content_whatever_the_pieces_are(
    old: bytes, changes: list[Edit], sizes: list[int], chunks: list[int]
) -> None:
    new = edited(old, changes)
    found = difference(by_hand(old, sizes), cuts(new, chunks), workers=2)
    assert applied(old, list(found)) == new
    sound(found.sketch, new)
    again = difference(found.sketch, [old])
    assert applied(new, list(again)) == old
    sound(again.sketch, old)


@given(st.integers(0, 99), edits(2 * MIB), edits(100_000), st.integers(1, 3))
@settings(max_examples=25)
def test_the_commands_make_the_new_content_of_large_files_too(
    seed: int, first: list[Edit], second: list[Edit], workers: int
) -> None:
    old = noise(seed, 6 * MIB + 12_345)
    middle = edited(old, first)
    new = edited(middle, second)
    _, found = told(old, middle)
    last = difference(found.sketch, [new], workers=workers)
    assert applied(middle, list(last)) == new
    sound(last.sketch, new)


def test_nothing_changed_is_one_copy_and_the_same_sketch() -> None:
    old = noise(1, 5 * MIB + 1000)
    made, found = told(old, old)
    assert sent(made) < 20
    assert found.sketch == sketch(old)


OLD = noise(2, 8 * MIB)
SMALL = 2 * 2048  # what the search may not find at either end of an edit


@pytest.mark.parametrize(
    ("new", "literal"),
    [
        (b"", 0),
        (OLD[: 3 * MIB + 5000], SMALL),  # truncated within a piece
        (OLD[:MIB], 0),
        (OLD + noise(3, 10_000), 10_000),  # appended to
        (OLD[: 4 * MIB] + OLD[5 * MIB :], 0),  # a piece went
        (OLD[5 * MIB :] + OLD[: 5 * MIB], SMALL),  # pieces moved
        (OLD[MIB + 77 :] + OLD[: MIB + 77], SMALL),
        (OLD + OLD, 0),
        (b"x" + OLD, SMALL),
        (OLD[: 5 * MIB] + bytes(100) + OLD[5 * MIB :], SMALL),
        (OLD[: MIB + 10] + noise(4, 4096) + OLD[MIB + 10 + 4096 :], SMALL + 4096),
        (OLD[: 2 * MIB] + noise(5, 3 * MIB) + OLD[5 * MIB :], 3 * MIB),  # overwritten in place
        (OLD[: 2 * MIB] + noise(5, 3 * MIB + 55) + OLD[2 * MIB :], 3 * MIB + SMALL),  # a large insert
        (noise(6, 8 * MIB), 8 * MIB),  # all new
        (bytes(8 * MIB), 8 * MIB),
    ],
)
def test_little_more_than_the_edit_is_sent(new: bytes, literal: int) -> None:
    made, _ = told(OLD, new)
    assert sum(len(one.data) for one in made if isinstance(one, Literal)) <= literal
    assert sent(made) <= literal + literal // 10_000 + 120


def test_an_empty_old_content_and_an_empty_new_one() -> None:
    made, found = told(b"", OLD)
    assert found.sketch == sketch(OLD)
    assert sent(made) <= len(OLD) + 100
    assert told(b"", b"")[0] == []
    assert told(OLD, b"")[1].sketch.pieces == ()


@pytest.mark.parametrize(
    ("new", "most"),
    [
        (noise(7, MIB) + bytes(64 * MIB), MIB + 200),
        (bytes(64 * MIB - 5) + b"end", 2500),
        (bytes(70 * MIB), 200),
    ],
)
def test_runs_of_zeros_are_long_copies(new: bytes, most: int) -> None:
    assert sent(told(bytes(64 * MIB), new)[0]) < most


def test_edits_in_the_middle_of_zeros_leave_two_copies() -> None:
    old = bytes(16 * MIB)
    new = edited(old, [Edit(at=400, removed=4096, data=noise(8, 4096))])
    assert sent(told(old, new)[0]) < 4096 + SMALL + 100


def test_scattered_edits_cost_no_more_than_with_librsync_alone() -> None:
    """20 edits of 4 KiB and an insert of 1 KiB at 1 MiB."""
    old = noise(9, 48 * MIB)
    scattered = [Edit(at=n * 47 + 40, removed=4096, data=noise(n, 4096)) for n in range(20)]
    new = edited(old, scattered)
    new = new[:MIB] + noise(99, 1024) + new[MIB:]
    known = sketch(old)
    made, _ = told(old, new, known)
    whole = known.parameters.header + b"".join(piece.sums for piece in known.pieces)
    alone = sum(map(len, delta(Signature(known.parameters, whole), [new])))
    assert sent(made) <= alone * 1.02
    assert sent(made) < 21 * (4096 + 2 * 1024) + 1024


def test_a_block_across_the_end_of_a_look_is_found() -> None:
    """One byte in front, and one changed in each piece, so that all of it is searched: a block for each."""
    changed = bytearray(OLD)
    for at in range(300_000, len(OLD), MIB):
        changed[at] ^= 1
    made, _ = told(OLD, b"x" + changed)
    assert sum(len(one.data) for one in made if isinstance(one, Literal)) == 1 + 8 * 1024


def test_after_hundreds_of_edits_the_carried_sketch_is_as_good_as_a_fresh_one() -> None:
    """300 versions, each with one more insert, removal or replacement, each from the sketch before."""
    draw = random.Random(10)
    content = noise(10, 4 * MIB)
    known = sketch(content)
    for turn in range(300):
        size = draw.randrange(1, 5000)
        edit = Edit(at=draw.randrange(1000), removed=draw.choice((0, size, size)), data=noise(turn, size))
        changed = edit.of(content) if turn % 3 else replace(edit, data=b"").of(content)
        found = difference(known, [changed])
        assert applied(content, list(found)) == changed
        content, known = changed, found.sketch
    sound(known, content)
    fresh = sketch(content)
    assert len(known.pieces) <= 4 * len(fresh.pieces) + 1
    next_edits = [Edit(at=n * 49, removed=100, data=noise(n, 150)) for n in range(20)]
    new = edited(content, next_edits)
    assert sent(told(content, new, known)[0]) <= 1.5 * sent(told(content, new, fresh)[0])


def test_a_log_that_grows_by_a_line_a_thousand_times_has_no_thousand_pieces() -> None:
    content, known = b"", sketch(b"")
    for turn in range(1000):
        longer = content + noise(turn, 1500)
        found = difference(known, [longer])
        assert sent(found) < 1500 + 2100
        content, known = longer, found.sketch
    sound(known, content)
    assert len(known.pieces) <= 6


def test_pieces_found_again_are_not_summed_again() -> None:
    """A marked sum stays where its piece is found, and goes where the piece is edited."""
    known = sketch(OLD)
    marked = tuple(replace(piece, sums=bytes(len(piece.sums))) for piece in known.pieces)
    new = OLD[: MIB + 10] + b"x" + OLD[MIB + 11 :]
    found = difference(replace(known, pieces=marked), [new])
    assert applied(OLD, list(found)) == new
    kept = [piece.sums == bytes(len(piece.sums)) for piece in found.sketch.pieces]
    assert kept == [True, False] + [True] * 6


def test_a_false_match_is_told_by_the_digest() -> None:
    """The sums of two blocks are exchanged: the copies are wrong, the digest is the right one."""
    known = sketch(OLD)
    width = known.parameters.width
    first = known.pieces[0]
    exchanged = first.sums[width : 2 * width] + first.sums[:width] + first.sums[2 * width :]
    wrong = replace(known, pieces=(replace(first, digest=bytes(16), sums=exchanged), *known.pieces[1:]))
    found = difference(wrong, [OLD])
    made = applied(OLD, list(found))
    assert made != OLD
    assert found.digest == blake3(OLD).digest() != blake3(made).digest()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_sketch_is_read_back_as_it_was_written(workers: int) -> None:
    content = noise(11, 5 * MIB + 321)
    made = BlockIndex.of(cuts(content, [300_000]), size=len(content), workers=workers)
    sound(made, content)
    assert BlockIndex.load(cuts(b"".join(made.chunks()), [1000])) == made
    assert [piece.length for piece in made.pieces] == [MIB] * 5 + [321]
    assert made.pieces[0].sums == sums(content[:MIB], made.parameters)


SAVED = b"".join(by_hand(noise(12, 3000), [1000]).chunks())


@given(st.integers(0, len(SAVED) - 1), st.integers(1, 255))
def test_a_damaged_sketch_counts_as_none(at: int, change: int) -> None:
    assert BlockIndex.load([SAVED]) is not None
    assert BlockIndex.load([SAVED[:at], bytes([SAVED[at] ^ change]), SAVED[at + 1 :]]) is None
    assert BlockIndex.load([SAVED[:at]]) is None
    assert BlockIndex.load([SAVED, b"x"]) is None


@given(st.integers(0, len(SAVED) - 33), st.binary(min_size=1, max_size=8))
def test_a_sketch_that_lies_with_a_right_checksum_counts_as_none_or_is_one(at: int, lie: bytes) -> None:
    body = SAVED[:at] + lie + SAVED[at + len(lie) : -32]
    read = BlockIndex.load([body, blake3(body).digest()])
    if read is not None:
        assert sum(piece.length for piece in read.pieces) == read.size
        made = difference(read, [noise(12, 3000)])
        assert sum(one.size if isinstance(one, Copy) else len(one.data) for one in made) == 3000


def test_a_sketch_beyond_all_measure_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(16 * MIB)

    assert BlockIndex.load(endless()) is None
    assert read <= 17


def test_content_that_outgrew_its_blocks_is_told() -> None:
    small = sketch(OLD)
    assert not small.outgrown
    assert not replace(small, size=512 * MIB).outgrown
    assert replace(small, size=5000 * MIB).outgrown


class Cut(Exception):
    """Raised by content that cannot be read further."""


def test_what_the_content_raises_comes_out_unchanged_and_no_thread_stays() -> None:
    def failing() -> Iterator[bytes]:
        yield OLD[: 5 * MIB]
        raise Cut

    known, threads = sketch(OLD), threading.active_count()
    found = difference(known, failing())
    with pytest.raises(Cut):
        list(found)
    with pytest.raises(Cut):
        BlockIndex.of(failing(), size=len(OLD), workers=2)
    half = iter(difference(known, [b"x" + OLD]))
    next(half)
    half.close()
    assert threading.active_count() == threads
    with pytest.raises(ValueError, match="not read to its end"):
        _ = found.sketch
    with pytest.raises(ValueError, match="read once"):
        list(found)


def test_memory_is_the_sums_and_a_few_pieces() -> None:
    def old() -> Iterator[bytes]:
        return (noise(n, MIB) for n in range(96))

    def new() -> Iterator[bytes]:
        yield b"a few bytes in front of everything"
        yield from (noise(n + (n == 50), MIB) for n in range(96))

    known = BlockIndex.of(old(), size=96 * MIB, workers=2)
    tracemalloc.start()
    try:
        found = difference(known, new())
        made = sum(map(len, encode(found)))
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()
    assert made < 3 * MIB
    assert piece_length(known.parameters) == MIB
    assert isinstance(next(iter(difference(known, old()))), Copy)


@pytest.mark.long
def test_a_mebibyte_in_front_of_five_gibibytes_of_nothing() -> None:
    zeros = bytes(MIB)
    known = BlockIndex.of((zeros for _ in range(5120)), size=5120 * MIB, workers=2)
    found = difference(known, itertools.chain([noise(1, MIB)], (zeros for _ in range(5120))))
    assert sent(found) < MIB + 1000
    assert found.sketch.size == 5121 * MIB
    assert len(found.sketch.pieces) == 5121


@given(contents(20_000), edits(3000), cut_sizes())
@settings(max_examples=50)
def test_a_digest_that_somebody_makes_anyway_is_asked_for_after_the_last_byte(
    old: bytes, changes: list[Edit], chunks: list[int]
) -> None:
    new = edited(old, changes)
    hasher = blake3()

    def hashed() -> Iterator[bytes]:
        for chunk in cuts(new, chunks):
            hasher.update(chunk)
            yield chunk

    found = difference(by_hand(old, [500, 900]), hashed(), digest=hasher.digest)
    assert applied(old, list(found)) == new
    sound(found.sketch, new)
