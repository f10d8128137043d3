"""Names that are no part of a path, as an object store may show them: reported, and nothing else suffers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncer.engine.ignore import FILE, LIMIT, IgnoreFileError
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    Listing,
    RelPath,
    Side,
)
from tests.briefs import briefs
from tests.trees import DIR, L, R, World, file, findings, planned, world


class Odd(World):
    """The remote shows one such name in the directory `d`, and answers to no path that has one in it."""

    name = "/"

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        shown = super().list(side, directory)
        if side is L or directory != "d" or not isinstance(shown, Listing):
            return shown
        odd: dict[str, Entry | BlockedEntry] = {self.name: Entry(kind=Kind.FILE, size=1, version=b"1")}
        return replace(shown, entries={**shown.entries, **odd}, fingerprint=None)

    def read_rules(self, side: Side, path: RelPath) -> bytes:
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise IgnoreFileError(BlockedEntry(BlockReason.UNREADABLE, "not a path"), side)
        return super().read_rules(side, path)


@pytest.mark.parametrize("name", ["/", "", ".", "..", "a/b", "a//b", "nul\0"])
@pytest.mark.parametrize("rules", ["", "*.tmp\n"])
def test_the_ignore_rules_are_not_asked_about_a_name_that_is_none(name: str, rules: str) -> None:
    there = Odd()
    there.name = name
    tree = {"d": DIR} | {f"d/f{n}": file(f"{n}") for n in range(3)}
    if rules:
        tree[FILE] = file(rules)
    there.agree(tree)
    there.place(L, {**tree, "d/new": file("new here")})
    there.place(R, {**tree, "d/f1": file("edited there", 9)})
    found = findings(there)
    assert [(p.path, p.side, p.code) for p in found.problems] == [(f"d/{name}", R, "unsafe-name")]
    assert briefs(planned(there, found).actions) == ["download d/f1 over", "upload d/new"]


@pytest.mark.parametrize("side", list(Side))
def test_rules_that_cannot_be_read_are_a_problem_of_the_side_they_are_on(side: Side) -> None:
    """It used to be the local one's, whichever it was."""
    there = world({"d": DIR}, {"d": DIR}, {"d": DIR})
    there.place(side, {"d": DIR, f"d/{FILE}": file("#" * (LIMIT + 1))})
    assert [(p.path, p.side) for p in findings(there).problems] == [("d", side)]
