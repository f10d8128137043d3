"""Answers packed while they are made: who waits for a piece can read it."""

from __future__ import annotations

from collections.abc import Iterator

from syncer.wire.compression import compress, decompress


def test_a_piece_of_a_prompt_answer_can_be_read_before_the_next_one_is_made() -> None:
    read: list[bytes] = []

    def made() -> Iterator[bytes]:
        for number in range(3):
            assert len(read) == number
            yield b"%d" % number

    for piece in decompress(compress(made(), prompt=True)):
        read += [piece]
    assert read == [b"0", b"1", b"2"]


def test_many_small_pieces_are_packed_together_otherwise() -> None:
    pieces = list(compress(iter([b"line\n"] * 1000)))
    assert len(pieces) < 10 and b"".join(decompress(pieces)) == b"line\n" * 1000
