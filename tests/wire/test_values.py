"""The engine's values as JSON: they come back as they were, and nothing else gets in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.engine.interfaces import Capabilities, RootState
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Done,
    Entry,
    Failed,
    Kind,
    Listing,
    Method,
    Outcome,
    Skipped,
    Stale,
)
from syncer.errors import (
    BadDelta,
    ChangedUnderUs,
    LocalError,
    NoSpace,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
    Unmovable,
    Unreadable,
)
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from tests.wire.test_frames import JSON

DIGESTS = st.binary(min_size=32, max_size=32)
SIZES = st.integers(0, 2**63 - 1)
NAMES = st.text(min_size=1, max_size=12).filter(lambda n: n not in (".", "..") and not {"/", "\0"} & set(n))
ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(Kind),
    size=SIZES,
    version=st.binary(max_size=64),
    mtime_ns=st.none() | st.integers(-(2**62), 2**62),
    executable=st.none() | st.booleans(),
    digest=st.none() | DIGESTS,
    target=st.none() | st.text(max_size=20),
    trusted=st.booleans(),
)
OBSTACLES = st.builds(BlockedEntry, st.sampled_from(BlockReason), st.text(max_size=20))
LISTINGS = st.builds(
    Listing,
    entries=st.dictionaries(NAMES, ENTRIES | OBSTACLES, max_size=5),
    fingerprint=st.none() | st.binary(min_size=16, max_size=16),
    leftovers=st.lists(NAMES, max_size=3).map(tuple),
)
ROOTS = st.none() | st.builds(RootState, marker=st.text(), device=st.text(), empty=st.booleans())
READERS: list[Callable[[Json], object]] = [
    schema.entry_in,
    schema.seen_in,
    schema.listing_in,
    schema.outcome_in,
    schema.error_in,
    schema.root_in,
    schema.capabilities_in,
    schema.path_in,
    schema.number,
    schema.octets,
    schema.kind_in,
]


def crossed(value: Json) -> Json:
    """As it is after it was sent."""
    found: Json = json.loads(json.dumps(value))
    return found


@given(ENTRIES | OBSTACLES | st.none())
def test_what_is_seen_comes_back(seen: Entry | BlockedEntry | None) -> None:
    assert schema.seen_in(crossed(schema.seen_out(seen))) == seen


@given(LISTINGS)
def test_a_listing_comes_back(listing: Listing) -> None:
    assert schema.listing_in(crossed(schema.listing_out(listing))) == listing


@given(ROOTS)
def test_a_root_comes_back(root: RootState | None) -> None:
    assert schema.root_in(crossed(schema.root_out(root))) == root


@given(st.builds(Capabilities))
def test_capabilities_come_back_and_unknown_ones_are_left_aside(able: Capabilities) -> None:
    told = crossed(schema.capabilities_out(replace(able, window="words", max_name_bytes=7)))
    assert isinstance(told, dict)
    assert schema.capabilities_in({**told, "flies": True}) == replace(able, window="words", max_name_bytes=7)


OUTCOMES = st.one_of(
    st.builds(Done, entry=st.none() | ENTRIES, method=st.sampled_from(Method)),
    st.builds(Stale, message=st.text(max_size=50)),
    st.builds(Skipped, message=st.text(max_size=50)),
)


@given(OUTCOMES)
def test_an_outcome_comes_back(outcome: Outcome) -> None:
    assert schema.outcome_in(crossed(schema.outcome_out(outcome))) == outcome


@pytest.mark.parametrize(
    "kind",
    [TransientError, PermanentError, NotFound, QuotaExceeded, Unreadable, Unholdable, Unmovable,
     PreconditionFailed, LocalError, ChangedUnderUs, NoSpace],
)  # fmt: skip
def test_an_error_comes_back_as_what_it_was(kind: type[StoreError]) -> None:
    told = crossed(schema.outcome_out(Failed(error=kind("why", hint="do", path="a/b"))))
    found = schema.outcome_in(told)
    assert isinstance(found, Failed) and type(found.error) is kind
    assert (found.error.message, found.error.hint, found.error.path) == ("why", "do", "a/b")


def test_a_pause_that_was_asked_for_comes_along_and_an_unknown_error_is_a_refusal() -> None:
    later = schema.error_in(crossed(schema.error_out(TransientError("busy", retry_after=2.5))))
    assert isinstance(later, TransientError) and later.retry_after == 2.5


@pytest.mark.parametrize(("told", "waits"), [(10**400, 86_400.0), (-1, 0.0), (float("nan"), None)])
def test_nobody_is_made_to_wait_for_ever_or_crash(told: float, waits: float | None) -> None:
    error = schema.error_in({"code": "transient", "message": "busy", "retry_after": told})
    assert isinstance(error, TransientError) and error.retry_after == waits
    assert type(schema.error_in({"code": "from the future", "message": "m"})) is PermanentError
    assert isinstance(schema.error_in(schema.error_out(BadDelta("wrong"))), PermanentError)


@given(JSON, st.sampled_from(READERS))
def test_whatever_comes_in_is_a_value_or_refused(told: Json, read: Callable[[Json], object]) -> None:
    try:
        read(told)
    except PermanentError:
        pass


@given(ENTRIES.map(schema.entry_out), st.integers(0, 7), JSON)
def test_an_entry_with_another_field_is_checked(told: Json, at: int, instead: Json) -> None:
    assert isinstance(told, list)
    told[at] = instead
    try:
        found = schema.entry_in(told)
    except PermanentError:
        return
    assert isinstance(found, Entry) and schema.entry_in(crossed(schema.entry_out(found))) == found


@pytest.mark.parametrize(
    "path", ["/", "a//b", "a/", "/a", ".", "..", "a/../b", "a/./b", "nul\0", "x/" * 40_000 + "x"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PermanentError):
        schema.path_in(path)


@given(st.lists(NAMES, max_size=4))
def test_a_path_is_taken_as_it_is(names: list[str]) -> None:
    assert schema.path_in(crossed("/".join(names))) == "/".join(names)


@pytest.mark.parametrize("value", [-1, 1 << 63, True, "1", 1.0, None])
def test_a_number_is_none_below_nought_or_beyond_63_bits(value: Json) -> None:
    with pytest.raises(PermanentError):
        schema.number(value)


@pytest.mark.parametrize("value", ["zz", "abc", 5, "00" * 5000])
def test_bytes_are_hex_and_bounded(value: Json) -> None:
    with pytest.raises(PermanentError):
        schema.octets(value)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_digest_has_32_bytes(size: int) -> None:
    told = schema.entry_out(Entry(kind=Kind.FILE, size=1, version=b"v", digest=bytes(size)))
    with pytest.raises(PermanentError, match="a digest"):
        schema.entry_in(told)
