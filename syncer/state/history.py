"""What happened and what waits: runs, history, open conflicts, problems, failures.

Plain values in and out; nothing here decides what a run does. Every writing method is one
durable transaction; wrap several in `Database.transaction` to pay for one only.
All times are wall time in nanoseconds since 1970.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field, fields
from itertools import islice
from time import time_ns
from typing import Any, Final

from syncer.engine.model import Problem, RelPath, Side
from syncer.engine.report import Totals
from syncer.state import statements as sql
from syncer.state.sqlite import Database, Row
from syncer.state.stored import unwide, wide

KEPT_RUNS: Final = 1000  # so many runs are kept whatever they did
MOST_RUNS: Final = 5_000_000  # numbers of runs, also of those that are forgotten
KEPT_HISTORY: Final = 500_000  # actions, over all runs: some 100 MB
_AT_ONCE: Final = 50  # runs without an action are dropped by so many at least
_DAY_NS: Final = 86_400 * 10**9
_MARKS: Final = "history.marks"  # [the pair's age in ns, the newest run then], one for each day
_MERGED: Final = "history.merged"  # up to this run those that did nothing are gone
CLEAN: Final = "state.clean"  # settings of this package: a dot keeps them apart from the engine's
CHECKED: Final = "state.checked-ns"
SUCCESS: Final = "state.success-ns"
_COUNTS: Final = tuple(one.name for one in fields(Totals))  # columns of a run, in the order of the value
_FINISHED: Final = (0, 1)  # exit codes of a run that did all there was to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `ended_ns`, `result` and `exit_code` are None while it goes on, or if it died."""

    id: int
    trigger: str
    started_ns: int
    ended_ns: int | None = None
    result: str | None = None
    exit_code: int | None = None
    message: str = ""
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One action as it ended, in the words of `--json`. `other`: origin of a move, copy of a keep-both."""

    action: str
    path: RelPath
    reason: str
    result: str
    other: RelPath = ""
    method: str = "none"
    size: int = 0
    sent: int = 0
    received: int = 0
    message: str = ""
    digest: bytes | None = None  # BLAKE3 of what the action put at `path`


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictSide:
    """What one side showed. `digest` is None for a directory, or where it is not known."""

    digest: bytes | None = None
    mtime_ns: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConflict:
    """A conflict a person has not settled. `copy` is "" where no copy was made."""

    path: RelPath
    copy: RelPath
    reason: str
    resolution: str
    since_ns: int
    local: ConflictSide
    remote: ConflictSide


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenProblem:
    """A problem that still stands, and since when it is known."""

    problem: Problem
    first_seen_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A path that failed `count` times in a row."""

    path: RelPath
    count: int
    code: str
    message: str
    last_ns: int


class RunHistory:
    """The book-keeping of one pair. All methods raise StateError."""

    def __init__(self, database: Database, *, now_ns: Callable[[], int] = time_ns) -> None:
        self._database = database
        self._now_ns = now_ns

    # Runs

    def start_run(self, trigger: str) -> int:
        """A new run's number; until `end_run` the database counts as not closed well."""
        with self._database.transaction():
            self._set(CLEAN, "0")
            return self._database.insert(sql.START_RUN, (trigger, self._now_ns()))

    def end_run(
        self,
        run: int,
        *,
        result: str,
        exit_code: int,
        totals: Totals | None = None,
        message: str = "",
        synced: bool = True,
    ) -> None:
        """Close a run, and forget runs and history beyond what is kept.

        One that did not bring the sides in step (`synced`: no) is no success, however it ended.
        """
        done = totals or Totals()
        moment = self._now_ns()
        with self._database.transaction():
            self._database.execute(
                sql.END_RUN, (moment, result, exit_code, _storable(message), *astuple(done), run)
            )
            self._prune()
            self._set(CLEAN, "1")
            if synced and exit_code in _FINISHED:
                self._set(SUCCESS, str(moment))

    def forget_run(self, number: int) -> None:
        """A run that found nothing to do after all, and of which nobody need ever hear."""
        with self._database.transaction():
            self._database.execute(sql.FORGET_RUN, (number,))
            self._set(CLEAN, "1")

    def note_success(self) -> None:
        """Both sides agree at this moment, though nothing was to be done; not while a transfer waits."""
        if not self.failures():
            with self._database.transaction():
                self._set(SUCCESS, str(self._now_ns()))

    def runs(self, limit: int = KEPT_RUNS) -> tuple[Run, ...]:
        """The latest runs, newest first."""
        return tuple(_run(row) for row in self._database.select(sql.RUNS, (limit, 0)))

    def run(self, number: int) -> Run | None:
        found = self._database.select(sql.RUN, (number,))
        return _run(found[0]) if found else None

    def last_success_ns(self) -> int | None:
        """When both sides were last known to agree (codes 0 and 1: something may wait for a person)."""
        text = self._database.value(sql.SETTING, (SUCCESS,))
        return int(text) if text else None

    def ended_well(self) -> bool:
        """Whether the last run that was started also reached its end."""
        return bool(self._database.value(sql.SETTING, (CLEAN,)) == "1")

    # History

    def add_history(self, run: int, entries: Iterable[HistoryEntry]) -> None:
        """Append what a run did; at most `KEPT_HISTORY` rows of it, the oldest ones of all give way."""
        stream = (_history_row(run, entry) for entry in islice(entries, KEPT_HISTORY))
        with self._database.transaction():
            while rows := list(islice(stream, 5000)):
                self._database.execute_many(sql.ADD_HISTORY, rows)
            self._prune()

    def history(self, run: int) -> tuple[HistoryEntry, ...]:
        """What a run did, in order."""
        return tuple(_history(row) for row in self._database.select(sql.HISTORY, (run,)))

    # Conflicts

    def open_conflicts(self, found: Iterable[OpenConflict]) -> None:
        """Remember conflicts; one that is known already keeps its `since_ns`."""
        self._write(sql.OPEN_CONFLICT, [_conflict_row(conflict) for conflict in found])

    def settle_conflicts(self, settled: Iterable[tuple[RelPath, RelPath]]) -> None:
        """Forget conflicts by path and copy."""
        rows: list[Row] = [(os.fsencode(path), os.fsencode(copy)) for path, copy in settled]
        self._write(sql.SETTLE_CONFLICT, rows)

    def conflicts(self) -> tuple[OpenConflict, ...]:
        """Open conflicts by path."""
        return tuple(_conflict(row) for row in self._database.select(sql.CONFLICTS))

    # Problems

    def newly_seen(
        self, problems: Sequence[Problem], *, judged: Callable[[RelPath], bool] = lambda _: True
    ) -> tuple[Problem, ...]:
        """Those that were not known yet, by path, side and code; they are now.

        A known one that is not among them has gone, if its path was `judged`; it would be news again.
        """
        moment = self._now_ns()
        known = {_problem_key(seen.problem): seen.problem.path for seen in self.problems()}
        now = {_problem_key(problem): problem for problem in problems}
        new = tuple(problem for key, problem in now.items() if key not in known)
        gone = [key for key, path in known.items() if key not in now and judged(path)]
        if not new and not gone:
            return new
        with self._database.transaction():
            rows: list[Row] = [(*key,) for key in gone]
            self._database.execute_many(sql.DROP_PROBLEM, rows)
            self._database.execute_many(sql.ADD_PROBLEM, [_problem_row(problem, moment) for problem in new])
        return new

    def problems(self) -> tuple[SeenProblem, ...]:
        """Standing problems by path."""
        return tuple(_problem(row) for row in self._database.select(sql.PROBLEMS))

    # Failures

    def failed(self, errors: Iterable[tuple[RelPath, str, str]]) -> None:
        """Count one more failure for each path, with its last code and message."""
        moment = self._now_ns()
        rows: list[Row] = [
            (os.fsencode(path), 1, code, _storable(text), moment) for path, code, text in errors
        ]
        self._write(sql.FAIL, rows)

    def succeeded(self, paths: Iterable[RelPath]) -> None:
        """These paths failed no more."""
        self._write(sql.SUCCEED, [(os.fsencode(path),) for path in paths])

    def failures(self) -> tuple[Failure, ...]:
        """Failures by path."""
        return tuple(
            Failure(path=os.fsdecode(path), count=count, code=code, message=message, last_ns=last)
            for path, count, code, message, last in self._database.select(sql.FAILURES)
        )

    def _write(self, statement: str, rows: Sequence[Row]) -> None:
        if rows:
            with self._database.transaction():
                self._database.execute_many(statement, rows)

    def _set(self, key: str, value: str) -> None:
        self._database.execute(sql.SET, (key, value))

    def grow_older(self, age_ns: int, kept_ns: int) -> None:
        """Forget the runs of longer ago than `kept_ns`, by the pair's own time, which is `age_ns` now.

        One mark a day says which run was the last before it; the latest runs stay however old they are.
        """
        marks = self._marks()
        newest = int(self._database.value(sql.NEWEST_RUN) or 0)
        if not marks or age_ns - marks[-1][0] >= _DAY_NS:
            marks.append((age_ns, newest))
        gone = [mark for mark in marks if age_ns - mark[0] > kept_ns]
        with self._database.transaction():
            if gone:
                self._database.execute(sql.PRUNE_RUNS, (min(gone[-1][1], newest - KEPT_RUNS) + 1,))
            self._set(_MARKS, json.dumps(marks[len(gone) :]))

    def forget_history(self, things: Sequence[tuple[int, RelPath]]) -> None:
        """What runs did to these paths can no longer be taken back: the old versions are gone."""
        rows: list[Row] = [(run, os.fsencode(path)) for run, path in things]
        if rows:
            with self._database.transaction():
                self._database.execute_many(sql.FORGET_HISTORY, rows)
                newest = int(self._database.value(sql.NEWEST_RUN) or 0)
                idle: list[Row] = [(run - 1, run) for run, _ in things if run <= newest - KEPT_RUNS]
                self._database.execute_many(sql.PRUNE_IDLE_RUNS, idle)

    def _marks(self) -> list[tuple[int, int]]:
        try:
            found = json.loads(self._database.value(sql.SETTING, (_MARKS,)) or "[]")
            return [(int(age), int(run)) for age, run in found]
        except (ValueError, TypeError):
            return []

    def _prune(self) -> None:
        """The size: so many actions; and of the older runs only those that did something."""
        self._database.execute(sql.PRUNE_HISTORY, (KEPT_HISTORY,))
        until = int(self._database.value(sql.NEWEST_RUN) or 0) - KEPT_RUNS
        since = int(self._database.value(sql.SETTING, (_MERGED,)) or 0)
        if until >= since + _AT_ONCE:
            self._database.execute(sql.PRUNE_IDLE_RUNS, (since, until))
            self._set(_MERGED, str(until))
            self._database.execute(sql.PRUNE_RUNS, (until + KEPT_RUNS - MOST_RUNS,))


def _run(row: Any) -> Run:
    number, trigger, started, ended, result, exit_code, message, *counts = row
    return Run(
        id=number,
        trigger=trigger,
        started_ns=started,
        ended_ns=ended,
        result=result,
        exit_code=exit_code,
        message=message,
        totals=Totals(**dict(zip(_COUNTS, counts, strict=True))),
    )


def _history_row(run: int, entry: HistoryEntry) -> Row:
    path, other = os.fsencode(entry.path), os.fsencode(entry.other)
    words = (entry.reason, entry.result, entry.method)
    sizes = (entry.size, entry.sent, entry.received)
    return (run, entry.action, path, other, *words, *sizes, _storable(entry.message), entry.digest)


def _history(row: Any) -> HistoryEntry:
    action, path, other, reason, result, method, size, sent, received, message, digest = row
    return HistoryEntry(
        action=action,
        path=os.fsdecode(path),
        other=os.fsdecode(other),
        reason=reason,
        result=result,
        method=method,
        size=size,
        sent=sent,
        received=received,
        message=message,
        digest=digest,
    )


def _conflict_row(conflict: OpenConflict) -> Row:
    local, remote = conflict.local, conflict.remote
    return (
        os.fsencode(conflict.path),
        os.fsencode(conflict.copy),
        conflict.reason,
        conflict.resolution,
        conflict.since_ns,
        local.digest,
        wide(local.mtime_ns),
        local.size,
        remote.digest,
        wide(remote.mtime_ns),
        remote.size,
    )


def _conflict(row: Any) -> OpenConflict:
    path, copy, reason, resolution, since, *sides = row
    return OpenConflict(
        path=os.fsdecode(path),
        copy=os.fsdecode(copy),
        reason=reason,
        resolution=resolution,
        since_ns=since,
        local=ConflictSide(digest=sides[0], mtime_ns=unwide(sides[1]), size=sides[2]),
        remote=ConflictSide(digest=sides[3], mtime_ns=unwide(sides[4]), size=sides[5]),
    )


def _problem_key(problem: Problem) -> tuple[bytes, str, str]:
    return os.fsencode(problem.path), problem.side.value, problem.code


def _problem_row(problem: Problem, moment: int) -> Row:
    return (*_problem_key(problem), _storable(problem.message), int(problem.waits), moment)


def _problem(row: Any) -> SeenProblem:
    path, side, code, message, waits, first_seen = row
    problem = Problem(path=os.fsdecode(path), side=Side(side), code=code, message=message, waits=bool(waits))
    return SeenProblem(problem=problem, first_seen_ns=first_seen)


def _storable(text: str) -> str:
    """A message that names an undecodable path has surrogates in it, which UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode()
