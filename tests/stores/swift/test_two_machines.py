"""Two machines on one container, both editing while listings are late: nothing is lost, and they converge.

Every content is unique. One that nobody overwrote or deleted on a machine that had it must be somewhere in
the end: on the machines, in their trashes, or in the container's.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from syncer.stores.swift.names import Place
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift

NAMES = ["a", "b", "c", "d/a", "d/b", "d/e/a", "f/x", "f/y"]


class Story:
    """Random steps of two users, and what they may not lose."""

    def __init__(self, seed: int, machines: list[Machine]) -> None:
        self.random = random.Random(seed)
        self.machines = machines
        self.owed: set[bytes] = set()  # contents that no user gave up
        self._count = 0

    def step(self) -> None:
        machine = self.random.choice(self.machines)
        act = self.random.choices((self.write, self.delete, self.move, self.sync), (4, 1, 1, 4))[0]
        act(machine)

    def write(self, machine: Machine) -> None:
        self._count += 1
        data = f"{machine.home.name} {self._count}".encode() * self.random.choice((1, 300))
        place = machine.local / self.random.choice(NAMES)
        if place.is_dir() or any(p.is_file() for p in place.parents):
            return
        self._given_up(place)
        machine.write(str(place.relative_to(machine.local)), data)
        self.owed.add(data)

    def delete(self, machine: Machine) -> None:
        place = machine.local / self.random.choice(NAMES)
        if place.is_file():
            self._given_up(place)
            place.unlink()

    def move(self, machine: Machine) -> None:
        place, target = (machine.local / name for name in self.random.sample(NAMES, 2))
        if place.is_file() and not target.exists() and target.parent.is_dir():
            place.rename(target)

    def sync(self, machine: Machine) -> None:
        machine.run()

    def _given_up(self, place: Path) -> None:
        if place.is_file():
            self.owed.discard(place.read_bytes())


def held(machines: list[Machine]) -> set[bytes]:
    """Every content that is anywhere."""
    one = machines[0]
    access = one.door.open()
    user = Hands(access.storage_url, access.token, one.place.container)
    found = {user.ask("GET", name).content for name in user.names()}
    user.session.close()
    for machine in machines:
        found |= {p.read_bytes() for p in machine.home.rglob("*") if p.is_file()}
    return found


def campaign(swift: Swift, folder: Path, seed: int, steps: int, lag: float) -> None:
    place = Place(container=swift.fresh_name(), prefix="p/")
    machines = [Machine(folder / name, tempauth_door(swift), place) for name in ("one", "two")]
    story = Story(seed, machines)
    for machine in machines:
        machine.write("stays", b"always there")
        machine.run()
    swift.lag(lag)
    for _ in range(steps):
        story.step()
    swift.lag(0)
    swift.settle()
    for _ in range(2):
        for machine in machines:
            machine.settled()
    assert machines[0].tree() == machines[1].tree(), f"seed {seed}"
    assert story.owed <= held(machines), (f"seed {seed}", story.owed - held(machines))


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_and_all_converges(swift: Swift, tmp_path: Path, seed: int) -> None:
    campaign(swift, tmp_path, seed, steps=40, lag=0.4)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(100, 104))
def test_nothing_is_lost_in_a_long_story(swift: Swift, tmp_path: Path, seed: int) -> None:
    campaign(swift, tmp_path, seed, steps=500, lag=5.0)
