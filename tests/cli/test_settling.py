"""`conflicts` and `trash`: what a person does between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Machine


def conflicting(machine: Machine, policy: str) -> None:
    """x.txt: "mine" here, "yours!" there, which is newer."""
    machine.configure(machine.job(f'conflict = "{policy}"'))
    machine.write("local", "x.txt", "base", 1e9)
    machine.call("sync")
    machine.write("local", "x.txt", "mine", 1.1e9)
    machine.write("remote", "x.txt", "yours!", 1.2e9)
    machine.call("sync")


def test_an_asked_conflict_is_listed_and_shown(machine: Machine) -> None:
    conflicting(machine, "ask")
    assert machine.call("sync").code == 1
    [listed] = machine.call("conflicts", "--json").document["conflicts"]
    assert (listed["job"], listed["path"], listed["chosen"]) == ("docs", "x.txt", None)
    shown = machine.call("conflicts", "show", "x.txt").out
    assert "local   4 B" in shown
    assert "remote  6 B" in shown


@pytest.mark.parametrize(
    ("take", "content", "lost"), [("local", b"mine", b"yours!"), ("remote", b"yours!", b"mine")]
)
def test_the_choice_for_an_asked_conflict_is_applied_by_the_next_sync(
    machine: Machine, take: str, content: bytes, lost: bytes
) -> None:
    conflicting(machine, "ask")
    answer = machine.call("conflicts", "resolve", "*.txt", "--take", take)
    assert answer.code == 0
    assert "the next sync applies it" in answer.err
    assert machine.call("conflicts", "list", "--json").document["conflicts"][0]["chosen"] == take
    assert machine.call("sync").code == 0
    assert machine.everything() == {"local/x.txt": content, "remote/x.txt": content}
    assert lost in machine.kept()
    assert machine.call("conflicts", "--json").document["conflicts"] == []


def test_taking_both_keeps_both(machine: Machine) -> None:
    conflicting(machine, "ask")
    machine.call("conflicts", "resolve", "--all", "--take", "both")
    assert machine.call("sync").code == 0
    assert sorted(machine.everything().values()) == [b"mine", b"mine", b"yours!", b"yours!"]


def test_taking_both_closes_the_conflict_for_good(machine: Machine) -> None:
    conflicting(machine, "ask")
    machine.call("conflicts", "resolve", "--all", "--take", "both")
    for _ in range(2):
        assert machine.call("sync").code == 0
        assert machine.call("conflicts", "--json").document["conflicts"] == []


def test_a_choice_against_content_that_nobody_has_seen_is_void(machine: Machine) -> None:
    conflicting(machine, "ask")
    machine.call("conflicts", "resolve", "x.txt", "--take", "local")
    machine.write("remote", "x.txt", "edited since", 1.3e9)
    answer = machine.call("sync", "--json")
    assert answer.code == 1
    assert "choose again" in answer.job["notes"][0]
    assert machine.everything() == {"local/x.txt": b"mine", "remote/x.txt": b"edited since"}
    machine.call("conflicts", "resolve", "x.txt", "--take", "local")
    assert machine.call("sync").code == 0
    assert machine.everything() == {"local/x.txt": b"mine", "remote/x.txt": b"mine"}


@pytest.mark.parametrize(
    ("take", "content", "lost"), [("local", b"mine", b"yours!"), ("remote", b"yours!", b"mine")]
)
def test_of_two_kept_contents_the_chosen_one_gets_the_name(
    machine: Machine, take: str, content: bytes, lost: bytes
) -> None:
    conflicting(machine, "keep-both")
    [conflict] = machine.call("conflicts", "--json").document["conflicts"]
    assert conflict["copy"].startswith("x.sync-conflict-")
    answer = machine.call("conflicts", "resolve", conflict["path"], "--take", take, "--json")
    assert answer.code == 0
    assert answer.document["resolved"][0]["settled"] is True
    assert machine.call("sync").code == 0
    assert machine.everything() == {"local/x.txt": content, "remote/x.txt": content}
    assert lost in machine.kept()
    assert machine.call("conflicts", "--json").document["conflicts"] == []


def test_a_kept_copy_that_was_edited_is_left_to_its_user(machine: Machine) -> None:
    conflicting(machine, "keep-both")
    machine.write("local", "x.txt", "edited since")
    answer = machine.call("conflicts", "resolve", "x.txt", "--take", "local")
    assert answer.code == 1
    assert "edited since" in answer.err
    assert machine.call("conflicts", "resolve", "x.txt", "--take", "both").code == 0


def test_a_conflict_whose_copy_was_deleted_is_closed_by_the_next_sync(machine: Machine) -> None:
    conflicting(machine, "keep-both")
    [copy] = machine.local.glob("*sync-conflict*")
    copy.unlink()
    machine.call("sync")
    assert machine.call("conflicts", "--json").document["conflicts"] == []
    assert machine.call("conflicts").out == "no open conflicts\n"


def trashed(machine: Machine) -> None:
    machine.write("local", "d/x", "precious")
    machine.call("sync")
    (machine.local / "d/x").unlink()
    machine.call("sync")


def test_a_deleted_file_is_listed_and_comes_back_on_both_sides(machine: Machine) -> None:
    trashed(machine)
    [listed] = machine.call("trash", "--json").document["trash"]
    assert (listed["job"], listed["path"], listed["side"], listed["run"]) == ("docs", "d/x", "remote", "2")
    assert "d/x" in machine.call("trash", "list").out
    answer = machine.call("trash", "restore", "d/*", "--json")
    assert answer.code == 0
    assert machine.call("sync").code == 0
    assert machine.everything() == {"local/d/x": b"precious", "remote/d/x": b"precious"}
    assert machine.call("trash").out == "the trash is empty\n"


def test_restoring_never_clobbers(machine: Machine) -> None:
    trashed(machine)
    machine.write("remote", "d/x", "newer")
    answer = machine.call("trash", "restore", "d/x")
    assert answer.code == 1
    assert "--to" in answer.err
    assert (machine.remote / "d/x").read_text(encoding="utf-8") == "newer"
    assert machine.call("trash", "restore", "d/x", "--to", "old").code == 0
    assert (machine.remote / "old").read_text(encoding="utf-8") == "precious"


def test_emptying_is_asked_for_twice_and_may_spare_what_is_young(machine: Machine) -> None:
    trashed(machine)
    assert machine.call("trash", "empty", "--yes", "--older-than", "1d").code == 0
    assert machine.kept() == [b"precious"]
    answer = machine.call("trash", "empty", "--yes", "--json")
    assert answer.document["removed"] == [{"job": "docs", "files": 1, "bytes": 8}]
    assert machine.kept() == []


def test_a_pair_without_a_config_is_named_by_its_two_ends(machine: Machine) -> None:
    machine.config.unlink()
    machine.write("local", "x", "1")
    machine.call("sync", "local", "./there")
    Path(machine.local / "x").unlink()
    machine.call("sync", "local", "./there")
    assert len(machine.call("trash", "list", "local", "./there", "--json").document["trash"]) == 1
    assert machine.call("trash", "restore", "x", "--pair", "local", "./there").code == 0
    assert (machine.home / "there/x").exists()
    assert machine.call("conflicts", "list", "local", "./there").code == 0


def test_a_file_in_conflict_again_and_again_grew_a_longer_name_each_time(machine: Machine) -> None:
    conflicting(machine, "keep-both")
    [copy] = machine.local.glob("*.sync-conflict-*")
    stamp = copy.stat().st_mtime
    for number in range(1, 4):
        machine.write("local", copy.name, f"here {number}", stamp)
        machine.write("remote", copy.name, f"there {number}", stamp + number)
        assert machine.call("sync").code == 0
    found = sorted(p.name for p in machine.local.glob("*.sync-conflict-*"))
    assert len(found) == 4
    assert all(name.count("sync-conflict") == 1 for name in found)
    base = copy.name.removesuffix(".txt")
    assert {f"{base}-{n}.txt" for n in (2, 3, 4)} < set(found)
    contents = {p.read_text() for p in machine.local.glob("*.sync-conflict-*")}
    assert contents == {"there 3", "here 1", "here 2", "here 3"}
