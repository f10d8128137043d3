"""What the trash of a pair's folders holds, and for how long it has been there by the pair's own time.

The pair's own time is the time that surely passed while the pair was in use (`clock.passed`): the wall
clock may be set back or forth, and nothing in the trash gets older by that. What this index does not know
(an older version of Syncer put it there, the database was lost) counts as new when it is first seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncer.clock import Moment, Passed, Uptime, passed
from syncer.engine.model import RelPath
from syncer.state import statements as sql
from syncer.state.sqlite import Database

_AGE_NS: Final = "trash.age-ns"
_RUNS: Final = "trash.runs"
_WALL_NS: Final = "trash.wall-ns"
_BOOT: Final = "trash.boot"
_UPTIME_NS: Final = "trash.uptime-ns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old the pair is: `ns` of its own time, and so many runs that looked at everything."""

    ns: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The folder of one run in a trash: its size in bytes, and the pair's age when it was first seen."""

    name: str
    size: int
    seen: Age


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One thing in a trash. `taken_ns`: the pair's own time when it went there. `id` is 0 before it is
    stored.
    """

    batch: str
    path: RelPath
    size: int
    taken_ns: int
    id: int = 0


class TrashIndex:
    """The tables of one pair. All methods raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def age(self) -> Age:
        """As it was written down last."""
        return Age(ns=self._number(_AGE_NS), runs=self._number(_RUNS))

    def grow_older(self, now: Moment, *, runs: int) -> tuple[Age, Passed]:
        """Counts the time since the last call, and `runs` more runs; also what was seen of the clock."""
        before = self._moment()
        since = passed(before, now) if before is not None else Passed(ns=0)
        old = self.age()
        age = Age(ns=old.ns + since.ns, runs=old.runs + runs)
        rows = [
            (_AGE_NS, str(age.ns)),
            (_RUNS, str(age.runs)),
            (_WALL_NS, str(now.wall_ns)),
            (_BOOT, now.uptime.boot),
            (_UPTIME_NS, str(now.uptime.ns)),
        ]
        with self._database.transaction():
            self._database.execute_many(sql.SET, rows)
        return age, since

    def batches(self, side: str) -> list[Batch]:
        """The folders of runs on a side, the longest known first."""
        return [
            Batch(name=os.fsdecode(name), size=size, seen=Age(ns=seen_ns, runs=seen_run))
            for name, size, seen_ns, seen_run in self._database.select(sql.BATCHES, (side,))
        ]

    def size(self, side: str) -> int:
        """Bytes in the trash of a side."""
        return int(self._database.value(sql.TRASH_SIZE, (side,)) or 0)

    def add_batch(self, side: str, name: str, size: int, age: Age) -> None:
        """A folder is there; of one that is known the size grows by that."""
        with self._database.transaction():
            row = (side, os.fsencode(name), 0, age.ns, age.runs)
            self._database.execute(sql.ADD_BATCH, row)
            self._database.execute(sql.GROW_BATCH, (size, side, os.fsencode(name)))

    def forget_batches(self, side: str, names: Iterable[str]) -> None:
        """These folders are gone, with all in them."""
        rows = [(side, os.fsencode(name)) for name in names]
        if rows:
            with self._database.transaction():
                self._database.execute_many(sql.FORGET_BATCH, rows)
                self._database.execute_many(sql.FORGET_BATCH_VERSIONS, rows)

    def add_versions(self, side: str, versions: Iterable[Version], *, replaced: bool) -> None:
        """Things went to the trash; `replaced`: because other content took their names."""
        rows = [
            (side, os.fsencode(v.batch), os.fsencode(v.path), v.size, int(replaced), v.taken_ns)
            for v in versions
        ]
        if rows:
            with self._database.transaction():
                self._database.execute_many(sql.ADD_VERSION, rows)

    def replaced(self, side: str, *, before_ns: int) -> list[Version]:
        """Versions that were replaced before that, path by path, the oldest of each first."""
        found = self._database.select(sql.REPLACED_VERSIONS, (side, 1, before_ns))
        return [
            Version(batch=os.fsdecode(b), path=os.fsdecode(p), size=size, taken_ns=taken, id=number)
            for number, b, p, size, taken in found
        ]

    def resize(self, side: str, sizes: Mapping[tuple[str, RelPath], int]) -> None:
        """Things take so many bytes more (less, if negative) than they did; by batch and path."""
        if sizes:
            rows = [(by, side, os.fsencode(b), os.fsencode(p)) for (b, p), by in sizes.items()]
            with self._database.transaction():
                self._database.execute_many(sql.RESIZE_VERSION, rows)
                self._database.execute_many(sql.GROW_BATCH, [row[:3] for row in rows])

    def forget_versions(self, side: str, versions: Sequence[Version]) -> None:
        """These are gone; the folders they were in are so much lighter."""
        if versions:
            with self._database.transaction():
                self._database.execute_many(sql.FORGET_VERSION, [(v.id,) for v in versions])
                rows = [(-v.size, side, os.fsencode(v.batch)) for v in versions]
                self._database.execute_many(sql.GROW_BATCH, rows)

    def _moment(self) -> Moment | None:
        wall = str(self._database.value(sql.SETTING, (_WALL_NS,)) or "")
        if not wall:
            return None
        boot = str(self._database.value(sql.SETTING, (_BOOT,)) or "")
        return Moment(wall_ns=self._number(_WALL_NS), uptime=Uptime(boot=boot, ns=self._number(_UPTIME_NS)))

    def _number(self, key: str) -> int:
        text = str(self._database.value(sql.SETTING, (key,)) or "")
        try:
            return int(text)
        except ValueError:
            return 0
