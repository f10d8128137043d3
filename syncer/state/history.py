"""Runs and what they did, open conflicts, standing problems, and paths that fail.

Plain values in and out; no decision of a run is made here. Each writing method is one durable transaction; to
pay for one only, call several within `Database.transaction`. All times are wall time in nanoseconds since
1970.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from time import time_ns
from typing import Any, Final

from syncer.engine.model import Problem, RelPath, Side
from syncer.engine.report import Totals
from syncer.state import queries
from syncer.state.sqlite import Database, Parameters, Statement, decode_int, encode_int

KEPT_RUNS: Final = 1000  # the newest runs are kept whatever they did
MOST_RUNS: Final = 5_000_000  # range of run numbers that may have rows
KEPT_HISTORY: Final = 500_000  # actions of all runs together: about 100 MB
_IDLE_BATCH: Final = 50  # runs without an action are deleted at least so many at a time
_DAY_NS: Final = 86_400 * 10**9
_MARKS: Final = "history.marks"  # JSON: [the pair's age in ns, the newest run at that age], one for each day
_MERGED: Final = "history.merged"  # idle runs with numbers up to this one are deleted already
CLEAN: Final = "state.clean"  # keys of this package have a dot; the engine's have none
CHECKED: Final = "state.checked-ns"
SUCCESS: Final = "state.success-ns"
_TOTALS: Final = tuple(column.name for column in fields(Totals))  # the last columns of `runs`, in order
_FINISHED: Final = (0, 1)  # exit codes of a run that did all it could


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `ended_ns`, `result` and `exit_code` are None while it goes on, and if it was killed."""

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
    """One action and its result, in the words of `--json`. `other`: origin of a move, copy of a keep-both.

    Sizes are bytes; `digest` is the BLAKE3 of what the action put at `path`.
    """

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
    digest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictSide:
    """What one side had. `digest` is None for a directory, or if it is not known."""

    digest: bytes | None = None
    mtime_ns: int | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenConflict:
    """A conflict that waits for a person. `copy` is "" if no copy was made."""

    path: RelPath
    copy: RelPath
    reason: str
    resolution: str
    since_ns: int
    local: ConflictSide
    remote: ConflictSide


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenProblem:
    """A problem that still exists, and when it was first seen."""

    problem: Problem
    first_seen_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A path whose action failed in `count` runs in a row."""

    path: RelPath
    count: int
    code: str
    message: str
    last_ns: int


class RunHistory:
    """The history tables of one pair. All methods raise StateError."""

    def __init__(self, database: Database, *, now_ns: Callable[[], int] = time_ns) -> None:
        self._database = database
        self._now_ns = now_ns

    # Runs

    def start_run(self, trigger: str) -> int:
        """Add a run; its number. Until `end_run` or `forget_run`, `ended_well` is False."""
        with self._database.transaction():
            self._set(CLEAN, "0")
            row: Parameters = {"trigger": trigger, "started_ns": self._now_ns()}
            return self._database.insert(queries.START_RUN, row)

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
        """Close a run, and delete runs and history beyond the limits.

        `synced`: the run was to bring the sides in step; only such a run can be the last success.
        """
        now = self._now_ns()
        with self._database.transaction():
            self._database.execute(
                queries.END_RUN,
                {
                    "id": run,
                    "ended_ns": now,
                    "result": result,
                    "exit_code": exit_code,
                    "message": _storable(message),
                    **asdict(totals or Totals()),
                },
            )
            self._prune()
            self._set(CLEAN, "1")
            if synced and exit_code in _FINISHED:
                self._set(SUCCESS, str(now))

    def forget_run(self, number: int) -> None:
        """Delete a run that had nothing to do and is not worth a row."""
        with self._database.transaction():
            self._database.execute(queries.DELETE_RUN, {"id": number})
            self._set(CLEAN, "1")

    def note_success(self) -> None:
        """Both sides agree now, though nothing was to be done. No success while a failed path waits."""
        if not self.failures():
            with self._database.transaction():
                self._set(SUCCESS, str(self._now_ns()))

    def runs(self, limit: int = KEPT_RUNS) -> tuple[Run, ...]:
        """The newest runs, newest first."""
        return tuple(_run(row) for row in self._database.select(queries.GET_RUNS, {"limit": limit}))

    def run(self, number: int) -> Run | None:
        """The run with a number, None if it is not known (any more)."""
        from syncer.state import core_queries

        rows = self._database.select(core_queries.GET_RUN, {"id": number})
        return _run(rows[0]) if rows else None

    def last_success_ns(self) -> int | None:
        """When both sides were last known to agree (exit code 0, or 1: something may wait for a person)."""
        text = self._get(SUCCESS)
        return int(text) if text else None

    def ended_well(self) -> bool:
        """Whether the last run that was started also ended."""
        return self._get(CLEAN) == "1"

    # History

    def add_history(self, run: int, entries: Iterable[HistoryEntry]) -> None:
        """Append what a run did. Of all runs together, the newest `KEPT_HISTORY` actions are kept."""
        stream = (_history_row(run, entry) for entry in islice(entries, KEPT_HISTORY))
        with self._database.transaction():
            while rows := list(islice(stream, 5000)):
                self._database.execute_many(queries.ADD_HISTORY, rows)
            self._prune()

    def history(self, run: int) -> tuple[HistoryEntry, ...]:
        """What a run did, in order."""
        from syncer.state import core_queries

        return tuple(_history(row) for row in self._database.select(core_queries.GET_HISTORY, {"run": run}))

    def forget_history(self, actions: Sequence[tuple[int, RelPath]]) -> None:
        """Delete what runs did to paths, by run and path: their old versions are gone, so it cannot be
        undone.
        """
        if not actions:
            return
        from syncer.state import core_queries

        with self._database.transaction():
            rows: list[Parameters] = [{"run": run, "path": os.fsencode(path)} for run, path in actions]
            self._database.execute_many(core_queries.DELETE_HISTORY, rows)
            oldest_kept = self._newest_run() - KEPT_RUNS
            idle: list[Parameters] = [
                {"after": run - 1, "until": run} for run, _ in actions if run <= oldest_kept
            ]
            self._database.execute_many(core_queries.DELETE_IDLE_RUNS, idle)

    def grow_older(self, age_ns: int, kept_ns: int) -> None:
        """Delete the runs that are older than `kept_ns` by the pair's own time, which is `age_ns` now.

        A run has no such time: instead, one mark for each day says which run was the newest at that age. The
        newest `KEPT_RUNS` runs stay, however old they are.
        """
        marks = self._marks()
        newest = self._newest_run()
        if not marks or age_ns - marks[-1][0] >= _DAY_NS:
            marks.append((age_ns, newest))
        expired = [mark for mark in marks if age_ns - mark[0] > kept_ns]
        with self._database.transaction():
            if expired:
                self._delete_runs_before(min(expired[-1][1], newest - KEPT_RUNS) + 1)
            self._set(_MARKS, json.dumps(marks[len(expired) :]))

    # Conflicts

    def open_conflicts(self, conflicts: Iterable[OpenConflict]) -> None:
        """Add conflicts; one that is open already keeps its `since_ns`."""
        rows = [_conflict_row(conflict) for conflict in conflicts]
        if rows:
            from syncer.state import core_queries

            self._write(core_queries.PUT_CONFLICT, rows)

    def settle_conflicts(self, settled: Iterable[tuple[RelPath, RelPath]]) -> None:
        """Delete conflicts, by path and copy."""
        rows: list[Parameters] = [
            {"path": os.fsencode(path), "copy": os.fsencode(copy)} for path, copy in settled
        ]
        if rows:
            from syncer.state import core_queries

            self._write(core_queries.DELETE_CONFLICT, rows)

    def conflicts(self) -> tuple[OpenConflict, ...]:
        """Open conflicts by path."""
        return tuple(_conflict(row) for row in self._database.select(queries.GET_CONFLICTS))

    # Problems

    def newly_seen(
        self, problems: Sequence[Problem], *, judged: Callable[[RelPath], bool] = lambda _: True
    ) -> tuple[Problem, ...]:
        """Record the problems of a run; those that are new, by path, side and code.

        A recorded problem that is not among them is deleted if the run `judged` its path; should it come back
        it is new again.
        """
        now_ns = self._now_ns()
        known = {_problem_key(seen.problem): seen.problem.path for seen in self.problems()}
        current = {_problem_key(problem): problem for problem in problems}
        new = tuple(problem for key, problem in current.items() if key not in known)
        gone = [key for key, path in known.items() if key not in current and judged(path)]
        if new or gone:
            from syncer.state import core_queries

            with self._database.transaction():
                keys: list[Parameters] = [
                    {"path": path, "side": side, "code": code} for path, side, code in gone
                ]
                self._database.execute_many(core_queries.DELETE_PROBLEM, keys)
                rows = [_problem_row(problem, now_ns) for problem in new]
                self._database.execute_many(core_queries.PUT_PROBLEM, rows)
        return new

    def problems(self) -> tuple[SeenProblem, ...]:
        """Standing problems by path."""
        return tuple(_problem(row) for row in self._database.select(queries.GET_PROBLEMS))

    # Failures

    def failed(self, errors: Iterable[tuple[RelPath, str, str]]) -> None:
        """Count one more failure of each path, with its last code and message."""
        now_ns = self._now_ns()
        rows: list[Parameters] = [
            {
                "path": os.fsencode(path),
                "count": 1,
                "code": code,
                "message": _storable(text),
                "last_ns": now_ns,
            }
            for path, code, text in errors
        ]
        if rows:
            from syncer.state import core_queries

            self._write(core_queries.PUT_FAILURE, rows)

    def succeeded(self, paths: Iterable[RelPath]) -> None:
        """Delete the failures of these paths."""
        rows: list[Parameters] = [{"path": os.fsencode(path)} for path in paths]
        if rows:
            from syncer.state import core_queries

            self._write(core_queries.DELETE_FAILURE, rows)

    def failures(self) -> tuple[Failure, ...]:
        """Failures by path."""
        return tuple(
            Failure(path=os.fsdecode(path), count=count, code=code, message=message, last_ns=last)
            for path, count, code, message, last in self._database.select(queries.GET_FAILURES)
        )

    # What several of the above share

    def _write(self, statement: Statement, rows: Sequence[Parameters]) -> None:
        with self._database.transaction():
            self._database.execute_many(statement, rows)

    def _get(self, key: str) -> str:
        return str(self._database.value(queries.GET_SETTING, {"key": key}) or "")

    def _set(self, key: str, value: str) -> None:
        self._database.execute(queries.SET_SETTING, {"key": key, "value": value})

    def _newest_run(self) -> int:
        return int(self._database.value(queries.NEWEST_RUN) or 0)

    def _marks(self) -> list[tuple[int, int]]:
        try:
            return [(int(age), int(run)) for age, run in json.loads(self._get(_MARKS) or "[]")]
        except (ValueError, TypeError):
            return []

    def _delete_runs_before(self, number: int) -> None:
        from syncer.state import core_queries

        self._database.execute(core_queries.DELETE_RUNS_BEFORE, {"id": number})

    def _prune(self) -> None:
        """Keep the newest `KEPT_HISTORY` actions; of the runs before the newest `KEPT_RUNS` those that did
        something.
        """
        self._database.execute(queries.PRUNE_HISTORY, {"kept": KEPT_HISTORY})
        until = self._newest_run() - KEPT_RUNS
        after = int(self._get(_MERGED) or 0)
        if until >= after + _IDLE_BATCH:
            from syncer.state import core_queries

            self._database.execute(core_queries.DELETE_IDLE_RUNS, {"after": after, "until": until})
            self._set(_MERGED, str(until))
            self._delete_runs_before(until + KEPT_RUNS - MOST_RUNS)


def _run(row: Any) -> Run:
    number, trigger, started, ended, result, exit_code, message, *totals = row
    return Run(
        id=number,
        trigger=trigger,
        started_ns=started,
        ended_ns=ended,
        result=result,
        exit_code=exit_code,
        message=message,
        totals=Totals(**dict(zip(_TOTALS, totals, strict=True))),
    )


def _history_row(run: int, entry: HistoryEntry) -> Parameters:
    return {
        "run": run,
        "action": entry.action,
        "path": os.fsencode(entry.path),
        "other": os.fsencode(entry.other),
        "reason": entry.reason,
        "result": entry.result,
        "method": entry.method,
        "size": entry.size,
        "sent": entry.sent,
        "received": entry.received,
        "message": _storable(entry.message),
        "digest": entry.digest,
    }


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


def _conflict_row(conflict: OpenConflict) -> Parameters:
    local, remote = conflict.local, conflict.remote
    return {
        "path": os.fsencode(conflict.path),
        "copy": os.fsencode(conflict.copy),
        "reason": conflict.reason,
        "resolution": conflict.resolution,
        "since_ns": conflict.since_ns,
        "local_digest": local.digest,
        "local_mtime_ns": encode_int(local.mtime_ns),
        "local_size": local.size,
        "remote_digest": remote.digest,
        "remote_mtime_ns": encode_int(remote.mtime_ns),
        "remote_size": remote.size,
    }


def _conflict(row: Any) -> OpenConflict:
    path, copy, reason, resolution, since, *sides = row
    return OpenConflict(
        path=os.fsdecode(path),
        copy=os.fsdecode(copy),
        reason=reason,
        resolution=resolution,
        since_ns=since,
        local=ConflictSide(digest=sides[0], mtime_ns=decode_int(sides[1]), size=sides[2]),
        remote=ConflictSide(digest=sides[3], mtime_ns=decode_int(sides[4]), size=sides[5]),
    )


def _problem_key(problem: Problem) -> tuple[bytes, str, str]:
    return os.fsencode(problem.path), problem.side.value, problem.code


def _problem_row(problem: Problem, now_ns: int) -> Parameters:
    return {
        "path": os.fsencode(problem.path),
        "side": problem.side.value,
        "code": problem.code,
        "message": _storable(problem.message),
        "waits": int(problem.waits),
        "first_seen_ns": now_ns,
    }


def _problem(row: Any) -> SeenProblem:
    path, side, code, message, waits, first_seen = row
    problem = Problem(path=os.fsdecode(path), side=Side(side), code=code, message=message, waits=bool(waits))
    return SeenProblem(problem=problem, first_seen_ns=first_seen)


def _storable(text: str) -> str:
    """Replace surrogates, which a message that names an undecodable path has and UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode()
