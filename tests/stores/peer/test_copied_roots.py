"""A remote folder that was copied, and one that was moved: whose memory is whose."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.stores.peer.conftest import Machine, World, tree


def marker(folder: Path) -> str:
    return (folder / ".syncer/root-id").read_text()


def elsewhere(world: World, machine: Machine) -> Path:
    """The job is pointed at another folder of the server, which is not made."""
    machine.below = f"{world.below}-new"
    machine.configure()
    return world.server.folder / machine.below


def started(machine: Machine) -> None:
    machine.write("a", b"first")
    machine.write("gone", b"gone")
    machine.sync()


def test_a_job_pointed_at_a_copy_of_its_remote_folder_took_the_copys_age_for_changes(
    world: World, machine: Machine
) -> None:
    started(machine)
    new = world.server.folder / f"{world.below}-new"
    shutil.copytree(world.remote, new)
    machine.write("a", b"edited since")
    (machine.local / "gone").unlink()
    machine.sync()
    assert elsewhere(world, machine) == new
    done = machine.sync()
    assert any("is a copy of" in note for note in done["notes"]), done["notes"]
    assert marker(new) != marker(world.remote)
    assert machine.tree()["gone"] == b"gone", "as on any first run both sides are merged"
    assert b"edited since" in machine.tree().values()
    assert tree(new) == machine.tree()
    assert machine.sync()["actions"] == []
    machine.below = world.below
    machine.configure()
    assert machine.sync()["exit"] == 0, "the old pair is what it was"


def test_a_remote_folder_that_was_moved_keeps_the_memory(world: World, machine: Machine) -> None:
    started(machine)
    new = world.server.folder / f"{world.below}-new"
    world.remote.rename(new)
    (machine.local / "gone").unlink()
    elsewhere(world, machine)
    done = machine.sync()
    assert [(a["action"], a["path"]) for a in done["actions"]] == [("delete-remote", "gone")]
    assert tree(new) == machine.tree() == {"a": b"first"}
