"""Headers that no honest service sends: each parser answers or refuses, and takes no time over it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.errors import TransientError
from syncer.stores.http import errors
from syncer.stores.retry_policy import retry_after
from syncer.stores.swift import metadata, objects
from syncer.stores.swift.auth.http import by_seconds
from syncer.stores.swift.objects import head_in
from tests.contract.doubles import SteppingClock

BOMBS = [
    "1e999999999", "-1e999999999", "1e-999999999", "0e999999999", "9" * 5000, "1" + "_0" * 30, "nan", "inf",
    "-inf", "٣", "1.5.5", "", " ", "-", "+5", "0x10", "1e", "9" * 19, "-" + "9" * 19, "1." + "9" * 5000,
]  # fmt: skip
DATES = [
    "Thu, 99 Jan 2026 00:00:00 GMT",
    "Thu, 01 Jan 99999 00:00:00 GMT",
    "Thu",
    "",
    "0",
    "\x00",
    "1 1 1 1 1",
]
words = st.one_of(
    st.sampled_from([*BOMBS, *DATES]), st.text(max_size=60), st.from_regex(r"-?\d*\.?\d*(e-?\d+)?")
)


@pytest.mark.parametrize("text", BOMBS)
def test_a_time_of_a_billion_digits_is_none_and_costs_nothing(text: str) -> None:
    """X-Object-Meta-Mtime: 1e999999999 took all of the memory of the machine."""
    began = time.process_time()
    found = metadata.mtime_of({"mtime": text})
    assert time.process_time() - began < 0.1
    assert found is None or -(1 << 63) <= found < 1 << 63


@given(words)
def test_every_time_is_one_that_a_database_holds_or_none(text: str) -> None:
    found = metadata.mtime_of({"mtime": text})
    assert found is None or -(1 << 63) <= found < 1 << 63


_NAMES = ("Etag", "X-Timestamp", "Last-Modified", "Content-Length", "Content-Type", "X-Object-Manifest")


@given(st.dictionaries(st.sampled_from(_NAMES), words))
def test_the_headers_of_an_object_are_understood_or_doubted(headers: dict[str, str]) -> None:
    try:
        head = head_in(headers)
    except TransientError:
        return
    assert 0 <= head.size < 1 << 63 and len(head.version) == 24


@given(words)
def test_a_pause_is_a_number_of_seconds_or_none(text: str) -> None:
    found = retry_after({"Retry-After": text})
    assert found is None or 0 <= found < 1e10
    by_seconds(text, SteppingClock())


@given(words, words, words)
def test_the_pauses_and_the_clock_of_smartfile_are_numbers_or_none(one: str, two: str, three: str) -> None:
    headers: dict[str, str] = {"Retry-After": one, "Date": two, "X-Throttle": three}
    response: Any = SimpleNamespace(status_code=429, headers=headers)
    found = errors.pause(response)
    assert found is not None and found >= 0
    errors.date_ns(response)


@given(words)
def test_dates_and_counts_end_in_a_value_or_a_value_error(text: str) -> None:
    for read in (objects.by_timestamp, objects.by_http_date, objects.by_listing, objects.count):
        try:
            read(text)
        except (ValueError, OverflowError):
            continue
