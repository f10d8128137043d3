"""Real processes that are killed, or asked to stop, at any moment; the next run heals.

The process is a fork of the warm test process that calls the command line's `main`: so it dies in
a run, not while Python starts. Signals that ask to stop are sent to a `python -m syncer` of its own.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from syncer.cli.main import main
from tests.simulation.expectations import nothing_is_lost, only_whole_contents
from tests.world import SIDES, World

KILLS = 24
FILES = 60


def fork(world: World) -> int:
    """A run in a child process; its pid."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115 - for the child's whole life
            code = main(world.words("sync", "--json", "--yes"))
        finally:
            os._exit(code)
    return child


class Story:
    """A tree that both sides know, and random changes of every kind before every kill."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(home)
        self.written: set[bytes] = set()
        self._number = 0
        for number in range(FILES):
            self.write("local", f"d{number % 5}/f{number}")
        self.write("local", "big", size=3 << 20)
        self.world.settle()
        self.usual = 0.05

    def write(self, side: str, path: str, size: int = 0) -> None:
        """As a careful editor: whole content under the name at every moment."""
        self._number += 1
        data = f"content {self._number} ".encode().ljust(size, b"x")
        self.written.add(data)
        place = self.world.path(f"{side}/{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        passing = self.world.path(f"saving-{threading.get_ident()}")
        passing.write_bytes(data)
        os.rename(passing, place)

    def change(self) -> None:
        for _ in range(self.random.randint(4, 40)):
            self._one_change()
        if self.random.random() < 0.3:
            self.write(self.random.choice(SIDES), "big", size=3 << 20)

    def _one_change(self) -> None:
        side, path = self.random.choice(SIDES), self._path()
        place = self.world.path(f"{side}/{path}")
        match self.random.choice(("write", "write", "delete", "rename", "link")):
            case "delete":
                place.unlink(missing_ok=True)
            case "rename" if place.exists():
                place.parent.with_name("moved").mkdir(exist_ok=True)
                os.rename(place, place.parent.with_name("moved") / f"m{self.random.randrange(FILES)}")
            case "link":
                place.unlink(missing_ok=True)
                place.parent.mkdir(exist_ok=True)
                target = f"target {self.random.random()}"
                self.written.add(target.encode())
                place.symlink_to(target)
            case _:
                self.write(side, path)

    def _path(self) -> str:
        number = self.random.randrange(FILES)
        return f"d{number % 5}/f{number}"

    def kill_a_run(self, *, beside: bool) -> bool:
        """A run killed at a random moment of the time that runs usually take; whether it was hit.

        `beside`: somebody adds files meanwhile.
        """
        before = self.world.everything()
        began = time.monotonic()
        child = fork(self.world)
        writer = threading.Thread(target=self._add_files) if beside else None
        if writer:
            writer.start()
        _wait_until(began + self.random.uniform(0, 1.1 * self.usual))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if writer:
            writer.join()
        hit = os.WIFSIGNALED(status)
        if not hit:
            self.usual = 0.5 * self.usual + 0.5 * (time.monotonic() - began)
        else:
            self.usual *= 1.02
        self.check(before)
        return hit

    def _add_files(self) -> None:
        for number in range(10):
            self.write("local", f"meanwhile/{number}")

    def check(self, before: set[bytes]) -> None:
        nothing_is_lost(before, self.world.everything())
        only_whole_contents({side: self.world.side(side) for side in SIDES}, self.written)

    def recover(self) -> None:
        before = self.world.everything()
        ends = [self.world.sync("--yes") for _ in range(2)]
        assert ends[-1].code == 0, f"{ends[0]}\n{ends[1]}"
        self.check(before)
        assert self.world.equal()
        assert self.world.sync().actions == []
        assert self.world.check().code == 0
        leftovers = [p for side in SIDES for p in self.world.path(side).rglob(".syncer-tmp-*")]
        assert leftovers == [], "the next runs sweep what a dead one left"


def _wait_until(moment: float) -> None:
    threading.Event().wait(max(0.0, moment - time.monotonic()))


def kill_many(home: Path, kills: int, seed: int) -> None:
    """So many runs that were really hit; some recoveries are killed as well."""
    story = Story(home, seed)
    hit = attempts = 0
    while hit < kills:
        attempts += 1
        assert attempts < 20 * kills + 100, f"only {hit} of {attempts} runs were hit"
        story.change()
        hit += story.kill_a_run(beside=attempts % 3 == 0)
        while story.random.random() < 0.3:
            hit += story.kill_a_run(beside=False)
        story.recover()


def test_runs_killed_at_any_moment_lose_nothing_and_the_next_one_heals(tmp_path: Path) -> None:
    kill_many(tmp_path / "w", KILLS, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_kills_lose_nothing(tmp_path: Path, seed: int) -> None:
    kill_many(tmp_path / "w", 100, seed=100 + seed)


class TestAskedToStop:
    """SIGTERM and SIGINT to a process that has a lot to do."""

    @pytest.fixture
    def busy(self, tmp_path: Path) -> World:
        world = World(tmp_path / "w", upload_limit='"256K"')
        for number in range(24):
            world.write(f"local/f{number}", bytes([number]) * (256 << 10))
        return world

    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_it_stops_between_two_steps_and_the_next_run_finishes(
        self, busy: World, signum: signal.Signals, code: int
    ) -> None:
        process = busy.start("sync", "--json")
        _wait_for_work(busy)
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
        assert process.returncode == code, err
        assert "Traceback" not in err
        assert f'"exit": {code}' in out
        assert not busy.equal(), "it was stopped in the middle"
        busy.configure()
        busy.settle()
        assert busy.equal()

    def test_a_second_signal_ends_it_at_once(self, busy: World) -> None:
        process = busy.start("sync")
        _wait_for_work(busy)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < 20:
            process.send_signal(signal.SIGINT)
            threading.Event().wait(0.02)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert time.monotonic() - began < 5
        busy.configure()
        busy.settle()


def _wait_for_work(world: World) -> None:
    """Until the process writes to the remote: its run is well under way."""
    deadline = time.monotonic() + 30
    while not any(world.path("remote").glob(".syncer-tmp-*")):
        assert time.monotonic() < deadline, "the run never began"
        threading.Event().wait(0.01)


def test_a_real_process_killed_right_after_its_start_leaves_nothing_behind(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.fill("local", 10)
    process = world.start("sync")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    world.settle()
    assert world.equal()
