"""What the reconciler sees with, and what it finds: the values between looking and planning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    Action,
    BaseEntry,
    BlockedEntry,
    Entry,
    IgnoreRule,
    Listing,
    Problem,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.refusals import Refusal
from syncer.engine.report import ConflictReport


class Snapshots(Protocol):
    """How the reconciler looks at the three trees."""

    @property
    def capabilities(self) -> Mapping[Side, Capabilities]: ...

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        """The base rows of a directory."""
        ...

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        """A directory that should be there; an obstacle if it cannot be listed whole."""
        ...

    def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """What stands at names that are known and that a listing did not show; None where nothing does."""
        ...

    def digests(self, side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        """The entries again, each with its digest."""
        ...

    def refusal(self, side: Side, path: RelPath) -> Refusal | None:
        """That the side did not take the path when it was given to it."""
        ...

    def is_mount(self, side: Side, path: RelPath) -> bool:
        """Whether something is mounted there: the system lets nobody rename it."""
        ...


@dataclass(slots=True)
class Reconciliation:
    """What came out so far. `settled` directories agree in everything, with both fingerprints."""

    actions: list[Action] = field(default_factory=list)
    conflicts: list[ConflictReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    settled: list[tuple[RelPath, bytes | None, bytes | None]] = field(default_factory=list)
    mixed: set[RelPath] = field(default_factory=set)  # hold names that are not synced
    lopsided: set[RelPath] = field(default_factory=set)  # hold known directories that one side lacks
    leftovers: dict[Side, list[RelPath]] = field(default_factory=lambda: {s: [] for s in Side})
    reopened: list[RelPath] = field(default_factory=list)  # whose fingerprints prove nothing any more
    rules_moved: list[RelPath] = field(default_factory=list)
    ignored: dict[IgnoreRule, int] = field(default_factory=dict)  # how many names each rule left alone
    machine_rules: Mapping[RelPath, str] = field(default_factory=dict)  # see `engine.ignore.Rules.machine`
    visited: set[RelPath] = field(default_factory=set)  # directories that were opened
    passed: set[RelPath] = field(default_factory=set)  # known ones that were met, and not opened there
    emptied: set[Side] = field(default_factory=set)  # sides whose root shows nothing at all
    refused: set[tuple[Side, RelPath]] = field(default_factory=set)  # names that are not tried again
    absent: dict[Side, dict[RelPath, str]] = field(default_factory=dict)  # mount points that wait, and why

    def weight(self) -> int:
        return len(self.actions) + len(self.conflicts) + len(self.problems)

    def blocked(self, path: RelPath, side: Side, obstacle: BlockedEntry, *, waits: bool = True) -> None:
        """Note that a name is there and cannot be judged."""
        problem = Problem(
            path=path, side=side, code=obstacle.trouble.value, message=obstacle.message, waits=waits
        )
        self.problems.append(problem)
