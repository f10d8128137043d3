"""Index of the trash of a pair's two folders: batches, versions, sizes and ages by the pair's own time.

The pair's own time is the time that certainly passed while the pair was in use (`clock.passed`): the wall
clock may be set back or forward, and nothing in the trash gets older by that. What is in the trash but not in
the index (an older version of Syncer put it there, the database was lost) has age 0 when it is first seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncer.clock import Moment, Passed, Uptime, passed
from syncer.engine.model import RelPath
from syncer.state import queries
from syncer.state.sqlite import Database, Parameters

_AGE_NS: Final = "trash.age-ns"
_RUNS: Final = "trash.runs"
_WALL_NS: Final = "trash.wall-ns"
_BOOT: Final = "trash.boot"
_UPTIME_NS: Final = "trash.uptime-ns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How old the pair is: nanoseconds of its own time, and the number of its full runs."""

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
    """A file or directory in a trash. `taken_ns`: the pair's own time when it went there. `id`: 0 before
    it is stored.
    """

    batch: str
    path: RelPath
    size: int
    taken_ns: int
    id: int = 0


class TrashIndex:
    """The trash tables of one pair. All methods raise StateError. `side`: the value of an
    `engine.model.Side`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def age(self) -> Age:
        """The pair's age as it was last stored."""
        return Age(ns=self._number(_AGE_NS), runs=self._number(_RUNS))

    def grow_older(self, now: Moment, *, runs: int) -> tuple[Age, Passed]:
        """Add the time since the last call, and `runs` runs; the new age, and the time that passed."""
        since = Passed(ns=0)
        if self._setting(_WALL_NS):
            uptime = Uptime(boot=self._setting(_BOOT), ns=self._number(_UPTIME_NS))
            since = passed(Moment(wall_ns=self._number(_WALL_NS), uptime=uptime), now)
        old = self.age()
        age = Age(ns=old.ns + since.ns, runs=old.runs + runs)
        settings = {
            _AGE_NS: str(age.ns),
            _RUNS: str(age.runs),
            _WALL_NS: str(now.wall_ns),
            _BOOT: now.uptime.boot,
            _UPTIME_NS: str(now.uptime.ns),
        }
        with self._database.transaction():
            rows: list[Parameters] = [{"key": key, "value": value} for key, value in settings.items()]
            self._database.execute_many(queries.SET_SETTING, rows)
        return age, since

    def batches(self, side: str) -> list[Batch]:
        """The batches of a side, the one first seen at the lowest age first."""
        return [
            Batch(name=os.fsdecode(name), size=size, seen=Age(ns=seen_ns, runs=seen_run))
            for name, size, seen_ns, seen_run in self._database.select(queries.GET_BATCHES, {"side": side})
        ]

    def size(self, side: str) -> int:
        """Bytes in the trash of a side."""
        return int(self._database.value(queries.TRASH_SIZE, {"side": side}) or 0)

    def add_batch(self, side: str, name: str, size: int, age: Age) -> None:
        """Add a batch that was first seen at `age`; the size of one that is known grows by `size`."""
        batch = os.fsencode(name)
        with self._database.transaction():
            self._database.execute(
                queries.ADD_BATCH, {"side": side, "batch": batch, "seen_ns": age.ns, "seen_run": age.runs}
            )
            self._database.execute(queries.GROW_BATCH, {"side": side, "batch": batch, "bytes": size})

    def forget_batches(self, side: str, names: Iterable[str]) -> None:
        """Delete batches, which are gone from the disk, with the versions in them."""
        rows: list[Parameters] = [{"side": side, "batch": os.fsencode(name)} for name in names]
        if rows:
            from syncer.state import core_queries

            with self._database.transaction():
                self._database.execute_many(core_queries.DELETE_BATCH, rows)
                self._database.execute_many(core_queries.DELETE_BATCH_VERSIONS, rows)

    def add_versions(self, side: str, versions: Iterable[Version], *, replaced: bool) -> None:
        """Add what went to the trash; `replaced`: because other content took its name."""
        rows: list[Parameters] = [
            {
                "side": side,
                "batch": os.fsencode(version.batch),
                "path": os.fsencode(version.path),
                "size": version.size,
                "replaced": int(replaced),
                "taken_ns": version.taken_ns,
            }
            for version in versions
        ]
        if rows:
            with self._database.transaction():
                self._database.execute_many(queries.ADD_VERSION, rows)

    def replaced(self, side: str, *, before_ns: int) -> list[Version]:
        """Versions that were replaced before a time, path by path, the oldest of each path first."""
        rows = self._database.select(queries.GET_REPLACED, {"side": side, "before_ns": before_ns})
        return [
            Version(batch=os.fsdecode(batch), path=os.fsdecode(path), size=size, taken_ns=taken_ns, id=number)
            for number, batch, path, size, taken_ns in rows
        ]

    def resize(self, side: str, sizes: Mapping[tuple[str, RelPath], int]) -> None:
        """Add bytes, which may be negative, to versions (by batch and path) and to their batches."""
        if not sizes:
            return
        from syncer.state import core_queries

        versions: list[Parameters] = []
        batches: list[Parameters] = []
        for (name, path), change in sizes.items():
            batch = os.fsencode(name)
            versions.append(
                {"of_side": side, "of_batch": batch, "of_path": os.fsencode(path), "bytes": change}
            )
            batches.append({"side": side, "batch": batch, "bytes": change})
        with self._database.transaction():
            self._database.execute_many(core_queries.GROW_VERSION, versions)
            self._database.execute_many(queries.GROW_BATCH, batches)

    def forget_versions(self, side: str, versions: Sequence[Version]) -> None:
        """Delete versions, which are gone from the disk, and subtract their sizes from their batches."""
        if not versions:
            return
        from syncer.state import core_queries

        with self._database.transaction():
            self._database.execute_many(core_queries.DELETE_VERSION, [{"id": v.id} for v in versions])
            rows: list[Parameters] = [
                {"side": side, "batch": os.fsencode(v.batch), "bytes": -v.size} for v in versions
            ]
            self._database.execute_many(queries.GROW_BATCH, rows)

    def _setting(self, key: str) -> str:
        return str(self._database.value(queries.GET_SETTING, {"key": key}) or "")

    def _number(self, key: str) -> int:
        try:
            return int(self._setting(key))
        except ValueError:
            return 0
