"""Signatures, deltas, patches: what holds for all contents, and how much crosses."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.delta.chunking import cut, spread
from syncer.delta.rsync import (
    Copy,
    Effort,
    Literal,
    SearchBudget,
    Signature,
    SignatureParams,
    SumType,
    commands,
    delta,
    encode,
    patch,
    seamed,
    search,
    signature,
)
from syncer.errors import ChangedUnderUs
from tests.contents import Edit, Held, contents, cut_sizes, cuts, edited, edits, noise

PARAMETERS = [
    SignatureParams.smartfile(),
    SignatureParams(family=SumType.MD4, block_len=300, strong_len=16),
    SignatureParams(block_len=256, strong_len=3),
    SignatureParams(block_len=1024, strong_len=32),
]
MIB = 1 << 20


def loaded(content: bytes, parameters: SignatureParams) -> Signature:
    return Signature.load(signature([content], parameters), basis_size=len(content))


def size(chunks: Iterator[bytes]) -> int:
    return sum(map(len, chunks))


@given(contents(20_000), edits(3000), st.sampled_from(PARAMETERS), cut_sizes(), cut_sizes())
@settings(max_examples=200)
def test_the_patch_of_a_delta_is_the_new_content(
    old: bytes, changes: list[Edit], parameters: SignatureParams, first: list[int], second: list[int]
) -> None:
    new = edited(old, changes)
    sums = list(signature(cuts(old, first), parameters))
    with Signature.load(sums, basis_size=len(old), family=parameters.family) as against:
        made = b"".join(delta(against, cuts(new, second)))
    pieces = list(patch(Held(old), cuts(made, first), size=len(new)))
    assert b"".join(pieces) == new
    assert all(0 < len(piece) <= MIB for piece in pieces)


def test_the_signature_of_hello_is_the_one_every_librsync_makes() -> None:
    made = b"".join(signature([b"hello"], SignatureParams.smartfile()))
    assert made.hex() == "727301360000080000000008" + "07f802af866437cb7a794bce"
    assert b"".join(signature([], SignatureParams.smartfile())).hex() == "727301360000080000000008"


def test_the_delta_of_an_unchanged_file_copies_everything() -> None:
    made = b"".join(delta(loaded(b"hello", SignatureParams.smartfile()), [b"hello"]))
    assert made.hex() == "72730236" + "450005" + "00"
    big = noise(1, 20 * MIB)
    against = loaded(big, SignatureParams.for_wire(len(big)))
    assert list(commands(delta(against, [big], workers=2))) == [Copy(0, len(big))]


def test_a_delta_made_by_hand_is_applied() -> None:
    made = bytes.fromhex("72730236 450004 025859 00")
    assert b"".join(patch(Held(b"abcd"), [made], size=6)) == b"abcdXY"


def test_an_empty_old_content_makes_a_delta_of_literals() -> None:
    new = noise(1, 100_000)
    made = b"".join(delta(loaded(b"", SignatureParams.smartfile()), [new]))
    assert all(isinstance(one, Literal) for one in commands([made]))
    assert b"".join(patch(Held(b""), [made], size=len(new))) == new
    nothing = b"".join(delta(loaded(new, SignatureParams.smartfile()), []))
    assert nothing == bytes.fromhex("7273023600")
    assert list(patch(Held(new), [nothing], size=0)) == []


@pytest.mark.parametrize("parameters", [*PARAMETERS, SignatureParams(block_len=5 * MIB, strong_len=8)])
def test_several_threads_make_the_same_signature(parameters: SignatureParams) -> None:
    content = noise(3, 17 * MIB + 77)
    alone = b"".join(signature([content], parameters))
    assert b"".join(signature(cuts(content, [999_999]), parameters, workers=3)) == alone


@pytest.mark.parametrize("parameters", [PARAMETERS[0], SignatureParams.for_wire(20 * MIB)])
def test_several_threads_make_the_same_delta(parameters: SignatureParams) -> None:
    old = noise(4, 20 * MIB)
    new = edited(old, [Edit(at=n * 90, removed=n, data=noise(n, 3 * n)) for n in range(1, 10)])
    against = loaded(old, parameters)
    alone = b"".join(delta(against, [new]))
    assert b"".join(delta(against, cuts(new, [123_457]), workers=3)) == alone
    assert b"".join(patch(Held(old), [alone], size=len(new))) == new


def test_a_block_is_found_wherever_the_end_of_a_searched_piece_cuts_it() -> None:
    block, around = noise(7, 256), noise(8, 600)
    against = loaded(block, SignatureParams(block_len=256, strong_len=8))
    for at in range(1, 256):
        pieces = (
            search(against, part, effort=Effort(SearchBudget()))
            for part in (around + block[:at], block[at:] + around)
        )
        made = seamed(pieces, partial(search, against, effort=Effort(SearchBudget())), 256)
        assert list(commands(encode(made))) == [Literal(around), Copy(0, 256), Literal(around)], at


@pytest.mark.parametrize("block", [2048, 16 << 10, 100_000])
def test_a_block_across_the_end_of_a_searched_piece_is_found(block: int) -> None:
    """An insert at the start shifts all blocks against the pieces of 8 MiB that are searched."""
    old = noise(5, 40 * MIB)
    new = b"one byte too many" + old
    made = list(commands(delta(loaded(old, SignatureParams(block_len=block, strong_len=6)), [new])))
    last = len(old) % block
    assert made == [Literal(b"one byte too many"), Copy(0, len(old))] or (
        made == [Literal(b"one byte too many"), Copy(0, len(old) - last), Literal(old[len(old) - last :])]
    )


def test_the_parameters_for_the_wire_beat_the_ready_made_ones() -> None:
    """20 scattered edits of 4 KiB and an insert in 32 MiB: signature and delta together."""
    old = noise(6, 32 * MIB)
    scattered = [Edit(at=n * 49 + 3, removed=4096, data=noise(n, 4096)) for n in range(20)]
    new = edited(old, [Edit(at=16, removed=0, data=noise(99, 1024)), *scattered])

    def both(parameters: SignatureParams) -> int:
        return size(signature([old], parameters)) + size(delta(loaded(old, parameters), [new]))

    best = both(SignatureParams.for_wire(len(old)))
    assert best < 260_000
    for block in (1024, 16 << 10):
        assert best < both(SignatureParams(block_len=block, strong_len=4))


@given(st.integers(0, 1 << 50))
def test_parameters_fit_every_size(size: int) -> None:
    for parameters in (SignatureParams.for_wire(size), SignatureParams.for_keeping(size)):
        assert parameters.block_len >= 256
    assert 2 <= SignatureParams.for_wire(size).strong_len <= 8  # it is sent, and the result is compared
    assert (
        SignatureParams.for_keeping(size).strong_len >= 16
    )  # it is not sent, and the result may not be compared
    if size <= 1 << 43:
        assert -(-size // SignatureParams.for_keeping(size).block_len) <= 1 << 19
        assert -(-size // SignatureParams.for_wire(size).block_len) <= 1 << 21


def test_kept_sums_are_fine() -> None:
    sizes = [0, 64 * MIB, 512 * MIB, 1024 * MIB, 1025 * MIB, 5120 * MIB]
    blocks = [SignatureParams.for_keeping(one).block_len for one in sizes]
    assert blocks == [1024, 1024, 2048, 2048, 4096, 16384]


@pytest.mark.parametrize(
    ("block", "strong", "family"),
    [(0, 8, SumType.BLAKE2), ((16 << 20) + 1, 8, SumType.BLAKE2), (1, 0, SumType.MD4), (1, 17, SumType.MD4)],
)
def test_parameters_nothing_can_have_are_refused(block: int, strong: int, family: SumType) -> None:
    with pytest.raises(ValueError, match=r"block|strong"):
        SignatureParams(family=family, block_len=block, strong_len=strong)


class Cut(Exception):
    """Raised by a chunk or a read that fails."""


def failing(content: bytes) -> Iterator[bytes]:
    yield content
    raise Cut


@pytest.mark.parametrize("workers", [1, 3])
def test_what_the_content_raises_comes_out_unchanged(workers: int) -> None:
    content = noise(7, 30 * MIB)
    with pytest.raises(Cut):
        list(signature(failing(content), PARAMETERS[0], workers=workers))
    with pytest.raises(Cut):
        list(delta(loaded(content, PARAMETERS[3]), failing(content), workers=workers))
    with pytest.raises(Cut):
        Signature.load(failing(bytes(3)), basis_size=10)


def test_what_reading_the_old_content_raises_comes_out_unchanged() -> None:
    class Failing(Held):
        def read(self, offset: int, size: int) -> bytes:
            raise Cut(offset, size)

    with pytest.raises(Cut) as caught:
        list(patch(Failing(bytes(100)), encode([Copy(10, 20)]), size=20))
    assert caught.value.args == (10, 20)
    with pytest.raises(Cut):
        list(patch(Held(b""), failing(bytes.fromhex("72730236")), size=20))


def test_an_old_content_that_became_shorter_ends_the_patch() -> None:
    class Shorter(Held):
        size = 100

    with pytest.raises(ChangedUnderUs, match="ended at 60"):
        list(patch(Shorter(bytes(60)), encode([Copy(10, 80)]), size=80))


def test_a_delta_closed_half_way_leaves_no_thread_and_no_table() -> None:
    content = noise(8, 40 * MIB)
    against = loaded(content, PARAMETERS[2])
    threads = threading.active_count()
    running = delta(against, [noise(9, 40 * MIB)], workers=2)
    next(running)
    with against.table() as held:
        table = weakref.ref(held)
        against.close()
        assert table() is not None, "a table goes only when nobody searches it"
        del held
    running.close()
    assert threading.active_count() == threads
    assert table() is None


def test_nothing_is_searched_in_a_closed_signature() -> None:
    content = noise(8, 40 * MIB)
    with loaded(content, PARAMETERS[0]) as against:
        running = delta(against, [noise(9, 40 * MIB)])
        next(running)
    with pytest.raises(ValueError, match="closed"):
        list(running)


@given(st.binary(max_size=200), cut_sizes(), st.integers(1, 50))
def test_cutting_keeps_every_byte(content: bytes, sizes: list[int], size: int) -> None:
    pieces = list(cut(cuts(content, sizes), size))
    assert b"".join(pieces) == content
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(pieces)


def test_only_a_few_pieces_are_taken_ahead() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(1, 101):
            yield bytes([taken])

    answers = spread(lambda piece: piece[0], pieces(), workers=2)
    assert next(answers) == 1
    assert taken <= 4
    assert list(answers) == list(range(2, 101))
