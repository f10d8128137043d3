"""A container that is gone for good, and how long its trash is kept: a job of the config as a user has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.swift.cloud import PREFIX, CloudWorld
from tests.swift.server import Swift


@pytest.fixture
def make(swift: Swift, tmp_path: Path) -> Iterator[CloudWorld]:
    made = CloudWorld(tmp_path / "w", swift)
    yield made
    made.close()


def kept(world: CloudWorld) -> list[bytes]:
    names = world.hands.names(f"{PREFIX}.syncer/trash/")
    return sorted(world.hands.ask("GET", name).content for name in names)


@pytest.mark.parametrize(("days", "left"), [("0", [b"content of g"]), ("30", None)])
def test_the_trash_in_a_container_was_kept_for_thirty_days_whatever_was_set(
    make: CloudWorld, days: str, left: list[bytes] | None
) -> None:
    world = make
    world.configure(trash_days=days)
    for name in "fgh":
        world.write(f"local/{name}", f"content of {name}")
    world.settle()
    for name in "fg":
        world.path(f"local/{name}").unlink()
        assert world.sync().code == 0
        time.sleep(1.1)  # names of runs have whole seconds, and the clock is the cluster's
    assert kept(world) == (left or [b"content of f", b"content of g"])


def test_a_container_that_was_deleted_had_no_way_out(make: CloudWorld) -> None:
    world = make
    for name in "abc":
        world.write(f"local/{name}", f"content of {name}")
    world.settle()
    world.path("local/a").unlink()
    for name in world.hands.names(""):
        world.hands.ask("DELETE", name)
    assert world.hands.ask("DELETE", "").status_code == 204
    refused = world.sync()
    assert (refused.code, "run sync once with --yes: it is made anew" in refused.err) == (4, True)
    before = world.side("local")
    for _ in range(3):  # what was known of the old container is doubted once: that may be a late answer
        if world.sync("--yes").code == 0:
            break
    world.settle()
    assert world.side("local") == before and len(before) == 2
    assert {n.removeprefix(PREFIX) for n in world.hands.names(PREFIX)} >= {"b", "c"}
