"""What random histories found, each told on its own."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from syncer.engine.model import BlockedEntry, Side
from syncer.engine.scan import DEEPEST, SnapshotReader
from syncer.state import view_state
from syncer.testing.memory_store import MemoryStore
from tests.simulation.faults import Die, Fail
from tests.simulation.machines import RealMachine, Silent
from tests.world import SIDES, World

OTHER = {"local": "remote", "remote": "local"}


@pytest.mark.parametrize("side", SIDES)
def test_a_deleted_directory_that_stays_for_what_is_ignored_in_it_troubles_no_later_run(
    tmp_path: Path, side: str
) -> None:
    """The second run after the deletion looked for the directory on the side that lacks it, for ever."""
    world = World(tmp_path, ignore='["private"]')
    world.write("local/anchor", "stays")
    world.write("local/d/f", "agreed")
    world.settle()
    world.write(f"{OTHER[side]}/d/private", "ignored")
    shutil.rmtree(world.path(f"{side}/d"))
    for _ in range(4):
        ran = world.sync()
        assert (ran.code, ran.job["problems"]) == (0, []), ran
    assert world.read(f"{OTHER[side]}/d/private") == b"ignored"
    assert not world.path(f"{side}/d").exists(), "what the user deleted does not come back"
    world.path(f"{OTHER[side]}/d/private").unlink()
    world.settle()
    assert not world.path(f"{OTHER[side]}/d").exists(), "with its last private file the directory goes"


@pytest.mark.parametrize("side", SIDES)
def test_a_deleted_directory_that_stays_for_a_fifo_in_it_goes_with_the_fifo(world: World, side: str) -> None:
    world.write("local/anchor", "stays")
    world.write("local/d/f", "agreed")
    world.settle()
    os.mkfifo(world.path(f"{OTHER[side]}/d/fifo"))
    shutil.rmtree(world.path(f"{side}/d"))
    for _ in range(3):
        world.sync()
    world.path(f"{OTHER[side]}/d/fifo").unlink()
    world.settle()
    assert not world.path(f"{OTHER[side]}/d").exists()


def test_three_hundred_levels_of_new_directories_are_no_recursion_too_deep(world: World) -> None:
    """Python's own limit ended the run at about two hundred."""
    deep = "/".join(["n"] * 300)
    world.write(f"remote/{deep}/leaf", "at the end")
    world.settle()
    assert world.read(f"local/{deep}/leaf") == b"at the end"


def test_a_tree_deeper_than_any_path_can_say_is_an_obstacle(tmp_path: Path) -> None:
    stores = {side: MemoryStore() for side in Side}
    state = view_state(tmp_path)
    eyes = SnapshotReader(stores, state.memory, Silent())
    assert isinstance(eyes.list(Side.LOCAL, "/".join(["n"] * (DEEPEST + 1))), BlockedEntry)


def test_what_a_rule_no_longer_names_is_found_even_after_two_hurt_runs(tmp_path: Path) -> None:
    """The directory's fingerprint said that nothing had changed in it, and the file was never seen again."""
    number, hit = 0, True
    while hit:
        number += 1
        home = tmp_path / str(number)
        machine = with_a_rule_taken_away(home)
        machine.run(Fail(number, errno.EIO), looks=True)
        hit = machine.run(Die(number), looks=True).calls.struck
        machine.clock.sleep(1)
        ends = [machine.run() for _ in range(2)]
        assert ends[-1].exit_code == 0, f"{number}: {ends[0]} / {ends[1]}"
        assert (home / "remote/d/e").exists(), f"forgotten after faults at call {number}"


def with_a_rule_taken_away(home: Path) -> RealMachine:
    """On both sides d/e was ignored, on one side it no longer is."""
    machine = RealMachine(home)
    (home / "local/.syncignore").write_text("e\n")
    (home / "local/x").write_text("stays")
    (home / "local/d").mkdir()
    (home / "local/d/f").write_text("agreed")
    (home / "local/d/e").write_text("not ignored any more")
    for _ in range(3):  # until every fingerprint is kept
        assert machine.run().exit_code == 0
        machine.clock.sleep(1)
    (home / "remote/.syncignore").write_text("z\n")
    machine.clock.sleep(1)
    return machine
