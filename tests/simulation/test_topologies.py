"""More than one pair: hubs, chains, rings, two services on two machines. Nothing lost, everything comes to rest."""

from __future__ import annotations

import pytest

from tests.simulation.topologies import (
    CHAIN,
    FIVE_MACHINES,
    HUB,
    RING,
    SQUARE,
    TWO_SERVICES,
    Net,
    Shape,
    campaign,
    net,
)

SHAPES = {
    "hub": HUB,
    "chain": CHAIN,
    "ring": RING,
    "square": SQUARE,
    "two services": TWO_SERVICES,
    "five machines": FIVE_MACHINES,
}
FEW, MANY = 3, 50


@pytest.mark.parametrize("seed", range(FEW))
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_users_do_all_folders_come_to_rest_and_nothing_is_lost(shape: str, seed: int) -> None:
    campaign(SHAPES[shape], seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(FEW, MANY))
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_users_do_all_folders_come_to_rest_and_nothing_is_lost_many(shape: str, seed: int) -> None:
    campaign(SHAPES[shape], seed, steps=50)


def run(made: Net, *names: str) -> None:
    for name in names:
        (number,) = [n for n, (_, a, b) in enumerate(made.shape.jobs) if f"{a}{b}" == name]
        made.run(number)


def shows(made: Net, path: str) -> list[str]:
    """What each folder has there."""
    return [made.tree(folder).get(path, b"-").decode() for folder in made.shape.folders]


@pytest.fixture
def ring() -> object:
    with net(RING, 0) as made:
        (made.home / "a/keep").write_text("keep")
        made.round()
        made.round()
        made.round()
        yield made


def test_a_file_deleted_while_it_goes_round_a_ring_stays_deleted(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    run(ring, "ab", "ca")
    (ring.home / "b/f").unlink()
    ring.settle()
    assert shows(ring, "f") == ["-", "-", "-"]


def test_a_content_set_back_while_the_edit_goes_round_a_ring_is_the_last_word(ring: Net) -> None:
    (ring.home / "a/f").write_text("v1")
    ring.round(), ring.round()
    (ring.home / "b/f").write_text("v2")
    run(ring, "bc")
    (ring.home / "c/f").write_text("v1")
    run(ring, "ab", "bc", "ca")
    ring.settle()
    assert shows(ring, "f") == ["v1", "v1", "v1"]


def test_a_file_that_is_put_back_after_its_deletion_went_round_is_no_echo(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    ring.round(), ring.round()
    (ring.home / "b/f").unlink()
    ring.round(), ring.round()
    assert shows(ring, "f") == ["-", "-", "-"]
    (ring.home / "c/f").write_text("x")
    ring.settle()
    assert shows(ring, "f") == ["x", "x", "x"]


def test_a_directory_deleted_while_it_goes_round_a_ring_stays_deleted(ring: Net) -> None:
    (ring.home / "a/d/e").mkdir(parents=True)
    (ring.home / "a/d/e/f").write_text("x")
    run(ring, "ab", "ca")
    (ring.home / "b/d/e/f").unlink()
    (ring.home / "b/d/e").rmdir()
    (ring.home / "b/d").rmdir()
    ring.settle()
    assert not any((ring.home / folder / "d").exists() for folder in "abc")


def test_the_first_run_of_a_job_deletes_nothing_whatever_its_root_remembers(ring: Net) -> None:
    (ring.home / "a/f").write_text("x")
    ring.round(), ring.round()
    (ring.home / "a/f").unlink()
    ring.round(), ring.round()
    made = Shape((*RING.jobs, ("m", "a", "new")))
    (ring.home / "new").mkdir()
    (ring.home / "new/f").write_text("x")
    ring.shape = made
    run(ring, "anew")
    assert (ring.home / "new/f").read_text() == "x" and (ring.home / "a/f").read_text() == "x"
