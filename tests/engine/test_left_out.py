"""Listings that leave out names: on btrfs, sshfs and others a directory read while it changes lacks some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from syncer.engine.guards import refuse_emptied
from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Delete,
    Entry,
    KeepBoth,
    Policy,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
)
from syncer.errors import GuardTripped
from tests.briefs import briefs
from tests.trees import DIR, L, Tree, World, file, findings, planning, world

BOTH: Tree = {"a": file("a"), "b": file("b"), "d": DIR, "d/x": file("x")}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("lost", [{"a"}, {"d"}, {"d/x"}, {"a", "b", "d"}])
def test_a_name_that_a_listing_left_out_was_deleted_on_the_other_side(side: Side, lost: set[str]) -> None:
    there = world(BOTH, BOTH, BOTH)
    there.unlisted[side] = lost
    assert planning(there).actions == ()


@pytest.mark.parametrize("side", list(Side))
def test_of_two_names_that_are_not_listed_only_the_one_that_is_gone_is_deleted(side: Side) -> None:
    there = world(BOTH, BOTH, BOTH)
    there.place(side, {path: node for path, node in BOTH.items() if path != "b"})
    there.unlisted[side] = {"a"}
    assert briefs(planning(there).actions) == [f"delete-{side.other.value} b"]


def test_a_name_left_out_that_cannot_be_looked_at_was_taken_for_gone() -> None:
    there = world(BOTH, BOTH, BOTH)
    there.unlisted[L] = {"a"}
    there.obstacles[L]["a"] = BlockedEntry(BlockReason.UNREADABLE, "Input/output error")
    found = planning(there)
    assert found.actions == () and [p.path for p in found.problems] == ["a"]


def test_a_directory_with_a_name_left_out_counted_as_settled() -> None:
    there = world(BOTH, BOTH, BOTH)
    there.unlisted[L] = {"d/x"}
    assert {path: local for path, local, _ in findings(there).agreed_directories}["d"] is None


def test_a_root_that_lists_nothing_and_holds_everything_was_taken_for_emptied() -> None:
    there = world(BOTH, BOTH, BOTH)
    there.unlisted[L] = {"a", "b", "d"}
    assert not findings(there).emptied
    assert planning(there, Policy(allow_deletes=True)).actions == ()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_change_of_case_on_a_folding_side_is_a_rename_and_not_a_second_name(kind: str) -> None:
    old: Tree = {"Name": file("x")} if kind == "file" else {"Name": DIR, "Name/f": file("x")}
    new = {path.replace("Name", "name"): node for path, node in old.items()}
    there = world(old, old, old)
    there.capabilities[L] = Capabilities(local=True, folds_case=True)
    there.place(L, new)
    actions = planning(there).actions
    assert not any(isinstance(a, Delete | RemoveDirectory) and a.side is L for a in actions)
    assert planning(there).problems == ()


@pytest.mark.parametrize("policy", [Policy(), Policy(allow_deletes=True)], ids=["run", "run --yes"])
def test_of_a_root_seen_full_a_moment_ago_it_was_offered_to_delete_everything(policy: Policy) -> None:
    there = world(BOTH, BOTH, BOTH)
    there.place(L, {})
    found = findings(there)
    with pytest.raises(GuardTripped) as refused:
        refuse_emptied(found.actions, found.emptied, policy, lately_full={L})
    assert "--yes" not in refused.value.message + refused.value.hint
    assert "run again" in refused.value.hint


def test_even_a_single_file_is_not_deleted_because_of_a_root_that_contradicts_itself() -> None:
    single: Tree = {"a": file("a")}
    there = world(single, single, single)
    there.place(L, {})
    found = findings(there)
    with pytest.raises(GuardTripped):
        refuse_emptied(found.actions, found.emptied, Policy(), lately_full={L})


def test_the_copy_of_a_conflict_fits_the_side_with_the_shorter_names() -> None:
    """On encfs names end at 189 bytes: the copy could not be made, and the conflict never ended."""
    long = "n" * 180
    there = world({long: file("a")}, {long: file("one", 50)}, {long: file("other", 60)})
    there.capabilities[L] = Capabilities(local=True, max_name_bytes=189)
    copies = [a.copy for a in planning(there).actions if isinstance(a, KeepBoth)]
    assert [len(copy) <= 189 for copy in copies] == [True] and "sync-conflict" in copies[0]


def test_by_its_old_spelling_a_renamed_file_seemed_to_be_another_one() -> None:
    """exFAT through FUSE finds it by both, with an inode number for each: it was a clash for ever."""

    class Fuse(World):
        def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
            found = super().left_out(side, paths)
            return [replace(e, version=b"made up") if isinstance(e, Entry) else e for e in found]

    old: Tree = {"Name": file("x")}
    there = Fuse()
    there.agree(old)
    there.capabilities[L] = Capabilities(local=True, folds_case=True)
    there.place(L, {"name": old["Name"]})
    assert planning(there).problems == ()
    assert [type(a).__name__ for a in planning(there).actions][:1] == ["Move"]
