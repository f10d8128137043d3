"""`pairs`: what is remembered, and forgetting it without losing a file."""

from __future__ import annotations

import pytest

from syncer.state import PairLock
from tests.cli.conftest import Machine


@pytest.fixture
def two(machine: Machine) -> Machine:
    """The job `docs`, and a pair that no job of the config has; something is in the trash of the first."""
    machine.write("local", "x", "precious")
    machine.call("sync")
    (machine.remote / "x").unlink()
    machine.write("local", "y", "1")
    machine.call("sync")
    (machine.home / "other").mkdir()
    assert machine.call("sync", "other", "./another").code == 0
    return machine


def test_every_pair_is_listed_with_size_and_age(two: Machine) -> None:
    found = two.call("pairs", "--json").document["pairs"]
    assert [(one["local"], one["jobs"]) for one in found] == [
        (f"local:{two.home}/other", []),
        (f"local:{two.local}", ["docs"]),
    ]
    docs = found[1]
    assert docs["trash"] == len("precious")
    assert docs["size"] > docs["trash"]
    shown = two.call("pairs", "list").out
    assert docs["id"] in shown
    assert "no job of this config has it" in shown
    assert "8 B of it trash" in shown


def test_nothing_is_remembered_before_the_first_run(machine: Machine) -> None:
    assert machine.call("pairs").out == "nothing is remembered\n"
    assert not machine.state.exists()


def test_a_pair_that_is_forgotten_loses_no_file(two: Machine) -> None:
    (two.local / "y").unlink()
    answer = two.call("pairs", "forget", "docs", "--yes")
    assert (answer.code, "its trash (8 B) stays in" in answer.out) == (0, True)
    assert two.kept() == [b"precious"]
    assert [one["jobs"] for one in two.call("pairs", "--json").document["pairs"]] == [[]]
    assert two.call("sync").code == 0
    assert two.everything()["local/y"] == b"1", "as if for the first time"
    assert two.call("trash", "restore", "x").code == 0


def test_the_trash_goes_only_where_that_is_said(two: Machine) -> None:
    assert two.call("pairs", "forget", "docs", "--trash", "--yes").code == 0
    assert two.kept() == []
    number = two.call("pairs", "--json").document["pairs"][0]["id"]
    assert two.call("pairs", "forget", number, "--trash", "--yes").code == 0
    assert two.call("pairs").out == "nothing is remembered\n"


def test_what_cannot_be_forgotten_is_said(two: Machine) -> None:
    assert two.call("pairs", "forget", "docs").code == 2, "nobody is there to be asked"
    answer = two.call("pairs", "forget", "docs", "nope", "--yes")
    assert (answer.code, "no pair is called nope" in answer.err) == (2, True)
    assert len(two.call("pairs", "--json").document["pairs"]) == 2
    [directory] = [p for p in two.state.glob("pairs/*") if (p / "local/trash").exists()]
    with PairLock.acquire(directory):
        assert two.call("pairs", "forget", "docs", "--yes").code == 6
    assert two.call("pairs", "forget", "docs", "--yes").code == 0
