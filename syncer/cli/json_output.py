"""JSON documents of `sync` and `plan` (schema 1), and the parts that other commands share.

Values in, plain dictionaries out; `common.print_json` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from syncer.engine.model import (
    Action,
    BlockedEntry,
    Done,
    Entry,
    Failed,
    IgnoreRule,
    KeepBoth,
    Method,
    Move,
    Outcome,
    Problem,
    Seen,
)
from syncer.engine.report import ConflictReport, Hold, Totals
from syncer.errors import SyncerError
from syncer.jobs import results, saved_plan
from syncer.jobs.results import JobResult

Document = dict[str, Any]


def jobs(all_results: Iterable[JobResult]) -> Document:
    """The document of several jobs."""
    return {"jobs": [job(result) for result in all_results]}


def job(result: JobResult) -> Document:
    """One job: actions, conflicts, problems, totals."""
    whole = result.report or result.plan
    return {
        "job": result.job,
        "run": result.run,
        "result": result.result,
        "exit": result.exit_code,
        "actions": _actions(result),
        "conflicts": [conflict(c) for c in whole.conflicts] if whole else [],
        "kept_conflicts": result.kept,
        "problems": _problems(result),
        "totals": _totals(result),
        "ignored": [{**ignore_rule(rule), "count": n} for rule, n in whole.ignored.items()] if whole else [],
        "notes": list(result.notes),
    }


def saved(result: JobResult, planned: Mapping[str, object]) -> Document:
    """A plan for `apply`: the job it was made for, and what each action expects on both sides."""
    chosen = [a for a in result.plan.actions if results.loud(a)] if result.plan else []
    bound = [{**action(a), "expects": saved_plan.expects(a)} for a in chosen]
    return {**job(result), "planned": dict(planned), "actions": bound}


def _actions(result: JobResult) -> list[Document]:
    if result.report:
        return [action(a.action, a.outcome) for a in result.report.actions if results.loud(a.action)]
    return [action(a) for a in result.plan.actions if results.loud(a)] if result.plan else []


def action(act: Action, outcome: Outcome | None = None) -> Document:
    """One action; without an outcome it is planned."""
    sent, received = results.crossed(outcome) if outcome else (0, 0)
    document: Document = {
        "action": results.name_of(act),
        "path": act.path,
        "reason": act.reason.value,
        "size": results.size_of(act),
        "sent": sent,
        "received": received,
        "method": (outcome.method if isinstance(outcome, Done) else Method.NONE).value,
        "result": results.result_of(outcome) if outcome else "planned",
    }
    if isinstance(act, Move):
        document["from"] = act.origin
    if isinstance(act, KeepBoth):
        document["copy"] = act.copy
    if outcome and not isinstance(outcome, Done):
        document["message"] = results.message_of(outcome)
        if isinstance(outcome, Failed):
            document["code"] = outcome.error.code
    return document


def conflict(report: ConflictReport) -> Document:
    """A conflict: both sides, and its resolution."""
    return {
        "path": report.path,
        "reason": report.reason.value,
        "resolution": report.resolution.value,
        "copy": report.copy,
        "local": entry(report.local),
        "remote": entry(report.remote),
        "ahead": report.ahead.value if report.ahead else None,
    }


def ignore_rule(rule: IgnoreRule) -> Document:
    """An ignore rule. Of the job's own rules `file` is "ignore", and `line` the position in the list."""
    return {"file": rule.file, "line": rule.line, "pattern": rule.pattern}


def entry(shown: Entry) -> Document:
    """What one side has; `mtime` in seconds since 1970, None if the side has none."""
    mtime = None if shown.mtime_ns is None else shown.mtime_ns / 1e9
    return {"kind": shown.kind.name.lower(), "size": shown.size, "mtime": mtime}


def seen(shown: Seen) -> Document | None:
    """An entry with its digest, an obstacle, or None for nothing."""
    if shown is None:
        return None
    if isinstance(shown, BlockedEntry):
        return {"trouble": shown.trouble.value, "message": shown.message}
    digest = shown.digest.hex() if shown.digest else None
    return {**entry(shown), "digest": digest, "executable": shown.executable, "target": shown.target}


def problem(found: Problem) -> Document:
    """A problem with one path."""
    return {
        "path": found.path,
        "side": found.side.value,
        "code": found.code,
        "message": found.message,
        "waits": found.waits,
    }


def hold(held: Hold) -> Document:
    """Deletions that a guard held back, as a problem with their paths."""
    return {
        "path": "",
        "side": held.side.value,
        "code": held.guard,
        "message": held.message,
        "hint": held.hint,
        "paths": list(held.paths),
    }


def error(ended: SyncerError) -> Document:
    """The error that ended a job, as a problem."""
    return {
        "path": ended.path,
        "side": "",
        "code": ended.code,
        "message": ended.message,
        "hint": ended.hint,
    }


def _problems(result: JobResult) -> list[Document]:
    if result.error:
        return [error(result.error)]
    whole = result.report or result.plan
    if not whole:
        return []
    return [*map(hold, whole.holds), *map(problem, whole.missed), *map(problem, whole.problems)]


def _totals(result: JobResult) -> Mapping[str, int]:
    if result.report:
        return asdict(results.totals(result.report))
    return asdict(results.planned_totals(result.plan) if result.plan else Totals())
