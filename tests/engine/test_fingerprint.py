"""The short digest of a directory: it tells every name and every version, and nothing else."""

from __future__ import annotations

import pytest

from syncer.engine.fingerprint import fingerprint

SOME = [("a", b"1"), ("b", b"2")]


def test_the_order_of_names_does_not_matter() -> None:
    assert fingerprint(SOME) == fingerprint(SOME[::-1]) and len(fingerprint(SOME)) == 16


@pytest.mark.parametrize(
    "other",
    [
        [("a", b"1")],
        [("a", b"1"), ("c", b"2")],
        [("a", b"1"), ("b", b"3")],
        [("a", b"2"), ("b", b"1")],
        [("a", b"1"), ("b", b"")],
        [("b", b"1"), ("b", b"2")],
        [*SOME, ("c", b"")],
        [],
    ],
    ids=["gone", "renamed", "changed", "swapped", "a directory now", "one name twice", "new", "nothing"],
)
def test_another_name_or_version_is_another_fingerprint(other: list[tuple[str, bytes]]) -> None:
    assert fingerprint(other) != fingerprint(SOME)


def test_names_that_are_not_utf8_have_one_too() -> None:
    assert fingerprint([("\udcff", b"1")]) != fingerprint([("\udcfe", b"1")])
