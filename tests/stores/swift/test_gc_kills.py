"""Large files changed on both sides while runs are killed by SIGKILL; then one search for orphan segments.

Real processes die by SIGKILL, so what they leave is what is left by a machine that loses its power: segments
that no manifest names yet or any more. `gc` is to remove all of them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncer.cli.common import CliContext
from syncer.cli.gc import sweep
from tests.contract.doubles import SteppingClock
from tests.stores.swift.cloud import CloudWorld
from tests.stores.swift.killing import Story
from tests.swift.server import Swift
from tests.world import Snapshot


@pytest.fixture
def seed() -> int:
    return 1


@pytest.fixture
def story(swift: Swift, tmp_path: Path, seed: int) -> Iterator[Story]:
    told = Story(tmp_path / "w", swift, seed, files=4, large=0.95)
    yield told
    told.world.close()


def campaign(story: Story, changes: int) -> None:
    """So many changes of files, and about as many deaths as runs that end."""
    while story.changes < changes:
        story.change(story.random.randint(2, 8))
        if story.random.random() < 0.6:
            story.kill_a_run()
        else:
            story.recover()
    story.recover()
    _collect(story)
    _empty_trash(story.world)
    _collect(story)
    story.recover()


def _collect(story: Story) -> None:
    """No segment is lost, and none is left."""
    before = _read(story.world)
    assert {n.data for n in before.values() if n.kind != "directory"} <= story.written
    _sweep(story.world)
    assert _read(story.world) == before, "what was read before is read after"
    assert set(story.world.segments.names()) == _named(story.world), "no segment without a manifest"


def _sweep(world: CloudWorld) -> None:
    session = CliContext()
    session.config, session.json = world.config, True
    # The clock's: Swift says the time in whole seconds. The waiting takes none.
    assert sweep(session, f"cloud:{world.container}", grace=-60, yes=True, clock=SteppingClock()) == 0


def _read(world: CloudWorld) -> Snapshot:
    """Every object, read now; but the root's marker, which nobody's content is."""
    found = world.objects("", anew=True)
    return {name: node for name, node in found.items() if not name.endswith("/root-id")}


def _named(world: CloudWorld) -> set[str]:
    rows = world.hands.ask("GET", query="format=json").json()
    large = [row["name"] for row in rows if row.get("slo_etag")]
    manifests = [world.hands.ask("GET", name, query="multipart-manifest=get").json() for name in large]
    paths = [part["name"] for manifest in manifests for part in manifest if "name" in part]
    return {path.split("/", 2)[2] for path in paths}


def _empty_trash(world: CloudWorld) -> None:
    for name in world.hands.names():
        if "/.syncer/trash/" in name:
            world.hands.ask("DELETE", name)


def test_no_segment_is_leaked_or_lost_in_a_short_campaign_of_kills(story: Story) -> None:
    campaign(story, 15)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [100])
def test_no_segment_is_leaked_or_lost_by_kills(story: Story) -> None:
    campaign(story, 500)
    assert story.busy >= 20
