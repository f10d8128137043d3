"""The reconciler's input and output: the protocol `Snapshots`, and the value `Reconciliation`."""

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
    """The three trees as the reconciler reads them, one directory at a time."""

    @property
    def capabilities(self) -> Mapping[Side, Capabilities]: ...

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        """The base rows of a directory."""
        ...

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        """A directory of one side; a BlockedEntry if it cannot be listed completely."""
        ...

    def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """Known names that a listing did not show, each with its entry; None where the name is absent."""
        ...

    def digests(self, side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        """The entries again, each with its digest."""
        ...

    def refusal(self, side: Side, path: RelPath) -> Refusal | None:
        """The refusal that a former run met when it wrote the path on that side; None: there was none."""
        ...

    def is_mount(self, side: Side, path: RelPath) -> bool:
        """Whether the path is a mount point, which the system does not let anybody rename."""
        ...


@dataclass(slots=True)
class Reconciliation:
    """What the reconciler found so far: planned actions, and sets of directories for the fingerprints.

    `agreed_directories` have nothing to do directly in them; each comes with its local and remote
    fingerprint.
    """

    actions: list[Action] = field(default_factory=list)
    conflicts: list[ConflictReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    agreed_directories: list[tuple[RelPath, bytes | None, bytes | None]] = field(default_factory=list)
    has_unsynced_names: set[RelPath] = field(default_factory=set)  # ignored or blocked ones: no fingerprint
    one_sided: set[RelPath] = field(default_factory=set)  # hold a known directory that one side lacks
    leftovers: dict[Side, list[RelPath]] = field(default_factory=lambda: {s: [] for s in Side})
    must_rescan: list[RelPath] = field(default_factory=list)  # whose stored fingerprint is to be voided
    rules_moved: list[RelPath] = field(default_factory=list)  # whose `.syncignore` changed
    ignored: dict[IgnoreRule, int] = field(default_factory=dict)  # how many names each rule excludes
    machine_rules: Mapping[RelPath, str] = field(default_factory=dict)  # see `engine.ignore.Rules.machine`
    visited: set[RelPath] = field(default_factory=set)  # directories that were opened
    seen_not_opened: set[RelPath] = field(default_factory=set)  # known directories that a listing showed
    emptied: set[Side] = field(default_factory=set)  # sides whose root shows nothing at all
    refused: set[tuple[Side, RelPath]] = field(default_factory=set)  # names that are not written again
    absent: dict[Side, dict[RelPath, str]] = field(default_factory=dict)  # mount points that wait, and why

    @property
    def item_count(self) -> int:
        """Actions, conflicts and problems so far."""
        return len(self.actions) + len(self.conflicts) + len(self.problems)

    def blocked(self, path: RelPath, side: Side, obstacle: BlockedEntry, *, waits: bool = True) -> None:
        """Report that a name is there and cannot be synced; `waits`: the sides may differ because of it."""
        problem = Problem(
            path=path, side=side, code=obstacle.trouble.value, message=obstacle.message, waits=waits
        )
        self.problems.append(problem)
