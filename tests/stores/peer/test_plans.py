"""A saved plan, and a run taken back, where the remote is a server."""

from __future__ import annotations

import json

from tests.stores.peer.conftest import Machine, World, tree


def changed(world: World, machine: Machine) -> None:
    """One change of each kind on both sides."""
    for name in ("edit", "gone", "old", "d/far", "d/gone"):
        machine.write(name, f"first {name}".encode())
    machine.sync()
    machine.write("edit", b"edited here")
    (machine.local / "gone").unlink()
    (machine.local / "old").rename(machine.local / "moved")
    machine.write("new/n", b"new here")
    (world.remote / "d/far").write_bytes(b"edited there")
    (world.remote / "d/gone").unlink()
    (world.remote / "there").write_bytes(b"new there")


def test_two_looks_at_a_server_see_the_same(world: World, machine: Machine) -> None:
    changed(world, machine)
    file = machine.home / "plan.json"
    assert machine.call("plan", "-o", str(file)).code == 0
    planned = json.loads(file.read_text())["jobs"][0]["actions"]
    answer = machine.call("apply", str(file), "--json")
    assert (answer.code, answer.job["problems"]) == (0, [])
    assert sorted(a["path"] for a in answer.job["actions"]) == sorted(a["path"] for a in planned)
    assert machine.sync()["actions"] == []


def test_what_changed_at_the_server_since_the_plan_is_left_alone(world: World, machine: Machine) -> None:
    changed(world, machine)
    file = machine.home / "plan.json"
    machine.call("plan", "-o", str(file))
    (world.remote / "gone").write_bytes(b"edited meanwhile")
    answer = machine.call("apply", str(file), "--json")
    assert (answer.code, [p["path"] for p in answer.job["problems"]]) == (3, ["gone"])
    machine.sync()
    assert machine.tree()["gone"] == b"edited meanwhile"


def test_only_what_a_run_did_here_can_be_taken_back(world: World, machine: Machine) -> None:
    changed(world, machine)
    machine.sync()
    far = tree(world.remote)
    answer = machine.call("undo", "--yes", "--json")
    assert answer.code == 1
    failed = {(s["side"], "service" in s["failure"]) for s in answer.document["steps"] if s["failure"]}
    assert failed == {("remote", True)}
    assert tree(world.remote) == far
    assert machine.tree()["d/far"] == b"first d/far"
    assert machine.tree()["d/gone"] == b"first d/gone"
    assert "there" not in machine.tree()
    machine.sync()
    assert tree(world.remote) == machine.tree()
    assert tree(world.remote)["d/far"] == b"first d/far"
