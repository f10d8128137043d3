"""Renames that change nothing but case: a side that tells names apart, and one whose file system does not.

Whole runs of the real code. What a user does is done past the odd disk, and leaves what that disk could show.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from syncer.engine.model import Mode, Policy
from syncer.jobs.results import loud, name_of
from syncer.stores.local.filesystem import FileSystem
from tests.simulation.faults import Die
from tests.simulation.machines import End, FastClock, Machine
from tests.simulation.manners import APFS, CASEFOLD, EXFAT, HFS, POOR, VFAT, Manner, OddDisk
from tests.world import SIDES

FOLDING = {"exfat": EXFAT, "vfat": VFAT, "poor": POOR, "apfs": APFS, "casefold": CASEFOLD}
BODY = b"content that is not sent again"


class Two:
    """A machine whose remote side folds, with both sides in step."""

    def __init__(self, home: Path, manner: Manner, *, local: Manner | None = None) -> None:
        self.home = home
        for name in (*SIDES, "keep", "state"):
            (home / name).mkdir(parents=True)
        here = FileSystem() if local is None else OddDisk(local)
        self.machine = Machine(here, FastClock(), str(home), home / "state", OddDisk(manner))
        self.write("local/anchor", b"anchor")
        self.write("local/Foo.txt", BODY)
        for name in ("Sub/deep/x", "Sub/y", "Sub/z"):
            self.write(f"local/Dir/{name}", name.encode() + BODY)
        assert self.run().exit_code == 0
        assert self.run().exit_code == 0
        assert self.shown("local") == self.shown("remote")

    def write(self, path: str, data: bytes) -> None:
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self.machine.clock.sleep(3)
        os.utime(place, ns=(self.machine.clock.now_ns(), self.machine.clock.now_ns()))
        self.machine.clock.sleep(3)

    def rename(self, origin: str, path: str) -> None:
        (self.home / origin).rename(self.home / path)

    def run(self, fault: Die | None = None, policy: Policy | None = None) -> End:
        self.machine.clock.sleep(3)
        return self.machine.run(fault, policy=policy)

    def shown(self, side: str) -> dict[str, bytes | None]:
        top = self.home / side
        return {
            str(p.relative_to(top)): p.read_bytes() if p.is_file() else None
            for p in top.rglob("*")
            if ".syncer" not in p.parts
        }

    def trash(self) -> set[bytes]:
        return {p.read_bytes() for t in ("keep", "remote/.syncer/trash") for p in files(self.home / t)}

    def follows(self, *paths: str, but: Iterable[str] = (), policy: Policy | None = None) -> End:
        """One run does it, by renames and what `but` says, and the next one rests."""
        end = self.run(policy=policy)
        assert end.exit_code == 0 and end.report is not None, str(end)
        assert not end.report.conflicts and not end.report.problems
        told = [name_of(r.action) for r in end.report.actions if loud(r.action)]
        assert sorted(told) == sorted([*(t for t in told if t.startswith("move-")), *but]), told
        assert self.shown("local") == self.shown("remote")
        assert set(paths) <= self.shown("local").keys(), self.shown("local")
        again = self.run(policy=policy)
        assert again.exit_code == 0 and again.report is not None
        assert not [r for r in again.report.actions if loud(r.action)], str(again)
        return end


def files(top: Path) -> list[Path]:
    return [path for path in top.rglob("*") if path.is_file()]


@pytest.fixture(params=FOLDING.values(), ids=FOLDING)
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Two:
    return Two(tmp_path / "machine", request.param)


@pytest.mark.parametrize("side", SIDES)
def test_a_renamed_file_kept_its_old_spelling_on_the_other_side_for_ever(two: Two, side: str) -> None:
    two.rename(f"{side}/Foo.txt", f"{side}/foo.txt")
    two.follows("foo.txt")
    assert two.trash() == set()


@pytest.mark.parametrize("side", SIDES)
def test_a_renamed_directory_is_renamed_with_all_that_is_in_it(two: Two, side: str) -> None:
    two.rename(f"{side}/Dir", f"{side}/DIR")
    end = two.follows("DIR/Sub/deep/x")
    assert end.report is not None
    assert len([r for r in end.report.actions if loud(r.action)]) == 1
    assert two.trash() == set()


@pytest.mark.parametrize("side", SIDES)
def test_directories_and_files_in_them_are_renamed_at_once(two: Two, side: str) -> None:
    two.rename(f"{side}/Dir", f"{side}/dir")
    two.rename(f"{side}/dir/Sub", f"{side}/dir/sub")
    two.rename(f"{side}/dir/sub/y", f"{side}/dir/sub/Y")
    two.follows("dir/sub/Y", "dir/sub/deep/x")


def test_renames_of_both_sides_cross(two: Two) -> None:
    two.rename("local/Dir", "local/dir")
    two.rename("remote/Dir/Sub", "remote/Dir/SUB")
    two.rename("local/dir/Sub/y", "local/dir/Sub/Y")
    two.rename("remote/Foo.txt", "remote/FOO.txt")
    two.follows("dir/SUB/Y", "FOO.txt")


def test_of_two_new_spellings_that_of_the_side_which_tells_them_apart_is_taken(two: Two) -> None:
    two.rename("local/Foo.txt", "local/foo.txt")
    two.rename("remote/Foo.txt", "remote/FOO.txt")
    two.follows("foo.txt")


@pytest.mark.parametrize("renames", SIDES)
@pytest.mark.parametrize("edits", SIDES)
def test_an_edit_of_a_renamed_file_is_no_conflict(two: Two, renames: str, edits: str) -> None:
    two.rename(f"{renames}/Foo.txt", f"{renames}/foo.txt")
    two.write(f"{edits}/{'foo.txt' if renames == edits else 'Foo.txt'}", b"edited")
    two.follows("foo.txt", but=["upload" if edits == "local" else "download"])
    assert two.shown("local")["foo.txt"] == b"edited"
    assert two.trash() <= {BODY}


@pytest.mark.parametrize("renames", SIDES)
@pytest.mark.parametrize("edits", SIDES)
def test_what_happened_below_a_renamed_directory_is_decided_by_what_was_known(
    two: Two, renames: str, edits: str
) -> None:
    """Everything below was met anew: deleted files came back, and edits were conflicts."""
    two.rename(f"{renames}/Dir", f"{renames}/dir")
    at = f"{edits}/{'dir' if renames == edits else 'Dir'}/Sub"
    two.write(f"{at}/y", b"edited")
    two.write(f"{at}/new/file", b"new")
    (two.home / at / "z").unlink()
    up = edits == "local"
    but = ["upload", "upload", "mkdir-remote", "delete-remote"]
    two.follows("dir/Sub/y", "dir/Sub/new/file", but=but if up else [_other(word) for word in but])
    assert two.shown("local")["dir/Sub/y"] == b"edited" and "dir/Sub/z" not in two.shown("local")


def _other(word: str) -> str:
    return word.replace("upload", "download").replace("-remote", "-local")


def test_a_conflict_below_a_renamed_directory_is_one_by_the_new_name(two: Two) -> None:
    two.rename("remote/Dir", "remote/dir")
    two.write("remote/dir/Sub/y", b"theirs")
    two.write("local/Dir/Sub/y", b"ours")
    end = two.run()
    assert end.exit_code == 0 and end.report is not None
    assert [c.path for c in end.report.conflicts] == ["dir/Sub/y"]
    assert two.shown("local") == two.shown("remote")
    assert {b"ours", b"theirs"} <= set(filter(None, two.shown("local").values()))
    assert two.run().exit_code == 0


def test_renamed_here_and_deleted_there_is_kept_as_an_edit_would_be(two: Two) -> None:
    two.rename("local/Foo.txt", "local/foo.txt")
    (two.home / "remote/Foo.txt").unlink()
    two.follows("foo.txt", but=["upload", "forget"])


def test_two_names_for_one_are_reported_and_none_is_lost(two: Two) -> None:
    two.write("local/foo.txt", b"twin")
    for _ in range(3):
        end = two.run()
        assert end.exit_code == 1 and end.report is not None
        assert [(p.path, p.code) for p in end.report.problems] == [("foo.txt", "clash")]
        assert not [r for r in end.report.actions if loud(r.action)]
        assert two.shown("local")["foo.txt"] == b"twin" and two.shown("local")["Foo.txt"] == BODY
        assert two.shown("remote")["Foo.txt"] == BODY
    (two.home / "local/Foo.txt").unlink()
    two.follows("foo.txt", but=["upload"])
    assert two.shown("remote")["foo.txt"] == b"twin" and BODY in two.trash()


def test_a_side_that_is_only_followed_gets_the_spelling_of_its_source_back(two: Two) -> None:
    push = Policy(mode=Mode.PUSH)
    two.rename("remote/Dir", "remote/dir")
    two.follows("Dir/Sub/y", policy=push)
    two.rename("local/Dir", "local/DIR")
    two.follows("DIR/Sub/y", policy=push)


def test_on_two_sides_that_fold_a_rename_is_carried_as_well(tmp_path: Path) -> None:
    two = Two(tmp_path / "machine", EXFAT, local=APFS)
    two.rename("local/Dir", "local/dir")
    two.rename("remote/Foo.txt", "remote/FOO.txt")
    two.follows("dir/Sub/deep/x", "FOO.txt")


def test_a_file_system_with_a_unicode_form_of_its_own_renames_nothing_on_the_other_side(
    tmp_path: Path,
) -> None:
    two = Two(tmp_path / "machine", HFS)
    two.write("local/caf\u00e9", b"composed")
    assert two.run().exit_code == 0
    for _ in range(2):
        end = two.run()
        assert end.report is not None and not [r for r in end.report.actions if loud(r.action)]
    assert "caf\u00e9" in two.shown("local") and "cafe\u0301" in two.shown("remote")
    two.rename("local/caf\u00e9", "local/CAF\u00e9")
    assert two.run().exit_code == 0
    assert "CAFe\u0301" in two.shown("remote")
    (two.home / "local/CAF\u00e9").unlink()
    assert two.run().exit_code == 0
    assert two.shown("local") == two.shown("remote")


@pytest.mark.parametrize("manner", [EXFAT, VFAT, CASEFOLD], ids=["exfat", "vfat", "casefold"])
@pytest.mark.parametrize("what", ["Foo.txt", "Dir"])
def test_a_death_at_any_moment_of_the_renaming_loses_nothing_and_the_next_run_goes_on(
    tmp_path: Path, manner: Manner, what: str
) -> None:
    """On ext4 and vfat the file is away for a moment: it was swept into the trash, and taken for deleted."""
    call = 0
    while True:
        call += 1
        two = Two(tmp_path / f"{call}", manner)
        before = {data for data in two.shown("local").values() if data}
        two.rename(f"local/{what}", f"local/{what.lower()}")
        two.write(f"remote/{'Dir/Sub/y' if what == 'Dir' else 'Foo.txt'}", b"edited there meanwhile")
        end = two.run(Die(call, "after"))
        if not end.calls.struck:
            assert call > 20
            return
        found = {data for side in SIDES for data in two.shown(side).values() if data} | two.trash()
        assert before <= found | {p.read_bytes() for p in files(two.home / "remote")}, call
        healed = two.run()
        assert healed.exit_code == 0, f"{call}: {healed}"
        assert healed.report is not None and not healed.report.conflicts, f"{call}: {healed}"
        assert two.shown("local") == two.shown("remote"), call
        assert two.shown("local").keys() >= {what.lower()}, f"{call}: {two.shown('local')}"
        assert b"edited there meanwhile" in two.shown("local").values(), call
        assert not any(".sync-conflict-" in name for name in two.shown("local"))
        assert not two.trash() & {b"Sub/z" + BODY, b"Sub/deep/x" + BODY}, call


@pytest.mark.parametrize("manner", [VFAT, CASEFOLD], ids=["vfat", "casefold"])
def test_a_name_on_its_way_to_another_spelling_is_not_deleted(tmp_path: Path, manner: Manner) -> None:
    """Another job that has the root, or `plan`, may look in that moment: nothing is concluded from it."""
    two = Two(tmp_path / "machine", manner)
    aside = two.home / "remote/.syncer-tmp-0123456789abcdef"  # another pair's
    aside.mkdir()
    two.rename("remote/Dir", f"remote/{aside.name}/dir")
    end = two.run()
    assert end.exit_code == 1 and end.report is not None, str(end)
    assert {(p.code, "being renamed" in p.message) for p in end.report.problems} == {("busy", True)}
    assert not [r for r in end.report.actions if loud(r.action)]
    assert "Dir/Sub/y" in two.shown("local")
    two.rename(f"remote/{aside.name}/dir", "remote/dir")
    aside.rmdir()
    two.follows("dir/Sub/y")
