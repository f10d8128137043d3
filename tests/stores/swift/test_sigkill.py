"""`python -m syncer sync` on a container, killed at any moment of a run; the next run heals."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.engine.paths import TEMPORARY
from tests.contents import noise
from tests.stores.swift.cloud import CloudWorld
from tests.stores.swift.killing import LARGE_SIZE, Story, kill_many, until
from tests.swift.server import Swift

KILLS = 5


@pytest.fixture
def seed() -> int:
    return 1


@pytest.fixture
def story(swift: Swift, tmp_path: Path, seed: int) -> Iterator[Story]:
    told = Story(tmp_path / "w", swift, seed)
    yield told
    told.world.close()


def test_runs_killed_at_any_moment_lose_nothing_and_the_next_one_heals(story: Story) -> None:
    kill_many(story, KILLS)
    assert story.busy, "some were in the middle of their changes"


@pytest.mark.parametrize(
    ("do", "place"),
    [
        ("hold-answer", "_segments/*"),
        ("hold", "/docs/big0"),
        pytest.param("hold", "_segments/*", marks=pytest.mark.long),
        pytest.param("hold-answer", "/docs/big0", marks=pytest.mark.long),
    ],
    ids=["after-a-segment", "before-the-manifest", "before-a-segment", "after-the-manifest"],
)
def test_a_run_killed_with_a_large_file_on_its_way_loses_nothing(
    swift: Swift, tmp_path: Path, do: str, place: str
) -> None:
    story = Story(tmp_path / "w", swift, 2, files=2)
    story.write("local", "big0", noise(7, LARGE_SIZE))
    story.write("remote", "d0/f0", b"meanwhile")
    assert story.kill_a_run(swift.rule(do, method="PUT", path=f"{story.world.container}{place}"))
    assert story.segments == story.held == 1
    story.recover()
    story.world.close()


def test_a_download_that_was_killed_is_gone_on_with(swift: Swift, tmp_path: Path) -> None:
    story = Story(tmp_path / "w", swift, 3, files=2)
    world, data = story.world, noise(8, LARGE_SIZE)
    story.write("remote", "far", data)
    world.configure(download_limit='"4M"')
    process = world.start("sync")
    until(lambda: process.poll() is not None or _arrived(world) > 4 << 20)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert not world.path("local/far").exists()
    world.configure()
    swift.clear()
    assert world.sync().code == 0 and world.read("local/far") == data
    got = swift.requests(method="GET", path=f"{world.container}/docs/far")
    assert 0 < sum(asked.sent for asked in got) <= len(data) - (2 << 20)
    story.recover()
    world.close()


def _arrived(world: CloudWorld) -> int:
    """Bytes of a file that is on its way here."""
    return sum(place.stat().st_size for place in world.path("local").rglob(f"{TEMPORARY}*"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 104))
def test_a_hundred_kills_lose_nothing(story: Story) -> None:
    kill_many(story, 25)
    assert story.busy >= 5 and story.segments
