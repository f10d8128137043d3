"""Filters the names of a directory: which can be decided at all, and the digests that deciding them takes.

Ignored names are left alone, unsafe and blocked ones are reported and wait, names that
the other side cannot hold are reported. What is left goes on to be decided, each with
the digests without which nothing could be said of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from syncer.engine import paths, refusals
from syncer.engine.changes import wanted
from syncer.engine.ignore import MACHINE_FILE, NEVER_SYNCED, Rules
from syncer.engine.model import (
    BaseEntry,
    BlockedEntry,
    BlockReason,
    Entry,
    Forget,
    Kind,
    Listing,
    Reason,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.name_matching import NameTriple
from syncer.engine.reconciliation import Reconciliation, Snapshots


class EntryFilter:
    """Decides which names get to the reconciler. `excluded_paths`: paths below which nothing is decided."""

    def __init__(self, sight: Snapshots, rules: Rules, findings: Reconciliation, *, full: bool) -> None:
        self.excluded_paths: set[RelPath] = set()
        self._sight = sight
        self._rules = rules
        self._findings = findings
        self._full = full
        self._able = sight.capabilities

    def views(self, directory: RelPath, views: Iterable[NameTriple]) -> list[NameTriple]:
        """The names that can be decided, with the digests that deciding them needs."""
        ruled = self._rules.any_in(directory)
        return self._with_digests(directory, [v for v in views if self._admitted(directory, v, ruled=ruled)])

    def _admitted(self, directory: RelPath, view: NameTriple, *, ruled: bool) -> bool:
        """True if the name may be decided; if not, the reason is reported. `ruled`: ignore rules apply."""
        path = paths.join(directory, view.name)
        # An object store's "docs//x" has an empty name in it, which no rule can speak about.
        no_name = not paths.is_name(view.name) and self._unsafe(directory, view)
        asked = (ruled or view.name == MACHINE_FILE) and not no_name
        ignored = asked and self._ignored(path, view)
        if no_name or ignored or self._unsafe(directory, view) or self._another_roots(path, view):
            # A name that stays undecided keeps its directory from being removed, and from getting a
            # fingerprint.
            if view.local is not None or view.remote is not None:
                self._findings.has_unsynced_names.add(directory)
            return False
        # A blocked entry is an observation, not an absence: nothing may follow from it on the other side.
        for side, seen in ((Side.LOCAL, view.local), (Side.REMOTE, view.remote)):
            if isinstance(seen, BlockedEntry):
                self._obstacle(directory, view, side, seen)
                return False
        if self._cannot_cross(path, view):
            self._findings.has_unsynced_names.add(directory)
            return False
        return True

    def _ignored(self, path: RelPath, view: NameTriple) -> bool:
        sights = (view.base, view.local, view.remote)
        is_directory = any(
            not isinstance(x, BlockedEntry) and x is not None and x.kind is Kind.DIRECTORY for x in sights
        )
        rule = self._rules.deciding(path, is_directory=is_directory)
        if rule is None or rule.negated:
            return False
        if rule is not NEVER_SYNCED and (view.local is not None or view.remote is not None):
            self._findings.ignored[rule] = self._findings.ignored.get(rule, 0) + 1
        self.excluded_paths.add(path)
        # What is newly ignored is forgotten by the base, never deleted: it stays on both sides, each its own.
        if view.base is not None:
            known = paths.join(paths.split(path)[0], view.superseded or view.name)
            self.excluded_paths.add(known)
            self._findings.actions.append(Forget(path=known, reason=Reason.IGNORED))
        return True

    def _another_roots(self, path: RelPath, view: NameTriple) -> bool:
        """Whether it is the private directory of a root that stands inside this one: it is left alone.

        It never crosses: its marker would tell the guards of another job that a copy is their root, and its
        trash would bring deleted files back.
        """
        if view.name != paths.PRIVATE:
            return False
        sides = [side for side in Side if (e := entry_of(view.seen(side))) and e.kind is Kind.DIRECTORY]
        return self.is_another_roots(path, sides, known=view.base is not None)

    def is_another_roots(self, path: RelPath, sides: Iterable[Side], *, known: bool) -> bool:
        """The same of a directory of that name which stands on these sides. What was known of it is
        forgotten.
        """
        if path not in self.excluded_paths:
            if not any(_marks_a_root(self._sight.list(side, path)) for side in sides):
                return False
            self.excluded_paths.add(path)
            if known:
                self._findings.actions.append(Forget(path=path, reason=Reason.IGNORED))
        return True

    def _unsafe(self, directory: RelPath, view: NameTriple) -> bool:
        if view.base is not None:
            return False
        why = paths.unsafe(view.name, at_root=not directory)
        if not why:
            return False
        side = Side.LOCAL if view.local is not None else Side.REMOTE
        seen = view.seen(side)
        told = isinstance(seen, BlockedEntry) and seen.trouble is BlockReason.UNSAFE_NAME
        why = (
            seen.message if told and isinstance(seen, BlockedEntry) else why
        )  # the store knows the whole name
        obstacle = BlockedEntry(BlockReason.UNSAFE_NAME, f"the name is never synced: {why}")
        self._findings.blocked(paths.join(directory, view.name), side, obstacle)
        return True

    def _obstacle(self, directory: RelPath, view: NameTriple, side: Side, obstacle: BlockedEntry) -> None:
        """A fifo or socket that was never synced is only mentioned; all else waits."""
        path = paths.join(directory, view.name)
        self.excluded_paths.add(path)
        self._findings.has_unsynced_names.add(directory)
        alone = view.base is None and view.seen(side.other) is None
        waits = not alone or obstacle.trouble is not BlockReason.UNSUPPORTED
        self._findings.blocked(path, side, obstacle, waits=waits)

    def _cannot_cross(self, path: RelPath, view: NameTriple) -> bool:
        """Whether a side has there what the other cannot hold: a symlink, or a new name of its own."""
        for side, seen in ((Side.LOCAL, view.local), (Side.REMOTE, view.remote)):
            if isinstance(seen, Entry) and seen.kind is Kind.SYMLINK and not self._able[side.other].symlinks:
                # Whatever stands there on the other side: a symlink cannot take its place.
                return self._unholdable(path, side, "it is a symlink")
            if isinstance(seen, Entry) and self._too_large(seen, side, view):
                return self._unholdable(
                    path, side, f"it is larger than {self._able[side.other].max_file_bytes} bytes"
                )
        if view.base is not None or (view.local is None) is (view.remote is None):
            return False
        side = Side.REMOTE if view.local is None else Side.LOCAL
        why = paths.unholdable(view.name, self._able[side.other]) or self._refused(path, side, view)
        return bool(why) and self._unholdable(path, side, why)

    def _refused(self, path: RelPath, side: Side, view: NameTriple) -> str:
        """Why the other side did not take it, if it was tried and nothing is otherwise now."""
        other, seen = side.other, entry_of(view.seen(side))
        refusal = None if self._full else self._sight.refusal(other, path)
        if refusal is None or seen is None:
            return ""
        there = self._sight.list(other, paths.split(path)[0])
        names = there.entries if isinstance(there, Listing) else ()
        if refusals.token(seen, names, self._able[other]) != refusal.token:
            return ""
        self._findings.refused.add((other, path))
        return f"{refusal.message}; it was tried, and is tried again when it or its folder there changes"

    def _too_large(self, seen: Entry, side: Side, view: NameTriple) -> bool:
        """Whether the other side cannot hold so many bytes, and does not hold them."""
        limit, other = self._able[side.other].max_file_bytes, view.seen(side.other)
        held = isinstance(other, Entry) and other.size == seen.size
        return 0 < limit < seen.size and not held

    def _unholdable(self, path: RelPath, side: Side, why: str) -> bool:
        self.excluded_paths.add(path)
        message = f"the {side.other.value} side cannot hold it: {why}"
        self._findings.blocked(path, side, BlockedEntry(BlockReason.UNHOLDABLE, message))
        return True

    def _with_digests(self, directory: RelPath, views: list[NameTriple]) -> list[NameTriple]:
        """The names, with the digests without which they could not be decided; without those that failed."""
        # One call for each side, so that a store may read many files in one request.
        asked: dict[Side, list[int]] = {s: [] for s in Side}
        for index, view in enumerate(views):
            local, remote = entry_of(view.local), entry_of(view.remote)
            needs = wanted(self.trusted(view.base), local, remote)
            for side, needed in zip(Side, needs, strict=True):
                if needed:
                    asked[side].append(index)
        for side, indices in asked.items():
            self._learn(directory, side, indices, views)
        return [v for v in views if not self._unreadable(directory, v)]

    def _learn(self, directory: RelPath, side: Side, indices: list[int], views: list[NameTriple]) -> None:
        questions = []
        for index in indices:
            entry = entry_of(views[index].seen(side))
            assert entry is not None
            view = views[index]
            name = view.spelling if view.behind is side else view.name
            questions.append((paths.join(directory, name), entry))
        for index, answer in zip(indices, self._sight.digests(side, questions), strict=True):
            seen: Seen = answer or BlockedEntry(BlockReason.BUSY, "it vanished while it was looked at")
            view = views[index]
            views[index] = replace(view, local=seen) if side is Side.LOCAL else replace(view, remote=seen)

    def _unreadable(self, directory: RelPath, view: NameTriple) -> bool:
        """Whether reading failed: then nothing is decided about the name."""
        for side in Side:
            seen = view.seen(side)
            if isinstance(seen, BlockedEntry):
                self._obstacle(directory, view, side, seen)
                return True
        return False

    def trusted(self, base: BaseEntry | None) -> BaseEntry | None:
        """The base without its versions where every byte is to be read again."""
        if base is None or not self._full:
            return base
        return replace(base, local_version=None, remote_version=None)


def _marks_a_root(seen: Listing | BlockedEntry) -> bool:
    """Whether a directory called like ours has what ours have: a marker, or a trash."""
    if isinstance(seen, BlockedEntry):
        return False
    marker, trash = seen.entries.get(paths.ROOT_ID), seen.entries.get(paths.TRASH)
    return (isinstance(marker, Entry) and marker.kind is Kind.FILE) or (
        isinstance(trash, Entry) and trash.kind is Kind.DIRECTORY
    )


def entry_of(seen: Seen) -> Entry | None:
    """The entry of a sight that is known to be no obstacle."""
    return seen if isinstance(seen, Entry) else None
