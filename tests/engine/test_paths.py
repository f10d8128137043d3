"""Relative paths: which are paths, how they sort and fold, what conflict copies are called."""

from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.engine import paths
from syncer.engine.interfaces import Capabilities
from tests.strategies import names, relative_paths

NOON = 1_700_000_000 * 1_000_000_000  # 2023-11-14 22:13:20 UTC


@given(relative_paths())
def test_split_and_join_undo_each_other(path: str) -> None:
    assert paths.join(*paths.split(path)) == path
    assert "/".join(paths.parts(path)) == path
    assert paths.depth(path) == len(paths.parts(path))


def test_the_root_is_the_empty_path() -> None:
    assert paths.join("", "a") == "a"
    assert paths.split("a") == ("", "a")
    assert paths.parts("") == []
    assert paths.depth("") == 0
    assert paths.is_below("a", "")
    assert not paths.is_below("", "")


def test_below_is_by_names_and_not_by_letters() -> None:
    assert paths.is_below("a/b", "a")
    assert not paths.is_below("ab", "a")
    assert not paths.is_below("a", "a")


@given(st.lists(relative_paths(), max_size=12))
def test_tree_order_keeps_a_directory_together_with_what_is_below_it(found: list[str]) -> None:
    closed = {"/".join(paths.parts(p)[:n]) for p in found for n in range(len(paths.parts(p)) + 1)}
    ordered = sorted(closed, key=paths.tree_key)
    assert len({paths.tree_key(p) for p in closed}) == len(closed)
    for top in ordered:
        inside = [i for i, p in enumerate(ordered) if p == top or paths.is_below(p, top)]
        assert inside == list(range(inside[0], inside[0] + len(inside)))
        assert ordered[inside[0]] == top


def test_tree_order_puts_what_is_below_before_the_next_sibling() -> None:
    ordered = ["a", "a/b", "a/b/c", "a-b", "a.b", "ab"]
    assert sorted(ordered, key=paths.tree_key) == ordered


# Conflict copies


@given(names(), st.integers(-(2**62), 2**62), st.text(max_size=60), st.integers(0, 2000))
def test_a_conflict_name_fits_is_marked_and_comes_out_the_same_again(
    name: str, mtime_ns: int, host: str, attempt: int
) -> None:
    copy = paths.conflict_name(name, mtime_ns=mtime_ns, host=host, attempt=attempt)
    assert copy == paths.conflict_name(name, mtime_ns=mtime_ns, host=host, attempt=attempt)
    assert 0 < len(os.fsencode(copy)) <= 255
    assert ".sync-conflict-" in copy
    assert copy != name
    assert not paths.unsafe(copy, at_root=True) or paths.unsafe(name, at_root=True)


@given(names(), st.integers(0, 50))
def test_each_attempt_gives_another_name(name: str, attempt: int) -> None:
    first, second = (paths.conflict_name(name, mtime_ns=0, host="h", attempt=attempt + i) for i in (0, 1))
    assert first != second


@given(names())
def test_a_copy_of_a_copy_fits_as_well(name: str) -> None:
    for round_ in range(4):
        name = paths.conflict_name(name, mtime_ns=round_, host="a-rather-long-host-name.example.org")
        assert len(os.fsencode(name)) <= 255


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("a.txt", "a.sync-conflict-20231114-221320-here.txt"),
        ("a", "a.sync-conflict-20231114-221320-here"),
        (".bashrc", ".bashrc.sync-conflict-20231114-221320-here"),
        (".a.txt", ".a.sync-conflict-20231114-221320-here.txt"),
        ("a.tar.gz", "a.tar.sync-conflict-20231114-221320-here.gz"),
        ("...", "....sync-conflict-20231114-221320-here"),
        ("a.", "a.sync-conflict-20231114-221320-here."),
        (f"{'n' * 300}.txt"[-255:], f"{'n' * 216}.sync-conflict-20231114-221320-here.txt"),
        (f"a.{'x' * 253}", f"{f'a.{chr(120) * 253}'[:220]}.sync-conflict-20231114-221320-here"),
    ],
)
def test_a_conflict_name_keeps_stem_and_extension(name: str, copy: str) -> None:
    assert paths.conflict_name(name, mtime_ns=NOON, host="here") == copy


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("a.sync-conflict-20200101-000000-here.txt", "a.sync-conflict-20231114-221320-here.txt"),
        ("a.sync-conflict-20200101-000000-a-b_c-2.txt", "a.sync-conflict-20231114-221320-here.txt"),
        ("a.sync-conflict-20200101-000000-there", "a.sync-conflict-20231114-221320-here"),
        (".bashrc.sync-conflict-20200101-000000-there", ".bashrc.sync-conflict-20231114-221320-here"),
        ("a.tar.sync-conflict-20200101-000000-there.gz", "a.tar.sync-conflict-20231114-221320-here.gz"),
        (
            "a.sync-conflict-20200101-000000-x.sync-conflict-20210101-000000-y.txt",
            "a.sync-conflict-20231114-221320-here.txt",
        ),
        ("sync-conflict-2020.txt", "sync-conflict-2020.sync-conflict-20231114-221320-here.txt"),
        ("a.sync-conflict-soon.txt", "a.sync-conflict-soon.sync-conflict-20231114-221320-here.txt"),
    ],
)
def test_the_copy_of_a_copy_was_named_after_the_copy(name: str, copy: str) -> None:
    assert paths.conflict_name(name, mtime_ns=NOON, host="here") == copy


def test_a_copy_that_would_get_its_own_name_gets_the_next_one() -> None:
    first = paths.conflict_name("a.txt", mtime_ns=NOON, host="here")
    assert paths.conflict_name(first, mtime_ns=NOON, host="here") == first, "which is taken: see `attempt`"
    assert paths.conflict_name(first, mtime_ns=NOON, host="here", attempt=1) == (
        "a.sync-conflict-20231114-221320-here-2.txt"
    )


@pytest.mark.parametrize("host", ["", "a/b", "..", "ü", "a\nb", "x" * 200])
def test_a_host_name_cannot_leave_its_place(host: str) -> None:
    copy = paths.conflict_name("a.txt", mtime_ns=0, host=host)
    assert "/" not in copy
    assert copy.isprintable()
    assert copy.endswith(".txt")


# Names that are ours or nobody's


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\0b", ".syncer-tmp-1", ".SYNCER-TMP-1", ".ſyncer-tmp-"]
)
def test_these_names_are_never_given_to_a_side(name: str) -> None:
    assert paths.unsafe(name, at_root=False)


@pytest.mark.parametrize("name", [".syncer", ".Syncer", ".syn\u200dcer", "\uff0esyncer", ".ſyncer"])
def test_these_names_are_ours_at_the_root_only(name: str) -> None:
    assert paths.unsafe(name, at_root=True)
    assert not paths.unsafe(name, at_root=False)


@pytest.mark.parametrize("name", ["a", " ", "...", ".syncignore", "syncer", "a\n", "\udcff", "é", ".syncer2"])
def test_these_names_are_anybodys(name: str) -> None:
    assert not paths.unsafe(name, at_root=True)


def test_private_names_are_left_out_of_listings() -> None:
    assert paths.is_private(".syncer", at_root=True)
    assert not paths.is_private(".syncer", at_root=False)
    assert paths.is_private(".syncer-tmp-00", at_root=False)
    assert not paths.is_private(".syncignore", at_root=True)


@pytest.mark.parametrize(
    ("name", "able", "words"),
    [
        ("é" * 3, Capabilities(max_name_bytes=5), "longer than 5 bytes"),
        ("\udcff", Capabilities(any_bytes=False), "not UTF-8"),
        ("a:b", Capabilities(forbidden=':"'), "contains ':'"),
        ("é", Capabilities(any_bytes=False, max_name_bytes=2, forbidden=":"), ""),
    ],
)
def test_why_a_side_cannot_hold_a_name(name: str, able: Capabilities, words: str) -> None:
    why = paths.unholdable(name, able)
    assert words in why
    assert bool(words) is bool(why)


@given(names())
def test_folding_twice_changes_nothing_more(name: str) -> None:
    for case, form in ((False, True), (True, False), (False, False)):
        once = paths.fold(name, case=case, form=form)
        assert paths.fold(once, case=case, form=form) == once


@given(relative_paths())
def test_what_is_printed_can_be_printed_and_holds_one_line(path: str) -> None:
    shown = paths.printable(path)
    assert shown.isprintable()
    shown.encode()
    assert shown.splitlines() in ([shown], [])


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("a b/é", "a b/é"),
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\udcff", "\\xff"),
        ("\u202eexe", "\\u202eexe"),
    ],
)
def test_control_bidi_and_undecodable_characters_are_escaped(path: str, shown: str) -> None:
    assert paths.printable(path) == shown


def test_neighbours_in_tree_order_differ() -> None:
    ordered = sorted(["b", "a", "a/c"], key=paths.tree_key)
    assert all(x != y for x, y in pairwise(ordered))
