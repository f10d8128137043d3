"""Rename detection: pairs deletions with new files of equal content, so that moved content is not sent again.

An optimisation only: a rename that is not found, or that a store cannot do, is a deletion and a new file. A
match needs equal digests and exactly one candidate on either end; inodes are reused, so they prove nothing.
Empty files are never matched by themselves. A directory whose whole content went to the same places under
another directory is renamed as one, if the store can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from syncer.engine import paths
from syncer.engine.model import (
    Action,
    Adopt,
    Delete,
    Entry,
    Kind,
    MakeDirectory,
    Move,
    Reason,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
    Transfer,
)

Learn = Callable[[Side, Sequence[tuple[RelPath, Entry]]], Sequence[Seen]]
DIRECTORY = Entry(Kind.DIRECTORY, 0, b"")


def find(actions: Sequence[Action], learn: Learn, *, directories: frozenset[Side]) -> list[Action]:
    """The actions, with matched pairs of a deletion and a new file replaced by moves.

    `learn` reads the digests of new files whose size makes them candidates; `directories` are the sides whose
    store renames a directory in one step.
    """
    result = list(actions)
    # A rename made on one side is a deletion and a transfer to be done on the other: the move is done there.
    for side in Side:
        ends = _ends(result, side, learn)
        if ends.gone and ends.new:
            result = _replaced(result, ends, whole=side in directories)
    return result


@dataclass(frozen=True, slots=True)
class Ends:
    """Candidates: deletions planned on `side`, and new files that come from the other side, each by path."""

    side: Side
    gone: Mapping[RelPath, Delete]
    new: Mapping[RelPath, Transfer]

    def same(self, origin: RelPath, path: RelPath) -> bool:
        """True if the file deleted at `origin` has the content, and the executable bit, of the new one."""
        a, b = self.gone[origin].expected, self.new[path].seen
        same = a.kind is b.kind and a.size == b.size and a.digest is not None and a.digest == b.digest
        return same and _same_bit(a, b)


def _same_bit(a: Entry, b: Entry) -> bool:
    """True if the executable bits agree: a rename keeps the bit, so a file that changed in it is sent."""
    return a.executable is None or b.executable is None or a.executable == b.executable


def _ends(actions: Sequence[Action], side: Side, learn: Learn) -> Ends:
    gone = {
        a.path: a
        for a in actions
        if isinstance(a, Delete)
        and a.side is side
        and not a.clearing
        and a.reason is not Reason.SECOND_COPY  # it goes on both sides, and its twin arrives
    }
    # Only a new file whose size a deleted one had can match: no other is read for its digest.
    sizes = {a.expected.size for a in gone.values()}
    new = [a for a in actions if isinstance(a, Transfer) and _can_come(a, side, sizes)]
    unread = [a for a in new if a.seen.digest is None]
    answers = learn(side.other, [(a.path, a.seen) for a in unread]) if unread else ()
    read = {a.path: s for a, s in zip(unread, answers, strict=True) if isinstance(s, Entry)}
    return Ends(side, gone, {a.path: replace(a, seen=read.get(a.path, a.seen)) for a in new})


def _can_come(action: Transfer, side: Side, sizes: set[int]) -> bool:
    new = action.reason in (Reason.LOCAL_NEW, Reason.REMOTE_NEW) and action.expected is None
    return new and action.source is side.other and action.seen.size in sizes


def _replaced(actions: Sequence[Action], ends: Ends, *, whole: bool) -> list[Action]:
    pairs = dict(_pairs(ends))
    # Whole directories first: what one of them takes along needs no move of its own.
    trees = _trees(actions, ends, pairs) if whole else []
    done = {(type(a), a.path) for tree in trees for a in tree.replaces}
    moves: list[Action] = [tree.move for tree in trees]
    for origin, path in pairs.items():
        if (Delete, origin) not in done:
            moves.append(_file_move(ends, origin, path))
            done |= {(Delete, origin), (Transfer, path)}
    return [a for a in actions if (type(a), a.path) not in done] + moves


def _pairs(ends: Ends) -> Iterator[tuple[RelPath, RelPath]]:
    """Pairs of paths whose content occurs exactly once among the deleted and once among the new files."""
    origins = _unique((a.path, a.expected) for a in ends.gone.values())
    targets = _unique((a.path, a.seen) for a in ends.new.values())
    for content, path in targets.items():
        if content in origins and ends.same(origins[content], path):
            yield origins[content], path


def _unique(entries: Iterable[tuple[RelPath, Entry]]) -> dict[tuple[int, bytes], RelPath]:
    """Paths by content (size, digest). Content that occurs twice is left out: which file moved is open."""
    found: dict[tuple[int, bytes], RelPath] = {}
    twins = set()
    for path, entry in entries:
        if entry.kind is Kind.FILE and entry.size and entry.digest:
            content = (entry.size, entry.digest)
            if content in found:
                twins.add(content)
            found[content] = path
    return {content: path for content, path in found.items() if content not in twins}


def _file_move(ends: Ends, origin: RelPath, path: RelPath) -> Move:
    return Move(
        path=path,
        origin=origin,
        reason=Reason.RENAMED,
        side=ends.side,
        expected=ends.gone[origin].expected,
        seen=ends.new[path].seen,
        instead=(ends.gone[origin], ends.new[path]),
    )


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory that is renamed as a whole, and the actions which that move replaces."""

    move: Move
    replaces: tuple[Action, ...]


def _trees(actions: Sequence[Action], ends: Ends, pairs: Mapping[RelPath, RelPath]) -> list[Tree]:
    """Directories that moved as a whole; only the outermost, which take those below along."""
    index = _Index(actions)
    # A pair of files suggests the directories above both. Each suggestion is then checked name by name.
    candidates = {up for origin, path in pairs.items() for up in _above(origin, path, index, ends.side)}
    found: list[Tree] = []
    for origin, path in sorted(candidates, key=lambda pair: (paths.depth(pair[0]), pair)):
        if not any(paths.is_below(origin, t.move.origin) for t in found):
            tree = _tree(origin, path, index, ends)
            if tree is not None:
                found.append(tree)
    return found


class _Index:
    """All actions in tree order: those below a directory are found by bisection."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._sorted = sorted(actions, key=lambda a: paths.tree_key(a.path))
        self._keys = [paths.tree_key(a.path) for a in self._sorted]
        self._directories = {
            (type(a), a.side, a.path) for a in actions if isinstance(a, MakeDirectory | RemoveDirectory)
        }

    def has(self, kind: type[Action], side: Side, path: RelPath) -> bool:
        return (kind, side, path) in self._directories

    def within(self, top: RelPath) -> list[Action]:
        """The actions on `top` and on everything below it."""
        key = paths.tree_key(top)
        first = bisect_left(self._keys, key)
        last = bisect_left(self._keys, key + b"\1")
        return [a for a in self._sorted[first:last] if a.path == top or paths.is_below(a.path, top)]


def _above(origin: RelPath, path: RelPath, index: _Index, side: Side) -> Iterator[tuple[RelPath, RelPath]]:
    """Pairs of directories above two paths that could be one directory, renamed.

    As long as the names below are equal, one is removed on the side and the other is made there.
    """
    while True:
        (origin, name), (path, new_name) = paths.split(origin), paths.split(path)
        gone, made = index.has(RemoveDirectory, side, origin), index.has(MakeDirectory, side, path)
        if name != new_name or not (gone and made):
            return
        yield origin, path


def _tree(origin: RelPath, path: RelPath, index: _Index, ends: Ends) -> Tree | None:
    """The rename of `origin` to `path`, if that does exactly what the actions below both would do."""
    leaving, arriving = index.within(origin), index.within(path)
    # Everything must leave the one and arrive in the other: an edit, a conflict or a blocked name below would
    # be moved along, or left behind, without having been decided about.
    if not all(_leaves(a, ends) for a in leaving) or not all(_arrives(a, ends) for a in arriving):
        return None
    # The same names in the same places. What nothing is planned for is not in these lists: an ignored file,
    # for example, keeps its directory, so there is no RemoveDirectory to begin with.
    if _shape(origin, leaving) != _shape(path, arriving):
        return None
    files = [(a.path, path + a.path[len(origin) :]) for a in leaving if isinstance(a, Delete)]
    if not all(new in ends.new and ends.same(old, new) for old, new in files):
        return None
    # The rows of the base move along, and get the versions that the other side shows by the new names.
    below = tuple(_agreed(ends, old, new) for old, new in files)
    replaces = (*leaving, *arriving)
    return Tree(replace(_directory_move(origin, path, ends.side, below), instead=replaces), replaces)


def _shape(top: RelPath, actions: Iterable[Action]) -> set[tuple[RelPath, bool]]:
    """Relative paths below the top, each with whether it is a directory."""
    return {(a.path[len(top) :], isinstance(a, MakeDirectory | RemoveDirectory)) for a in actions}


def _leaves(action: Action, ends: Ends) -> bool:
    return isinstance(action, RemoveDirectory | Delete) and action.side is ends.side and not action.clearing


def _arrives(action: Action, ends: Ends) -> bool:
    if isinstance(action, MakeDirectory):
        return action.side is ends.side and action.replaces is None
    return isinstance(action, Transfer) and action.path in ends.new


def _directory_move(origin: RelPath, path: RelPath, side: Side, below: tuple[Adopt, ...]) -> Move:
    return Move(
        path=path,
        origin=origin,
        reason=Reason.RENAMED,
        side=side,
        expected=DIRECTORY,
        seen=DIRECTORY,
        below=below,
    )


def _agreed(ends: Ends, origin: RelPath, path: RelPath) -> Adopt:
    """What both sides agree on about a file in the directory, once that has been renamed."""
    here, there = ends.gone[origin].expected, ends.new[path].seen
    local, remote = (here, there) if ends.side is Side.LOCAL else (there, here)
    return Adopt(path=path, reason=Reason.RENAMED, local=local, remote=remote, silent=True)
