"""Answers that no honest service gives: they end as an error of ours, never as a mistake in the program."""

from __future__ import annotations

import io

import pytest
import requests

from syncer.errors import StoreError
from syncer.stores.http import errors
from syncer.stores.smartfile import attributes

FAR = "Mon, 1 Jan 2020 00:00:00 +99999999999999999999"


def answer(body: bytes = b"", *, status: int = 503, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.raw = io.BytesIO(body)
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


@pytest.mark.parametrize("date", [FAR, "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT"])
def test_a_date_beyond_all_bounds_is_none(date: str) -> None:
    assert errors.pause(answer(Retry_After=date, Date=date)) is None
    assert errors.date_ns(answer(Date=date)) is None


def test_a_refusal_of_boxes_in_boxes_is_a_refusal() -> None:
    """Somewhere among these the parser still goes along and we would not."""
    for depth in (1, 100, *range(800, 1000), 7000):
        refused = errors.error(answer(b"[" * depth + b'"a"' + b"]" * depth, status=400), "f")
        assert isinstance(refused, StoreError)


def mark(mtime: str = "0", target: str = "") -> attributes.Mark | None:
    kind = "l" if target else "f"
    return attributes.read({attributes.ATTRIBUTE: f"1|{kind}|3|today||{mtime}|-|{target}"})


@pytest.mark.parametrize("mtime", [str(1 << 63), str(-(1 << 63) - 1), "9" * 19])
def test_a_mark_with_a_time_that_no_disk_can_hold_is_none(mtime: str) -> None:
    assert mark(mtime=mtime) is None


def test_the_farthest_times_are_read() -> None:
    for mtime in ((1 << 63) - 1, -(1 << 63)):
        found = mark(mtime=str(mtime))
        assert found is not None and found.mtime_ns == mtime


def test_a_mark_with_a_link_text_that_no_link_can_hold_is_none() -> None:
    assert mark(target="a%00b") is None
    assert mark(target="a%FFb") is not None
