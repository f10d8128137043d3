"""Two machines on one container, both editing while listings are late: nothing is lost, and they converge.

Every content is unique; some are long, and go in segments. One that nobody overwrote or deleted on a machine
that had it must be somewhere in the end: on the machines, in their trashes, or in the container's.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from syncer.engine.scope import EVERYTHING, Places, Scope
from syncer.stores.swift.names import ContainerPath
from tests.contents import noise
from tests.contract.swift_rig import Hands, tempauth_door
from tests.stores.swift.large import SMALL
from tests.stores.swift.machines import Machine
from tests.swift.server import Swift

NAMES = ["a", "b", "c", "d/a", "d/b", "d/e/a", "f/x", "f/y"]
DIRECTORIES = ("", "d", "d/e", "f")


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
        place = machine.local / self.random.choice(NAMES)
        if place.is_dir() or any(p.is_file() for p in place.parents):
            return
        data = self._content(machine, place)
        self._given_up(place)
        machine.write(str(place.relative_to(machine.local)), data)
        self.owed.add(data)

    def _content(self, machine: Machine, place: Path) -> bytes:
        """Another one than any before; a large one has most of what was there."""
        self._count += 1
        own = f"{machine.home.name} {self._count} ".encode()
        old = place.read_bytes() if place.is_file() else b""
        if len(old) > SMALL.worth:
            at = self.random.randrange(len(old))
            return old[:at] + own + old[at + len(own) :]
        size = self.random.choice((1, 1, 3000, 2 * SMALL.worth))
        return own + noise(self._count, size)

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
        """Everywhere; or, as a daemon does, where somebody says that something happened, rightly or not."""
        scope = Scope(local=self._places(), remote=self._places())
        machine.run(scope=scope if self.random.random() < 0.5 else EVERYTHING)

    def _places(self) -> Places:
        some = [d for d in DIRECTORIES if self.random.random() < 0.5]
        deep = [d for d in DIRECTORIES[1:] if self.random.random() < 0.2]
        return Places(directories=frozenset(some), trees=frozenset(deep))

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
    place = ContainerPath(container=swift.fresh_name(), prefix="p/")
    machines = [
        Machine(folder / name, tempauth_door(swift), place, thresholds=SMALL) for name in ("one", "two")
    ]
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
@pytest.mark.parametrize("seed", range(100, 103))
def test_nothing_is_lost_in_a_long_story(swift: Swift, tmp_path: Path, seed: int) -> None:
    campaign(swift, tmp_path, seed, steps=2000, lag=5.0)
