"""Taking a run back, stopped between any two steps; and what the inverse of an action is."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from syncer import jobs
from syncer.config import JobSettings, Location, Settings
from syncer.engine.model import Action, Outcome, Side
from syncer.errors import Interrupted
from syncer.jobs import Environment, RunOptions, undo
from syncer.jobs.recording import FOLDER
from syncer.jobs.undo_steps import CHANGED, Past, What, row_of, steps
from syncer.state import HistoryEntry
from syncer.stores.local.trash import Kept


class Stopper:
    """A reporter that stops the work at its `left`th look round."""

    def __init__(self, left: int = 1 << 30) -> None:
        self.left = left

    def scanning(self, directories: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Interrupted(15)

    def transferring(self, files: int, size: int) -> None: ...

    def finished(self, action: Action, outcome: Outcome) -> None: ...

    def moved(self, side: Side, size: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Two folders, and one run that changed something of every kind on the remote side."""

    home: Path

    @property
    def job(self) -> JobSettings:
        remote = Location(account="local", path=str(self.home / "remote"))
        return JobSettings(name="docs", local=self.home / "local", remote=remote, settle=0)

    def world(self, reporter: Stopper | None = None) -> Environment:
        settings = Settings(path=None, state_dir=self.home / "state", accounts={}, jobs={"docs": self.job})
        return Environment(settings=settings, reporter=reporter or Stopper())

    def sync(self) -> int:
        result = jobs.sync(self.world(), self.job, RunOptions())
        assert result.exit_code == 0, result
        return result.run

    def tree(self, side: str) -> dict[str, bytes]:
        root = self.home / side
        found = [p for p in root.rglob("*") if ".syncer" not in p.parts]
        return {str(p.relative_to(root)): b"dir" if p.is_dir() else p.read_bytes() for p in found}

    def contents(self) -> set[bytes]:
        """On the sides and in the trashes."""
        trashes = self.home.glob("state/pairs/*/*/trash/**/*")
        kept = {p.read_bytes() for p in trashes if p.is_file()}
        return {*self.tree("local").values(), *self.tree("remote").values(), *kept} - {b"dir"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def changed(desk: Desk) -> tuple[int, dict[str, bytes]]:
    """A run to take back, and what stood there before it."""
    local = desk.home / "local"
    for name in ("edit", "gone", "old", "d/a", "kind", "tree/x", "tree/y/z"):
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_text(f"first {name}")
    desk.sync()
    before = desk.tree("remote")
    (local / "edit").write_text("second edit")
    (local / "gone").unlink()
    (local / "old").rename(local / "moved")
    shutil.rmtree(local / "d")
    (local / "d").write_text("a file now")
    (local / "kind").unlink()
    (local / "kind/new").mkdir(parents=True)
    (local / "kind/new/n").write_text("new")
    shutil.rmtree(local / "tree")
    return desk.sync(), before


@pytest.mark.parametrize("at", range(10))
def test_an_undo_stopped_between_two_steps_loses_nothing_and_can_be_asked_for_again(
    desk: Desk, at: int
) -> None:
    run, before = changed(desk)
    contents = desk.contents()
    with pytest.raises(Interrupted):
        undo.undo(desk.world(Stopper(at)), desk.job, None)
    assert desk.contents() >= contents
    with jobs.view(desk.world().settings, desk.job) as state:
        last = state.ledger.runs(1)[0]
        assert (last.trigger, last.result, last.exit_code) == (f"undo {run}", "error", 143)
    done = undo.undo(desk.world(), desk.job, None)
    assert done.run.id == run, "a broken-off undo does not count as done"
    assert desk.tree("remote") == before
    assert desk.contents() >= contents
    desk.sync()
    assert desk.tree("local") == desk.tree("remote") == before
    assert desk.contents() >= contents


@pytest.mark.parametrize("at", range(0, 10, 3))
def test_a_sync_after_a_broken_off_undo_loses_nothing(desk: Desk, at: int) -> None:
    changed(desk)
    contents = desk.contents()
    with pytest.raises(Interrupted):
        undo.undo(desk.world(Stopper(at)), desk.job, None)
    desk.sync()
    assert desk.contents() >= contents
    assert desk.tree("local") == desk.tree("remote")


def test_an_undo_has_as_many_steps_as_the_tests_above_stop_at(desk: Desk) -> None:
    changed(desk)
    stopper = Stopper(1000)
    undo.undo(desk.world(stopper), desk.job, None)
    assert 1000 - stopper.left == 10


def test_the_directories_of_an_undo_are_looked_at_by_the_next_run_whatever_they_show(desk: Desk) -> None:
    changed(desk)
    desk.sync()
    with pytest.raises(Interrupted):
        undo.undo(desk.world(Stopper(0)), desk.job, None)
    with jobs.view(desk.world().settings, desk.job) as state:
        void = {path for path, local, remote in state.memory.directories() if not (local and remote)}
    assert {"", "kind", "kind/new"} <= void


def test_things_of_an_earlier_life_of_the_numbers_are_not_put_back(desk: Desk) -> None:
    """A lost database begins anew at run 1, and the trash still has the old run 1."""
    run, _ = changed(desk)
    [batch] = desk.home.glob(f"state/pairs/*/remote/trash/*-{run}")
    batch.rename(batch.with_name(f"20200101-000000-{run}"))
    done = undo.undo(desk.world(), desk.job, run)
    assert {t.step.path for t in done.steps if "trash" in t.failure} >= {"edit", "gone"}
    assert (desk.home / "remote/edit").read_text() == "second edit"


def test_a_file_keeps_its_mode(desk: Desk) -> None:
    (desk.home / "local").mkdir()
    (desk.home / "local/x").write_text("first")
    desk.sync()
    os.chmod(desk.home / "remote/x", 0o600)
    (desk.home / "local/x").write_text("second")
    desk.sync()
    undo.undo(desk.world(), desk.job, None)
    assert (desk.home / "remote/x").stat().st_mode & 0o777 == 0o600


# The pure half


ROW = HistoryEntry(action="upload", path="d/x", reason="local-changed", result="done", size=3)
KEPT = Kept("20261121-104700-7", "d/x")
BOTH = frozenset(Side)


def past(*rows: HistoryEntry, kept: bool = False, folders: frozenset[Side] = BOTH, later: str = "") -> Past:
    there = {(Side.REMOTE, "d/x"): KEPT} if kept else {}
    return Past(rows=rows, kept=there, folders=folders, later=frozenset([later] if later else []))


def test_what_was_overwritten_is_put_back_or_named() -> None:
    [step] = steps(past(ROW, kept=True))
    assert (step.what, step.side, step.kept, step.obstacle) == (What.PUT_BACK, Side.REMOTE, KEPT, "")
    [step] = steps(past(ROW))
    assert step.what is What.PUT_BACK
    assert "not in the trash" in step.obstacle


@pytest.mark.parametrize("reason", ["local-new", "remote-new", "edit-beats-delete"])
def test_what_was_new_is_removed_unless_a_later_run_touched_it(reason: str) -> None:
    row = replace(ROW, reason=reason)
    [step] = steps(past(row))
    assert (step.what, step.obstacle) == (What.REMOVE, "")
    [step] = steps(past(row, later="d/x"))
    assert (step.what, step.obstacle) == (What.REMOVE, CHANGED)


def test_nothing_is_tried_at_a_service() -> None:
    rows = [replace(ROW, action=name, other="o") for name in ("upload", "delete-remote", "move-remote")]
    found = list(steps(past(*rows, kept=True, folders=frozenset({Side.LOCAL}))))
    assert len(found) == 3
    assert all("at a service" in step.obstacle for step in found)
    [step] = steps(
        past(replace(ROW, action="download", reason="remote-new"), folders=frozenset({Side.LOCAL}))
    )
    assert step.obstacle == ""


def test_what_was_not_done_is_not_taken_back() -> None:
    assert list(steps(past(replace(ROW, result="failed"), kept=True))) == []


def test_an_older_history_tells_a_directory_only_by_what_was_in_it() -> None:
    gone = replace(ROW, action="delete-remote", reason="local-deleted", size=0)
    [step] = steps(past(gone))
    assert step.obstacle != ""
    [step] = steps(past(replace(gone, message=FOLDER)))
    assert (step.what, step.obstacle) == (What.MAKE, "")
    first, _ = steps(past(replace(gone, path="d/x/y"), gone))
    assert (first.what, first.path) == (What.MAKE, "d/x")


def test_the_history_of_an_undo_is_in_the_words_of_a_run() -> None:
    rows = [
        replace(ROW, action="mkdir-local", path="m"),
        replace(ROW, action="move-local", path="to", other="from"),
        replace(ROW, action="delete-remote", message=FOLDER, path="f"),
        replace(ROW, reason="local-new", path="n"),
    ]
    told = [row_of(step, replaced=False) for step in steps(past(*rows))]
    assert [(row.action, row.path, row.other) for row in told] == [
        ("delete-remote", "n", ""),
        ("mkdir-remote", "f", ""),
        ("move-local", "from", "to"),
        ("delete-local", "m", ""),
    ]
