"""`undo`: a run is taken back, the next sync carries that over, and no content is lost on the way."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Machine


def tree(root: Path) -> dict[str, bytes | str]:
    """Everything below a root: content of files, "dir", where a symlink leads to."""
    found: dict[str, bytes | str] = {}
    for path in root.rglob("*"):
        if ".syncer" not in path.parts:
            shown = "dir" if path.is_dir() and not path.is_symlink() else ""
            found[str(path.relative_to(root))] = shown or (
                f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes()
            )
    return found


def kept(machine: Machine) -> set[bytes | str]:
    places = machine.state.glob("pairs/*/*/trash/*")
    return {shown for place in places for shown in tree(place).values()}


def anywhere(machine: Machine) -> set[bytes | str]:
    """What the oracle counts: contents on the sides and in the trashes."""
    return {*tree(machine.local).values(), *tree(machine.remote).values(), *kept(machine)} - {"dir"}


def sync(machine: Machine, *words: str) -> int:
    answer = machine.call("sync", "--json", *words)
    assert answer.code == 0, answer
    return int(answer.job["run"])


def undo(machine: Machine, *words: str) -> Answer:
    return machine.call("undo", "--yes", "--json", *words)


Change = Callable[[Machine, Path], None]


def first(machine: Machine) -> None:
    for name in ("x", "y", "d/a", "d/b", "e/f/g", "z"):
        machine.write("local", name, f"first {name}", 1e9)
    (machine.local / "link").symlink_to("first")
    (machine.local / "empty").mkdir()
    sync(machine)


def new(machine: Machine, side: Path) -> None:
    (side / "n").write_text("new")
    (side / "nd/deep").mkdir(parents=True)
    (side / "nd/deep/m").write_text("new, too")
    (side / "nl").symlink_to("new")


def edited(machine: Machine, side: Path) -> None:
    (side / "x").write_text("second x, longer")
    (side / "d/a").write_text("SECOND D/A")
    (side / "link").unlink()
    (side / "link").symlink_to("second")


def deleted(machine: Machine, side: Path) -> None:
    (side / "x").unlink()
    (side / "link").unlink()
    shutil.rmtree(side / "e")
    (side / "empty").rmdir()


def renamed(machine: Machine, side: Path) -> None:
    (side / "x").rename(side / "d/x2")
    (side / "e").rename(side / "e2")


def file_to_directory(machine: Machine, side: Path) -> None:
    (side / "x").unlink()
    (side / "x").mkdir()
    (side / "x/in").write_text("in x")


def directory_to_file(machine: Machine, side: Path) -> None:
    shutil.rmtree(side / "d")
    (side / "d").write_text("now a file")


def all_at_once(machine: Machine, side: Path) -> None:
    new(machine, side)
    (side / "y").write_text("second y")
    (side / "z").rename(side / "nd/z2")
    (side / "d/b").unlink()
    file_to_directory(machine, side)


CHANGES = [new, edited, deleted, renamed, file_to_directory, directory_to_file, all_at_once]


@pytest.mark.parametrize("side", ["local", "remote"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_run_did_is_taken_back_and_stays_so(machine: Machine, change: Change, side: str) -> None:
    first(machine)
    before = tree(machine.local)
    change(machine, machine.home / side)
    run = sync(machine)
    after = tree(machine.local)
    contents = anywhere(machine)
    other = machine.remote if side == "local" else machine.local
    assert (tree(other), after != before) == (after, True)

    answer = undo(machine)
    assert (answer.code, answer.document["run"]) == (0, run)
    assert tree(other) == before
    assert tree(machine.home / side) == after
    assert anywhere(machine) >= contents

    answer = machine.call("sync", "--json")
    assert (answer.code, answer.job["conflicts"], answer.job["problems"]) == (0, [], [])
    assert (tree(machine.local), tree(machine.remote)) == (before, before)
    assert anywhere(machine) >= contents
    assert machine.call("sync", "--json").job["actions"] == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_carried_an_undo_over_can_be_taken_back_itself(machine: Machine, change: Change) -> None:
    first(machine)
    change(machine, machine.local)
    sync(machine)
    after = tree(machine.local)
    contents = anywhere(machine)
    undo(machine)
    carried = sync(machine)
    answer = undo(machine)
    assert (answer.code, answer.document["run"]) == (0, carried)
    sync(machine)
    assert (tree(machine.local), tree(machine.remote)) == (after, after)
    assert anywhere(machine) >= contents


@pytest.mark.parametrize("change", CHANGES)
def test_an_undo_of_an_undo_loses_nothing_and_says_what_stays(machine: Machine, change: Change) -> None:
    first(machine)
    change(machine, machine.local)
    sync(machine)
    contents = anywhere(machine)
    answer = undo(machine, str(undo(machine).document["undo"]))
    assert answer.code in (0, 1)
    assert anywhere(machine) >= contents
    sync(machine)
    assert anywhere(machine) >= contents
    assert tree(machine.local) == tree(machine.remote)


def test_a_run_taken_back_twice_loses_nothing(machine: Machine) -> None:
    first(machine)
    all_at_once(machine, machine.remote)
    run = sync(machine)
    contents = anywhere(machine)
    undo(machine)
    undone = tree(machine.local)
    assert undo(machine, str(run)).code == 1
    assert tree(machine.local) == undone
    assert anywhere(machine) >= contents
    sync(machine)
    assert anywhere(machine) >= contents


def test_undo_goes_further_back_each_time(machine: Machine) -> None:
    machine.write("local", "x", "1", 1e9)
    sync(machine)
    for text in ("22", "333"):
        machine.write("local", "x", text)
        sync(machine)
    sync(machine)
    for expected in ("22", "1"):
        assert undo(machine).code == 0
        assert (machine.remote / "x").read_text() == expected
    sync(machine)
    assert machine.everything() == {"local/x": b"1", "remote/x": b"1"}
    assert {b"22", b"333"} <= set(machine.kept())


CHANGED = "changed since that run; left as it is"


def failures(answer: Answer) -> dict[str, str]:
    """What was not taken back, and why."""
    return {step["path"]: step["failure"] for step in answer.document["steps"] if step["failure"]}


def looked_and_undone(machine: Machine, *words: str) -> dict[str, str]:
    """What a dry run says is what happens; the answer is what was left, and why."""
    before = (tree(machine.local), tree(machine.remote), kept(machine))
    foreseen = machine.call("undo", "--dry-run", "--json", *words)
    assert (tree(machine.local), tree(machine.remote), kept(machine)) == before
    done = undo(machine, *words)
    assert (done.code, failures(done)) == (foreseen.code, failures(foreseen))
    assert done.code == (1 if failures(done) else 0)
    return failures(done)


@pytest.mark.parametrize("side", ["local", "remote"])
def test_a_file_edited_after_the_run_that_overwrote_it_was_put_back_over_the_edit(
    machine: Machine, side: str
) -> None:
    first(machine)
    other = "remote" if side == "local" else "local"
    machine.write(other, "x", "second")
    machine.write(other, "y", "second")
    sync(machine)
    machine.write(side, "x", "an hour of work")
    assert looked_and_undone(machine) == {"x": CHANGED}
    assert (machine.home / side / "x").read_text() == "an hour of work"
    assert (machine.home / side / "y").read_text() == "first y"
    assert machine.call("sync").code == 0
    assert tree(machine.local) == tree(machine.remote)


def test_a_name_made_anew_after_the_run_that_deleted_it_was_overwritten_by_the_undo(machine: Machine) -> None:
    first(machine)
    (machine.remote / "x").unlink()
    (machine.remote / "link").unlink()
    (machine.remote / "y").unlink()
    (machine.remote / "empty").rmdir()
    sync(machine)
    machine.write("local", "x", "made anew")
    machine.write("local", "empty", "a file made anew")
    (machine.local / "link").symlink_to("anew")
    assert looked_and_undone(machine) == dict.fromkeys(("x", "link", "empty"), CHANGED)
    assert (machine.local / "x").read_text() == "made anew"
    assert os.readlink(machine.local / "link") == "anew"
    assert (machine.local / "y").read_text() == "first y"


def test_what_a_later_run_replaced_was_lost_to_the_undo_of_an_earlier_one(machine: Machine) -> None:
    first(machine)
    machine.write("local", "x", "second")
    machine.write("local", "y", "second")
    run = sync(machine)
    machine.write("local", "x", "third!")
    machine.write("local", "n", "new")
    (machine.local / "y").unlink()
    sync(machine)
    assert looked_and_undone(machine, str(run)) == {"x": CHANGED, "y": CHANGED}
    assert (machine.remote / "x").read_bytes() == b"third!"
    assert not (machine.remote / "y").exists()
    assert (machine.remote / "n").exists()


def test_a_renamed_file_that_was_edited_or_replaced_since_got_its_old_name_back(machine: Machine) -> None:
    first(machine)
    for name in ("x", "y", "z"):
        (machine.local / name).rename(machine.local / f"new {name}")
    (machine.local / "d").rename(machine.local / "d2")
    sync(machine)
    machine.write("remote", "new x", "edited after the rename")
    machine.write("remote", "y", "made anew at the old name")
    machine.write("remote", "d2/in it", "edited in a renamed directory")
    assert looked_and_undone(machine) == {"new x": CHANGED, "new y": CHANGED}
    assert (machine.remote / "new x").read_text() == "edited after the rename"
    assert (machine.remote / "new y").read_text() == "first y"
    assert (machine.remote / "y").read_text() == "made anew at the old name"
    assert (machine.remote / "z").read_text() == "first z"
    assert (machine.remote / "d/in it").read_text() == "edited in a renamed directory"


def test_a_dry_run_said_that_a_directory_in_use_since_would_go(machine: Machine) -> None:
    first(machine)
    (machine.local / "made/below").mkdir(parents=True)
    (machine.local / "other").mkdir()
    sync(machine)
    machine.write("remote", "made/below/mine", "put there since")
    assert looked_and_undone(machine) == {"made": CHANGED, "made/below": CHANGED}
    assert (machine.remote / "made/below/mine").exists()
    assert not (machine.remote / "other").exists()


def test_a_later_run_that_was_taken_back_itself_stood_in_the_way_of_an_undo(machine: Machine) -> None:
    for number, text in enumerate(("1", "22", "333")):
        machine.write("local", "x", text)
        machine.write("local", "n2" if number == 1 else f"other {number}", "new")
        sync(machine)
    assert looked_and_undone(machine, "3") == {}
    sync(machine)
    assert (machine.local / "x").read_text() == "22"
    assert looked_and_undone(machine, "2") == {}
    sync(machine)
    assert (machine.local / "x").read_text() == "1" == (machine.remote / "x").read_text()
    assert not (machine.remote / "n2").exists()


def test_what_a_run_brought_and_one_that_was_taken_back_edited_is_taken_back(machine: Machine) -> None:
    machine.write("local", "first", "1")
    sync(machine)
    for text in ("new", "edited"):
        machine.write("local", "x", text)
        sync(machine)
    assert looked_and_undone(machine, "3") == {}
    assert (machine.remote / "x").read_text() == "new"
    assert looked_and_undone(machine, "2") == {}
    assert not (machine.remote / "x").exists()


def test_a_history_of_an_older_version_knows_no_digests_and_the_base_has_to_do(machine: Machine) -> None:
    first(machine)
    edited(machine, machine.local)
    machine.write("local", "n", "new")
    (machine.local / "y").rename(machine.local / "y2")
    sync(machine)
    machine.write("remote", "d/a", "edited since")
    [database] = machine.state.glob("pairs/*/state.db")
    with sqlite3.connect(database) as raw:
        raw.execute("UPDATE history SET digest = NULL")
    raw.close()
    assert looked_and_undone(machine) == {"d/a": CHANGED}
    assert (machine.remote / "x").read_text() == "first x"
    assert (machine.remote / "y").read_text() == "first y"
    assert os.readlink(machine.remote / "link") == "first"
    assert not (machine.remote / "n").exists()


def test_what_was_brought_and_edited_since_stays(machine: Machine) -> None:
    machine.write("local", "a", "brought")
    machine.write("local", "b", "brought")
    machine.write("local", "c", "brought")
    machine.write("local", "e", "brought")
    run = sync(machine)
    machine.write("remote", "a", "edited!")
    machine.write("local", "b", "by sync")
    later = machine.call("sync", "--json")
    assert later.code == 0
    machine.write("remote", "e", "EDITED!")
    answer = undo(machine, str(run))
    assert answer.code == 1
    assert {s["path"]: s["failure"] != "" for s in answer.document["steps"]} == {
        "a": True,
        "b": True,
        "c": False,
        "e": True,
    }
    assert tree(machine.remote) == {"a": b"edited!", "b": b"by sync", "e": b"EDITED!"}
    machine.write("remote", "c", "brought again, by hand")
    assert undo(machine, str(run)).code == 1
    assert (machine.remote / "c").exists()


def test_an_edit_on_the_other_side_meanwhile_is_kept(machine: Machine) -> None:
    first(machine)
    edited(machine, machine.local)
    machine.write("local", "n", "new")
    sync(machine)
    undo(machine)
    machine.write("local", "x", "third, here")
    machine.write("local", "n", "new, edited")
    answer = machine.call("sync", "--json")
    assert len(answer.job["conflicts"]) == 1
    assert {b"third, here", b"first x", b"second x, longer", b"new, edited"} <= anywhere(machine)
    assert (machine.remote / "n").read_bytes() == b"new, edited"


def test_keeping_both_took_nothing_away(machine: Machine) -> None:
    machine.write("local", "x", "mine", 1e9)
    machine.write("remote", "x", "yours!", 1.1e9)
    machine.write("local", "y", "new")
    sync(machine)
    answer = undo(machine)
    assert answer.code == 0
    assert "both contents" in answer.document["notes"][0]
    assert [s["path"] for s in answer.document["steps"]] == ["y"]
    assert {b"mine", b"yours!"} <= set(tree(machine.remote).values())


def test_a_conflict_that_a_side_won_is_taken_back(machine: Machine) -> None:
    machine.configure(machine.job('conflict = "local"'))
    machine.write("local", "x", "mine", 1e9)
    machine.write("remote", "x", "yours!", 1.1e9)
    sync(machine)
    assert undo(machine).code == 0
    sync(machine)
    assert machine.everything() == {"local/x": b"yours!", "remote/x": b"yours!"}
    assert b"mine" in machine.kept()


def test_what_the_trash_does_not_hold_any_more_stays_and_is_named(machine: Machine) -> None:
    first(machine)
    edited(machine, machine.local)
    (machine.local / "y").unlink()
    machine.write("local", "n", "new")
    sync(machine)
    machine.call("trash", "empty", "--yes")
    after = tree(machine.remote)
    answer = undo(machine)
    assert answer.code == 1
    failed = {s["path"] for s in answer.document["steps"] if "trash" in s["failure"]}
    assert failed == {"x", "d/a", "link", "y"}
    del after["n"]
    assert tree(machine.remote) == after


def test_mere_times_and_modes_are_not_taken_back(machine: Machine) -> None:
    first(machine)
    (machine.local / "x").chmod(0o755)
    run = sync(machine)
    answer = undo(machine, str(run))
    assert (answer.code, answer.document["steps"]) == (0, [])
    assert (machine.remote / "x").exists()


def test_a_look_changes_nothing(machine: Machine) -> None:
    first(machine)
    all_at_once(machine, machine.local)
    run = sync(machine)
    before = (tree(machine.local), tree(machine.remote), kept(machine))
    answer = machine.call("undo", "--dry-run", "--json")
    assert (answer.code, answer.document["run"], answer.document["undo"]) == (0, run, 0)
    assert [s for s in answer.document["steps"] if s["failure"]] == []
    assert (tree(machine.local), tree(machine.remote), kept(machine)) == before
    shown = machine.call("undo", "--dry-run").out
    assert "put back there" in shown
    assert "the next sync carries this" in shown
    assert sync(machine) == run + 1, "no run was begun"


def test_a_look_foresees_what_cannot_be_done(machine: Machine) -> None:
    first(machine)
    edited(machine, machine.local)
    renamed(machine, machine.local)
    machine.write("local", "n", "new")
    sync(machine)
    machine.write("remote", "n", "n e w")
    (machine.remote / "link").unlink()
    (machine.remote / "link").mkdir()
    foreseen = {s["path"] for s in machine.call("undo", "-n", "--json").document["steps"] if s["failure"]}
    answer = undo(machine)
    assert {s["path"] for s in answer.document["steps"] if s["failure"]} == foreseen == {"n", "link"}


def test_nobody_is_asked_where_nobody_is(machine: Machine) -> None:
    first(machine)
    before = tree(machine.remote)
    answer = machine.call("undo")
    assert (answer.code, "--yes" in answer.err) == (2, True)
    assert tree(machine.remote) == before


def test_a_job_that_never_ran_or_did_nothing_says_so(machine: Machine) -> None:
    assert "never ran" in undo(machine).err
    sync(machine)
    answer = undo(machine)
    assert (answer.code, "no run did anything" in answer.err) == (2, True)
    answer = undo(machine, "77")
    assert (answer.code, "no run 77" in answer.err) == (2, True)


def test_one_way_jobs_are_refused(machine: Machine) -> None:
    machine.configure(machine.job('mode = "push"'))
    machine.write("local", "x", "1")
    sync(machine)
    answer = undo(machine)
    assert (answer.code, "push job" in answer.err) == (2, True)
    assert (machine.remote / "x").exists()


def test_another_root_than_the_memorys_is_refused(machine: Machine) -> None:
    first(machine)
    away = machine.remote.rename(machine.home / "away")
    machine.remote.mkdir()
    for words in (("--yes",), ("--dry-run",)):
        assert machine.call("undo", *words).code == 4
    assert tree(machine.remote) == {}
    assert away.exists()


def test_an_undo_is_in_the_history_and_is_no_success(machine: Machine) -> None:
    first(machine)
    machine.write("local", "x", "second")
    run = sync(machine)
    success = machine.call("status", "--json").job["last_success"]
    undo(machine)
    status = machine.call("status", "--json").job
    assert status["last_success"] == success
    assert status["last_run"]["trigger"] == f"undo {run}"
    assert "undone" in machine.call("history").out
    [row] = machine.call("history", "--run", str(run + 1), "--json").job["actions"]
    assert (row["action"], row["path"], row["reason"]) == ("upload", "x", "undo")


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    """Files of these tests are made by this process: its umask must be an ordinary one."""
    before = os.umask(0o022)
    yield
    os.umask(before)
