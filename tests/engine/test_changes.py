"""How one side stands to the base: what a stamp proves, what must be read, what is remembered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncer.engine.changes import Change, agreement, change, same_bytes, same_time, wanted
from syncer.engine.model import BaseEntry, Entry, Kind, Side

OLD, NEW = b"o" * 32, b"n" * 32
LOCAL = Entry(kind=Kind.FILE, size=3, version=b"l1", mtime_ns=5, executable=False, digest=OLD)
REMOTE = replace(LOCAL, version=b"r1")
BASE = agreement(LOCAL, REMOTE)


def moved(digest: bytes | None, **more: object) -> Entry:
    """The local file with another stamp."""
    return replace(LOCAL, version=b"l2", digest=digest, **more)


@pytest.mark.parametrize("side", list(Side))
def test_a_stamp_that_proves_nothing_is_not_remembered(side: Side) -> None:
    pair = {Side.LOCAL: LOCAL, Side.REMOTE: REMOTE}
    pair[side] = replace(pair[side], trusted=False)
    row = agreement(pair[Side.LOCAL], pair[Side.REMOTE])
    assert row.version(side) is None and row.version(side.other) == pair[side.other].version


def test_a_row_holds_what_each_side_showed() -> None:
    there = replace(REMOTE, mtime_ns=7, executable=None, digest=None)
    row = agreement(replace(LOCAL, executable=True), there)
    assert (row.local_mtime_ns, row.remote_mtime_ns, row.executable, row.digest) == (5, 7, True, OLD)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (LOCAL, Change.SAME),
        (moved(OLD), Change.SAME),
        (moved(OLD, mtime_ns=9), Change.TOUCHED),
        (moved(OLD, mtime_ns=1), Change.TOUCHED),
        (moved(OLD, executable=True), Change.TOUCHED),
        (moved(NEW), Change.EDITED),
        (moved(NEW, mtime_ns=1), Change.EDITED),
        (moved(OLD, size=4), Change.EDITED),
        (moved(None), Change.EDITED),
        (None, Change.GONE),
        (Entry(kind=Kind.DIRECTORY, size=0, version=b""), Change.DIRECTORY),
        (Entry(kind=Kind.SYMLINK, size=3, version=b"l1", digest=OLD), Change.EDITED),
    ],
)
def test_a_file_stands_to_its_base_as(seen: Entry | None, expected: Change) -> None:
    assert change(BASE, seen, Side.LOCAL, granularity_ns=1) is expected


def test_without_a_version_in_the_base_the_content_is_read_again() -> None:
    base: BaseEntry = replace(BASE, local_version=None)
    unread = replace(LOCAL, digest=None)
    assert wanted(base, unread, REMOTE) == (True, False)
    assert wanted(BASE, unread, REMOTE) == (False, False)


@pytest.mark.parametrize("mtime_ns", [1, 5, 9])
def test_a_stamp_that_moved_is_read_whatever_its_date(mtime_ns: int) -> None:
    assert wanted(BASE, moved(None, mtime_ns=mtime_ns), REMOTE) == (True, False)


def test_equal_size_is_not_equal_content() -> None:
    assert same_bytes(LOCAL, REMOTE)
    assert not same_bytes(LOCAL, replace(REMOTE, digest=NEW))
    assert not same_bytes(replace(LOCAL, digest=None), replace(REMOTE, digest=None))
    assert not same_bytes(LOCAL, replace(REMOTE, size=4))


def test_dates_are_compared_as_coarsely_as_the_coarser_side_holds_them() -> None:
    assert same_time(1_999, 1_001, 1_000) and not same_time(1_999, 2_001, 1_000)
    assert same_time(None, 5, 1) and same_time(1, 5, 0)
