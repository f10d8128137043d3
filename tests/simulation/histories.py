"""A history of two real folders: what users and accidents do to them, and runs in between.

`History` is the world of the state machines: it edits, loses, veils, runs, and after every run asks
the oracle of `expectations`. It knows what both sides agreed on last only where that is certain: after
a run that was hurt, or a lost database, only the rules that always hold are asked for.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from syncer.engine import sync
from syncer.engine.model import ConflictPolicy, MaxDelete, Mode, Policy
from syncer.engine.report import RunReport
from syncer.jobs.results import loud, name_of
from tests.simulation import expectations as expect
from tests.simulation.faults import Calls, Fault
from tests.simulation.machines import End, FastClock, Machine
from tests.simulation.manners import ORDINARY, Manner, OddDisk, spelt
from tests.world import SIDES, Snapshot, every_content, snapshot

ANCHOR = "anchor"  # never touched, so that no side is ever empty
_ANY_NUMBER = MaxDelete(count=10_000)


class Veil(OddDisk):
    """A disk on which some places cannot be opened; root's rights do not help against it."""

    def __init__(self, manner: Manner) -> None:
        super().__init__(manner)
        self.veiled: set[str] = set()

    def open_read(self, name: str, dir_fd: int) -> int:
        self._look(name, dir_fd)
        return super().open_read(name, dir_fd)

    def open_directory(self, name: str, dir_fd: int) -> int:
        self._look(name, dir_fd)
        return super().open_directory(name, dir_fd)

    def _look(self, name: str, dir_fd: int) -> None:
        if self.veiled and f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}" in self.veiled:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class Clock(FastClock):
    """The system's time; `ahead` of it stamps look old enough to be trusted.

    `passed`: what the users' files waited for a later tick of a disk with coarse stamps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.passed

    def look_back(self, seconds: int) -> None:
        self._ahead = seconds * 10**9


class History:
    """One pair of folders from the first file to the end."""

    def __init__(
        self,
        conflict: ConflictPolicy = ConflictPolicy.KEEP_BOTH,
        mode: Mode = Mode.TWO_WAY,
        manner: Manner = ORDINARY,
        there: Manner | None = None,
    ) -> None:
        """`manner`: of both disks, or of the local one where the remote one has another (`there`)."""
        self.manners = {"local": manner, "remote": there or manner}
        room = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.home = Path(tempfile.mkdtemp(prefix="syncer-history-", dir=room))
        for name in (*SIDES, "keep", "state"):
            (self.home / name).mkdir()
        self.veil, self.clock = Veil(manner), Clock()
        self.odd = Veil(there) if there is not None else self.veil
        self.machine = Machine(self.veil, self.clock, str(self.home), self.home / "state", self.odd)
        self._respelt = False
        self.policy = Policy(conflict=conflict, mode=mode, max_delete=_ANY_NUMBER)
        self.written: set[bytes] = {ANCHOR.encode()}
        self.base: Snapshot | None = {}
        self.held: set[str] = set()  # deleted on one side, and still there for what is ignored in them
        self.saved: bytes | None = None
        self._number = 0
        for side in SIDES:
            (self.home / side / ANCHOR).write_text(ANCHOR)

    def close(self) -> None:
        shutil.rmtree(self.home)

    # -- runs ------------------------------------------------------------------------

    def run(self, fault: Fault | None = None, *, plan: bool = False) -> End:
        """A run, and everything that must be true after it whatever happened in it."""
        before, kept, rules = self.sides(), self.contents(), self.rules()
        foreseen = self._foreseen() if plan else None
        end = self.machine.run(fault, looks=True, policy=self.policy)
        after = self.sides()
        expect.nothing_is_lost(kept, self.contents())
        expect.only_whole_contents(after, self.written)
        if end.error is not None and end.exit_code == 4:
            expect.unchanged(before, after)
        hurt = end.calls.struck or self.veil.veiled or self.odd.veiled
        whole = not hurt and end.report is not None
        if whole and end.report is not None:
            if foreseen is not None:
                assert foreseen == _told(end.report), f"planned {foreseen}, done {_told(end.report)}"
            self._after_whole_run(before, after, end, rules)
        else:
            self.base = None
        self._tick()
        return end

    def _after_whole_run(
        self, before: dict[str, Snapshot], after: dict[str, Snapshot], end: End, was: set[str]
    ) -> None:
        """Rules that this run itself brought hold from the next run on."""
        assert end.report is not None
        rules = was | self.rules()
        unsure = self.held | held_open((*before.values(), *after.values()), rules)
        self.held = held_open(after.values(), rules)
        sides = {side: synced(tree, rules, unsure) for side, tree in after.items()}
        if end.exit_code == 0 and self.policy.mode is Mode.TWO_WAY:
            expect.equal(sides)
        if self.policy.mode is not Mode.TWO_WAY:
            source = "local" if self.policy.mode is Mode.PUSH else "remote"
            expect.unchanged({source: before[source]}, {source: after[source]})
        elif self.base is not None and not end.report.holds:
            shown = {side: synced(tree, rules, unsure) for side, tree in before.items()}
            known = synced(self.base, rules, unsure)
            expect.merged(known, shown, sides, self.policy.conflict, unsure)
        local, remote = (synced(after[side], rules, self.held) for side in SIDES)
        agreed = {p: n for p, n in local.items() if p in remote and remote[p].content[:2] == n.content[:2]}
        calm = rules == self.rules() == was and local.keys() == remote.keys() == agreed.keys()
        self.base = agreed if calm and not self._respelt else None

    def _foreseen(self) -> list[tuple[str, str]]:
        with self.machine._pair(Calls(), self.policy) as pair:
            return sorted((name_of(a), a.path) for a in sync.plan(pair).actions if loud(a))

    def quiesce(self) -> None:
        """Nobody touches anything: two runs bring both sides in step, a third finds nothing to do."""
        self.lift()
        ends = [self.run(plan=True) for _ in range(2)]
        # One-way, a file at the source against somebody's directory at the follower waits for a person.
        waiting = self.policy.conflict is ConflictPolicy.ASK or self.policy.mode is not Mode.TWO_WAY
        assert ends[-1].exit_code in ((0, 1) if waiting else (0,)), f"{ends[0]} / {ends[1]}"
        before = self.sides()
        third = self.run(plan=True)
        assert third.report is not None, str(third)
        again = [report.action for report in third.report.actions if loud(report.action)]
        assert not again, f"it does not rest: {again}"
        expect.unchanged(before, self.sides())
        if self.policy.mode is Mode.TWO_WAY and not waiting:
            unsure = held_open(before.values(), self.rules())
            expect.equal({side: synced(tree, self.rules(), unsure) for side, tree in before.items()})
            if not self.policy.ignore and ".syncignore" not in before["local"]:
                assert self.machine.differences() == []

    # -- what stands there ---------------------------------------------------------------

    def sides(self) -> dict[str, Snapshot]:
        return {side: snapshot(self.home / side) for side in SIDES}

    def rules(self) -> set[str]:
        """The ignore rules that hold somewhere; all used here are bare names.

        Where a side folds, what a rule names in one spelling is nobody's business in the other one either.
        """
        found = set(self.policy.ignore)
        for side in SIDES:
            file = self.home / side / ".syncignore"
            if file.is_file():
                found |= set(file.read_text().split())
        return found | {name.swapcase() for name in found} if self._folding else found

    def contents(self) -> set[bytes]:
        trashes = (self.home / "keep", *(self.home / side / ".syncer/trash" for side in SIDES))
        places = [*(self.home / side for side in SIDES), *(t for t in trashes if t.is_dir())]
        return {data for place in places for data in every_content(place)}

    # -- what users do ---------------------------------------------------------------------

    def fresh(self, size: int = 12) -> bytes:
        """Content that never was before."""
        self._number += 1
        data = f"{self._number:06} ".encode().ljust(size, b".")
        self.written.add(data)
        return data

    def place(self, side: str, path: str) -> Path:
        """Where the path is, as a user finds it: no twin of a name is made where a side folds."""
        place = self.home / side
        for name in path.split("/"):
            found = self._folding and place.is_dir() and not place.is_symlink()
            place /= spelt(name, self._folding, place) if self._folding and found else name
        return place

    @property
    def _folding(self) -> Manner | None:
        return next((manner for manner in self.manners.values() if manner.folds), None)

    @property
    def symlinks(self) -> bool:
        """Whether both sides can hold them."""
        return not any(manner.symlink for manner in self.manners.values())

    @property
    def modes(self) -> bool:
        return all(manner.mode is None for manner in self.manners.values())

    @property
    def coarse(self) -> bool:
        return any(manner.tick_ns for manner in self.manners.values())

    def written_to(self, place: Path) -> None:
        """On a disk with coarse stamps a write counts once it has a later one: two seconds are waited for."""
        if self.coarse and place.is_file() and not place.is_symlink():
            self.clock.passed += 2_000_000_000
            now = time.time_ns() + self.clock.passed
            os.utime(place, ns=(now, now))

    def respell(self, place: Path) -> None:
        """Renames it in nothing but case. What becomes of it then is no business of the oracle's table."""
        other = place.with_name(place.name.swapcase())
        if self._folding and not os.path.lexists(other):
            place.rename(other)
            self._respelt, self.base = True, None

    def cover(self, place: Path) -> None:
        for veil in (self.veil, self.odd):
            veil.veiled.add(str(place))

    def lift(self) -> None:
        for veil in (self.veil, self.odd):
            veil.veiled.clear()

    def pick(self, side: str, number: int) -> Path | None:
        """One of the names that are there."""
        names = sorted(snapshot(self.home / side).keys() - {ANCHOR, ".syncignore"})
        return self.place(side, names[number % len(names)]) if names else None

    def reachable(self, side: str, path: str) -> bool:
        """Whether the directories above are there, or can be made."""
        return all(
            not os.path.lexists(above) or (above.is_dir() and not above.is_symlink())
            for above in self.place(side, path).parents
        )

    def write(self, side: str, path: str, data: bytes, *, in_place: bool = True) -> bool:
        place = self.place(side, path)
        if not self.reachable(side, path) or (place.is_dir() and not place.is_symlink()):
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink() or not in_place:
            passing = place.with_name(".#saving")
            passing.write_bytes(data)
            os.rename(passing, place)
        else:
            place.write_bytes(data)
        self.written_to(place)
        return True

    def remove(self, side: str, path: str) -> None:
        place = self.place(side, path)
        if not self.reachable(side, path) or not os.path.lexists(place):
            return
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()

    def rename(self, side: str, origin: str, path: str) -> None:
        """As mv -T does it: onto a file, too."""
        one, other = self.place(side, origin), self.place(side, path)
        if not (self.reachable(side, origin) and self.reachable(side, path) and os.path.lexists(one)):
            return
        if other.is_relative_to(one) or one.is_relative_to(other):
            return
        other.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(other) and (one.is_dir() != other.is_dir() or any_inside(other)):
            return
        os.rename(one, other)

    def swap(self, side: str, one: str, other: str) -> None:
        places = self.place(side, one), self.place(side, other)
        nested = places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0])
        if nested or not all(map(os.path.lexists, places)):
            return
        if not (self.reachable(side, one) and self.reachable(side, other)):
            return
        passing = self.home / side / ".#swapping"
        os.rename(places[0], passing)
        os.rename(places[1], places[0])
        os.rename(passing, places[1])

    # -- accidents -------------------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[Path]:
        """The database file, for something that makes the memory uncertain."""
        yield self.home / "state/state.db"
        self.base = None

    def set_rules(self, ignore: tuple[str, ...]) -> None:
        """What both sides have and is no longer ignored counts as met for the first time."""
        self.policy = replace(self.policy, ignore=ignore)
        self.base = None

    def wipe_trash(self) -> None:
        for trash in (self.home / "keep/trash", *(self.home / side / ".syncer/trash" for side in SIDES)):
            shutil.rmtree(trash, ignore_errors=True)

    def _tick(self) -> None:
        """Waits until the disk's clock moves on: what is edited from here on gets a later ctime."""
        probe = self.home / "tick"
        probe.write_bytes(b"")
        first = probe.stat().st_ctime_ns
        while probe.stat().st_ctime_ns == first:
            probe.write_bytes(b"")


def synced(tree: Snapshot, rules: set[str], unsure: set[str]) -> Snapshot:
    """The names that no rule names, without the directories of `unsure`."""
    return {
        path: node
        for path, node in tree.items()
        if not rules.intersection(path.split("/")) and not (path in unsure and node.kind == "directory")
    }


def held_open(trees: Iterable[Snapshot], rules: set[str]) -> set[str]:
    """Directories with something ignored in them: they stay as long as it does."""
    ignored = {path for tree in trees for path in tree if rules.intersection(path.split("/"))}
    return {str(above) for path in ignored for above in PurePosixPath(path).parents}


def any_inside(place: Path) -> bool:
    """Whether it is a directory with something in it."""
    return place.is_dir() and not place.is_symlink() and any(place.iterdir())


def _told(report: RunReport) -> list[tuple[str, str]]:
    return sorted((name_of(a.action), a.action.path) for a in report.actions if loud(a.action))
