"""A container that is gone for good, and how long its trash is kept: a job of the config as a user has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncer import jobs
from syncer.config import load
from syncer.jobs import Environment, RunOptions
from tests.stores.swift.cloud import PREFIX, CloudWorld
from tests.stores.swift.machines import Silent
from tests.swift.server import Swift


@pytest.fixture
def make(swift: Swift, tmp_path: Path) -> Iterator[CloudWorld]:
    made = CloudWorld(tmp_path / "w", swift)
    yield made
    made.close()


def kept(world: CloudWorld) -> list[bytes]:
    names = world.hands.names(f"{PREFIX}.syncer/trash/")
    return sorted(world.hands.ask("GET", name).content for name in names)


@pytest.mark.parametrize(("days", "left"), [(0, [b"content of g"]), (30, [b"content of f", b"content of g"])])
def test_the_trash_in_a_container_was_kept_for_thirty_days_whatever_was_set(
    make: CloudWorld, days: int, left: list[bytes]
) -> None:
    settings = load(make.config)
    job = replace(settings.jobs["it"], trash_days=days)  # the config allows a day at least, which is long

    def sync() -> None:
        assert jobs.sync(Environment(settings=settings, reporter=Silent()), job, RunOptions()).exit_code == 0

    for name in "fgh":
        make.write(f"local/{name}", f"content of {name}")
    sync()
    for name in "fg":
        make.path(f"local/{name}").unlink()
        sync()
        time.sleep(1.1)  # names of runs have whole seconds, and the clock is the cluster's
    assert kept(make) == left


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
