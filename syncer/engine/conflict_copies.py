"""Conflict copies: keeps the losing content of a conflict once, however many machines resolve the conflict.

Two machines between the same two sides may settle one conflict, each with a copy under its own name; and two
machines that push different versions of one name settle theirs at every run. Copies are told apart by digest.
Of several with one content all machines keep the one whose name sorts first, whichever arrived first
somewhere: if each kept its own choice, every copy would be let go by somebody. What is let go goes to the
trash, and only where it still is what was read.

Pure, but for listings and digests, which are asked for only where a copy arrives or a conflict is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from syncer.engine import paths
from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Entry,
    KeepBoth,
    Kind,
    Mode,
    Reason,
    RelPath,
    Seen,
    Side,
    Touch,
    Transfer,
)
from syncer.engine.report import ConflictReport

Beside = Callable[[Side, RelPath], Mapping[str, Entry]]  # the files in a directory of a side, by name
Learn = Callable[[Side, Sequence[tuple[RelPath, Entry]]], Sequence[Seen]]
_NEW: Final = frozenset({Reason.LOCAL_NEW, Reason.REMOTE_NEW})


def once(
    actions: Sequence[Action],
    conflicts: Sequence[ConflictReport],
    mode: Mode,
    beside: Beside,
    learn: Learn,
) -> tuple[Sequence[Action], Sequence[ConflictReport]]:
    """The actions and the conflicts without a second copy of a content."""
    if not any(isinstance(a, KeepBoth) or _arrives(a) for a in actions):
        return actions, conflicts
    copies = _Copies(actions, beside, learn)
    named: dict[RelPath, RelPath] = {}
    done: list[Action] = []
    for action in actions:
        copy = copies.of_loser(action) if isinstance(action, KeepBoth) else ""
        if copy and isinstance(action, KeepBoth):
            named[action.path] = copy
            done.append(_name_only(action))
        else:
            done.append(action)
    if mode is Mode.TWO_WAY:
        let_go = {(delete.path, delete.side): delete for delete in copies.let_go()}
        arriving = {(a.path, a.source) for a in done if isinstance(a, Transfer)} & let_go.keys()
        done = [a for a in done if not (isinstance(a, Transfer) and (a.path, a.source) in arriving)]
        done += let_go.values()
    return done, [replace(c, copy=named[c.path]) if c.path in named else c for c in conflicts]


def _arrives(action: Action) -> bool:
    """Whether a conflict copy comes that was made elsewhere."""
    return (
        isinstance(action, Transfer)
        and action.reason in _NEW
        and action.expected is None
        and action.seen.kind is Kind.FILE
        and paths.is_conflict_name(name := paths.split(action.path)[1], of=name)
    )


def _name_only(action: KeepBoth) -> Transfer:
    """The winner just takes the name: the other content is kept already."""
    return Transfer(
        path=action.path,
        reason=action.reason,
        source=action.loser.other,
        seen=action.winner,
        expected=action.lost,
        executable=action.winner.executable,
    )


@dataclass(frozen=True, slots=True)
class _Copy:
    """A conflict copy on a side, with its digest. `arriving`: the other side is to get it."""

    path: RelPath
    side: Side
    entry: Entry
    arriving: bool


@dataclass(slots=True)
class _Copies:
    """The conflict copies beside the names of a plan that stay where they are."""

    actions: Sequence[Action]
    beside: Beside
    learn: Learn
    _planned: dict[RelPath, list[Action]] = field(init=False)

    def __post_init__(self) -> None:
        self._planned = {}
        for action in self.actions:
            self._planned.setdefault(action.path, []).append(action)

    def of_loser(self, action: KeepBoth) -> RelPath:
        """The path of a conflict copy with the loser's content, on either side; "" if there is none."""
        if action.winner.kind is not Kind.FILE or action.lost.kind is not Kind.FILE:
            return ""
        sides = [action.loser] if action.one_way else [action.loser, action.loser.other]
        found = self._there(action.path, {action.lost.size}, sides)
        if not found:
            return ""
        (lost,) = self.learn(action.loser, [(action.path, action.lost)])
        if not isinstance(lost, Entry) or lost.digest is None:
            return ""
        return next((copy.path for copy in found if copy.entry.digest == lost.digest), "")

    def let_go(self) -> Iterator[Delete]:
        """What goes, of copies that arrive and of those that are there already."""
        sizes: dict[tuple[RelPath, str], set[int]] = {}
        for action in self.actions:
            if isinstance(action, Transfer) and _arrives(action):
                directory, name = paths.split(action.path)
                sizes.setdefault((directory, paths.original_of(name)), set()).add(action.seen.size)
        for (directory, name), wanted in sizes.items():
            same: dict[bytes | None, list[_Copy]] = {}
            for copy in self._there(paths.join(directory, name), wanted, list(Side)):
                same.setdefault(copy.entry.digest, []).append(copy)
            for digest, found in same.items():
                if digest is not None and any(copy.arriving for copy in found):
                    yield from _but_the_first(found)

    def _there(self, path: RelPath, sizes: Collection[int], sides: Sequence[Side]) -> Sequence[_Copy]:
        """Copies of the path's name, with their digests, that no planned action takes away or changes."""
        directory, name = paths.split(path)
        found: list[_Copy] = []
        for side in sides:
            wanted = [
                (paths.join(directory, other), entry)
                for other, entry in self.beside(side, directory).items()
                if paths.is_conflict_name(other, of=name) and entry.size in sizes
                if self._stays(paths.join(directory, other), side)
            ]
            for (at, _), seen in zip(wanted, self.learn(side, wanted) if wanted else (), strict=True):
                if isinstance(seen, Entry):
                    arriving = any(_arrives(action) for action in self._planned.get(at, ()))
                    found.append(_Copy(at, side, seen, arriving))
        return found

    def _stays(self, path: RelPath, side: Side) -> bool:
        """Whether the plan leaves the path as it is on that side."""
        return all(
            isinstance(action, Adopt | Touch) or (isinstance(action, Transfer) and action.source is side)
            for action in self._planned.get(path, ())
        )


def _but_the_first(found: Sequence[_Copy]) -> Iterator[Delete]:
    """Deletes all copies but the one that sorts first, of those that both sides have or are to have.

    What both sides have goes only where both were read and hold the very content: an edit stays.
    """
    on: dict[RelPath, int] = {}
    for copy in found:
        on[copy.path] = on.get(copy.path, 0) + 1
    shared = [copy for copy in found if copy.arriving or on[copy.path] == len(Side)]
    kept = min(copy.path for copy in shared)
    for copy in shared:
        if copy.path != kept:
            yield Delete(
                path=copy.path, reason=Reason.SECOND_COPY, side=copy.side, expected=copy.entry, kept=kept
            )
