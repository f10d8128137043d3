"""Root log: which content left a root in the last days, and by which job. One database for all jobs.

With several jobs on one root, each is right by its own two sides, and a deletion and a file may follow each
other around for ever; `engine.echo` breaks such loops with this log. Roots of a single job have only
conflicts in it. Losing it is harmless: a damaged file is deleted, and loops are not recognised until the log
has grown again. Its few statements are plain SQL, as in `queries`: every run executes some.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from syncer.engine.echo import ABSENT, DIRECTORY, LONG_AGO, EchoChange, value_of
from syncer.engine.guards import remembered
from syncer.engine.interfaces import BaseStore, Clock
from syncer.engine.model import (
    Delete,
    Done,
    KeepBoth,
    MakeDirectory,
    Reason,
    RelPath,
    RemoveDirectory,
    Side,
    Transfer,
)
from syncer.engine.paths import split
from syncer.engine.report import ActionReport, RunReport
from syncer.errors import StateError
from syncer.state.sqlite import CorruptDatabase, Database, translated

_log = logging.getLogger("syncer.state")
NAME: Final = "roots.db"
KEPT_NS: Final = 7 * 86_400 * 10**9
COUNTED_NS: Final = 86_400 * 10**9  # changes longer ago count for no loop
_MOST: Final = 200_000  # rows, over all roots
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS jobs (job TEXT, root TEXT, name TEXT, looked INTEGER,
    PRIMARY KEY (job, root))""",
    """CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY AUTOINCREMENT, root TEXT, path BLOB,
    directory BLOB, left BLOB, now BLOB, origin INTEGER, mover TEXT, job TEXT, at_ns INTEGER)""",
    "CREATE INDEX IF NOT EXISTS log_path ON log (root, path, seq)",
    "CREATE TABLE IF NOT EXISTS looked (job TEXT, directory BLOB, seq INTEGER, PRIMARY KEY (job, directory))",
)
_COMPLETE: Final = "SELECT count(*) FROM sqlite_schema WHERE name = 'looked'"
_UNKNOWN: Final = b"?"  # equal to no value of a path
_CONFLICTS: Final = frozenset({Reason.MIRROR, Reason.BOTH_CHANGED, Reason.BOTH_NEW, Reason.ECHO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An action replaced one value at a path by another. `base`: the value in the base (None: unknown).

    `source`: the side that the value comes from. `decided`: a conflict that was resolved.
    """

    path: RelPath
    source: Side
    value: bytes
    replaced: bytes
    base: bytes | None
    conflict: bool
    decided: bool


class RootLog:
    """The log as one job sees it for its two roots: `engine.echo.Echoes`. Methods raise StateError."""

    def __init__(
        self, database: Database, *, job: str, roots: Mapping[Side, str], now_ns: int, name: str = ""
    ) -> None:
        """With a `name`, the job is registered for the roots; without, nothing is written."""
        self.job = job
        self._database = database
        self._roots = roots
        self._now_ns = now_ns
        if name:
            self._register(name)
        self._start = int(database.value("SELECT max(seq) FROM log") or 0)
        self._shared = any(self._jobs_of(root) > 1 for root in roots.values())
        self._names: frozenset[RelPath] | None = None
        looked = database.value(
            "SELECT min(looked) FROM jobs WHERE job = ? AND root IN (?, ?)", (job, *roots.values())
        )
        self._looked = self._start if looked is None else int(looked)

    def _register(self, name: str) -> None:
        """Add the job to the jobs of its roots. What left the roots before its first run does not count."""
        known = self._database.select("SELECT root FROM jobs WHERE job = ? AND name = ?", (self.job, name))
        if set(self._roots.values()) <= {root for (root,) in known}:
            return
        with self._database.transaction():
            newest = self._number("SELECT max(seq) FROM log", ())
            for root in self._roots.values():
                self._database.execute(
                    "INSERT INTO jobs VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (job, root) DO UPDATE SET name = excluded.name",
                    (self.job, root, name, newest),
                )

    def _jobs_of(self, root: str) -> int:
        """The number of jobs of a root, with this one, which may not be registered yet."""
        others = self._number("SELECT count(*) FROM jobs WHERE root = ? AND job != ?", (root, self.job))
        return others + 1

    # -- queries ------------------------------------------------------------------

    def concerned(self) -> Collection[RelPath]:
        """Paths of either root that are in the log; read once, before this run adds any."""
        if self._names is None:
            found = self._database.select(
                "SELECT DISTINCT path FROM log WHERE root IN (?, ?)", tuple(self._roots.values())
            )
            self._names = frozenset(os.fsdecode(path) for (path,) in found)
        return self._names

    def past(self, side: Side, path: RelPath) -> Sequence[EchoChange]:
        """The values of a path, one after the other. Changes of more than a day ago have the mover
        `LONG_AGO`.
        """
        return self._past(self._roots[side], path)

    def everywhere(self, path: RelPath) -> Collection[Sequence[EchoChange]]:
        """The values of the same path in each root of this state directory."""
        found = self._database.select("SELECT DISTINCT root FROM jobs", ())
        return [self._past(root, path) for (root,) in found]

    def _past(self, root: str, path: RelPath) -> Sequence[EchoChange]:
        looked = self._number(
            "SELECT seq FROM looked WHERE job = ? AND directory = ?",
            (self.job, os.fsencode(split(path)[0])),
        )
        since = max(self._looked, looked)
        rows = self._database.select(
            "SELECT seq, left, now, origin, mover, job, at_ns FROM log "
            "WHERE root = ? AND path = ? ORDER BY seq",
            (root, os.fsencode(path)),
        )
        return [
            EchoChange(
                left=left,
                now=now,
                origin=origin,
                mover=mover if abs(self._now_ns - at_ns) <= COUNTED_NS else LONG_AGO,
                pending=seq > since and job != self.job,
            )
            for seq, left, now, origin, mover, job, at_ns in rows
        ]

    def shared(self, side: Side) -> bool:
        """Whether other jobs of this state directory have the root, too."""
        return self._jobs_of(self._roots[side]) > 1

    def called(self, job: str) -> str:
        return str(self._database.value("SELECT name FROM jobs WHERE job = ?", (job,)) or job)

    def _number(self, sql: str, row: tuple[Any, ...]) -> int:
        return int(self._database.value(sql, row) or 0)

    # -- after a run --------------------------------------------------------------

    def record(self, report: RunReport) -> None:
        """Record what a run did, and which directories it scanned."""
        moved = [m for done in report.actions if (m := _moved(done)) is not None]
        if not self._shared and not self.concerned() and not any(one.conflict for one in moved):
            return
        with self._database.transaction():
            for one in moved:
                if self._shared or one.conflict or one.path in self.concerned():
                    self._note(one)
            self._catch_up(report)
            self._prune()

    def _note(self, one: Moved) -> None:
        """Record what was found in both roots, then what the job did in one of them."""
        origin = self._found(one.source, one.path, one.value, one.base)
        self._found(one.source.other, one.path, one.replaced, one.base)
        last = self._last(one.source.other, one.path)
        if last is not None or one.replaced != ABSENT:
            # A resolved conflict is a decision: its value is newer than those of both sides.
            origin = 0 if one.decided else origin
            self._add(one.source.other, one.path, one.replaced, one.value, origin, self.job, new=one.decided)

    def _found(self, side: Side, path: RelPath, value: bytes, base: bytes | None) -> int:
        """Record a value that none of the jobs put there, once. Its origin; 0 if it was always there."""
        last = self._last(side, path)
        if last is not None:
            now, origin = last
            return origin if now == value else self._add(side, path, now, value, 0, "")
        if base is not None and base != value:
            return self._add(side, path, base, value, 0, "")
        return 0

    def _last(self, side: Side, path: RelPath) -> tuple[bytes, int] | None:
        found = self._database.select(
            "SELECT now, origin FROM log WHERE root = ? AND path = ? ORDER BY seq DESC LIMIT 1",
            (self._roots[side], os.fsencode(path)),
        )
        return (found[0][0], found[0][1]) if found else None

    def _add(
        self,
        side: Side,
        path: RelPath,
        left: bytes,
        now: bytes,
        origin: int,
        mover: str,
        *,
        new: bool = False,
    ) -> int:
        """Add a row; returns the origin of its value: for a new value the number of the row itself."""
        if left == now:
            return origin
        row = (
            self._roots[side],
            os.fsencode(path),
            os.fsencode(split(path)[0]),
            left,
            now,
            origin,
            mover,
            self.job,
            self._now_ns,
        )
        number = self._database.insert(
            "INSERT INTO log (root, path, directory, left, now, origin, mover, job, at_ns) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        if new or (not origin and not mover):
            self._database.execute("UPDATE log SET origin = seq WHERE seq = ?", (number,))
            return number
        return origin

    def _catch_up(self, report: RunReport) -> None:
        """Note that the run saw what other jobs did before it began, in directories that it finished."""
        undone = {split(a.action.path)[0] for a in report.actions if not isinstance(a.outcome, Done)}
        undone |= {split(path)[0] for hold in report.holds for path in hold.paths}
        undone |= {split(path)[0] for path in report.left}
        undone |= {split(problem.path)[0] for problem in report.problems if problem.waits}
        if report.looked is None and not undone:
            self._database.execute("UPDATE jobs SET looked = ? WHERE job = ?", (self._start, self.job))
            self._database.execute("DELETE FROM looked WHERE job = ?", (self.job,))
            return
        recent = self._database.select(
            "SELECT DISTINCT directory FROM log WHERE root IN (?, ?) AND seq > ?",
            (*self._roots.values(), self._looked),
        )
        for (directory,) in recent:
            path = os.fsdecode(directory)
            if path not in undone and (report.looked is None or path in report.looked):
                self._database.execute(
                    "INSERT OR REPLACE INTO looked VALUES (?, ?, ?)", (self.job, directory, self._start)
                )

    def _prune(self) -> None:
        newest = self._number("SELECT max(seq) FROM log", ())
        self._database.execute(
            "DELETE FROM log WHERE seq <= ? OR (root IN (?, ?) AND at_ns < ?)",
            (newest - _MOST, *self._roots.values(), self._now_ns - KEPT_NS),
        )


@contextmanager
def remembering(
    state_dir: Path, job: str, name: str, memory: BaseStore, clock: Clock
) -> Iterator[RootLog | None]:
    """The log for one run of a job; None if it cannot be opened. The base knows the markers of the roots."""
    roots = {side: remembered(memory, side).marker for side in Side}
    database, log = None, None
    try:
        database, log = _begun(state_dir / NAME, job, name, roots, clock.now_ns())
    except StateError as error:
        _log.warning("what left the roots lately is not known: %s", error)
    try:
        yield log
    finally:
        if database is not None:
            database.abandon()


@contextmanager
def looking(state_dir: Path, job: str, roots: Mapping[Side, str], clock: Clock) -> Iterator[RootLog | None]:
    """The log for reading, as a run of the job would find it now; None if there is none."""
    database, log = None, None
    try:
        database, log = _seen(state_dir / NAME, job, roots, clock.now_ns())
    except StateError as error:  # a run would replace a damaged one
        _log.info("what left the roots lately is not known: %s", error)
    try:
        yield log
    finally:
        if database is not None:
            database.abandon()


def _seen(
    path: Path, job: str, roots: Mapping[Side, str], now_ns: int
) -> tuple[Database | None, RootLog | None]:
    with translated(path):
        if not path.exists():
            return None, None
    database = Database.connect(path, readonly=True)
    try:
        if not database.value(_COMPLETE):
            database.abandon()
            return None, None
        return database, RootLog(database, job=job, roots=roots, now_ns=now_ns)
    except BaseException:
        database.abandon()
        raise


def note(log: RootLog | None, report: RunReport, *, broken_off: bool = False) -> None:
    """Record what a run did. A failure is logged only: changes by other jobs then count as new.

    `broken_off`: an error ended the run, so it finished no directory.
    """
    if log is None:
        return
    try:
        log.record(replace(report, looked=frozenset()) if broken_off else report)
    except StateError as error:
        _log.warning("what left the roots is not noted: %s", error)


def _begun(
    path: Path, job: str, name: str, roots: Mapping[Side, str], now_ns: int
) -> tuple[Database, RootLog]:
    try:
        return _opened(path, job, name, roots, now_ns)
    except CorruptDatabase:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _opened(path, job, name, roots, now_ns)


def _opened(
    path: Path, job: str, name: str, roots: Mapping[Side, str], now_ns: int
) -> tuple[Database, RootLog]:
    with translated(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = Database.connect(path)
    try:
        if not database.value(_COMPLETE):
            with database.transaction():
                for statement in _SCHEMA:
                    database.execute(statement)
        return database, RootLog(database, job=job, name=name, roots=roots, now_ns=now_ns)
    except BaseException:
        database.abandon()
        raise


def _moved(done: ActionReport) -> Moved | None:
    """The change that an action made at a path; None if it did not take effect, or a value is not known."""
    action, outcome = done.action, done.outcome
    if not isinstance(outcome, Done):
        return None
    decided = isinstance(action, KeepBoth)
    match action:
        case Transfer():
            source, replaced = action.source, value_of(action.expected)
            value = value_of(outcome.entry) or value_of(action.seen)
            changed = action.reason in (Reason.LOCAL_CHANGED, Reason.REMOTE_CHANGED)
            base = replaced if changed else None
            if action.reason is Reason.EDIT_BEATS_DELETE:
                base, decided = _UNKNOWN, True  # both sides changed the base, and the edit won
        case Delete():
            source, value, replaced = action.side.other, ABSENT, value_of(action.expected)
            base = replaced if action.reason not in (Reason.ECHO, Reason.SECOND_COPY) else None
        case MakeDirectory(replaces=None):
            source, value, replaced, base = action.side.other, DIRECTORY, ABSENT, None
        case RemoveDirectory():
            source, value, replaced = action.side.other, ABSENT, DIRECTORY
            base = replaced if action.reason is not Reason.ECHO else None
        case KeepBoth():
            source, value, replaced, base = (
                action.loser.other,
                value_of(action.winner),
                value_of(action.lost),
                None,
            )
        case _:
            return None
    if value is None or replaced is None:
        return None
    return Moved(
        path=action.path,
        source=source,
        value=value,
        replaced=replaced,
        base=base,
        conflict=action.reason in _CONFLICTS,
        decided=decided,
    )
