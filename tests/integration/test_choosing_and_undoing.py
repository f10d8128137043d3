"""Random lives of two folders in which plans are cut down by hand and runs are taken back.

Nothing is ever lost, and after an ordinary run both sides are equal and stay so. A failure names its seed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from tests.world import World, call

NAMES = ("a", "b", "c", "d", "e")
STEPS = 14


class Life:
    """One life: whatever `random` says, done by a user on both sides and by Syncer."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(home)
        self.number = 0
        self.world.sync("--yes")

    def step(self) -> None:
        """Some changes by users, and then something by Syncer; no content may go."""
        for _ in range(self.random.randrange(1, 6)):
            self.user()
        before = self.world.everything()
        self.random.choice([self.sync, self.sync, self.chosen, self.chosen, self.undo, self.undo])()
        lost = before - self.world.everything()
        assert not lost, lost

    def user(self) -> None:
        side = self.world.home / self.random.choice(["local", "remote"])
        acts = [self.write, self.write, self.write, self.delete, self.rename]
        self.random.choice(acts)(side)

    def place(self, side: Path) -> Path:
        depth = self.random.randrange(1, 4)
        return side.joinpath(*(self.random.choice(NAMES) for _ in range(depth)))

    def write(self, side: Path) -> None:
        place = self.place(side)
        self.number += 1
        if place.is_dir() or any(above.is_file() for above in place.parents):
            return
        path = str(place.relative_to(self.world.home))
        self.world.write(path, f"content {self.number:03}"[: self.random.choice([11, 11, 40])])

    def delete(self, side: Path) -> None:
        place = self.place(side)
        if place.is_dir():
            if not any(path.is_file() for path in place.rglob("*")):
                shutil.rmtree(place)
        elif place.exists() and self.elsewhere(place):
            place.unlink()

    def elsewhere(self, place: Path) -> bool:
        """Users delete only what exists twice: what they throw away themselves is nobody's to keep."""
        data = place.read_bytes()
        files = [p for side in ("local", "remote") for p in (self.world.home / side).rglob("*")]
        return sum(p.is_file() and p.read_bytes() == data for p in files) > 1

    def rename(self, side: Path) -> None:
        origin, place = self.place(side), self.place(side)
        free = not place.exists() and place.parent.is_dir() and origin not in place.parents
        if origin.exists() and free:
            origin.rename(place)

    def sync(self) -> None:
        ran = self.world.sync("--yes")
        assert ran.code == 0, ran
        assert self.world.equal()

    def chosen(self) -> None:
        """A plan of which some actions are left out, and during which somebody may be at work."""
        file = self.world.home / "plan.json"
        assert call(*self.world.words("plan", "--yes", "-o", str(file))).code == 0
        document = json.loads(file.read_text())
        (job,) = document["jobs"]
        job["actions"] = [a for a in job["actions"] if self.random.random() < 0.6]
        file.write_text(json.dumps(document))
        if self.random.random() < 0.4:
            self.edit_copying()
        ran = call(*self.world.words("apply", str(file), "--yes", "--json"))
        assert ran.code in (0, 3), ran
        wanted = {(a["action"], a["path"]) for a in job["actions"]}
        assert set(ran.actions) <= wanted

    def edit_copying(self) -> None:
        """Somebody edits a file whose content stands elsewhere as well, so that it is not lost by that."""
        files = [p for p in sorted((self.world.home / "local").rglob("*")) if p.is_file()]
        place = self.random.choice(files) if files else None
        if place is not None and ".syncer" not in place.parts and self.elsewhere(place):
            self.number += 1
            self.world.write(str(place.relative_to(self.world.home)), f"content {self.number:03}")

    def undo(self) -> None:
        """The last run, or some run."""
        last = self.world.status()["last_run"]["run"]
        number = [] if self.random.random() < 0.5 else [str(self.random.randrange(1, last + 1))]
        ran = call(*self.world.words("undo", "--yes", "--json", *number))
        assert ran.code in (0, 1, 2, 3), ran
        assert "unexpected" not in ran.err, ran

    def rest(self) -> None:
        """Both sides are in step in the end, and nothing is left to do."""
        self.sync()
        assert self.world.sync().actions == []


def live(home: Path, seed: int) -> None:
    life = Life(home, seed)
    for _ in range(STEPS):
        life.step()
    life.rest()


@pytest.mark.parametrize("seed", range(6))
def test_no_content_is_lost_by_cutting_plans_down_and_taking_runs_back(tmp_path: Path, seed: int) -> None:
    live(tmp_path / "life", seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1000, 1300))
def test_no_content_is_lost_in_many_such_lives(tmp_path: Path, seed: int) -> None:
    live(tmp_path / "life", seed)
