"""The delta format: what is read, what is refused, the shortest form that is written."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.delta.rsync import (
    Command,
    Copy,
    Literal,
    commands,
    encode,
    patch,
)
from syncer.errors import BadDelta
from tests.contents import Held, applied, cut_sizes, cuts, noise

HEAD = bytes.fromhex("72730236")
OLD = noise(1, 5000)


def anything() -> st.SearchStrategy[list[Command]]:
    """Commands that fit `OLD`."""
    copy = st.tuples(st.integers(0, 4999), st.integers(1, 5000)).map(
        lambda p: Copy(p[0], min(p[1], 5000 - p[0]))
    )
    literal = st.one_of(st.binary(max_size=300), st.builds(noise, st.integers(0, 9), st.integers(0, 70_000)))
    return st.lists(st.one_of(copy, literal.map(Literal)), max_size=8)


@given(anything(), cut_sizes())
def test_what_is_encoded_comes_back_however_it_is_cut(instructions: list[Command], sizes: list[int]) -> None:
    delta = b"".join(encode(instructions))
    found = list(commands(cuts(delta, sizes), basis=len(OLD)))
    assert applied(OLD, found) == applied(OLD, instructions)


@given(anything())
def test_what_touches_is_merged(instructions: list[Command]) -> None:
    found = list(commands([b"".join(encode(instructions))]))
    for before, after in pairwise(found):
        if isinstance(before, Copy) and isinstance(after, Copy):
            assert before.offset + before.size != after.offset
        assert not (isinstance(before, Literal) and isinstance(after, Literal))


@given(anything(), st.lists(st.integers(0, 8), min_size=1))
def test_the_encoding_does_not_depend_on_where_literals_were_cut(
    instructions: list[Command], sizes: list[int]
) -> None:
    finer: list[Command] = []
    for one in instructions:
        finer += map(Literal, cuts(one.data, [*sizes, 9])) if isinstance(one, Literal) else [one]
    assert b"".join(encode(finer)) == b"".join(encode(instructions))


@pytest.mark.parametrize(
    ("instructions", "encoded"),
    [
        ([], "00"),
        ([Copy(0, 5)], "45 00 05 00"),
        ([Copy(0, 5), Literal(b"!!")], "45 00 05 02 21 21 00"),
        ([Copy(0, 4), Literal(b"XY")], "45 00 04 02 58 59 00"),
        ([Copy(0, 3), Copy(3, 2)], "45 00 05 00"),
        ([Copy(255, 256)], "46 ff 01 00 00"),
        ([Copy(256, 255)], "49 01 00 ff 00"),
        ([Copy(65536, 1 << 32)], "50 00 01 00 00 00 00 00 01 00 00 00 00 00"),
        ([Copy(1 << 32, 1)], "51 00 00 00 01 00 00 00 00 01 00"),
        ([Literal(b"a" * 64)], "40" + "61" * 64 + "00"),
        ([Literal(b"a" * 65)], "41 41" + "61" * 65 + "00"),
        ([Literal(b"a" * 256)], "42 01 00" + "61" * 256 + "00"),
        ([Literal(b""), Literal(b"a"), Literal(b"b")], "02 61 62 00"),
    ],
)
def test_the_shortest_encoding_is_written(instructions: list[Command], encoded: str) -> None:
    assert b"".join(encode(instructions)) == HEAD + bytes.fromhex(encoded)


@given(anything(), st.integers(1, 20_000))
def test_whoever_applies_a_delta_while_it_is_made_is_never_far_behind(
    instructions: list[Command], every: int
) -> None:
    pieces = list(encode(instructions, every=every))
    assert applied(OLD, list(commands(pieces, basis=len(OLD)))) == applied(OLD, instructions)
    known, largest = 0, max((length(one) for one in instructions), default=0)
    for at, piece in enumerate(pieces):
        if not piece:  # what was said so far is a delta but for its end
            told = sum(map(length, commands([*pieces[:at], b"\0"], basis=len(OLD))))
            assert every <= told - known < every + largest
            known = told
    assert sum(map(length, instructions)) - known < every


def length(command: Command) -> int:
    return command.size if isinstance(command, Copy) else len(command.data)


def test_a_literal_is_handed_out_in_pieces_of_a_mebibyte_at_most() -> None:
    data = noise(2, (2 << 20) + 5)
    whole = b"".join(encode([Literal(data)]))
    for found in (list(commands([whole])), list(commands(cuts(whole, [3 << 20])))):
        assert max(len(one.data) for one in found if isinstance(one, Literal)) == 1 << 20
        assert applied(b"", found) == data


@pytest.mark.parametrize(
    ("delta", "words"),
    [
        (b"", "too early"),
        (HEAD[:3], "too early"),
        (HEAD, "too early"),
        (b"\x72\x73\x01\x36\x00", "wrong magic"),
        (HEAD + b"\x45\x00", "too early"),
        (HEAD + b"\x45\x00\x05", "too early"),
        (HEAD + b"\x05abc", "within a literal"),
        (HEAD + b"\x02ab", "too early"),
        (HEAD + b"\x00\x00", "bytes follow"),
        (HEAD + b"\x41\x00\x00", "length 0"),
        (HEAD + b"\x45\x00\x00\x00", "length 0"),
        (HEAD + b"\x55\x00", "reserved command 0x55"),
        (HEAD + b"\xff\x00", "reserved command 0xff"),
        (HEAD + b"\x46\x00\x13\x89\x00", "beyond the old content"),
        (HEAD + b"\x49\x13\x88\x01\x00", "beyond the old content"),
        (HEAD + b"\x51" + b"\xff" * 8 + b"\x01\x00", "beyond the old content"),
        (HEAD + b"\x54" + b"\xff" * 16 + b"\x00", "at most"),
        (HEAD + b"\x48\x00" + (1 << 60).to_bytes(8, "big") + b"\x00", "at most"),
        (HEAD + b"\x44" + (1 << 60).to_bytes(8, "big") + b"abc", "at most"),
        (HEAD + b"\x44" + b"\xff" * 8 + b"abc", "at most"),
        (HEAD + b"\x46\x00\x13\x88\x46\x00\x13\x88\x00", "at most 1000 are left"),
        (HEAD + b"\x46\x00\x13\x88\x42\x03\xe9" + b"x" * 1001 + b"\x00", "at most 1000 are left"),
        (HEAD + b"\x46\x00\x13\x87\x00", "4999 bytes where 6000"),
    ],
)
def test_a_hostile_delta_is_refused_in_little_memory(delta: bytes, words: str) -> None:
    """The old content has 5000 bytes, 6000 are announced."""
    tracemalloc.start()
    try:
        made: list[bytes] = []
        with pytest.raises(BadDelta, match=words):
            made.extend(patch(Held(OLD), [delta], size=6000))
        assert sum(map(len, made)) <= 6000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_nothing_of_the_command_that_goes_too_far_is_handed_out() -> None:
    delta = b"".join(encode([Copy(0, 100), Literal(b"x" * 11)]))
    made = []
    with pytest.raises(BadDelta):
        made.extend(patch(Held(OLD), [delta], size=110))
    produced = patch(Held(OLD), [delta], size=110)
    assert next(produced) == OLD[:100]
    with pytest.raises(BadDelta):
        next(produced)


def test_a_delta_that_never_ends_is_not_read_beyond_what_was_announced() -> None:
    read = 0

    def endless() -> object:
        nonlocal read
        yield HEAD
        while True:
            read += 1
            yield b"\x01a"

    with pytest.raises(BadDelta, match="at most 0 are left"):
        list(patch(Held(b""), endless(), size=1000))
    assert read == 1001
