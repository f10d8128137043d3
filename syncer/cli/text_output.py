"""Text output of runs and plans: a line for each action, conflicts, holds and problems, and the totals.

Control characters in paths are escaped here (`printable`); nothing is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from syncer.engine.model import (
    Action,
    BlockedEntry,
    BlockReason,
    Done,
    IgnoreRule,
    Kind,
    Outcome,
    RelPath,
    Seen,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.paths import printable
from syncer.engine.report import UNSETTLED, ConflictReport, Hold, Resolution, Totals
from syncer.formatting import counted, show_size
from syncer.jobs import descriptions, results
from syncer.jobs.results import JobResult

_HEADS = {
    "in-sync": "in sync",
    "applied": "done as planned",
    "attention": "action needed",
    "incomplete": "incomplete",
    "held": "deletions held",
}
_SHOWN_HELD = 10
_COLUMN = 16  # characters before the path


def action(act: Action, outcome: Outcome | None = None) -> str:
    """One action: `upload        a/b.txt  (1.2 kB, local-changed)`, with the reason if it was not done."""
    facts = [show_size(results.size_of(act))] if isinstance(act, Transfer) else []
    facts += ["times and modes only"] if isinstance(act, Touch) else []
    facts.append(act.reason.value)
    line = f"{descriptions.label(act):<{_COLUMN}}{printable(descriptions.paths(act))}  ({', '.join(facts)})"
    if outcome and not isinstance(outcome, Done):
        line += f"  {results.result_of(outcome).upper()}: {without(act.path, results.message_of(outcome))}"
    return line


def conflict(report: ConflictReport) -> str:
    """A conflict: what happened on both sides, and where both contents are now."""
    outcome = descriptions.conflict_outcome(report)
    if report.resolution is Resolution.ASKED:
        outcome += f"; {descriptions.CHOOSE}"
    if report.resolution is Resolution.KEPT_BOTH and report.ahead is not None:
        outcome += f" (the time of the {report.ahead.value} one lies in the future: it counts for nothing)"
    text = f"{report.path} {descriptions.conflict_cause(report)}; {outcome}"
    return f"{'conflict':<{_COLUMN}}{printable(text)}"


def hold(held: Hold) -> Iterator[str]:
    """Deletions that a guard held back: its message, the first paths, the hint."""
    yield f"{'held':<{_COLUMN}}{printable(held.message)}"
    for path in held.paths[:_SHOWN_HELD]:
        yield f"{'':<{_COLUMN}}{printable(path)}"
    if len(held.paths) > _SHOWN_HELD:
        yield f"{'':<{_COLUMN}}and {len(held.paths) - _SHOWN_HELD:,} more"
    if held.hint:
        yield f"{'':<{_COLUMN}}hint: {held.hint}"


def remarks(result: JobResult, *, only_urgent: bool = False) -> Iterator[str]:
    """Notes, conflicts, holds and problems of a run or plan: printed between the actions and the summary.

    `only_urgent` leaves out notes, conflicts that were decided, and files that are still being written.
    """
    if not only_urgent:
        yield from (printable(note) for note in result.notes)
    whole = result.report or result.plan
    if not whole:
        return
    for met in whole.conflicts:
        if not only_urgent or met.resolution is Resolution.ASKED:
            yield conflict(met)
    for held in whole.holds:
        yield from hold(held)
    for problem in (*whole.missed, *whole.problems):
        if only_urgent and problem.code == UNSETTLED:
            continue
        where = f"{printable(problem.path) or 'the whole side'} ({problem.side.value})"
        yield f"{'problem':<{_COLUMN}}{where}: {without(problem.path, problem.message)}"


def without(path: RelPath, message: str) -> str:
    """A message in printable characters, without the path in front, for output after that path."""
    return printable(message).removeprefix(f"{printable(path)}: ")


def summary(result: JobResult) -> str:
    """`docs: in sync, 3 up (1.2 MB), 1 down, 2 deleted, 1 conflict kept as …`."""
    if result.error:
        return f"{result.job}: {result.result}, {printable(result.error.message)}"
    if result.plan is not None:
        return f"{result.job}: {_planned(result)}"
    if result.report is None:
        return f"{result.job}: {result.result}"
    report = result.report
    total = results.totals(report)
    unmounted = bool(report.holds) and all(h.guard == BlockReason.UNMOUNTED.value for h in report.holds)
    parts = ["held" if unmounted else _HEADS[result.result]]  # a missing mount holds no deletions back
    parts += [f"{total.uploaded:,} up ({show_size(total.bytes_sent)})"] if total.uploaded else []
    parts += [f"{total.downloaded:,} down ({show_size(total.bytes_received)})"] if total.downloaded else []
    parts += _counts(total)
    parts += [f"{len(report.failures):,} failed"] if report.failures else []
    unsettled = sum(m.code == UNSETTLED for m in report.missed)
    parts += [f"{unsettled:,} still being written"] if unsettled else []
    parts += [f"{len(report.missed) - unsettled:,} not as planned"] if len(report.missed) > unsettled else []
    parts += [f"{len(report.left):,} left out"] if report.left else []
    parts += _conflicts(report.conflicts, result.kept)
    parts += [counted(len(report.problems), "problem")] if report.problems else []
    parts += _held(report.holds)
    parts += _ignored(report.ignored)
    return f"{result.job}: {', '.join(parts)}"


def _planned(result: JobResult) -> str:
    plan = result.plan
    assert plan is not None
    total = results.planned_totals(plan)
    size = dict.fromkeys(Side, 0)
    for act in plan.actions:
        if isinstance(act, Transfer):
            size[act.source] += act.seen.size
    parts = ["would sync" if result.result == "planned" else "nothing to do"]
    parts += [f"{total.uploaded:,} up ({show_size(size[Side.LOCAL])})"] if total.uploaded else []
    parts += [f"{total.downloaded:,} down ({show_size(size[Side.REMOTE])})"] if total.downloaded else []
    parts += _counts(total)
    parts += _conflicts(plan.conflicts, result.kept, ahead=True)
    parts += [counted(len(plan.problems), "problem")] if plan.problems else []
    parts += _held(plan.holds, "deletions ")
    parts += _ignored(plan.ignored)
    return ", ".join(parts)


def _held(holds: Sequence[Hold], noun: str = "") -> list[str]:
    """Numbers of mount points that are missing, and of the other paths that guards held back."""
    mounts = sum(len(h.paths) for h in holds if h.guard == BlockReason.UNMOUNTED.value)
    rest = sum(len(h.paths) for h in holds) - mounts
    parts = [f"{counted(mounts, 'mount point')} waiting"] if mounts else []
    return [f"{rest:,} {noun}held back", *parts] if rest else parts


def ignored(result: JobResult) -> Iterator[str]:
    """For each ignore rule (FILE:LINE:PATTERN) the number of names it ignored in the scanned directories."""
    whole = result.report or result.plan
    for rule, count in whole.ignored.items() if whole else ():
        yield f"{'ignored':<{_COLUMN}}{count:,} by {printable(str(rule))}"


def _ignored(counts: Mapping[IgnoreRule, int]) -> list[str]:
    """The number of ignored names, and the rule that ignores most of them."""
    if not counts:
        return []
    most = max(counts, key=lambda rule: counts[rule])
    text = f"{sum(counts.values()):,} ignored by "
    if len(counts) == 1:
        return [text + printable(str(most))]
    return [f"{text}{len(counts)} rules, {counts[most]:,} of them by {printable(str(most))}"]


def _counts(total: Totals) -> list[str]:
    parts = [f"{total.deleted:,} deleted"] if total.deleted else []
    return parts + ([f"{total.moved:,} moved"] if total.moved else [])


def _conflicts(conflicts: tuple[ConflictReport, ...], kept: int, *, ahead: bool = False) -> list[str]:
    """Numbers of conflicts. `kept`: all that are open with both contents kept, without those of this plan if
    `ahead`.
    """
    new = [c.copy for c in conflicts if c.resolution is Resolution.KEPT_BOTH]
    asked = sum(c.resolution is Resolution.ASKED for c in conflicts)
    decided = len(conflicts) - len(new) - asked
    if len(new) == 1 and kept <= (0 if ahead else 1):
        parts = [f"1 conflict kept as {printable(new[0])}"]
    else:
        count = kept + (len(new) if ahead else 0)
        parts = [f"{counted(count, 'conflict')} kept, see `syncer conflicts`"] if count else []
    parts += [f"{counted(asked, 'conflict')} to be settled, see `syncer conflicts`"] if asked else []
    return parts + ([f"{counted(decided, 'conflict')} decided by rule"] if decided else [])


def seen(shown: Seen) -> str:
    """What one side has at a path."""
    if shown is None:
        return "nothing"
    if isinstance(shown, BlockedEntry):
        return f"{shown.trouble.value}: {printable(shown.message)}"
    if shown.kind is Kind.DIRECTORY:
        return "directory"
    if shown.kind is Kind.SYMLINK:
        return f"symlink to {printable(shown.target or '')}"
    mark = ", executable" if shown.executable else ""
    return f"file, {show_size(shown.size)}, {moment(shown.mtime_ns)}{mark}"


def moment(ns: int | None) -> str:
    """A time (nanoseconds since 1970) in UTC to the second."""
    from datetime import UTC, datetime

    if ns is None:
        return "no time"
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns since 1970"
