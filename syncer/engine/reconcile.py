"""The reconciler: compares base, local and remote one directory at a time and plans actions.

Pure but for the snapshots it reads from: nothing is written, and equal snapshots give equal actions. A
blocked name (unreadable, unsafe, clashing) waits: nothing is decided about it, and no directory above it is
removed. `engine.decide` has the decision table for files and symlinks; here are directories, kind clashes and
the way down the tree.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from syncer.engine import paths
from syncer.engine.decide import NEW, Leaf, Settings, decide, report
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
    """Whether a name that `left_out` found is only another spelling of a name that the listing shows.

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
    """Result for a name and all below it.

    `keeps_entries`: something remains on the side that has it. `gains_entries`: something will be created on
    the other side, so that the directories above it must exist there.
    """

    keeps_entries: bool = False
    gains_entries: bool = False

    def __or__(self, other: DirectoryOutcome) -> DirectoryOutcome:
        return DirectoryOutcome(
            self.keeps_entries or other.keeps_entries, self.gains_entries or other.gains_entries
        )


NOTHING_LEFT = DirectoryOutcome()
KEPT = DirectoryOutcome(keeps_entries=True)
KEPT_AND_GAINING = DirectoryOutcome(keeps_entries=True, gains_entries=True)


@dataclass(frozen=True, slots=True)
class Descent:
    """A request to reconcile the directory `path`, which stands on the sides `there`, before going on.

    `rows`: its base entries; None: those of the base.
    """

    path: RelPath
    there: tuple[Side, ...]
    rows: Mapping[str, BaseEntry] | None = None


NOTHING_KNOWN: Mapping[str, BaseEntry] = {}
Steps: TypeAlias = Generator[Descent, DirectoryOutcome, DirectoryOutcome]
"""Work on one directory that yields its subdirectories, and is resumed with the outcome of each."""


class Reconciler:
    """Visits directories, each at most once, and collects `reconciliation`.

    A directory is judged by how its subdirectories ended, so the way down is a recursion, and paths may be as
    deep as the file system allows. Therefore the methods that lead to a subdirectory are generators, and
    `_run` keeps those of the directories above in a list instead of on the interpreter's stack.
    """

    def __init__(self, sight: Respelt, policy: Policy, rules: Rules) -> None:
        self.findings = Reconciliation()
        self._sight = sight
        self._policy = policy
        self._rules = rules
        self._filter = EntryFilter(sight, rules, self.findings, full=policy.full)
        self._excluded = self._filter.excluded_paths  # decided as a whole: nothing below them is looked at
        self._reserved: set[RelPath] = set()  # conflict names given out in this run
        self._names: tuple[RelPath, set[str]] | None = None
        able = sight.capabilities
        grains = [able[s].mtime_granularity_ns for s in SIDES]
        self._granularity = max(grains) if all(grains) else 0
        self._longest = min(paths.NAME_MAX, *(able[s].max_name_bytes for s in SIDES))

    def visit(self, directory: RelPath) -> None:
        """Reconcile a known directory (or the root), and below it what is new."""
        directory = self.spelt(directory)
        known = directory in self.findings.visited or self._is_excluded(directory)
        if known or self._is_ignored_by_now(directory):
            return
        self._run(Descent(directory, SIDES))

    def _run(self, descent: Descent) -> None:
        """Reconcile a directory and what has to be opened below it, children before their parent ends."""
        stack = [self._directory(descent)]
        outcome: DirectoryOutcome | None = None  # of the directory that ended last; None: one is to be begun
        while stack:
            try:
                below = next(stack[-1]) if outcome is None else stack[-1].send(outcome)
            except StopIteration as end:
                stack.pop()
                outcome = end.value
            else:
                stack.append(self._directory(below))
                outcome = None

    def spelt(self, directory: RelPath) -> RelPath:
        """How a known directory will be spelt when the run is done, as far as it was looked at."""
        return self._sight.spelt(directory)

    def void_fingerprints(self) -> None:
        """Void the fingerprints of the visited directories that are not agreed, before anything is changed.

        They were opened although their fingerprints say that nothing in them changed, so these fingerprints
        would hide from the next run whatever this run fails to do.
        """
        settled = {path for path, _, _ in self.findings.agreed_directories}
        self.findings.must_rescan = sorted(self.findings.visited - settled, key=paths.tree_key)

    def _is_excluded(self, directory: RelPath) -> bool:
        return any(up in self._excluded or self._is_another_roots(up) for up in paths.upwards(directory))

    def _is_ignored_by_now(self, directory: RelPath) -> bool:
        """Whether ignore rules that changed in this run exclude the directory, or one above it.

        The directory that holds the excluded name forgets all below it. Only where that directory itself did
        not change is a directory further down met first, and it must not be synced then.
        """
        if not self.findings.rules_moved:
            return False
        above = [*paths.upwards(directory)][:-1]
        try:
            return any(self._rules.ignored(up, is_directory=True) for up in reversed(above))
        except IgnoreFileError:
            return False  # the listing of that directory fails in the same way, and blocks it

    def _is_another_roots(self, directory: RelPath) -> bool:
        """Whether the directory is now the private directory (`.syncer`) of another root inside this one."""
        above, name = paths.split(directory)
        return (
            name == paths.PRIVATE
            and bool(above)
            and self._filter.is_another_roots(directory, SIDES, known=True)
        )

    # One directory

    def _directory(self, descent: Descent) -> Steps:
        """Reconcile what is directly in the directory."""
        path = descent.path
        self.findings.visited.add(path)
        listings = {side: self._sight.list(side, path) for side in descent.there}
        blocked = {s: o for s, o in listings.items() if isinstance(o, BlockedEntry)}
        if blocked:
            # What cannot be listed is not absent: everything below waits, and the directories above stay.
            self._excluded.add(path)
            for side, obstacle in blocked.items():
                self.findings.blocked(path, side, obstacle)
            return KEPT
        known = self._sight.rows(path) if descent.rows is None else descent.rows
        shown = {s: self._complete(path, s, x, known) for s, x in listings.items() if isinstance(x, Listing)}
        return (yield from self._contents(path, shown, known))

    def _complete(self, path: RelPath, side: Side, shown: Listing, known: Mapping[str, BaseEntry]) -> Listing:
        """The listing, with the known names that it left out although they exist.

        A deletion follows from the absence of a known name, so absence is not taken from a listing alone:
        POSIX lets readdir skip names in a directory that changes meanwhile.
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

    def _contents(self, path: RelPath, shown: Mapping[Side, Listing], rows: Mapping[str, BaseEntry]) -> Steps:
        """Reconcile all names of a directory that was listed on one side or on both."""
        before = self.findings.item_count
        names = {s: shown[s].entries if s in shown else NO_ENTRIES for s in SIDES}
        for side, listing in shown.items():
            self.findings.leftovers[side] += listing.leftovers
            if not path and not listing.entries:
                self.findings.emptied.add(side)
        try:
            moved, views = self._judged(path, rows, names, alone=len(shown) == 1)
        except IgnoreFileError as error:
            # Without its ignore rules it is unknown which names are excluded: the whole directory waits.
            self._excluded.add(path)
            self.findings.blocked(path, error.side, error.obstacle)
            return KEPT
        outcome = NOTHING_LEFT
        for view in views:
            local, remote = entry_of(view.local), entry_of(view.remote)
            if view.superseded or view.behind is not None:
                view = self._respelt(path, paths.join(path, view.name), view)
            here = local is not None and local.kind is Kind.DIRECTORY
            there = remote is not None and remote.kind is Kind.DIRECTORY
            name = paths.join(path, view.name)
            if here and there:
                ended = yield from self._two_directories(name, view)
            elif here or there:
                ended = yield from self._one_directory(name, view, Side.LOCAL if here else Side.REMOTE)
            else:
                ended = self._leaf(name, view)
            outcome |= ended
        if path in self.findings.has_unsynced_names:
            outcome |= KEPT  # names that are never synced stay, so the directory cannot be removed
        calm = not moved and path not in self.findings.one_sided
        # The fingerprints of both sides are stored only if the next run could find nothing to do here: the
        # directory is on both sides, and nothing directly in it is planned, in conflict or blocked.
        if len(shown) == 2 and calm and self._nothing_directly_in(path, before):
            prints = [shown[s].fingerprint for s in SIDES]
            self.findings.agreed_directories.append((path, prints[0], prints[1]))
        return outcome

    def _judged(
        self, path: RelPath, rows: Mapping[str, BaseEntry], names: Mapping[Side, Names], *, alone: bool
    ) -> tuple[bool, list[NameTriple]]:
        """Whether the directory's ignore rules changed, and the names that can be decided under them."""
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
        return moved, self._filter.views(path, views)

    def _nothing_directly_in(self, path: RelPath, before: int) -> bool:
        """Whether no action, conflict or problem since `before` concerns a name directly in the directory."""
        found = self.findings
        if found.item_count == before:
            return True
        concerned = [*found.actions[-(found.item_count - before) :], *found.conflicts, *found.problems]
        return all(paths.split(item.path)[0] != path for item in concerned)

    # One name

    def _respelt(self, directory: RelPath, path: RelPath, view: NameTriple) -> NameTriple:
        """The name is spelt otherwise than in the base: the other side is renamed, and the base row follows.

        The renames run before all other actions, so whatever else happened to the name is decided as if it
        had always been spelt so.
        """
        old = paths.join(directory, view.superseded) if view.superseded else ""
        local, remote = entry_of(view.local), entry_of(view.remote)
        if local is None or remote is None:
            # Renamed on one side, deleted on the other: as an edit, the rename is the later word.
            self.findings.actions.append(Forget(path=old, reason=Reason.RENAMED))
            self._excluded.add(old)
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

    def _two_directories(self, path: RelPath, view: NameTriple) -> Steps:
        """A directory on both sides: it has no content of its own, so both sides agree.

        Below a directory that is new to the base everything is reconciled now. A known one is opened by the
        scan if its fingerprint changed on either side.
        """
        if view.base is None or view.base.kind is not Kind.DIRECTORY:
            local, remote = entry_of(view.local), entry_of(view.remote)
            assert local is not None and remote is not None
            self.findings.actions.append(Adopt(path=path, reason=Reason.EQUAL, local=local, remote=remote))
            yield Descent(path, SIDES, NOTHING_KNOWN)
        else:
            self.findings.seen_not_opened.add(path)
        return KEPT

    def _one_directory(self, path: RelPath, view: NameTriple, side: Side) -> Steps:
        """A directory on `side`; nothing, or a file or symlink, on the other side."""
        other = entry_of(view.seen(side.other))
        was_directory = view.base is not None and view.base.kind is Kind.DIRECTORY
        if was_directory:
            return (yield from self._directory_gone(path, view, side, other))
        if not self._may_change(side.other):
            # The other side is the source of a one-way job: nothing is created there.
            return (yield from self._new_on_follower(path, view, side, other))
        if other is None:
            return (yield from self._make(path, side))
        if self._leaf_of(path, view).change(side.other).keeps_bytes:
            # The other side still holds the agreed file, and this side replaced it by a directory: only one
            # side changed, so the other follows. The file goes to the trash before the directory is made.
            return (yield from self._make(path, side, replaces=other))
        return (yield from self._clash(path, view, side, other))

    def _make(self, path: RelPath, side: Side, replaces: Entry | None = None) -> Steps:
        """Create the directory on the other side, with everything below it."""
        yield Descent(path, (side,), NOTHING_KNOWN)
        if path in self._excluded:
            return KEPT  # it cannot be listed: nothing is known of what would have to be made
        action = MakeDirectory(path=path, reason=NEW[side], side=side.other, replaces=replaces)
        self.findings.actions.append(action)
        return KEPT_AND_GAINING

    def _clash(self, path: RelPath, view: NameTriple, side: Side, other: Entry) -> Steps:
        """A file and a directory want one name: the directory keeps it, the file gets a conflict name.

        Both contents stay, on both sides. Where a person is to choose, or the file is the source's in a
        one-way job, nothing is done, and nothing below the directory is looked at.
        """
        mine = view.seen(side)
        assert isinstance(mine, Entry)
        local, remote = (mine, other) if side is Side.LOCAL else (other, mine)
        if self._asks(path) or not self._may_change(side.other):
            self._excluded.add(path)
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
            yield Descent(path, (side,), None if was_directory else NOTHING_KNOWN)
        return KEPT_AND_GAINING

    def _new_on_follower(self, path: RelPath, view: NameTriple, side: Side, other: Entry | None) -> Steps:
        """One-way job: only the following side has the directory, which is not this job's to remove."""
        self.findings.has_unsynced_names.add(paths.split(path)[0])
        self._excluded.add(path)
        if other is not None:
            return (yield from self._clash(path, view, side, other))
        if view.base is not None:
            self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_CHANGED))
        return KEPT

    def _directory_gone(self, path: RelPath, view: NameTriple, side: Side, other: Entry | None) -> Steps:
        """A directory that both sides had: `side` still has it, the other removed it or put a file there.

        It is removed only if everything in it ends deleted. What was edited or added below it since survives,
        and brings its directories back on the other side.
        """
        if not self._may_change(side):
            # One-way: the source still has it, so the deletion on the following side is taken back.
            return (yield from self._restore(path, view, side, other))
        start = len(self.findings.actions)
        outcome = yield Descent(path, (side,))
        if path in self.findings.has_unsynced_names:
            self._keep_rules(path, side, start, sent=outcome.gains_entries or other is not None)
        if other is not None:
            return (yield from self._replaced_by_file(path, view, side, other, outcome, start))
        if not outcome.keeps_entries:
            # All that both sides had agreed on below it goes to the trash first; removals are the last phase,
            # and take empty directories only, so a file that comes meanwhile keeps its directory.
            reason = Reason.REMOTE_DELETED if side is Side.LOCAL else Reason.LOCAL_DELETED
            self.findings.actions.append(RemoveDirectory(path=path, reason=reason, side=side))
            return NOTHING_LEFT
        if outcome.gains_entries and self._may_change(side.other):
            action = MakeDirectory(path=path, reason=Reason.EDIT_BEATS_DELETE, side=side.other)
            self.findings.actions.append(action)
        else:
            # It stays on one side, for ignored or blocked names in it. Its parent gets no fingerprint, so
            # that the next run decides about it again.
            self.findings.one_sided.add(paths.split(path)[0])
        return outcome

    def _keep_rules(self, path: RelPath, side: Side, start: int, *, sent: bool) -> None:
        """Keep the `.syncignore` of a directory that stays because of ignored names in it.

        `sent`: the directory is created again on the other side, and the rules are sent there too. Without
        the rules the next run would transfer the names that they exclude.
        """
        found, rules = self.findings.actions, paths.join(path, FILE)
        for index, action in enumerate(found[start:], start):
            if isinstance(action, Delete) and action.path == rules:
                back = _sent_back(action) if sent and self._may_change(side.other) else None
                found[index : index + 1] = [back] if back else []
                return

    def _restore(self, path: RelPath, view: NameTriple, side: Side, other: Entry | None) -> Steps:
        """One-way job: the source has the directory; the other side lost it, or has a file in its place."""
        if other is not None:
            return (yield from self._clash(path, view, side, other))
        self.findings.actions.append(MakeDirectory(path=path, reason=Reason.MIRROR, side=side.other))
        yield Descent(path, (side,))
        return KEPT_AND_GAINING

    def _replaced_by_file(
        self, path: RelPath, view: NameTriple, side: Side, other: Entry, outcome: DirectoryOutcome, start: int
    ) -> Steps:
        """A directory that `side` still has, where the other side has a file now (`other`).

        `outcome` is how its contents ended, `start` where their actions begin.
        """
        if path in self._excluded:
            return outcome  # it cannot be listed: nothing is known of what the file would replace
        if outcome.keeps_entries:
            # Something in the directory is newer than the agreed state: both it and the file are kept.
            if self._asks(path) or not self._may_change(side.other):
                del self.findings.actions[start:]  # it waits for a person: nothing is touched
            return (yield from self._clash(path, view, side, other))
        # Nothing in the directory changed: the file replaces it. Its contents and the directory itself have
        # to be out of the way before the file comes, so these deletions are marked to run before the
        # transfers.
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
        """A name that is no directory on either side; a directory of the base is gone from both."""
        base = view.base
        if base is not None and base.kind is Kind.DIRECTORY:
            self._excluded.add(path)
            if view.local is None and view.remote is None:
                self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_DELETED))
                return NOTHING_LEFT
            self.findings.actions.append(Forget(path=path, reason=Reason.BOTH_CHANGED))
            view = replace(view, base=None)
        settings = Settings(
            conflict=self._conflict(path),
            mode=self._policy.mode,
            copy_name=self._copy_name,
            now_ns=self._policy.now_ns,
        )
        decision = decide(self._leaf_of(path, view), settings)
        if decision.conflict is not None:
            self.findings.conflicts.append(decision.conflict)
        if decision.action is not None:
            self.findings.actions.append(decision.action)
        match decision.action:
            case Delete():
                return NOTHING_LEFT
            case Transfer() | KeepBoth():
                return KEPT_AND_GAINING
            case _:
                return KEPT if view.local is not None or view.remote is not None else NOTHING_LEFT

    def _leaf_of(self, path: RelPath, view: NameTriple) -> Leaf:
        return Leaf(
            path=path,
            base=self._filter.trusted(view.base),
            local=entry_of(view.local),
            remote=entry_of(view.remote),
            granularity_ns=self._granularity,
        )

    def _conflict(self, path: RelPath) -> ConflictPolicy:
        return self._policy.choices.get(path, self._policy.conflict)

    def _asks(self, path: RelPath) -> bool:
        return self._conflict(path) is ConflictPolicy.ASK

    def _may_change(self, side: Side) -> bool:
        return self._policy.mode.may_change(side)

    def _copy_name(self, path: RelPath, lost: Entry) -> RelPath:
        """A conflict name for the losing entry that no side and no base row of the directory has.

        Made from the losing entry's mtime and this machine's name, so that a run that is repeated after a
        crash finds the name it gave.
        """
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
        """All names of a directory; those of the last one are kept, since conflicts come together."""
        if self._names is None or self._names[0] != directory:
            names = set(self._sight.rows(directory))
            for side in Side:
                listing = self._sight.list(side, directory)
                if isinstance(listing, Listing):
                    names |= set(listing.entries)
            self._names = (directory, names)
        return self._names[1]


def _sent_back(action: Delete) -> Transfer:
    """The transfer that brings a file back instead of deleting it."""
    return Transfer(
        path=action.path,
        reason=Reason.EDIT_BEATS_DELETE,
        source=action.side,
        seen=action.expected,
        expected=None,
        executable=action.expected.executable,
    )


def _clearing(action: Action) -> Action:
    """The action, marked to run before the transfers if it is a deletion."""
    match action:
        case Delete() | RemoveDirectory():
            return replace(action, clearing=True)
        case _:
            return action
