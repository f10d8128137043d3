"""Real runs against the real Swift that are killed, and what must hold then: for campaigns of kills.

A kill comes at a random moment of the time that runs usually take, or while Swift holds one of the requests
that change something, before or after its effect; such a request goes on when nobody waits for it any more.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from syncer.engine.paths import TEMPORARY
from syncer.stores.local.root import TAG_LENGTH
from tests.contents import noise
from tests.simulation.expectations import nothing_is_lost, only_whole_contents
from tests.stores.swift.bench import edit
from tests.stores.swift.cloud import CloudWorld, brief
from tests.swift.server import Rule, Swift
from tests.world import SIDES

FILES = 40
LARGE = ("big0", "big1", "sub/big2")
LARGE_SIZE = 9 << 20  # more than what is sent whole
CHANGING = "[PCD]*"  # PUT, POST, COPY, DELETE
ORDINARY = len(TEMPORARY) + TAG_LENGTH + 8  # characters of a temporary's name; a partial's is longer
PATIENCE = 60  # seconds for a run


class Story:
    """A tree that both sides know, random changes of it, runs that are killed.

    `large`: the share of changes that are of large files.
    """

    def __init__(
        self, home: Path, swift: Swift, seed: int, *, files: int = FILES, large: float = 0.1
    ) -> None:
        self.random = random.Random(seed)
        self.swift = swift
        self.world = CloudWorld(home, swift)
        self.written: set[bytes] = set()
        self.large = large
        self.files = files
        self.changes = self.hits = 0
        self.busy = 0  # runs that were hit after they had begun to change something in the container,
        self.segments = 0  # that had begun to send segments,
        self.held = 0  # of which Swift held a request
        self._number = 0
        self._seed = seed
        for number in range(files):
            self.write("local", f"d{number % 5}/f{number}", self._small())
        for path in LARGE:
            self.write("local", path, self._new())
        self.usual = 0.5  # seconds from its first request to the end of a run
        self.world.settle()

    # -- what users do -------------------------------------------------------------

    def change(self, count: int) -> None:
        for _ in range(count):
            self.changes += 1
            if self.random.random() < self.large:
                self._large_change()
            else:
                self._small_change()

    def write(self, side: str, path: str, data: bytes) -> None:
        """Whole content under the name at every moment, as a careful editor and as Swift do it."""
        self.written.add(brief(data))
        if side == "remote":
            self.world.put(path, data)
            return
        place = self.world.path(f"local/{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        passing = self.world.path(f"saving-{threading.get_ident()}")
        passing.write_bytes(data)
        os.rename(passing, place)

    def _small(self) -> bytes:
        self._number += 1
        return f"content {self._seed} {self._number} ".encode().ljust(
            self.random.choice((1, 1, 20_000)), b"x"
        )

    def _new(self) -> bytes:
        self._number += 1
        return noise(1000 * self._seed + self._number, LARGE_SIZE + self.random.randrange(1 << 20))

    def _small_change(self) -> None:
        side = self.random.choice(("local", "local", "remote"))
        number = self.random.randrange(self.files)
        path = f"d{number % 5}/f{number}"
        match self.random.choice(("write", "write", "write", "delete", "rename", "link")):
            case "delete":
                self._remove(side, path)
            case "rename":
                self._rename(side, path, f"moved/m{self.random.randrange(self.files)}")
            case "link":
                self._link(side, path)
            case _:
                self.write(side, path, self._small())

    def _large_change(self) -> None:
        side, path = self.random.choice(("local", "local", "local", "remote")), self.random.choice(LARGE)
        place = self.world.path(f"local/{path}")
        match self.random.choice(("edit", "edit", "edit", "insert", "new", "delete", "rename")):
            case "delete":
                self._remove(side, path)
            case "rename":
                self._rename(side, path, self.random.choice(LARGE))
            case "edit" if place.exists():
                self.write(side, path, edit(place.read_bytes(), self.random.randrange(1 << 30), size=3000))
            case "insert" if place.exists():
                old, at = place.read_bytes(), self.random.randrange(LARGE_SIZE)
                self.write(side, path, old[:at] + self._small() + old[at:])
            case _:
                self.write(side, path, self._new())

    def _remove(self, side: str, path: str) -> None:
        if side == "remote":
            self.world.remove(path)
        else:
            self.world.path(f"local/{path}").unlink(missing_ok=True)

    def _rename(self, side: str, origin: str, path: str) -> None:
        if origin == path:
            return
        if side == "remote":
            self.world.rename(origin, path)
            return
        place, target = self.world.path(f"local/{origin}"), self.world.path(f"local/{path}")
        if place.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(place, target)

    def _link(self, side: str, path: str) -> None:
        target = f"target {self.random.random()}"
        self.written.add(target.encode())
        if side == "remote":
            self.world.link(path, target)
            return
        place = self.world.path(f"local/{path}")
        place.unlink(missing_ok=True)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(target)

    # -- runs ----------------------------------------------------------------------

    def kill_a_run(self, gate: Rule | None = None) -> bool:
        """Whether it was hit. With a `gate`, while that holds a request."""
        before = self.world.everything()
        self.swift.clear()
        rule = gate or (self._gate() if self.random.random() < 0.5 else None)
        beside = threading.Thread(target=self._add_files) if self.random.random() < 0.3 else None
        process = self.world.start("sync", "--json", "--yes")
        if beside:
            beside.start()
        until(lambda: process.poll() is not None or self.swift.requests())
        began = time.monotonic()
        if rule is None:
            _wait(self.random.uniform(0, 1.1 * self.usual))
        else:
            until(lambda: process.poll() is not None or rule.hits())
            _wait(self.random.choice((0, 0.05)))
        process.kill()
        _, errors = process.communicate(timeout=PATIENCE)
        if beside:
            beside.join()
        hit = process.returncode == -signal.SIGKILL
        assert "Traceback" not in errors, errors
        if hit:
            self.hits += 1
            asked = [a for a in self.swift.requests() if a.method in ("PUT", "POST", "COPY", "DELETE")]
            self.busy += bool(asked)
            self.segments += any("_segments/" in a.path for a in asked)
            self.held += bool(rule and rule.hits())
        else:
            self.usual = 0.5 * self.usual + 0.5 * min(1.0, time.monotonic() - began)
        if rule is not None:
            rule.remove()
        self._wait_for_quiet()
        self.check(before)
        return hit

    def _gate(self) -> Rule:
        """One of the next requests that change something will be held."""
        where = self.random.choice(("*", "*", "*_segments/*"))
        do = self.random.choice(("hold", "hold-answer"))
        return self.swift.rule(
            do, method=CHANGING, kind="object", path=where, after=self.random.choice((0, 0, 1, 2, 3, 5, 8))
        )

    def _add_files(self) -> None:
        for number in range(10):
            self.write("local", f"meanwhile/{self.hits}-{number}", b"%d %f" % (number, time.monotonic()))

    def _wait_for_quiet(self) -> None:
        """What the dead run asked for may go on for a moment; a request whose body broke off never ends."""
        last: object = None
        for _ in range(25):
            now = [(a.status, a.seconds) for a in self.swift.requests()]
            if now == last and all(status for status, _ in now):
                return
            last = now
            _wait(0.02)

    # -- what must hold --------------------------------------------------------------

    def check(self, before: set[bytes]) -> None:
        nothing_is_lost(before, self.world.everything())
        only_whole_contents({side: self.world.side(side) for side in SIDES}, self.written)

    def recover(self) -> None:
        """The next runs finish what the dead ones left, and then there is nothing to do."""
        before = self.world.everything()
        ends = [self.world.sync("--yes") for _ in range(2)]
        assert ends[-1].code == 0, f"{ends[0]}\n{ends[1]}"
        self.check(before)
        assert self.world.equal(), (self.world.side("local"), self.world.side("remote"))
        assert self.world.sync().actions == []
        checked = self.world.check()
        assert checked.code == 0, checked
        left = [p for p in self.world.path("local").rglob(f"{TEMPORARY}*") if len(p.name) == ORDINARY]
        assert left == [], "the next runs sweep what a dead one left"


def until(so: Callable[[], object]) -> None:
    """Waits, not for ever."""
    deadline = time.monotonic() + PATIENCE
    while not so() and time.monotonic() < deadline:
        _wait(0.005)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def kill_many(story: Story, kills: int) -> None:
    """So many runs that were really hit; some are killed again before they could recover."""
    attempts = 0
    while story.hits < kills:
        attempts += 1
        assert attempts < 20 * kills + 100, f"only {story.hits} of {attempts} runs were hit"
        story.change(story.random.randint(3, 20))
        story.kill_a_run()
        while story.random.random() < 0.3:
            story.kill_a_run()
        story.recover()
