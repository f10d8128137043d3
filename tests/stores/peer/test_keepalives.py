"""Long work on a line that must not fall silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from syncer.errors import ChangedUnderUs
from syncer.stores.peer.client import with_keepalives


def test_silence_is_filled_until_there_is_something() -> None:
    heard = threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"first"
        assert heard.wait(20)
        yield b"second"

    got: list[bytes] = []
    for piece in with_keepalives(slow(), interval=0.01):
        got.append(piece)
        if not piece:
            heard.set()
    assert [piece for piece in got if piece] == [b"first", b"second"] and b"" in got


def test_what_the_work_raises_comes_out() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ChangedUnderUs("it moved")

    pieces = with_keepalives(broken())
    assert next(pieces) == b"x"
    with pytest.raises(ChangedUnderUs):
        next(pieces)


def test_work_that_nobody_wants_any_more_ends() -> None:
    made: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            made.append(1)
            yield b"x"

    pieces = with_keepalives(endless())
    assert next(pieces) == b"x"
    pieces.close()  # type: ignore[attr-defined]
    count = len(made)
    assert count < 20 and not [t for t in threading.enumerate() if t.name == "keepalive"]
