"""Renames found among deletions and new files; all that is not certain stays a deletion and a new file."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from syncer.engine import renames
from syncer.engine.model import Entry, Move, RelPath, Seen, Side
from tests.applying import round_of, until_quiet
from tests.briefs import briefs
from tests.trees import DIR, L, R, Tree, World, file, findings, link, planned, planning, world

F, G = file("content"), file("another")


def done(base: Tree, local: Tree, remote: Tree | None = None) -> list[str]:
    return briefs(planning(world(base, local, base if remote is None else remote)).actions)


@pytest.mark.parametrize("side", list(Side))
def test_a_renamed_file_is_renamed_on_the_other_side(side: Side) -> None:
    there = world({"a": F}, {"a": F}, {"a": F})
    there.place(side, {"b": F})
    assert briefs(planning(there).actions) == [f"move-{side.other.value} a to b"]
    round_of(there)
    assert planning(there).actions == ()


def test_a_file_renamed_into_a_new_directory_finds_it_made() -> None:
    assert done({"a": F}, {"d": DIR, "d/a": F}) == ["mkdir-remote d", "move-remote a to d/a"]


NO_MOVES: list[tuple[str, Tree, Tree]] = [
    ("empty files", {"a": file("")}, {"b": file("")}),
    ("two with this content are gone", {"a": F, "b": F}, {"c": F}),
    ("two with this content are new", {"a": F}, {"b": F, "c": F}),
    ("the size is the same and the content is not", {"a": file("one")}, {"b": file("two")}),
    ("the executable bit was changed as well", {"a": F}, {"b": file("content", executable=True)}),
    ("symlinks", {"a": link("t")}, {"b": link("t")}),
    ("the name is taken by an edit", {"a": F, "b": G}, {"b": F}),
]


@pytest.mark.parametrize(("base", "local"), [c[1:] for c in NO_MOVES], ids=[c[0] for c in NO_MOVES])
def test_no_move_is_guessed(base: Tree, local: Tree) -> None:
    assert not [d for d in done(base, local) if d.startswith("move")]


def test_a_file_renamed_and_made_executable_ends_executable_on_both_sides() -> None:
    there = world({"a": F}, {"b": file("content", executable=True)}, {"a": F})
    until_quiet(there)
    assert there.sides[L]["b"].executable
    assert there.sides[R]["b"].executable


def test_a_file_renamed_here_and_edited_there_is_in_both_places() -> None:
    there = world({"a": F}, {"b": F}, {"a": G})
    until_quiet(there)
    assert {p: n.data for p, n in there.sides[L].items()} == {"a": b"another", "b": b"content"}
    assert there.contents(L) == there.contents(R)


def test_a_file_renamed_differently_on_both_sides_is_in_both_places() -> None:
    there = world({"a": F}, {"b": F}, {"c": F})
    until_quiet(there)
    assert set(there.sides[L]) == set(there.sides[R]) == {"b", "c"}


@pytest.mark.parametrize(
    ("base", "local"),
    [
        ({"a": F, "b": G}, {"a": G, "b": F}),
        ({"a": F, "b": G, "c": file("third")}, {"a": file("third"), "b": F, "c": G}),
        ({"a": DIR, "a/b": DIR, "a/b/f": F}, {"b": DIR, "b/a": DIR, "b/a/f": F}),
        ({"a": DIR, "a/f": F, "b": DIR, "b/g": G}, {"a": DIR, "a/g": G, "b": DIR, "b/f": F}),
    ],
    ids=["swap", "cycle", "hierarchy upside down", "directories swapped"],
)
def test_tangled_renames_end_with_every_content_in_its_place(base: Tree, local: Tree) -> None:
    there = world(base, local, base)
    until_quiet(there)
    assert there.contents(R) == {p: n.content for p, n in local.items()}


# Directories

BIG: Tree = {"d": DIR, "d/a": F, "d/b": G, "d/e": file(""), "d/s": DIR, "d/s/l": link("t"), "d/o": DIR}


def under(tree: Tree, new: str) -> Tree:
    return {new + path[1:]: node for path, node in tree.items()}


@pytest.mark.parametrize("side", list(Side))
def test_a_directory_that_moved_whole_is_one_action(side: Side) -> None:
    there = world(BIG, BIG, BIG)
    there.place(side, under(BIG, "n"))
    assert briefs(planning(there).actions) == [f"move-{side.other.value} d to n"]
    round_of(there)
    assert there.contents(L) == there.contents(R)
    assert planning(there).actions == ()


CHANGED: list[tuple[str, Tree]] = [
    ("a file edited on the way", {**under(BIG, "n"), "n/a": file("edited")}),
    ("a file left out", {p: n for p, n in under(BIG, "n").items() if p != "n/b"}),
    ("a file more", {**under(BIG, "n"), "n/z": file("new")}),
    ("a directory that became a file of a size that went", {**under(BIG, "n"), "n/o": file("CONTENT")}),
    ("a file that stayed", {**under(BIG, "n"), "d": DIR, "d/b": G}),
]


@pytest.mark.parametrize("local", [c[1] for c in CHANGED], ids=[c[0] for c in CHANGED])
def test_a_directory_that_did_not_move_whole_is_moved_in_pieces(local: Tree) -> None:
    there = world(BIG, local, BIG)
    actions = planning(there).actions
    assert "move-remote d to n" not in briefs(actions)
    round_of(there)
    assert there.contents(R) == {p: n.content for p, n in local.items()}
    assert planning(there).actions == ()


def test_an_edit_below_on_the_other_side_keeps_the_directory_from_moving_whole() -> None:
    edited = {**BIG, "d/a": file("edited")}
    there = world(BIG, under(BIG, "n"), edited)
    until_quiet(there)
    assert there.sides[L]["d/a"].data == b"edited"
    assert there.contents(L) == there.contents(R)


def test_only_the_outermost_directory_is_moved() -> None:
    nested: Tree = {"d": DIR, "d/e": DIR, "d/e/f": F}
    assert done(nested, under(nested, "n")) == ["move-remote d to n"]


def test_a_store_that_cannot_rename_directories_gets_its_files_renamed() -> None:
    tree: Tree = {"d": DIR, "d/a": F}
    there = world(tree, under(tree, "n"), tree)
    seen = planned(there, findings(there), whole=())
    assert briefs(seen.actions) == ["mkdir-remote n", "move-remote d/a to n/a", "rmdir-remote d"]


def test_where_a_digest_costs_a_transfer_no_move_is_found() -> None:
    there = world({"a": F}, {"b": F}, {"a": F})
    actions = renames.find(
        findings(there).actions, lambda side, wanted: [None] * len(wanted), directories=frozenset()
    )
    assert not [a for a in actions if isinstance(a, Move)]


def test_digests_are_asked_only_of_new_files_with_the_size_of_one_that_went() -> None:
    asked: list[RelPath] = []
    there: World = world({"a": F}, {"b": F, "c": file("quite another size")}, {"a": F})

    def learn(side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        asked.extend(path for path, _ in wanted)
        return there.digests(side, wanted)

    renames.find(findings(there).actions, learn, directories=frozenset())
    assert asked == ["b"]


def test_an_edit_of_the_same_size_below_keeps_the_directory_from_moving_whole() -> None:
    base: Tree = {"d": DIR, "d/a": F, "d/b": file("one")}
    local: Tree = {"e": DIR, "e/a": F, "e/b": file("two")}
    found = done(base, local)
    assert "move-remote d to e" not in found and "move-remote d/a to e/a" in found
    there = world(base, local, base)
    until_quiet(there)
    assert there.sides[R]["e/b"].data == b"two"
