"""The documents of `sync` and `plan` against the contract with users, in a story that has every action.

And the promise that binds the two: `plan` says what `sync` then does, name by name.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.world import World, call

ACTIONS = {
    "upload", "download", "delete-local", "delete-remote", "move-local", "move-remote",
    "mkdir-local", "mkdir-remote", "keep-both", "adopt", "forget",
}  # fmt: skip
METHODS = {"delta", "segments", "whole", "copy", "none"}
TOTALS = {"uploaded", "downloaded", "deleted", "moved", "bytes_sent", "bytes_received"}
JOB = {"job": str, "run": int, "result": str, "exit": int, "actions": list, "conflicts": list,
       "problems": list, "totals": dict}  # fmt: skip
ACTION = {"action": str, "path": str, "reason": str, "size": int, "sent": int, "received": int,
          "method": str, "result": str}  # fmt: skip
PROBLEM = {"path": str, "side": str, "code": str, "message": str}


def has(document: dict[str, Any], shape: dict[str, type]) -> None:
    wrong = {key: document.get(key) for key, kind in shape.items() if type(document.get(key)) is not kind}
    assert not wrong, f"{wrong} in {document}"


def holds_the_contract(document: dict[str, Any]) -> dict[str, Any]:
    """The only job of the document, after everything in it was looked at."""
    assert document["schema"] == 1
    (job,) = document["jobs"]
    has(job, JOB)
    for action in job["actions"]:
        has(action, ACTION)
        assert action["action"] in ACTIONS
        assert action["method"] in METHODS
    for problem in job["problems"]:
        has(problem, PROBLEM)
        assert problem["side"] in ("local", "remote", "")
    assert job["totals"].keys() >= TOTALS
    assert all(type(number) is int and number >= 0 for number in job["totals"].values())
    return dict(job)


@pytest.fixture
def eventful(world: World) -> World:
    """Something of everything is pending."""
    world.fill("local", 20, "settled")
    for name in ("gone-here", "gone-there", "moved-here", "moved-there", "edited", "both", "gone"):
        world.write(f"local/{name}", f"first content of {name}")
    world.write("local/d/inside", "in a directory that goes")
    world.settle()
    world.path("local/gone-here").unlink()
    world.path("remote/gone-there").unlink()
    world.path("local/moved-here").rename(world.path("local/moved-to"))
    world.path("remote/moved-there").rename(world.path("remote/settled/moved-to"))
    world.write("local/edited", "edited here")
    world.write("remote/new", "new there")
    world.write("remote/both", "edited there, the older")
    world.write("local/both", "edited here, the newer")
    world.write("local/equal", "the same")
    world.write("remote/equal", "the same")
    for side in ("local", "remote"):
        world.path(f"{side}/gone").unlink()
    world.path("remote/d/inside").unlink()
    world.path("remote/d").rmdir()
    world.path("local/new-directory").mkdir()
    world.path("remote/another").mkdir()
    return world


def planned(job: dict[str, Any]) -> list[tuple[str, str, str]]:
    return sorted((a["action"], a["path"], a["reason"]) for a in job["actions"])


def test_a_story_with_everything_holds_the_contract(eventful: World) -> None:
    ran = eventful.sync()
    job = holds_the_contract(ran.document)
    assert (job["job"], job["result"], job["exit"], ran.code) == ("it", "in-sync", 0, 0)
    assert {a["action"] for a in job["actions"]} == ACTIONS
    assert {a["result"] for a in job["actions"]} == {"done"}
    assert len(job["conflicts"]) == 1
    assert eventful.equal()


def test_a_plan_is_what_sync_then_does_and_changes_nothing(eventful: World) -> None:
    before = {side: eventful.side(side) for side in ("local", "remote")}
    plan = eventful.plan()
    assert plan.code == 0
    assert before == {side: eventful.side(side) for side in ("local", "remote")}
    foreseen = holds_the_contract(plan.document)
    done = holds_the_contract(eventful.sync().document)
    assert planned(foreseen) == planned(done)
    assert {a["result"] for a in foreseen["actions"]} == {"planned"}
    assert [c["path"] for c in foreseen["conflicts"]] == [c["path"] for c in done["conflicts"]]


def test_dry_run_is_the_plan(eventful: World) -> None:
    dry = eventful.sync("--dry-run")
    assert dry.code == 0
    assert planned(holds_the_contract(dry.document)) == planned(holds_the_contract(eventful.plan().document))


def test_the_totals_are_what_the_actions_say(eventful: World) -> None:
    job = holds_the_contract(eventful.sync().document)
    actions, totals = job["actions"], job["totals"]
    assert totals["deleted"] == sum(a["action"].startswith("delete-") for a in actions)
    assert totals["moved"] == sum(a["action"].startswith("move-") for a in actions) == 2
    assert totals["bytes_sent"] == sum(a["sent"] for a in actions)
    assert totals["bytes_received"] == sum(a["received"] for a in actions)


def test_bytes_are_those_that_crossed_in_their_direction(world: World) -> None:
    world.write("local/up", "x" * 1000)
    world.write("remote/down", "y" * 30)
    job = holds_the_contract(world.sync().document)
    by_path = {a["path"]: a for a in job["actions"]}
    assert (by_path["up"]["action"], by_path["up"]["sent"], by_path["up"]["received"]) == ("upload", 1000, 0)
    assert (by_path["down"]["action"], by_path["down"]["received"]) == ("download", 30)
    assert (by_path["up"]["size"], by_path["up"]["method"]) == (1000, "whole")


def test_runs_are_numbered_and_found_in_the_history(world: World) -> None:
    numbers = [holds_the_contract(world.sync().document)["run"] for _ in range(3)]
    assert numbers == sorted(set(numbers))
    history = call(*world.words("history", "--json")).document
    assert history["schema"] == 1
    assert {run["run"] for run in history["jobs"][0]["runs"]} == set(numbers)


@pytest.mark.parametrize("command", ["sync", "plan"])
def test_a_refusal_holds_the_contract_too(world: World, command: str) -> None:
    world.write("local/f", "content")
    world.settle()
    world.path("remote").rename(world.path("away"))
    ran = call(*world.words(command, "--json"))
    job = holds_the_contract(ran.document)
    assert (job["result"], job["exit"]) == ("refused", 4)
    assert ran.code == 4
    assert job["problems"][0]["code"] == "root-missing"


@pytest.mark.parametrize("command", ["sync", "plan", "status", "check", "history", "conflicts", "trash"])
def test_every_command_prints_one_document_and_talks_on_stderr(world: World, command: str) -> None:
    world.write("local/f", "content")
    world.settle()
    ran = call(*world.words(command, "--json"))
    assert ran.document["schema"] == 1
    assert ran.out.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("sync", "nojob"), ("sync", "--nonsense"), ("sync", "a", "b", "c"), ("plan", "x:y", "z:u")]
)
def test_a_wrong_word_is_a_document_with_exit_2(world: World, words: tuple[str, ...]) -> None:
    ran = call(*world.words(*words, "--json"))
    assert ran.code == 2
    assert ran.document["schema"] == 1
    assert ran.document["error"]["exit"] == 2
    assert ran.document["error"]["message"]


def test_a_remote_whose_parent_is_missing_is_a_config_error_and_nothing_is_made(world: World) -> None:
    world.write("local/f", "content")
    world.configure(remote=str(world.path("missing/remote")))
    for command in ("sync", "plan"):
        ran = call(*world.words(command, "--json"))
        assert ran.code == 2, ran
        assert str(world.path("missing/remote")) in ran.err
        assert "hint" in ran.err
        assert not world.path("missing").exists()
