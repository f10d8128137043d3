"""Sizes, durations and delete limits as people write them."""

from __future__ import annotations

import pytest

from syncer.engine.model import MaxDelete
from syncer.formatting import (
    parse_duration,
    parse_max_delete,
    parse_size,
    show_duration,
    show_max_delete,
    show_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4M", 4 << 20),
        ("500k", 500 << 10),
        ("1.5G", 3 << 29),
        ("7", 7),
        (9, 9),
        ("2 MiB", 2 << 20),
        ("3TB", 3 << 40),
    ],
)
def test_sizes_count_in_1024s(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "4X", "-4M", True, None, 0, "0k", 1.5, []])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        (90, 90),
        (0.5, 0.5),
        ("0.2s", 0.2),
        ("200ms", 0.2),
        ("1m1ms", 60.001),
        ("1.5h", 5400),
    ],
)
def test_durations_are_in_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "5 m", "30m1h", "0s", "0ms", ".2s", "2.s", "ms", "1ms1s", -1, True, None, "99999999999d"],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize("text", ["30s", "5m", "1h30m", "2d", "1d1h1m1s", "0.2s", "1m1.5s", "0.001s"])
def test_a_duration_is_shown_as_it_is_read(text: str) -> None:
    assert show_duration(parse_duration(text)) == text


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("50%", MaxDelete()),
        (0, MaxDelete(share=None, count=0)),
        ("7", MaxDelete(share=None, count=7)),
        ("0%", MaxDelete(share=0.0)),
    ],
)
def test_delete_limits_are_shares_or_counts(text: object, limit: MaxDelete) -> None:
    assert parse_max_delete(text) == limit


@pytest.mark.parametrize("text", ["", "%", "101%", "-1", 1.5, True, None])
def test_what_is_no_delete_limit_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse_max_delete(text)


def test_limits_and_sizes_are_shown_for_people() -> None:
    assert (show_max_delete(MaxDelete()), show_max_delete(MaxDelete(share=None, count=9))) == ("50%", 9)
    assert [show_size(n) for n in (0, 999, 1000, 1_250_000, 10**18)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "1000.0 PB",
    ]
