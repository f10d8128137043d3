"""Frames: what goes in comes out however the stream is cut, and what is no stream is refused."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.errors import PermanentError, TransientError
from syncer.wire.frames import LARGEST_DATA, LARGEST_JSON, Data, End, Frame, Head, decode, encode
from tests.contents import cut_sizes, cuts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.text(max_size=8), JSON, max_size=5)
FRAMES = st.lists(
    st.builds(Head, FIELDS) | st.builds(Data, st.binary(max_size=3000)) | st.builds(End, FIELDS),
    max_size=12,
)


@given(FRAMES, cut_sizes())
def test_a_stream_is_read_as_it_was_written_however_it_is_cut(frames: list[Frame], sizes: list[int]) -> None:
    stream = b"".join(encode(frames))
    assert list(decode(cuts(stream, sizes))) == frames


@given(FRAMES, st.integers(1, 10_000), cut_sizes())
def test_a_stream_that_ends_early_was_broken_off(frames: list[Frame], less: int, sizes: list[int]) -> None:
    stream = b"".join(encode(frames))
    came: list[Frame] = []
    with pytest.raises(TransientError):
        came.extend(decode(cuts(stream[: max(len(stream) - less, 0)], sizes)))
    assert came == frames[: len(came)]  # what came before the break is whole


@given(FRAMES, st.binary(min_size=1, max_size=20))
def test_nothing_may_follow_the_end(frames: list[Frame], more: bytes) -> None:
    with pytest.raises(PermanentError):
        list(decode([b"".join(encode(frames)) + more]))


@given(st.binary(max_size=200), cut_sizes())
def test_any_bytes_are_frames_or_refused(data: bytes, sizes: list[int]) -> None:
    try:
        list(decode(cuts(data, sizes)))
    except (PermanentError, TransientError):
        pass


@given(FRAMES, st.integers(0, 10**6), st.binary(min_size=1, max_size=1))
def test_a_byte_that_was_changed_does_no_harm(frames: list[Frame], at: int, byte: bytes) -> None:
    stream = bytearray(b"".join(encode(frames)))
    stream[at % len(stream)] = byte[0]
    try:
        list(decode([bytes(stream)]))
    except (PermanentError, TransientError):
        pass


@pytest.mark.parametrize(
    ("kind", "length"),
    [(b"D", LARGEST_DATA + 1), (b"H", LARGEST_JSON + 1), (b"E", 1 << 31), (b"Z", 1), (b"X", 0)],
)
def test_a_frame_beyond_all_measure_is_refused_before_it_is_awaited(kind: bytes, length: int) -> None:
    with pytest.raises(PermanentError):
        list(decode([struct.pack(">cI", kind, length)]))


@pytest.mark.parametrize("text", [b"[]", b"1", b"{", b"\xff", b"[" * 100_000, b""])
def test_a_head_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(PermanentError):
        list(decode([struct.pack(">cI", b"H", len(text)) + text]))


def test_large_data_is_cut_and_small_frames_are_gathered() -> None:
    pieces = list(encode([Data(b"x" * (3 * LARGEST_DATA + 5))]))
    assert [len(f.payload) for f in decode(pieces) if isinstance(f, Data)] == [LARGEST_DATA] * 3 + [5]
    assert len(list(encode([Data(b"x")] * 1000))) == 1


def test_a_sign_of_life_is_sent_at_once() -> None:
    pieces = encode(iter([Data(b"some"), Data(b""), Data(b"more")]))
    assert next(pieces).endswith(b"D\0\0\0\0")
    assert len(list(pieces)) == 1


def test_a_number_that_is_none_survives_as_text_of_json() -> None:
    assert list(decode(encode([Head({"n": 1 << 70, "s": "\udce9\0\n"})]))) == [
        Head({"n": 1 << 70, "s": "\udce9\0\n"})
    ]
    assert json.loads(b"".join(encode([Head({})]))[5:7]) == {}
