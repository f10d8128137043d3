"""Compares three trees one directory at a time and says what should be done.

Pure but for the `Sight` it is given, through which it looks: nothing is written, and
the same sights give the same decisions. A blocked name (unreadable, unsafe, clashing)
waits: nothing is decided about it, and no directory above it is removed. What is
decided for a leaf stands in `engine.decide`; here are directories, kind clashes and
the way down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncer.engine import paths
from syncer.engine.decide import NEW, Decision, Leaf, Settings, decide, report
from syncer.engine.filters import EntryFilter, entry_of
from syncer.engine.ignore import FILE, MACHINE_FILE, IgnoreFileError, Rules
from syncer.engine.model import (
    SIDES,
    Action,
    Adopt,
    BaseEntry,
    BlockedEntry,
    ConflictPolicy,
    Delete,
    Entry,
    Forget,
    KeepBoth,
    Kind,
    Listing,
    MakeDirectory,
    Mode,
    Move,
    Policy,
    Reason,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
    Transfer,
)
from syncer.engine.name_matching import Names, NameTriple, pair
from syncer.engine.reconciliation import Reconciliation
from syncer.engine.report import Resolution
from syncer.engine.spelling import Respelt

NO_ENTRIES: Mapping[str, Entry | BlockedEntry] = {}


def _is_respelt(name: str, seen: Seen, shown: Mapping[str, Entry | BlockedEntry], *, folds: bool) -> bool:
    """Whether a name that was found is only another spelling of one that the listing shows.

    A directory that folds case or Unicode form answers to a name that was changed in nothing else. Where it
    is not known to fold, that is told by the version; where it is, FUSE may make up one for each spelling.
    """
    if not isinstance(seen, Entry):
        return False
    folded = paths.fold(name, case=True, form=True)
    alike = [entry for other, entry in shown.items() if paths.fold(other, case=True, form=True) == folded]
    return any(
        isinstance(entry, Entry) and entry.kind is seen.kind and (folds or entry.version == seen.version)
        for entry in alike
    )


@dataclass(frozen=True, slots=True)
class DirectoryOutcome:
    """What becomes of a directory: does anything stay where it is, will anything come where it is not."""

    stays: bool = False
    arrives: bool = False


KEPT = DirectoryOutcome(stays=True)
KEPT_AND_GAINING = DirectoryOutcome(stays=True, arrives=True)


def _both(a: DirectoryOutcome, b: DirectoryOutcome) -> DirectoryOutcome:
    return DirectoryOutcome(a.stays or b.stays, a.arrives or b.arrives)


class Reconciler:
    """Visits directories, each at most once, and collects `reconciliation`."""

    def __init__(self, sight: Respelt, policy: Policy, rules: Rules) -> None:
        self.findings = Reconciliation()
        self._sight = sight
        self._policy = policy
        self._rules = rules
        self._admission = EntryFilter(sight, rules, self.findings, full=policy.full)
        self._covered = self._admission.covered  # paths that are done with, and everything below them
        self._reserved: set[RelPath] = set()  # conflict names given out in this run
        self._names: tuple[RelPath, set[str]] | None = None
        able = sight.capabilities
        grains = [able[s].mtime_granularity_ns for s in SIDES]
        self._granularity = max(grains) if all(grains) else 0
        self._longest = min(paths.NAME_MAX, *(able[s].max_name_bytes for s in SIDES))

    def visit(self, directory: RelPath) -> None:
        """A directory that both sides should have (or the root)."""
        directory = self.spelt(directory)
        known = directory in self.findings.visited or self._is_covered(directory)
        if known or self._is_ignored_by_now(directory):
            return
        self._directory(directory, {Side.LOCAL, Side.REMOTE}, None)

    def spelt(self, directory: RelPath) -> RelPath:
        """How a known directory will be spelt when the run is done, as far as it was looked at."""
        return self._sight.spelt(directory)

    def reopen(self) -> None:
        """What was looked at although nothing in it moved is looked at again until it is settled.

        Their fingerprints say that nothing changed, and would hide what this run may fail to do.
        """
        settled = {path for path, _, _ in self.findings.settled}
        self.findings.reopened = sorted(self.findings.visited - settled, key=paths.tree_key)

    def _is_covered(self, directory: RelPath) -> bool:
        return any(up in self._covered or self._is_another_roots(up) for up in paths.upwards(directory))

    def _is_ignored_by_now(self, directory: RelPath) -> bool:
        """Rules that moved in this run may name it, or a directory above: it is forgotten from there.

        It is met here before that where nothing in the directories between moved.
        """
        if not self.findings.rules_moved:
            return False
        above = [*paths.upwards(directory)][:-1]
        try:
            return any(self._rules.ignored(up, is_directory=True) for up in reversed(above))
        except IgnoreFileError:
            return False  # so will be the listing

    def _is_another_roots(self, directory: RelPath) -> bool:
        """A known directory may have become, or be within, the private one of another root."""
        above, name = paths.split(directory)
        return (
            name == paths.PRIVATE
            and bool(above)
            and self._admission.is_another_roots(directory, SIDES, known=True)
        )

    # One directory

    def _directory(
        self, path: RelPath, there: set[Side], rows: Mapping[str, BaseEntry] | None
    ) -> DirectoryOutcome:
        """Reconcile what is directly in `path`, which is a directory on the sides `there`."""
        self.findings.visited.add(path)
        listings = {side: self._sight.list(side, path) for side in SIDES if side in there}
        blocked = {s: o for s, o in listings.items() if isinstance(o, BlockedEntry)}
        if blocked:
            self._covered.add(path)
            for side, obstacle in blocked.items():
                self.findings.blocked(path, side, obstacle)
            return KEPT
        known = self._sight.rows(path) if rows is None else rows
        shown = {s: self._complete(path, s, x, known) for s, x in listings.items() if isinstance(x, Listing)}
        return self._contents(path, shown, known)

    def _complete(self, path: RelPath, side: Side, shown: Listing, known: Mapping[str, BaseEntry]) -> Listing:
        """The listing with the known names in it that it left out although they are there.

        Absence is what deletions follow from, so it is not taken from a listing alone.
        """
        missing = sorted(known.keys() - shown.entries.keys())
        if not missing:
            return shown
        seen = self._sight.left_out(side, [paths.join(path, name) for name in missing])
        able = self._sight.capabilities[side]
        folds = able.folds_case or able.folds_form
        there = {
            name: entry
            for name, entry in zip(missing, seen, strict=True)
            if entry is not None and not _is_respelt(name, entry, shown.entries, folds=folds)
        }
        return replace(shown, entries={**shown.entries, **there}, fingerprint=None) if there else shown

    def _contents(
        self, path: RelPath, shown: Mapping[Side, Listing], rows: Mapping[str, BaseEntry]
    ) -> DirectoryOutcome:
        before = self.findings.weight()
        names = {s: shown[s].entries if s in shown else NO_ENTRIES for s in SIDES}
        for side, listing in shown.items():
            self.findings.leftovers[side] += listing.leftovers
            if not path and not listing.entries:
                self.findings.emptied.add(side)
        try:
            moved, views = self._judged(path, rows, names, alone=len(shown) == 1)
        except IgnoreFileError as error:
            self._covered.add(path)
            self.findings.blocked(path, error.side, error.obstacle)
            return KEPT
        fate = DirectoryOutcome()
        for view in views:
            fate = _both(fate, self._name(path, view))
        if path in self.findings.mixed:
            fate = _both(fate, KEPT)
        calm = not moved and path not in self.findings.lopsided
        if len(shown) == 2 and calm and self._direct_peace(path, before):
            prints = [shown[s].fingerprint for s in SIDES]
            self.findings.settled.append((path, prints[0], prints[1]))
        return fate

    def _judged(
        self, path: RelPath, rows: Mapping[str, BaseEntry], names: Mapping[Side, Names], *, alone: bool
    ) -> tuple[bool, list[NameTriple]]:
        """Whether the directory's ignore rules moved, and which names can be decided under them."""
        here, there = names[Side.LOCAL], names[Side.REMOTE]
        machine = here.get(MACHINE_FILE)
        moved = self._rules.visit(
            path, rows.get(FILE), here.get(FILE), there.get(FILE), machine=machine, alone=alone
        )
        if moved:
            self.findings.rules_moved.append(path)
        views = pair(
            rows,
            here,
            there,
            self._sight.capabilities,
            source=self._policy.mode.source,
            fixed=lambda side, name: self._sight.is_mount(side, paths.join(path, name)),
        )
        return moved, self._admission.views(path, views)

    def _direct_peace(self, path: RelPath, before: int) -> bool:
        """Whether nothing found since concerns a name directly in the directory."""
        found = self.findings
        if found.weight() == before:
            return True
        concerned = [*found.actions[-(found.weight() - before) :], *found.conflicts, *found.problems]
        return all(paths.split(item.path)[0] != path for item in concerned)

    # One name

    def _name(self, directory: RelPath, view: NameTriple) -> DirectoryOutcome:
        path = paths.join(directory, view.name)
        local, remote = entry_of(view.local), entry_of(view.remote)
        if view.superseded or view.behind is not None:
            view = self._respelt(directory, path, view)
        here = local is not None and local.kind is Kind.DIRECTORY
        there = remote is not None and remote.kind is Kind.DIRECTORY
        if here and there:
            return self._two_directories(path, view)
        if here or there:
            return self._one_directory(path, view, Side.LOCAL if here else Side.REMOTE)
        return self._leaf(path, view)

    def _respelt(self, directory: RelPath, path: RelPath, view: NameTriple) -> NameTriple:
        """The name has another spelling now: the side that is behind follows, and what is known comes along.

        Whether anything else happened to it is decided as if it had always been spelt so.
        """
        old = paths.join(directory, view.superseded) if view.superseded else ""
        local, remote = entry_of(view.local), entry_of(view.remote)
        if local is None or remote is None:
            # Renamed on one side, deleted on the other: as an edit, the rename is the later word.
            self.findings.actions.append(Forget(path=old, reason=Reason.RENAMED))
            self._covered.add(old)
            return replace(view, base=None)
        if view.behind is not None:
            self.findings.actions.append(
                Move(
                    path=path,
                    origin=paths.join(directory, view.spelling),
                    reason=Reason.RENAMED,
                    side=view.behind,
                    expected=local if view.behind is Side.LOCAL else remote,
                    seen=remote if view.behind is Side.LOCAL else local,
                    respells=True,
                    known=old,
                )
            )
        elif old:
            self.findings.actions.append(Forget(path=old, reason=Reason.RENAMED, now=path))
        self._sight.note(
            directory, view.name, known=view.superseded, behind=view.behind, spelling=view.spelling
        )
        return view

    def _two_directories(self, path: RelPath, view: NameTriple) -> DirectoryOutcome:
        """Directories have no content of their own: agreed. Known ones are visited if they changed."""
        if view.base is None or view.base.kind is not Kind.DIRECTORY:
            local, remote = entry_of(view.local), entry_of(view.remote)
            assert local is not None and remote is not None
            self.findings.actions.append(Adopt(path=path, reason=Reason.EQUAL, local=local, remote=remote))
            self._directory(path, {Side.LOCAL, Side.REMOTE}, {})
        else:
            self.findings.passed.add(path)
        return KEPT

    def _one_directory(self, path: RelPath, view: NameTriple, side: Side) -> DirectoryOutcome:
        """A directory on `side`; nothing, or a file, on the other."""
        other = entry_of(view.seen(side.other))
        was_directory = view.base is not None and view.base.kind is Kind.DIRECTORY
        if was_directory:
            return self._directory_gone(path, view, side, other)
        if not self._may(side.other):
            return self._new_on_follower(path, view, side, other)
        if other is None:
            return self._make(path, side)
        if self._leaf_of(path, view).change(side.other).keeps_bytes:
            # The file is what both had agreed on, and became a directory here: follow.
            return self._make(path, side, replaces=other)
        return self._clash(path, view, side, other)

    def _make(self, path: RelPath, side: Side, replaces: Entry | None = None) -> DirectoryOutcome:
        self._directory(path, {side}, {})
        if path in self._covered:
            return KEPT  # it cannot be listed: nothing is known of what would have to be made
        action = MakeDirectory(path=path, reason=NEW[side], side=side.other, replaces=replaces)
        self.findings.actions.append(action)
        return KEPT_AND_GAINING

    def _clash(self, path: RelPath, view: NameTriple, side: Side, other: Entry) -> DirectoryOutcome:
        """A file and a directory want one name: the directory keeps it, the file goes beside it."""
        mine = view.seen(side)
        assert isinstance(mine, Entry)
        local, remote = (mine, other) if side is Side.LOCAL else (other, mine)
        if self._asks(path) or not self._may(side.other):
            self._covered.add(path)
            asked = report(path, Reason.KIND_CLASH, Resolution.ASKED, local, remote)
            self.findings.conflicts.append(asked)
            return KEPT
        copy = self._copy_name(path, other)
        self.findings.conflicts.append(
            report(path, Reason.KIND_CLASH, Resolution.KEPT_BOTH, local, remote, copy)
        )
        self.findings.actions.append(
            KeepBoth(
                path=path,
                copy=copy,
                reason=Reason.KIND_CLASH,
                loser=side.other,
                winner=mine,
                lost=other,
                one_way=self._policy.mode is not Mode.TWO_WAY,
            )
        )
        was_directory = view.base is not None and view.base.kind is Kind.DIRECTORY
        if path not in self.findings.visited:
            self._directory(path, {side}, None if was_directory else {})
        return KEPT_AND_GAINING

    def _new_on_follower(
        self, path: RelPath, view: NameTriple, side: Side, other: Entry | None
    ) -> DirectoryOutcome:
        """One-way, and only the side that follows has the directory."""
        self.findings.mixed.add(paths.split(path)[0])
        self._covered.add(path)
        if other is not None:
            return self._clash(path, view, side, other)
        if view.base is not None:
            self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_CHANGED))
        return KEPT

    def _directory_gone(
        self, path: RelPath, view: NameTriple, side: Side, other: Entry | None
    ) -> DirectoryOutcome:
        """A directory both had: `side` still has it, the other removed it or put a file there.

        It goes only when all its children ended deleted; edited ones survive, and only they.
        """
        if not self._may(side):
            return self._restore(path, view, side, other)
        start = len(self.findings.actions)
        fate = self._directory(path, {side}, None)
        if path in self.findings.mixed:
            self._keep_rules(path, side, start, sent=fate.arrives or other is not None)
        if other is not None:
            return self._replaced_by_file(path, view, side, other, fate, start)
        if not fate.stays:
            reason = Reason.REMOTE_DELETED if side is Side.LOCAL else Reason.LOCAL_DELETED
            self.findings.actions.append(RemoveDirectory(path=path, reason=reason, side=side))
            return DirectoryOutcome()
        if fate.arrives and self._may(side.other):
            action = MakeDirectory(path=path, reason=Reason.EDIT_BEATS_DELETE, side=side.other)
            self.findings.actions.append(action)
        else:
            # It stays for what is ignored or blocked in it, on one side: judged from above every time.
            self.findings.lopsided.add(paths.split(path)[0])
        return fate

    def _keep_rules(self, path: RelPath, side: Side, start: int, *, sent: bool) -> None:
        """A directory that stays for what is ignored in it keeps the rules that say so.

        `sent`: it comes back on the other side, and the rules with it. Without them the next
        run would send what nobody wants to be sent.
        """
        found, rules = self.findings.actions, paths.join(path, FILE)
        for index, action in enumerate(found[start:], start):
            if isinstance(action, Delete) and action.path == rules:
                back = _sent_back(action) if sent and self._may(side.other) else None
                found[index : index + 1] = [back] if back else []
                return

    def _restore(self, path: RelPath, view: NameTriple, side: Side, other: Entry | None) -> DirectoryOutcome:
        """One-way: the source has the directory, the follower lost it or has a file in its place."""
        if other is not None:
            return self._clash(path, view, side, other)
        self.findings.actions.append(MakeDirectory(path=path, reason=Reason.MIRROR, side=side.other))
        self._directory(path, {side}, None)
        return KEPT_AND_GAINING

    def _replaced_by_file(
        self, path: RelPath, view: NameTriple, side: Side, other: Entry, fate: DirectoryOutcome, start: int
    ) -> DirectoryOutcome:
        if path in self._covered:
            return fate  # it cannot be listed: nothing is known of what the file would replace
        if fate.stays:
            if self._asks(path) or not self._may(side.other):
                del self.findings.actions[start:]  # it waits for a person: nothing is touched
            return self._clash(path, view, side, other)
        cleared = self.findings.actions[start:]
        self.findings.actions[start:] = [_clearing(a) for a in cleared]
        reason = Reason.LOCAL_CHANGED if side is Side.REMOTE else Reason.REMOTE_CHANGED
        self.findings.actions += [
            RemoveDirectory(path=path, reason=reason, side=side, clearing=True),
            Transfer(
                path=path,
                reason=reason,
                source=side.other,
                seen=other,
                expected=None,
                executable=other.executable,
            ),
        ]
        return KEPT_AND_GAINING

    def _leaf(self, path: RelPath, view: NameTriple) -> DirectoryOutcome:
        """No directory on either side. A base directory is gone: what was below is forgotten."""
        base = view.base
        if base is not None and base.kind is Kind.DIRECTORY:
            self._covered.add(path)
            if view.local is None and view.remote is None:
                self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_DELETED))
                return DirectoryOutcome()
            self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_CHANGED))
            view = replace(view, base=None)
        decision = decide(self._leaf_of(path, view), self._settings(path))
        self._take(decision)
        return self._fate(view, decision)

    def _take(self, decision: Decision) -> None:
        if decision.conflict is not None:
            self.findings.conflicts.append(decision.conflict)
        if decision.action is not None:
            self.findings.actions.append(decision.action)

    def _fate(self, view: NameTriple, decision: Decision) -> DirectoryOutcome:
        match decision.action:
            case Delete():
                return DirectoryOutcome()
            case Forget():
                return KEPT if view.local is not None or view.remote is not None else DirectoryOutcome()
            case Transfer() | KeepBoth():
                return KEPT_AND_GAINING
            case _:
                return KEPT if view.local is not None or view.remote is not None else DirectoryOutcome()

    def _leaf_of(self, path: RelPath, view: NameTriple) -> Leaf:
        return Leaf(
            path=path,
            base=self._admission.trusted(view.base),
            local=entry_of(view.local),
            remote=entry_of(view.remote),
            granularity_ns=self._granularity,
        )

    def _settings(self, path: RelPath) -> Settings:
        return Settings(
            conflict=self._conflict(path),
            mode=self._policy.mode,
            copy_name=self._copy_name,
            now_ns=self._policy.now_ns,
        )

    def _conflict(self, path: RelPath) -> ConflictPolicy:
        return self._policy.choices.get(path, self._policy.conflict)

    def _asks(self, path: RelPath) -> bool:
        return self._conflict(path) is ConflictPolicy.ASK

    def _may(self, side: Side) -> bool:
        return self._policy.mode.may_change(side)

    def _copy_name(self, path: RelPath, lost: Entry) -> RelPath:
        """A conflict name for the losing entry that no side and no base row of the directory has."""
        directory, name = paths.split(path)
        taken = self._names_in(directory)
        attempt = 0
        while True:
            mtime_ns = lost.mtime_ns if lost.mtime_ns is not None else 0
            copy = paths.conflict_name(
                name,
                mtime_ns=mtime_ns,
                host=self._policy.host,
                attempt=attempt,
                longest=self._longest,
            )
            if copy not in taken and paths.join(directory, copy) not in self._reserved:
                self._reserved.add(paths.join(directory, copy))
                return paths.join(directory, copy)
            attempt += 1

    def _names_in(self, directory: RelPath) -> set[str]:
        """All names of a directory; the last one's are kept, since conflicts come in flocks."""
        if self._names is None or self._names[0] != directory:
            names = set(self._sight.rows(directory))
            for side in Side:
                listing = self._sight.list(side, directory)
                if isinstance(listing, Listing):
                    names |= set(listing.entries)
            self._names = (directory, names)
        return self._names[1]


def _sent_back(action: Delete) -> Transfer:
    """Instead of the deletion: the file on the other side again."""
    return Transfer(
        path=action.path,
        reason=Reason.EDIT_BEATS_DELETE,
        source=action.side,
        seen=action.expected,
        expected=None,
        executable=action.expected.executable,
    )


def _clearing(action: Action) -> Action:
    """Deletions below a name that becomes a file are done before the file is put there."""
    match action:
        case Delete() | RemoveDirectory():
            return replace(action, clearing=True)
        case _:
            return action
