"""Both sides edited at once: they converge without help, nothing is lost, then all is quiet."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.daemon.campaigns.worlds import Folders, Scene, World, at_work

_FILES = 64  # descriptors that a daemon has open at rest, at most


def campaign(scene: Scene, *, seconds: float, rest: float) -> None:
    """Users everywhere for so long; then quiet. Before that, for a moment, so that something is there."""
    with at_work(scene) as found:
        for length in (seconds / 5, seconds):
            found.begin()
            time.sleep(length)
            found.end()
            took = found.converges(120)
        found.rests(rest)
        found.is_tidy()
        found.nobody_stumbled()
        for machine in found.machines:
            assert len(machine.open_files()) < _FILES, machine.open_files()
        steps, book = [user.steps for user in found.users], found.book
        print(
            f"seed {found.seed}: {seconds:g} s, steps {steps}, {book.count} contents, {len(book.due())} due, "
            f"{len(list(found.roots[0].rglob('*')))} names at the end, equal after {took:.1f} s"
        )
        for machine in found.machines:
            print(f"  {machine.home.name}: {machine.done()}, {len(machine.open_files())} open files")


def drawn() -> int:
    return random.SystemRandom().randrange(1 << 30)


def test_two_daemons_converge_and_lose_nothing(tmp_path: Path) -> None:
    campaign(World(tmp_path, seed=5), seconds=10, rest=4)


def test_a_daemon_between_two_folders_loses_nothing_of_either(tmp_path: Path) -> None:
    campaign(Folders(tmp_path, seed=6, pause=0.4), seconds=8, rest=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_daemons_edited_for_ten_minutes_converge_and_lose_nothing(tmp_path: Path) -> None:
    campaign(World(tmp_path, seed=drawn()), seconds=600, rest=15)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_somebody_at_the_server_s_disk_loses_nothing_either(tmp_path: Path) -> None:
    campaign(World(tmp_path, seed=drawn(), third=True), seconds=180, rest=15)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_folders_edited_for_minutes_lose_nothing(tmp_path: Path) -> None:
    campaign(Folders(tmp_path, seed=drawn(), pause=0.3), seconds=180, rest=15)
