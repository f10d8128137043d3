"""The result of a run or plan of one job, and the words that `--json`, history and text output share.

Pure values; rendering is in `cli.json_output` and `cli.text_output`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Done,
    Failed,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Method,
    Move,
    Outcome,
    RemoveDirectory,
    Side,
    Skipped,
    Stale,
    Touch,
    Transfer,
)
from syncer.engine.report import ActionReport, Plan, RunReport, Totals
from syncer.errors import GuardTripped, Interrupted, SyncerError
from syncer.exit_codes import exit_code, worst


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """The result of one job: a report or a plan, or the error that ended it. `run` is 0 for no run."""

    job: str
    run: int = 0
    report: RunReport | None = None
    plan: Plan | None = None
    error: SyncerError | None = None
    notes: tuple[str, ...] = ()  # worth saying once, such as a damaged database that was moved aside
    waits: int = 0  # the exit code of what earlier runs left waiting, where this one did not look for itself
    kept: int = 0  # open conflicts of which both contents are kept

    @property
    def exit_code(self) -> int:
        """The exit code of this job; that of the program is the worst of all jobs."""
        if self.error:
            return exit_code(self.error)
        if self.report:
            return self.report.exit_code
        return worst((self.waits, self.plan.exit_code)) if self.plan else self.waits

    @property
    def result(self) -> str:
        """The word for the result in `--json`."""
        if isinstance(self.error, GuardTripped):
            return "refused"
        if self.error:
            return "interrupted" if isinstance(self.error, Interrupted) else "error"
        if self.report:
            return self.report.result
        return "planned" if self.plan and any(map(loud, self.plan.actions)) else "in-sync"


def loud(action: Action) -> bool:
    """Whether an action is reported; a refreshed time stamp in the base is not."""
    return not (isinstance(action, Adopt) and action.silent)


def name_of(action: Action) -> str:
    """The stable word for an action."""
    match action:
        case Transfer():
            return "upload" if action.source is Side.LOCAL else "download"
        case Touch():
            return "upload" if action.side is Side.REMOTE else "download"
        case Delete() | RemoveDirectory():
            return f"delete-{action.side.value}"
        case MakeDirectory():
            return f"mkdir-{action.side.value}"
        case Move():
            return f"move-{action.side.value}"
        case KeepBoth():
            return "keep-both"
        case Adopt():
            return "adopt"
        case Forget():
            return "forget"
    assert_never(action)


def size_of(action: Action) -> int:
    """Bytes of the content that the action is about, 0 where it is about none."""
    match action:
        case Transfer() | Touch() | Move():
            return action.seen.size
        case Delete():
            return action.expected.size
        case KeepBoth():
            return action.lost.size
        case Adopt():
            return action.local.size
        case MakeDirectory() | RemoveDirectory() | Forget():
            return 0
    assert_never(action)


def other_path(action: Action) -> str:
    """The second path of an action: where it comes from, or the copy that is kept; "" if there is none."""
    if isinstance(action, Move):
        return action.origin
    return action.copy if isinstance(action, KeepBoth) else ""


def result_of(outcome: Outcome) -> str:
    """The stable word for an outcome."""
    return {Done: "done", Stale: "stale", Failed: "failed", Skipped: "skipped"}[type(outcome)]


def message_of(outcome: Outcome) -> str:
    """Why an action was not done, "" if it was."""
    match outcome:
        case Done():
            return ""
        case Failed():
            return outcome.error.message
        case Stale() | Skipped():
            return outcome.message
    assert_never(outcome)


def crossed(outcome: Outcome) -> tuple[int, int]:
    """Bytes sent to the remote and received from it, as the engine counted them."""
    return (outcome.sent, outcome.received) if isinstance(outcome, Done) else (0, 0)


def totals(report: RunReport) -> Totals:
    """Counts over what was done."""
    done = [a for a in report.actions if isinstance(a.outcome, Done)]
    bytes_crossed = [crossed(a.outcome) for a in done]
    return Totals(
        uploaded=sum(_transferred(a, Side.LOCAL) for a in done),
        downloaded=sum(_transferred(a, Side.REMOTE) for a in done),
        deleted=sum(isinstance(a.action, Delete | RemoveDirectory) for a in done),
        moved=sum(isinstance(a.action, Move) for a in done),
        conflicts=len(report.conflicts),
        bytes_sent=sum(sent for sent, _ in bytes_crossed),
        bytes_received=sum(received for _, received in bytes_crossed),
    )


def planned_totals(plan: Plan) -> Totals:
    """Counts over what would be done, as `totals` counts what was; no bytes have crossed yet."""
    transfers = [source for action in plan.actions for source in _sources(action)]
    return Totals(
        uploaded=transfers.count(Side.LOCAL),
        downloaded=transfers.count(Side.REMOTE),
        deleted=sum(isinstance(a, Delete | RemoveDirectory) for a in plan.actions),
        moved=sum(isinstance(a, Move) for a in plan.actions),
        conflicts=len(plan.conflicts),
    )


def _sources(action: Action) -> Iterable[Side]:
    """The sides whose content will cross."""
    if isinstance(action, Transfer):
        return [action.source]
    if not isinstance(action, KeepBoth):
        return []
    winner = [] if action.winner.kind is Kind.DIRECTORY else [action.loser.other]
    return winner if action.one_way else [*winner, action.loser]


def _transferred(report: ActionReport, source: Side) -> bool:
    """Whether content left `source` for the other side."""
    action, outcome = report.action, report.outcome
    if not isinstance(outcome, Done):
        return False
    if isinstance(action, KeepBoth):
        sent, received = crossed(outcome)
        return (sent if source is Side.LOCAL else received) > 0
    return isinstance(action, Transfer) and action.source is source and outcome.method is not Method.NONE
