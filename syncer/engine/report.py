"""Results as values: plans, run reports, conflicts, holds; for exit codes, `--json` and history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import starmap

from syncer.engine.interfaces import Fact
from syncer.engine.model import (
    Action,
    BaseEntry,
    BlockReason,
    Done,
    Entry,
    IgnoreRule,
    Outcome,
    Problem,
    Reason,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.paths import is_below, split

UNSETTLED = "unsettled"


class Resolution(Enum):
    """How a conflict ended. `ASKED` waits for a person."""

    KEPT_BOTH = "keep-both"
    LOCAL_WON = "local"
    REMOTE_WON = "remote"
    ASKED = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictReport:
    """One conflict. `copy` is where the losing content is kept beside the path, "" if nowhere.

    The side that shows a directory (a kind clash) is listed with its entry too.
    """

    path: RelPath
    reason: Reason
    resolution: Resolution
    local: Entry
    remote: Entry
    copy: RelPath = ""
    ahead: Side | None = None  # whose mtime lies in the future, and was not taken for newer


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A guard kept back some deletions on one side; everything else goes on."""

    guard: str
    side: Side
    message: str
    hint: str
    paths: tuple[RelPath, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do, in the order in which it would do it."""

    actions: tuple[Action, ...] = ()
    conflicts: tuple[ConflictReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    holds: tuple[Hold, ...] = ()
    left: tuple[Action, ...] = ()  # a person left them out: not for this run
    young: tuple[Action, ...] = ()  # of files that may still be being written: not yet
    settles_ns: int = 0  # until all of those may be read
    missed: tuple[Problem, ...] = ()  # a person asked for them, and they cannot be done
    ignored: Mapping[IgnoreRule, int] = field(default_factory=dict)  # how many names each left alone

    @property
    def exit_code(self) -> int:
        """The exit code if every action were done: 0 in sync, 1 attention needed, 4 deletions held."""
        return 4 if self.holds else _attention(self.conflicts, self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReport:
    """One action, how it ended, and what the base is to record because of it."""

    action: Action
    outcome: Outcome
    facts: tuple[Fact, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did. Guards that refuse a whole job are raised (GuardTripped), not reported here."""

    actions: tuple[ActionReport, ...] = ()
    conflicts: tuple[ConflictReport, ...] = ()
    problems: tuple[Problem, ...] = ()
    holds: tuple[Hold, ...] = ()
    looked: frozenset[RelPath] | None = None  # the directories it opened, if it did not look everywhere
    passed: frozenset[RelPath] = frozenset()  # directories that it saw standing, and did not open
    left: frozenset[RelPath] = frozenset()  # paths for which something is to be done, and was not asked for
    missed: tuple[Problem, ...] = ()  # what was asked for and could not be done; see `engine.selection`
    ignored: Mapping[IgnoreRule, int] = field(default_factory=dict)  # as in the plan; where it looked
    young: Mapping[RelPath, Side] = field(default_factory=dict)  # files that may still be being written
    settles_ns: int = 0  # until those may be read, if nothing is written to them

    def and_then(self, later: RunReport) -> RunReport:
        """Both parts of one run, of which the later looked again at what was young in this one."""
        return replace(
            later,
            actions=(*self.actions, *later.actions),
            conflicts=(*(c for c in self.conflicts if not later.judged(c.path)), *later.conflicts),
            problems=(*(p for p in self.problems if not later.judged(p.path)), *later.problems),
            holds=later.holds if later.looked is None else (*_elsewhere(self.holds, later), *later.holds),
            looked=self.looked if self.looked is None else self.looked | (later.looked or frozenset()),
            passed=self.passed,
            ignored=self.ignored,
            left=self.left | later.left,
            missed=(*self.missed, *later.missed, *starmap(_unsettled, later.young.items())),
        )

    def judged(self, path: RelPath) -> bool:
        """Whether the run says anything about the path by not mentioning it.

        What is wrong with a directory may be that it cannot be listed: only who opens it hears of that.
        """
        if path in self.left or path in self.young or any(is_below(path, point) for point in self.unmounted):
            return False
        if self.looked is None or path in self.looked:
            return True
        return split(path)[0] in self.looked and path not in self.passed

    @property
    def unmounted(self) -> tuple[RelPath, ...]:
        """Mount points below which nothing was looked at."""
        return tuple(p for h in self.holds if h.guard == BlockReason.UNMOUNTED.value for p in h.paths)

    @property
    def failures(self) -> tuple[ActionReport, ...]:
        return tuple(a for a in self.actions if not isinstance(a.outcome, Done))

    @property
    def exit_code(self) -> int:
        """0 in sync, 1 attention is needed, 3 running again may help, 4 a guard held deletions."""
        if self.holds:
            return 4
        if self.failures or any(m.waits for m in self.missed):
            return 3
        return _attention(self.conflicts, self.problems)

    @property
    def result(self) -> str:
        """The word for the exit code in `--json`."""
        if self.exit_code == 0 and self.left:
            return "applied"  # as planned; the rest waits for an ordinary run
        return {0: "in-sync", 1: "attention", 3: "incomplete", 4: "held"}[self.exit_code]


def _attention(conflicts: Iterable[ConflictReport], problems: Iterable[Problem]) -> int:
    """1 where something waits for a person: a conflict to be settled, a path that is skipped."""
    asked = any(c.resolution is Resolution.ASKED for c in conflicts)
    return 1 if asked or any(p.waits for p in problems) else 0


def _unsettled(path: RelPath, side: Side) -> Problem:
    return Problem(
        path=path, side=side, code=UNSETTLED, message="it is still being written to: left for later"
    )


def _elsewhere(holds: Iterable[Hold], later: RunReport) -> list[Hold]:
    """What was held at places of which the later part of a run says nothing."""
    told = {(h.guard, h.side) for h in later.holds}
    return [h for h in holds if (h.guard, h.side) not in told and not all(map(later.judged, h.paths))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a run changed, in counts, and the bytes that crossed the wire, headers left out."""

    uploaded: int = 0
    downloaded: int = 0
    deleted: int = 0
    moved: int = 0
    conflicts: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What `explain` shows of one path: three observations, the rule, the next step."""

    path: RelPath
    base: BaseEntry | None
    local: Seen
    remote: Seen
    rule: str
    actions: tuple[Action, ...] = ()
    ignore_rule: IgnoreRule | None = None  # the ignore rule that has the last word; negated: it brings back
    ignored_above: RelPath = ""  # the directory that the rule ignores, where that is not the path itself


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDifference:
    """One path that `check` found to differ, or could not compare."""

    path: RelPath
    local: Seen
    remote: Seen
    message: str
