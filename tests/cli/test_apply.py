"""`plan -o FILE`, an editor, `apply FILE`: what stays in the file is done, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, Machine

Edit = Callable[[dict[str, Any]], object]


def plan(machine: Machine, *words: str) -> Path:
    file = machine.home / "plan.json"
    assert machine.call("plan", "-o", str(file), *words).code == 0
    return file


def edit(file: Path, change: Edit) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")


def without(*paths: str) -> Edit:
    def change(document: dict[str, Any]) -> None:
        for job in document["jobs"]:
            job["actions"] = [a for a in job["actions"] if a["path"] not in paths]

    return change


def apply(machine: Machine, file: Path, *words: str) -> Answer:
    return machine.call("apply", str(file), "--json", *words)


def done(answer: Answer) -> list[tuple[str, str]]:
    return [(a["action"], a["path"]) for a in answer.job["actions"] if a["result"] == "done"]


def codes(answer: Answer) -> set[tuple[str, str]]:
    return {(p["path"], p["code"]) for p in answer.job["problems"]}


def settled(machine: Machine) -> None:
    """One run more brings both sides in step, and another finds nothing to do."""
    assert machine.call("sync").code == 0
    assert machine.call("sync", "--json").job["actions"] == []
    sides = (machine.local, machine.remote)
    shown = [sorted(str(p.relative_to(s)) for p in s.rglob("*") if ".syncer" not in p.parts) for s in sides]
    assert shown[0] == shown[1]


def changes_of_every_kind(machine: Machine) -> None:
    """One change for each action: new, edited, deleted, renamed, on both sides, and a conflict."""
    for name in ("edit", "gone", "old", "both", "d/in", "d/also", "e/x"):
        machine.write("local", name, f"first content of {name}", 1e9)
    machine.call("sync")
    machine.write("local", "edit", "edited here", 1.1e9)
    machine.write("remote", "d/in", "edited there", 1.1e9)
    (machine.local / "gone").unlink()
    (machine.local / "old").rename(machine.local / "moved")
    machine.write("local", "new/a", "new here")
    machine.write("remote", "there/b", "new there")
    machine.write("local", "both", "mine", 1.1e9)
    machine.write("remote", "both", "yours!", 1.2e9)
    (machine.remote / "e/x").unlink()
    (machine.remote / "e").rmdir()
    machine.write("local", "same", "same", 1e9)
    machine.write("remote", "same", "same", 1e9)


def test_an_untouched_plan_is_what_sync_would_do(machine: Machine) -> None:
    changes_of_every_kind(machine)
    file = plan(machine)
    planned = json.loads(file.read_text())["jobs"][0]["actions"]
    answer = apply(machine, file)
    assert answer.code == 0
    assert sorted(done(answer)) == sorted((a["action"], a["path"]) for a in planned)
    assert machine.call("sync", "--json").job["actions"] == []


def test_what_is_removed_from_a_plan_waits_for_the_next_sync(machine: Machine) -> None:
    machine.write("local", "a", "1")
    machine.write("local", "d/b", "2")
    machine.write("local", "d/c", "3")
    file = plan(machine)
    edit(file, without("a", "d/c"))
    answer = apply(machine, file)
    assert answer.code == 0
    assert done(answer) == [("mkdir-remote", "d"), ("upload", "d/b")]
    assert answer.job["result"] == "applied"
    assert machine.call("status", "--json").job["last_success"] is None, "the sides are not in step"
    assert machine.everything().keys() == {"local/a", "local/d/b", "local/d/c", "remote/d/b"}
    answer = machine.call("sync", "--json")
    assert (answer.code, {a["path"] for a in answer.job["actions"]}) == (0, {"a", "d/c"})
    settled(machine)


def test_a_plan_can_be_carried_out_one_action_at_a_time(machine: Machine) -> None:
    changes_of_every_kind(machine)
    planned = json.loads(plan(machine).read_text())["jobs"][0]["actions"]
    for one in planned:
        file = plan(machine)
        edit(file, lambda d, one=one: keep(d, one))  # type: ignore[misc]
        answer = apply(machine, file)
        assert (answer.code, done(answer)) == (0, [(one["action"], one["path"])])
    assert machine.call("sync", "--json").job["actions"] == []


def keep(document: dict[str, Any], one: dict[str, Any]) -> None:
    (job,) = document["jobs"]
    job["actions"] = [a for a in job["actions"] if (a["action"], a["path"]) == (one["action"], one["path"])]
    assert job["actions"]


@pytest.mark.parametrize("number", range(12))
def test_any_action_can_be_left_out_and_is_then_done_by_the_next_sync(machine: Machine, number: int) -> None:
    changes_of_every_kind(machine)
    file = plan(machine)
    actions = json.loads(file.read_text())["jobs"][0]["actions"]
    assert len(actions) == 12
    one = actions.pop(number)
    edit(file, lambda document: document["jobs"][0].update(actions=actions))
    answer = apply(machine, file)
    assert (one["action"], one["path"]) not in done(answer)
    makes_room = one["action"].startswith("mkdir-")
    stands_on_it = {a["path"] for a in actions if makes_room and a["path"].startswith(one["path"] + "/")}
    assert {path for path, code in codes(answer) if code == "left-out"} <= stands_on_it | {"e"}
    assert answer.code == (3 if stands_on_it else 0)
    settled(machine)
    assert {*machine.everything().values(), *machine.kept()} >= {
        b"edited here",
        b"edited there",
        b"new here",
        b"new there",
        b"mine",
        b"yours!",
        b"first content of gone",
        b"first content of old",
        b"first content of e/x",
    }


def test_a_deletion_left_out_stays_undone_until_the_next_sync(machine: Machine) -> None:
    for name in ("d/a", "d/b", "d/c", "z"):
        machine.write("local", name, name)
    machine.call("sync")
    for name in ("d/a", "d/b", "d/c"):
        (machine.local / name).unlink()
    (machine.local / "d").rmdir()
    file = plan(machine)
    edit(file, without("d/b"))
    answer = apply(machine, file)
    assert answer.code == 0
    assert machine.everything().keys() == {"remote/d/b", "local/z", "remote/z"}
    assert codes(answer) == {("d", "left-out")}
    settled(machine)
    assert not (machine.remote / "d").exists()


def test_a_file_edited_since_is_not_carried_out(machine: Machine) -> None:
    machine.write("local", "x", "first", 1e9)
    machine.write("local", "y", "first", 1e9)
    machine.call("sync")
    machine.write("local", "x", "second", 1.1e9)
    (machine.local / "y").unlink()
    file = plan(machine)
    machine.write("local", "x", "third!", 1.1e9)
    machine.write("remote", "y", "edited there", 1.1e9)
    answer = apply(machine, file)
    assert answer.code == 3
    assert done(answer) == []
    assert codes(answer) == {("x", "stale"), ("y", "stale")}
    assert machine.everything() == {
        "local/x": b"third!",
        "remote/x": b"first",
        "remote/y": b"edited there",
    }
    settled(machine)


def test_a_plan_that_was_carried_out_already_does_nothing_more(machine: Machine) -> None:
    machine.write("local", "x", "1")
    file = plan(machine)
    assert apply(machine, file).code == 0
    answer = apply(machine, file)
    assert (answer.code, codes(answer)) == (3, {("x", "stale")})


def test_new_changes_are_not_in_the_plan_and_are_left_alone(machine: Machine) -> None:
    machine.write("local", "x", "1")
    file = plan(machine)
    machine.write("local", "y", "2")
    answer = apply(machine, file)
    assert (answer.code, done(answer)) == (0, [("upload", "x")])
    settled(machine)


def test_a_file_without_its_directory_is_not_put_anywhere(machine: Machine) -> None:
    machine.write("local", "d/e/x", "1")
    file = plan(machine)
    edit(file, without("d"))
    answer = apply(machine, file)
    assert answer.code == 3
    assert codes(answer) == {("d/e", "left-out"), ("d/e/x", "left-out")}
    assert not (machine.remote / "d").exists()
    settled(machine)


def test_a_plan_without_actions_does_nothing_at_all(machine: Machine) -> None:
    machine.write("local", "x", "1")
    file = plan(machine)
    edit(file, without("x"))
    assert apply(machine, file).code == 0
    assert not machine.remote.exists()


def test_the_guard_speaks_again_when_a_plan_is_applied(machine: Machine) -> None:
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        machine.write("local", name, name)
    machine.call("sync")
    for name in names[:15]:
        (machine.local / name).unlink()
    file = plan(machine, "--yes")
    answer = apply(machine, file)
    assert answer.code == 4
    assert len(list(machine.remote.glob("[0-9]*"))) == 20
    edit(file, without(*names[:12]))
    assert apply(machine, file).code == 0, "three deletions are not many"
    assert len(list(machine.remote.glob("[0-9]*"))) == 17
    answer = apply(machine, plan(machine, "--yes"), "--yes")
    assert answer.code == 0
    settled(machine)


def test_a_choice_that_was_left_out_is_not_forgotten(machine: Machine) -> None:
    machine.configure(machine.job('conflict = "ask"'))
    machine.write("local", "x", "base", 1e9)
    machine.call("sync")
    machine.write("local", "x", "mine", 1.1e9)
    machine.write("remote", "x", "yours!", 1.2e9)
    assert machine.call("sync").code == 1
    machine.call("conflicts", "resolve", "x", "--take", "local")
    machine.write("local", "y", "new")
    answer = apply(machine, plan(machine))
    assert done(answer) == [("upload", "y")]
    assert machine.call("conflicts", "--json").document["conflicts"][0]["chosen"] == "local"
    assert machine.call("sync").code == 0
    assert machine.everything()["remote/x"] == b"mine"


def test_a_pair_without_a_config_is_found_again(machine: Machine) -> None:
    machine.write("local", "x", "1")
    machine.write("local", "y.tmp", "2")
    file = plan(machine, str(machine.local), str(machine.remote), "--ignore", "*.tmp")
    machine.config.unlink()
    answer = apply(machine, file)
    assert (answer.code, done(answer)) == (0, [("upload", "x")])
    assert answer.job["job"] == f"{machine.local} <-> {machine.remote}"
    assert machine.everything().keys() == {"local/x", "local/y.tmp", "remote/x"}


def test_names_that_are_no_text_come_through_the_file(machine: Machine) -> None:
    name = os.fsdecode(b"caf\xe9\n")
    machine.write("local", name, "1")
    answer = apply(machine, plan(machine))
    assert (answer.code, done(answer)) == (0, [("upload", name)])


def test_a_plan_made_with_full_is_applied_so(machine: Machine) -> None:
    file = machine.write("local", "x", "1", 1e9)
    machine.call("sync")
    saved = plan(machine, "--full")
    assert json.loads(saved.read_text())["jobs"][0]["planned"]["full"] is True
    assert file.exists()


def altered(document: dict[str, Any]) -> None:
    document["jobs"][0]["actions"][0]["path"] = "y"


def added(document: dict[str, Any]) -> None:
    document["jobs"][0]["actions"].append({"action": "delete-local", "path": "x"})


def turned(document: dict[str, Any]) -> None:
    document["jobs"][0]["actions"][0]["action"] = "delete-local"


def twice(document: dict[str, Any]) -> None:
    document["jobs"] *= 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (altered, "upload y: was altered"),
        (added, "delete-local x: was added"),
        (turned, "delete-local x: was altered"),
        (twice, "is in it twice"),
        (lambda d: d.update(schema=2), "newer Syncer"),
        (lambda d: d.pop("schema"), "no schema"),
        (lambda d: d.update(jobs={}), "must be a list"),
        (lambda d: d.update(jobs=[]), "holds no job"),
        (lambda d: d["jobs"][0].pop("planned"), "does not say which job"),
        (lambda d: d["jobs"][0]["planned"].update(pair="0" * 16), "other roots"),
        (lambda d: d["jobs"][0]["planned"].update(mode="sideways"), "nothing we know"),
        (lambda d: d["jobs"][0]["planned"].pop("ignore"), "too little"),
        (lambda d: d["jobs"][0].update(job="nobody"), "nobody"),
        (lambda d: d["jobs"][0].update(result="refused"), "could not be planned"),
        (lambda d: d["jobs"][0].update(actions=[1]), "must be an object"),
        (lambda d: d["jobs"][0].update(actions=[{"action": 1}]), "has no action"),
        (lambda d: d["jobs"][0].update(actions=None), "must be a list"),
    ],
)
def test_what_no_plan_has_made_is_refused_before_anything_is_done(
    machine: Machine, change: Edit, told: str
) -> None:
    machine.write("local", "x", "1")
    machine.write("local", "z", "2")
    file = plan(machine)
    edit(file, change)
    answer = machine.call("apply", str(file))
    assert answer.code == 2
    assert told in answer.err
    assert "hint: " in answer.err or told == "nobody"
    assert not machine.remote.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"not json", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"schema": 1, "jobs": [,]}', "line 1"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[" * 200_000, "is not a plan"),
        (b'{"schema": ' + b"1" * 5000 + b"}", "is not a plan"),
        (b"[]", "is not a plan"),
        (b"", "is not JSON"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(machine: Machine, text: bytes, told: str) -> None:
    file = machine.home / "plan.json"
    file.write_bytes(text)
    answer = machine.call("apply", str(file))
    assert answer.code == 2
    assert told in answer.err
    assert str(file) in answer.err


def test_what_is_no_file_is_refused_without_waiting_for_it(machine: Machine) -> None:
    assert "no such file" in machine.call("apply", "nowhere").err
    os.mkfifo(machine.home / "fifo")
    for place in ("fifo", "local"):
        answer = machine.call("apply", place)
        assert answer.code == 2
    with (machine.home / "huge").open("wb") as file:
        file.truncate((512 << 20) + 1)
    answer = machine.call("apply", "huge")
    assert (answer.code, "too large" in answer.err) == (2, True)


def test_a_job_pointed_elsewhere_since_is_refused(machine: Machine) -> None:
    machine.write("local", "x", "1")
    file = plan(machine)
    elsewhere = machine.home / "elsewhere"
    machine.configure(machine.job().replace(str(machine.remote), str(elsewhere)))
    answer = machine.call("apply", str(file))
    assert answer.code == 2
    assert "other roots" in answer.err
    assert not elsewhere.exists()


def test_a_conflict_that_was_left_out_is_not_told_as_settled(machine: Machine) -> None:
    machine.write("local", "x", "mine", 1e9)
    machine.write("remote", "x", "yours!", 1.1e9)
    machine.write("local", "y", "1")
    file = plan(machine)
    edit(file, without("x"))
    answer = apply(machine, file)
    assert (answer.code, answer.job["conflicts"]) == (0, [])
    assert machine.call("conflicts", "--json").document["conflicts"] == []
    assert machine.everything() == {
        "local/x": b"mine",
        "remote/x": b"yours!",
        "local/y": b"1",
        "remote/y": b"1",
    }
