"""Two machines on one container of the real Swift, at the same time; late listings, runs that are killed.

As `test_two_clients`, whose users these are: they never destroy a content, so every content that was ever
written must stand somewhere to the end, whole: on a machine, in a bin, in a trash, in the container. In quiet
both machines and the container become equal, and further runs do nothing.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from blake3 import blake3

from tests.simulation.test_two_clients import NAMES, ORDINARY, Client, Hands, tree
from tests.stores.swift.cloud import PREFIX, CloudWorld, brief, write_config
from tests.swift.fixtures import swift
from tests.swift.server import Swift

__all__ = ["swift"]

LAG = 5.0  # seconds by which listings are late


class Machine(Client):
    """A machine with a folder, a state and a cache."""

    def configure(self, cloud: CloudWorld) -> None:  # type: ignore[override]
        self.local.mkdir(parents=True)
        remote = f"{cloud.container}/{PREFIX}"
        write_config(self.home / "config.toml", cloud.swift, self.home, remote)


@dataclass(slots=True)
class Story:
    """One container, two machines, and a seed."""

    base: Path
    swift: Swift
    seed: int
    most: int  # edits of a machine between two runs, not counting those during one
    random: random.Random = field(init=False)
    hands: Hands = field(init=False)
    cloud: CloudWorld = field(init=False)
    machines: list[Machine] = field(init=False)
    steps: int = 0
    clashes: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        (self.base / "bin").mkdir(parents=True)
        self.hands = Hands(self.random, self.base / "bin")
        self.cloud = CloudWorld(self.base / "cloud", self.swift)
        self.cloud.hands.ask("PUT")
        self.machines = [Machine(self.base / name) for name in ("one", "two")]
        for machine in self.machines:
            machine.configure(self.cloud)

    def close(self) -> None:
        for machine in self.machines:
            machine.kill()
            if machine.running is not None:
                machine.running.communicate()
        self.cloud.close()

    def round(self) -> None:
        """Everybody edits, before and while both machines run; a run may die."""
        for machine in self.machines:
            for _ in range(self.random.randint(0, self.most)):
                self.edit(machine)
        for _ in range(self.random.randrange(3)):
            self.edit_there()
        hasty = [machine for machine in self.machines if self.random.random() < 0.3]
        timers = [threading.Timer(self.random.uniform(0.3, 3), machine.kill) for machine in hasty]
        for machine in self.machines:
            machine.begin()
        for timer in timers:
            timer.start()
        while any(m.running is not None and m.running.poll() is None for m in self.machines):
            self.edit(self.random.choice(self.machines))
            time.sleep(self.random.random() * 0.3)  # hands are slow; nothing waits for them
        for timer in timers:
            timer.cancel()
            timer.join()
        for machine in self.machines:
            machine.end()

    def edit(self, machine: Machine) -> None:
        self.steps += 1
        self.hands.edit(machine.local)

    def edit_there(self) -> None:
        """By another tool, while nobody runs: what it replaces goes to the bin first."""
        self.steps += 1
        self.hands.count += 1
        path, data = self.random.choice(NAMES), b"there %d" % self.hands.count
        old = self.cloud.hands.ask("GET", PREFIX + path, fine=False)
        if old.ok and old.headers["Content-Type"].startswith("application/directory"):
            return
        if old.ok:
            (self.base / "bin" / f"there-{self.hands.count}").write_bytes(old.content)
        if self.cloud.hands.names(f"{PREFIX}{path}/"):
            return
        self.hands.written[blake3(data).digest()] = f"there {path}"
        self.cloud.put(path, data)

    def heal(self) -> None:
        """In quiet all become equal, and stay so."""
        self.swift.lag(0)
        self.swift.settle()  # what is to be found has to be listed
        self.nothing_is_lost()
        for _ in range(6):
            codes = [machine.run() for machine in self.machines]
            if codes == [0, 0] and self.equal():
                break
            self.sort_out()
        else:
            said = [machine.said for machine in self.machines]
            raise AssertionError(f"seed {self.seed}: never equal: {codes} {said}")
        self.nothing_is_lost()
        for machine in self.machines:
            assert machine.run() == 0, machine.said
            assert '"actions": []' in machine.said, f"seed {self.seed}: not at rest: {machine.said}"
            left = [p for p in machine.local.rglob(".syncer-tmp-*") if len(p.name) == ORDINARY]
            assert not left, f"seed {self.seed}: left behind: {left}"
        self.swift.lag(LAG)

    def sort_out(self) -> None:
        """What waits for a person: a file that a machine put where the other was about to put a directory.

        Nothing in Swift prevents that; the person gives the file another name.
        """
        for machine in self.machines:
            [job] = json.loads(machine.said[machine.said.rindex('{"schema"') :])["jobs"]
            for problem in job["problems"]:
                assert problem["code"] == "clash", f"seed {self.seed}: {problem}"
                self.clashes += 1
                self.cloud.rename(problem["path"], f"{problem['path']}-{self.clashes}")

    def equal(self) -> bool:
        one, two = (tree(machine.local) for machine in self.machines)
        there = {name: node.data for name, node in self.cloud.side("remote").items() if node.kind == "file"}
        return one == two and there == {name: brief(data) for name, data in one.items() if data is not None}

    def nothing_is_lost(self) -> None:
        """Every content stands somewhere; under users' names stand only whole ones."""
        written = self.hands.written
        found = set(self._contents_here()) | self.cloud.everything()
        short = {data for data in found if not data.startswith(b"blake3 ")}
        digests = {blake3(data).digest() for data in short} | {data[7:] for data in found - short}
        lost = [where for digest, where in written.items() if digest not in digests]
        assert not lost, f"seed {self.seed}: lost: {lost}"
        for machine in self.machines:
            for name, data in tree(machine.local).items():
                assert data is None or blake3(data).digest() in written, f"seed {self.seed}: torn: {name}"

    def _contents_here(self) -> Iterator[bytes]:
        for path in self.base.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield brief(path.read_bytes())


def campaign(base: Path, swift: Swift, *, steps: int, seed: int, most: int = 7) -> int:
    """So many edits, with quiet after every third round; how many there were."""
    story = Story(base, swift, seed, most)
    try:
        story.heal()
        number = 0
        while story.steps < steps:
            number += 1
            story.round()
            if number % 3 == 0:
                story.heal()
        story.heal()
    finally:
        story.close()
    return story.steps


def test_two_machines_at_the_same_time_and_deaths_lose_nothing(swift: Swift, tmp_path: Path) -> None:
    assert campaign(tmp_path / "w", swift, steps=15, seed=7) >= 15


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [100, 101])
def test_two_thousand_steps_of_two_machines_lose_nothing(swift: Swift, tmp_path: Path, seed: int) -> None:
    assert campaign(tmp_path / "w", swift, steps=2000, seed=seed, most=30) >= 2000
