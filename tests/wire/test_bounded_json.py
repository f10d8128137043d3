"""What JSON weighs is never less than what it takes: by the allocator's own account."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.wire.bounded_json import TooLarge, loads, weigh

SIZE = 1 << 19
BOMBS = {
    "empty lists": b"[" + b"[]," * (SIZE // 3) + b"[]]",
    "empty objects": b"[" + b"{}," * (SIZE // 3) + b"0]",
    "small objects": b"[" + b'{"":0},' * (SIZE // 7) + b"0]",
    "objects with keys of their own": b"[" + b",".join(b'{"%x":{}}' % n for n in range(SIZE // 12)) + b"]",
    "many keys": b"{" + b",".join(b'"%x":0' % n for n in range(SIZE // 8)) + b"}",
    "lists in lists": b"[" + b"[[]]," * (SIZE // 5) + b"0]",
    "numbers": b"[" + b"9999," * (SIZE // 5) + b"0]",
    "fractions": b"[" + b"1.5," * (SIZE // 4) + b"0]",
    "strings": b"[" + b'"ab",' * (SIZE // 5) + b"0]",
    "one wide character": b'["' + b"a" * SIZE + "\N{GRINNING FACE}".encode() + b'"]',
    "one wide escape": b'["' + b"a" * SIZE + b'\\ud83d\\ude00"]',
    "wide escapes": b"[" + b'"\\ud83d\\ude00",' * (SIZE // 15) + b"0]",
}


@pytest.mark.parametrize("name", BOMBS)
def test_the_weight_is_an_upper_bound(name: str) -> None:
    text = BOMBS[name]
    tracemalloc.start()
    json.loads(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= weigh(text).size, f"{peak / len(text):.1f} bytes for each of the text"


def test_what_is_too_heavy_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TooLarge, match=r"take \d+ MiB .*, the limit is 8 MiB"):
        loads(BOMBS["empty lists"], most=8 << 20)
    assert loads(b"[1]", most=0) == [1], "what is small is not counted"


@pytest.mark.parametrize("text", [b"", b"[", b"nonsense", b"\xff\xfe", b"[" * 200_000, b"9" * 5000])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        loads(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_values)
def test_every_value_comes_back(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value
