"""Indiana's clock, and what is noted in attributes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.stores.smartfile import attributes, info, times
from syncer.stores.smartfile.attributes import Mark

SECOND = 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("shown", "utc"),
    [("2026-01-01T05:00:00", "2026-01-01T10:00:00"), ("2026-07-01T05:00:00", "2026-07-01T09:00:00")],
)
def test_a_time_is_that_of_indiana(shown: str, utc: str) -> None:
    assert times.shown(shown) == times.Span(ns(utc), ns(utc))


def test_the_hour_that_comes_twice_means_either() -> None:
    span = times.shown("2026-11-01T01:30:00")
    assert span == times.Span(ns("2026-11-01T05:30:00"), ns("2026-11-01T06:30:00"))


def test_the_hour_that_never_was_is_a_span_too() -> None:
    span = times.shown("2026-03-08T02:30:00")
    assert span.latest_ns - span.earliest_ns == 3600 * SECOND


def test_a_time_with_a_zone_is_taken_at_its_word() -> None:
    assert times.shown("2026-01-01T05:00:00+00:00").latest_ns == ns("2026-01-01T05:00:00")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        times.shown(text)


@given(st.integers(min_value=-60 * 10**9, max_value=250 * 10**9))
def test_modified_comes_back_to_the_second(seconds: int) -> None:
    text = times.to_modified(seconds * SECOND + 5)
    assert text is None or times.from_modified(text) == seconds * SECOND


def described(**more: object) -> info.Info:
    document = {"name": "f", "isfile": True, "isdir": False, "size": 3, "time": "2026-01-01T05:00:00", **more}
    asked = more.pop("asked_ns", ns("2026-01-01T10:00:02"))
    assert isinstance(asked, int)
    return info.read(document, asked)


def test_a_version_is_trusted_only_when_its_second_is_over() -> None:
    assert described().entry().trusted
    assert not described(asked_ns=ns("2026-01-01T10:00:01")).entry().trusted
    assert not described(asked_ns=ns("2026-01-01T09:00:00")).entry().trusted


def test_in_the_hour_that_comes_twice_nothing_is_trusted_until_it_is_over() -> None:
    shown = "2026-11-01T01:30:00"
    assert not described(time=shown, asked_ns=ns("2026-11-01T06:29:00")).entry().trusted
    assert described(time=shown, asked_ns=ns("2026-11-01T06:30:02")).entry().trusted


def test_without_a_time_or_a_date_nothing_is_trusted() -> None:
    assert not described(time="soon").entry().trusted
    assert not info.read(
        {"name": "f", "isfile": True, "size": 3, "time": "2026-01-01T05:00:00"}, None
    ).settled


MARK = Mark(
    size=3,
    time="2026-01-01T05:00:00",
    digest=bytes(range(32)),
    mtime_ns=ns("2020-02-02T02:02:02") + 7,
    executable=True,
)


@given(
    st.builds(
        Mark,
        size=st.integers(0, 2**62),
        time=st.text("0123456789-:T.", min_size=1, max_size=40),
        digest=st.none() | st.binary(min_size=32, max_size=32),
        mtime_ns=st.none() | st.integers(-(10**18), 10**18),
        executable=st.booleans(),
        target=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    )
)
def test_a_mark_comes_back(mark: Mark) -> None:
    assert attributes.read(mark.attributes()) == mark


@given(st.text())
def test_what_is_no_mark_is_none(text: str) -> None:
    assert attributes.read({attributes.ATTRIBUTE: text}) is None


def test_a_mark_is_believed_for_its_content() -> None:
    entry = described(attributes=MARK.attributes()).entry()
    assert (entry.digest, entry.mtime_ns, entry.executable) == (MARK.digest, MARK.mtime_ns, True)


@pytest.mark.parametrize("other", [{"size": 4}, {"time": "2026-01-01T05:00:01"}])
def test_a_mark_that_outlived_its_content_says_nothing_of_it(other: dict[str, object]) -> None:
    found = described(attributes=MARK.attributes(), **other)
    entry = found.entry()
    assert entry.digest is None and found.span is not None and entry.mtime_ns == found.span.earliest_ns
    assert entry.executable is True  # as on a disk, where an overwritten file keeps its permissions


def test_another_program_s_note_of_the_time_is_heeded() -> None:
    noted = {attributes.MODIFIED: "2021-01-01 00:00:00"}
    assert described(attributes=noted).entry().mtime_ns == ns("2021-01-01T00:00:00")
    later = {**MARK.attributes(), **noted}
    assert described(attributes=later, size=4).entry().mtime_ns == ns("2021-01-01T00:00:00")


def test_a_change_of_our_notes_is_another_version() -> None:
    assert described(attributes=MARK.attributes()).version != described().version
    assert described(attributes={"color": "red"}).version == described().version


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"name": 5, "isfile": True}, {"name": "f"}, {"name": "f", "isfile": True},
        {"name": "f", "isfile": True, "size": -1}, {"name": "f", "isfile": True, "size": 1 << 63},
        {"name": "f", "isfile": True, "size": True}, {"name": "f", "isfile": True, "size": "x"},
    ],
)  # fmt: skip
def test_what_cannot_be_so_is_refused(document: object) -> None:
    with pytest.raises(info.Malformed):
        info.read(document, 0)
