"""Record a finished run in the history: actions, failures, problems, and opened and settled conflicts.

A conflict is open as long as a user may have to act: one of policy `ask` until a run no longer finds it, a
conflict copy until it is deleted or the conflict is resolved.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from syncer.engine.model import Action, Delete, Done, Entry, Failed, Outcome, RelPath, Side
from syncer.engine.report import ActionReport, ConflictReport, Hold, Resolution, RunReport
from syncer.jobs import conflict_choices, results
from syncer.jobs.results import JobResult

if TYPE_CHECKING:
    from syncer.engine.interfaces import BaseStore, Reporter, Store
    from syncer.state import ConflictSide, HistoryEntry, OpenConflict, RunHistory

_HELD = "held"
_PUT_BACK = "put_back"
FOLDER = "a folder"  # what the history says of a deletion, since the trash keeps no empty directory
OPEN = (Resolution.ASKED, Resolution.KEPT_BOTH)


class RecordingReporter:
    """A reporter that passes every event on and collects the actions done, for a run that fails."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self._actions: list[ActionReport] = []

    def scanning(self, directories: int) -> None:
        self._inner.scanning(directories)

    def transferring(self, files: int, size: int) -> None:
        self._inner.transferring(files, size)

    def finished(self, action: Action, outcome: Outcome) -> None:
        self._actions.append(ActionReport(action=action, outcome=outcome))
        self._inner.finished(action, outcome)

    def moved(self, side: Side, size: int) -> None:
        self._inner.moved(side, size)

    def so_far(self) -> RunReport | None:
        """The actions that were done before the run failed; None for none."""
        return RunReport(actions=tuple(self._actions)) if self._actions else None


def record_broken_off(ledger: RunHistory, run: int, report: RunReport | None) -> None:
    """Record the actions of a run that an error or a signal ended."""
    if report is not None:
        ledger.add_history(run, (history(a) for a in report.actions if results.loud(a.action)))


def record(
    ledger: RunHistory,
    run: int,
    report: RunReport,
    *,
    now_ns: int,
    stores: Sequence[Store],
    chosen: Container[RelPath] = (),
) -> RunReport:
    """Record a finished run; returns the report without problems that earlier runs reported.

    A conflict whose path is in `chosen` was resolved by the user before the run: it is not opened again.
    """
    ledger.add_history(run, (history(a) for a in report.actions if results.loud(a.action)))
    _record_failures(ledger, report)
    found = [c for c in report.conflicts if c.resolution in OPEN and c.path not in chosen]
    ledger.open_conflicts(_opened(c, now_ns) for c in found)
    asked = {c.path for c in report.conflicts if c.resolution is Resolution.ASKED}
    _rename_copies(ledger, report)
    settled = [c for c in ledger.conflicts() if report.judged(c.path) and _settled(c, asked, stores)]
    ledger.settle_conflicts((c.path, c.copy) for c in settled)
    new = set(ledger.newly_seen(report.problems, judged=report.judged))
    return replace(report, problems=tuple(p for p in report.problems if p.waits or p in new))


def remember_holds(memory: BaseStore, holds: Sequence[Hold]) -> None:
    """Store what guards held back, for `status`, until a later run replaces it."""
    text = json.dumps(
        [{"guard": h.guard, "side": h.side.value, "message": h.message, "paths": h.paths} for h in holds]
    )
    if text != (memory.get_setting(_HELD) or "[]"):
        memory.set(**{_HELD: text})


def held(memory: BaseStore) -> list[dict[str, Any]]:
    """What guards held back in the last run, as JSON values."""
    found: list[dict[str, Any]] = json.loads(memory.get_setting(_HELD) or "[]")
    return found


def remember_put_back(memory: BaseStore, paths: Sequence[RelPath]) -> None:
    """Store the paths at which a user restored older content, until a run has handled them."""
    memory.set(**{_PUT_BACK: json.dumps(sorted(set(paths)))})


def put_back(memory: BaseStore) -> list[RelPath]:
    """The paths that `remember_put_back` stored."""
    found: list[RelPath] = json.loads(memory.get_setting(_PUT_BACK) or "[]")
    return found


def waiting_exit(ledger: RunHistory, memory: BaseStore) -> int:
    """The exit code of what earlier runs left: 4 held, 3 failed transfers, 1 for a person, 0 nothing."""
    if held(memory):
        return 4
    if ledger.failures():
        return 3
    open_ = [c for c in ledger.conflicts() if c.resolution == Resolution.ASKED.value]
    asked = len(conflict_choices.made(memory, open_)) < len(open_)
    return 1 if asked or any(seen.problem.waits for seen in ledger.problems()) else 0


def kept_conflicts(ledger: RunHistory) -> int:
    """The number of open conflicts whose both contents were kept."""
    return sum(c.resolution == Resolution.KEPT_BOTH.value for c in ledger.conflicts())


def close(ledger: RunHistory, run: int, result: JobResult) -> None:
    """Record the end of a run, whatever its result."""
    ledger.end_run(
        run,
        result=result.result,
        exit_code=result.exit_code,
        message=result.error.message if result.error else "",
        totals=results.totals(result.report) if result.report else None,
        synced=result.report is None or not result.report.left,
    )


def history(report: ActionReport) -> HistoryEntry:
    """One action as a row of the history, in the words of `--json`."""
    from syncer.engine.model import Method
    from syncer.state import HistoryEntry

    action, outcome = report.action, report.outcome
    sent, received = results.crossed(outcome)
    return HistoryEntry(
        action=results.name_of(action),
        path=action.path,
        other=results.other_path(action),
        reason=action.reason.value,
        result=results.result_of(outcome),
        method=(outcome.method if isinstance(outcome, Done) else Method.NONE).value,
        size=results.size_of(action),
        sent=sent,
        received=received,
        message=FOLDER if _removed_folder(report) else results.message_of(outcome),
        digest=_put_digest(action, outcome),
    )


def _put_digest(action: Action, outcome: Outcome) -> bytes | None:
    """The digest of the content that the action put at its path."""
    from syncer.engine.model import Kind, Move, Transfer

    if not isinstance(outcome, Done) or not isinstance(action, Transfer | Move):
        return None
    if action.seen.kind is Kind.DIRECTORY:
        return None
    return (outcome.entry.digest if outcome.entry else None) or action.seen.digest


def _removed_folder(report: ActionReport) -> bool:
    from syncer.engine.model import RemoveDirectory

    return isinstance(report.action, RemoveDirectory) and isinstance(report.outcome, Done)


def _record_failures(ledger: RunHistory, report: RunReport) -> None:
    failed = [
        (a.action.path, a.outcome.error.code, a.outcome.error.message)
        for a in report.actions
        if isinstance(a.outcome, Failed)
    ]
    ledger.failed(failed)
    still = {path for path, _, _ in failed}
    ledger.succeeded(f.path for f in ledger.failures() if f.path not in still and report.judged(f.path))


def _opened(report: ConflictReport, now_ns: int) -> OpenConflict:
    from syncer.state import OpenConflict

    return OpenConflict(
        path=report.path,
        copy=report.copy,
        reason=report.reason.value,
        resolution=report.resolution.value,
        since_ns=now_ns,
        local=_side(report.local),
        remote=_side(report.remote),
    )


def _side(entry: Entry) -> ConflictSide:
    from syncer.state import ConflictSide

    return ConflictSide(digest=entry.digest, mtime_ns=entry.mtime_ns, size=entry.size)


def _rename_copies(ledger: RunHistory, report: RunReport) -> None:
    """Move a conflict whose copy was deleted as a duplicate to the copy that keeps the content."""
    kept = {
        done.action.path: done.action.kept
        for done in report.actions
        if isinstance(done.action, Delete) and isinstance(done.outcome, Done) and done.action.kept
    }
    renamed = [conflict for conflict in ledger.conflicts() if conflict.copy in kept] if kept else []
    ledger.settle_conflicts((c.path, c.copy) for c in renamed)
    ledger.open_conflicts(replace(c, copy=kept[c.copy]) for c in renamed)


def _settled(conflict: OpenConflict, asked: set[RelPath], stores: Sequence[Store]) -> bool:
    if conflict.resolution == Resolution.ASKED.value:
        return conflict.path not in asked
    return all(store.stat(conflict.copy) is None for store in stores)
