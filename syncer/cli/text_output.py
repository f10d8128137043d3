"""Runs and plans in words for people: a line per action, conflicts explained, totals at the end.

Paths are made printable here; nothing is printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from syncer.engine.model import (
    Action,
    BlockedEntry,
    BlockReason,
    Done,
    IgnoreRule,
    KeepBoth,
    Kind,
    Move,
    Outcome,
    Reason,
    RelPath,
    Seen,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.paths import printable
from syncer.engine.report import UNSETTLED, ConflictReport, Hold, Resolution, Totals
from syncer.formatting import counted, show_size
from syncer.jobs import results
from syncer.jobs.results import JobResult

_WORDS = {
    "upload": "upload",
    "download": "download",
    "delete-local": "delete here",
    "delete-remote": "delete there",
    "move-local": "move here",
    "move-remote": "move there",
    "mkdir-local": "make dir here",
    "mkdir-remote": "make dir there",
    "keep-both": "keep both",
    "adopt": "adopt",
    "forget": "forget",
}
_HEADS = {
    "in-sync": "in sync",
    "applied": "done as planned",
    "attention": "needs you",
    "incomplete": "incomplete",
    "held": "deletions held",
}
_SHOWN_HELD = 10
_COLUMN = 16  # where paths begin


def action(act: Action, outcome: Outcome | None = None) -> str:
    """`upload        a/b.txt  (1.2 kB, local-changed)`, and why not if it was not done."""
    line = f"{_WORDS[results.name_of(act)]:<{_COLUMN}}{printable(act.path)}"
    if isinstance(act, Move):
        line = f"{_WORDS[results.name_of(act)]:<{_COLUMN}}{printable(act.origin)} → {printable(act.path)}"
    if isinstance(act, KeepBoth):
        line += f" and {printable(act.copy)}"
    facts = [show_size(results.size_of(act))] if isinstance(act, Transfer) else []
    facts += ["times and modes only"] if isinstance(act, Touch) else []
    line += f"  ({', '.join([*facts, act.reason.value])})"
    if outcome and not isinstance(outcome, Done):
        line += f"  {results.result_of(outcome).upper()}: {without(act.path, results.message_of(outcome))}"
    return line


def conflict(report: ConflictReport) -> str:
    """What happened to both sides, and where both contents are now."""
    what = {
        Reason.BOTH_NEW: "is new on both sides with different content",
        Reason.KIND_CLASH: "is a file on one side and a directory on the other",
    }.get(report.reason, "changed on both sides")
    match report.resolution:
        case Resolution.ASKED:
            how = "nothing was touched; choose with: syncer conflicts resolve"
        case Resolution.KEPT_BOTH:
            how = f"both are kept, one of them as {printable(report.copy)}"
            if report.ahead is not None:
                how += (
                    f" (the time of the {report.ahead.value} one lies in the future: it counts for nothing)"
                )
        case Resolution.LOCAL_WON:
            how = "the local version won, the other is in the trash"
        case Resolution.REMOTE_WON:
            how = "the remote version won, the other is in the trash"
    return f"{'conflict':<{_COLUMN}}{printable(report.path)} {what}; {how}"


def hold(held: Hold) -> Iterator[str]:
    """What a guard held back, the first paths of it, and what to do."""
    yield f"{'held':<{_COLUMN}}{printable(held.message)}"
    for path in held.paths[:_SHOWN_HELD]:
        yield f"{'':<{_COLUMN}}{printable(path)}"
    if len(held.paths) > _SHOWN_HELD:
        yield f"{'':<{_COLUMN}}and {len(held.paths) - _SHOWN_HELD:,} more"
    if held.hint:
        yield f"{'':<{_COLUMN}}hint: {held.hint}"


def remarks(result: JobResult, *, only_urgent: bool = False) -> Iterator[str]:
    """Conflicts, holds and problems, after the actions and before the summary.

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
    """A message that follows its path in print, printable, without naming the path once more."""
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
    said = ["held" if _deletes_nothing(report.holds) else _HEADS[result.result]]
    said += [f"{total.uploaded:,} up ({show_size(total.bytes_sent)})"] if total.uploaded else []
    said += [f"{total.downloaded:,} down ({show_size(total.bytes_received)})"] if total.downloaded else []
    said += _counts(total)
    said += [f"{len(report.failures):,} failed"] if report.failures else []
    unsettled = sum(m.code == UNSETTLED for m in report.missed)
    said += [f"{unsettled:,} still being written"] if unsettled else []
    said += [f"{len(report.missed) - unsettled:,} not as planned"] if len(report.missed) > unsettled else []
    said += [f"{len(report.left):,} left out"] if report.left else []
    said += _conflicts(report.conflicts, result.kept)
    said += [counted(len(report.problems), "problem")] if report.problems else []
    said += _held(report.holds)
    said += _ignored(report.ignored)
    return f"{result.job}: {', '.join(said)}"


def _planned(result: JobResult) -> str:
    plan = result.plan
    assert plan is not None
    total = results.planned_totals(plan)
    size = dict.fromkeys(Side, 0)
    for act in plan.actions:
        if isinstance(act, Transfer):
            size[act.source] += act.seen.size
    said = ["would sync" if result.result == "planned" else "nothing to do"]
    said += [f"{total.uploaded:,} up ({show_size(size[Side.LOCAL])})"] if total.uploaded else []
    said += [f"{total.downloaded:,} down ({show_size(size[Side.REMOTE])})"] if total.downloaded else []
    said += _counts(total)
    said += _conflicts(plan.conflicts, result.kept, ahead=True)
    said += [counted(len(plan.problems), "problem")] if plan.problems else []
    said += _held(plan.holds, "deletions ")
    said += _ignored(plan.ignored)
    return ", ".join(said)


def _deletes_nothing(holds: Sequence[Hold]) -> bool:
    return bool(holds) and all(h.guard == BlockReason.UNMOUNTED.value for h in holds)


def _held(holds: Sequence[Hold], what: str = "") -> list[str]:
    places = sum(len(h.paths) for h in holds if h.guard == BlockReason.UNMOUNTED.value)
    rest = sum(len(h.paths) for h in holds) - places
    said = [f"{counted(places, 'mount point')} waiting"] if places else []
    return [f"{rest:,} {what}held back", *said] if rest else said


def ignored(result: JobResult) -> Iterator[str]:
    """How many names each ignore rule (FILE:LINE:PATTERN) left alone where the run looked."""
    whole = result.report or result.plan
    for rule, count in whole.ignored.items() if whole else ():
        yield f"{'ignored':<{_COLUMN}}{count:,} by {printable(str(rule))}"


def _ignored(counts: Mapping[IgnoreRule, int]) -> list[str]:
    """The number of names left alone, with the rule that names most of them."""
    if not counts:
        return []
    most = max(counts, key=lambda rule: counts[rule])
    text = f"{sum(counts.values()):,} ignored by "
    if len(counts) == 1:
        return [text + printable(str(most))]
    return [f"{text}{len(counts)} rules, {counts[most]:,} of them by {printable(str(most))}"]


def _counts(total: Totals) -> list[str]:
    said = [f"{total.deleted:,} deleted"] if total.deleted else []
    return said + ([f"{total.moved:,} moved"] if total.moved else [])


def _conflicts(conflicts: tuple[ConflictReport, ...], kept: int, *, ahead: bool = False) -> list[str]:
    """This run's conflicts, and how many are `kept` in all until they are settled (`ahead`: so far)."""
    new = [c.copy for c in conflicts if c.resolution is Resolution.KEPT_BOTH]
    asked = sum(c.resolution is Resolution.ASKED for c in conflicts)
    decided = len(conflicts) - len(new) - asked
    if len(new) == 1 and kept <= (0 if ahead else 1):
        said = [f"1 conflict kept as {printable(new[0])}"]
    else:
        count = kept + (len(new) if ahead else 0)
        said = [f"{counted(count, 'conflict')} kept, see `syncer conflicts`"] if count else []
    said += [f"{counted(asked, 'conflict')} to be settled, see `syncer conflicts`"] if asked else []
    return said + ([f"{counted(decided, 'conflict')} decided by rule"] if decided else [])


def seen(shown: Seen) -> str:
    """One observation of one side."""
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
    """A time for people, in UTC to the second."""
    from datetime import UTC, datetime

    if ns is None:
        return "no time"
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns since 1970"
