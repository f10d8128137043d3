"""What a version holds, and when a stamp proves anything: on values, without a disk."""

from __future__ import annotations

import os

import pytest

from syncer.engine.model import Kind
from syncer.stores.local import stat as stamps

SECOND = 10**9
FIELDS = {
    "st_mode": 0o100644,
    "st_ino": 7,
    "st_size": 3,
    "st_mtime_ns": 5 * SECOND + 1,
    "st_ctime_ns": 6 * SECOND + 1,
}


def stat(**other: int) -> os.stat_result:
    seen = {**FIELDS, **other}
    head = (seen["st_mode"], seen["st_ino"], 1, 1, 0, 0, seen["st_size"], 0, 0, 0)
    return os.stat_result(head, {name: seen[name] for name in ("st_mtime_ns", "st_ctime_ns")})


@pytest.mark.parametrize("field", FIELDS)
def test_a_version_notices_every_part_of_a_stamp(field: str) -> None:
    assert stamps.version(stat()) == stamps.version(stat())
    assert stamps.version(stat()) != stamps.version(stat(**{field: FIELDS[field] + 1}))


@pytest.mark.parametrize("time_ns", [-(1 << 70), 1 << 70, -1, 0])
def test_any_time_has_a_version_and_none_is_that_of_another(time_ns: int) -> None:
    assert stamps.version(stat(st_mtime_ns=time_ns)) != stamps.version(stat())
    assert abs(stamps.mtime(stat(st_mtime_ns=time_ns))) <= 1 << 63


@pytest.mark.parametrize(
    ("ctime_ns", "age_ns", "trusted"),
    [
        (6 * SECOND + 1, 0, False),
        (6 * SECOND + 1, 49_000_000, False),
        (6 * SECOND + 1, 51_000_000, True),
        (6 * SECOND, 51_000_000, False),
        (6 * SECOND, 1_900_000_000, False),
        (6 * SECOND, 2_100_000_000, True),
        (6 * SECOND + 1, -SECOND, False),
    ],
    ids=["at once", "49 ms", "51 ms", "coarse, 51 ms", "coarse, 1.9 s", "coarse, 2.1 s", "in the future"],
)
def test_a_stamp_is_trusted_once_a_later_write_must_give_another(
    ctime_ns: int, age_ns: int, trusted: bool
) -> None:
    seen = stat(st_ctime_ns=ctime_ns, st_mtime_ns=ctime_ns)
    assert stamps.file_entry(seen, ctime_ns + age_ns).trusted is trusted


def test_fifos_and_devices_have_no_kind() -> None:
    assert stamps.kind(stat(st_mode=0o010644)) is None and stamps.kind(stat(st_mode=0o020644)) is None
    assert stamps.kind(stat(st_mode=0o120777)) is Kind.SYMLINK
