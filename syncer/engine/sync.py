"""One sync run: scan both sides, reconcile, guard, plan, execute, record.

A run sees two stores, a base and a policy, and nothing else. Three trees are compared: the base (what both
sides agreed on last), local and remote. Nothing that is pending is stored: after a crash the next run scans
afresh.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from syncer.engine import (
    conflict_copies,
    echo,
    guards,
    mounts,
    ordering,
    paths,
    refusals,
    renames,
    scan,
    selection,
    settle,
)
from syncer.engine import (
    guards as roots,
)
from syncer.engine.execute import Executor
from syncer.engine.ignore import READING, Compiler, byte_text
from syncer.engine.interfaces import (
    BaseStore,
    Clock,
    ForgetBase,
    Reporter,
    RootState,
    Scan,
    Store,
)
from syncer.engine.model import (
    Action,
    BlockReason,
    Delete,
    Done,
    Entry,
    Forget,
    KeepBoth,
    Kind,
    MakeDirectory,
    Move,
    Policy,
    RelPath,
    RemoveDirectory,
    Seen,
    Side,
    Transfer,
)
from syncer.engine.mounts import Mounts
from syncer.engine.reconciliation import Reconciliation
from syncer.engine.report import ActionReport, Plan, Resolution, RunReport
from syncer.engine.scan import MACHINE_RULES, ScanResult, machine_rules, reconcile_directories
from syncer.engine.scope import EVERYTHING, Places, Scope
from syncer.engine.selection import Choice
from syncer.errors import GuardTripped, LocalError, StoreError

IGNORE = "ignore"  # setting: the ignore rules under which the stored fingerprints were taken


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncContext:
    """What a run works with: two stores, the base of the pair, the policy, and services.

    `choice` picks the actions of the plan that are done. `echoes`: what left the roots through other jobs, if
    there may be any. `roots`: the states of the roots when the run began, if the caller has asked for them.
    """

    local: Store
    remote: Store
    memory: BaseStore
    policy: Policy
    clock: Clock
    reporter: Reporter
    compiler: Compiler
    workers: int = 2
    choice: Choice = selection.everything
    echoes: echo.Echoes | None = None
    roots: Mapping[Side, RootState] | None = None

    @property
    def full(self) -> Collection[Side]:
        """Sides whose root held something when the run began."""
        return [side for side, state in self.roots.items() if not state.empty] if self.roots else []

    @property
    def stores(self) -> dict[Side, Store]:
        return {Side.LOCAL: self.local, Side.REMOTE: self.remote}


def plan(pair: SyncContext) -> Plan:
    """Plan a run without changing anything. Raises GuardTripped, StateError, AuthError, StoreError."""
    pair = replace(pair, policy=replace(pair.policy, settle_ns=0))  # young files are planned as if settled
    with _scanned(pair) as (seen, scans):
        disks = mounted(pair)
        findings = _observed(pair, scans, seen, disks)
    return _planned(pair, findings, disks)


def mounted(pair: SyncContext) -> Mapping[Side, Mounts]:
    """The mount points inside each root, and those of the last run that are missing. Raises StoreError."""
    found: dict[Side, Mounts] = {}
    for side, store in pair.stores.items():
        state = pair.roots.get(side) if pair.roots is not None else store.root()
        now = None if state is None else state.mounts
        found[side] = mounts.judge(side, store, pair.memory, now, pair.policy)
    return found


def find_changed_directories(pair: SyncContext, scope: Scope = EVERYTHING) -> ScanResult:
    """The directories in the scope that a run has to open; all known ones if the job's own rules changed.

    Raises AuthError, StateError, StoreError.
    """
    with _scanned(pair, scope) as (seen, _):
        return seen


@contextmanager
def _scanned(
    pair: SyncContext, scope: Scope = EVERYTHING, seen: ScanResult | None = None
) -> Iterator[tuple[ScanResult, Mapping[Side, Scan]]]:
    """Open scans of both sides, with the directories to open; `seen`: as an earlier scan found them."""
    if seen is not None:
        with scan.resume(pair.stores, seen) as scans:
            yield seen, scans
        return
    rules_changed = pair.memory.get_setting(IGNORE) != _rules_text(pair.policy)
    forced = rules_changed or pair.policy.full
    with scan.begin(pair.stores, pair.memory, pair.reporter, scope=scope, forced=forced) as begun:
        yield begun


def sync(pair: SyncContext, looked: ScanResult | None = None) -> RunReport:
    """Bring both sides in sync below the directories that were found changed (None: scan everything now).

    Raises what `plan` raises, and Interrupted.
    """
    markers = {side: pair.memory.get_setting(f"{side.value}_root") for side in Side}
    with _scanned(pair, seen=looked) as (seen, scans):
        disks = mounted(pair)
        findings = _observed(pair, scans, seen, disks)
    # The scan may have met an empty directory beneath a mount point: absence counts at identified roots only.
    _verify_roots(pair, markers, disks)
    for side in Side:
        mounts.remember(pair.memory, side, disks[side])
    todo = _planned(pair, findings, disks)
    left = [side for side in Side if findings.leftovers[side] and pair.policy.mode.may_change(side)]
    for side in left:
        pair.stores[side].clean_leftovers(findings.leftovers[side])
    if left:
        # A file whose renaming was cut off is there again, under its name: the listings are taken anew.
        with scan.resume(pair.stores, seen) as scans:
            findings = _observed(pair, scans, seen, disks)
        todo = _planned(pair, findings, disks)
    # Before anything changes: if this run dies, the next one opens these directories again.
    pair.memory.set_fingerprints((directory, None, None) for directory in findings.must_rescan)
    sizes = [a.seen.size for a in todo.actions if isinstance(a, Transfer)]
    pair.reporter.transferring(len(sizes), sum(sizes))
    # Threads hide network latency; between two local folders they only contend for the interpreter.
    near = all(store.capabilities.local for store in pair.stores.values())
    executor = Executor(
        pair.stores,
        pair.memory,
        pair.reporter,
        workers=1 if near else pair.workers,
        before_deletes=lambda: _verify_roots(pair, markers, disks),
    )
    reports: list[ActionReport] = []
    try:
        reports.extend(executor.run(todo.actions))
    finally:
        _forget_below_changed_mounts(pair, reports, disks)
    _store_fingerprints(pair, findings, reports, (*todo.left, *todo.young))
    refusals.remember(pair.memory, pair.stores, reports, findings.visited, findings.refused)
    return RunReport(
        actions=tuple(reports),
        conflicts=todo.conflicts,
        problems=todo.problems,
        holds=todo.holds,
        looked=None if seen.whole else frozenset(findings.visited),
        passed=frozenset() if seen.whole else frozenset(findings.seen_not_opened - findings.visited),
        left=frozenset(a.path for a in todo.left),
        young={a.path: a.source if isinstance(a, Transfer) else selection.side_of(a) for a in todo.young},
        settles_ns=todo.settles_ns,
        missed=todo.missed,
        ignored=todo.ignored,
    )


def _observed(
    pair: SyncContext, scans: Mapping[Side, Scan], seen: ScanResult, disks: Mapping[Side, Mounts]
) -> Reconciliation:
    policy = replace(pair.policy, now_ns=pair.clock.now_ns())
    return reconcile_directories(
        pair.stores, scans, pair.memory, policy, pair.compiler, pair.reporter, seen, disks
    )


def _forget_below_changed_mounts(
    pair: SyncContext, reports: Sequence[ActionReport], disks: Mapping[Side, Mounts]
) -> None:
    """Drop the base rows of what was written below a mount point that changed during the run.

    It may lie in the directory beneath the mount point, which is hidden as soon as the disk is mounted again:
    with a base row the next run would take it for deleted.
    """
    done = [r.action for r in reports if isinstance(r.outcome, Done)]
    written = [a for a in done if not isinstance(a, Delete | RemoveDirectory | Forget)]
    below = [*(a.path for a in written), *(a.copy for a in written if isinstance(a, KeepBoth))]
    doubtful = [path for path in below if any(d.at(path) is not None for d in disks.values())]
    if doubtful and any(_remounted(pair.stores[side], disks[side]) for side in Side):
        pair.memory.record(ForgetBase(path=path) for path in doubtful)


def _remounted(store: Store, disks: Mounts) -> bool:
    """True if other mounts are inside the root than when the run began, or if that cannot be told."""
    try:
        state = store.root()
    except StoreError:
        return True
    return state is None or (disks.told and state.mounts != disks.now)


def _rules_text(policy: Policy) -> str:
    """Mode, version of the rule syntax, and the job's rules: if any changes, everything is rescanned."""
    return byte_text("\n".join((f"{policy.mode.value} {READING}", *policy.ignore)))


def _planned(pair: SyncContext, findings: Reconciliation, disks: Mapping[Side, Mounts]) -> Plan:
    """Guard and order the actions. Pure, but for reading the digests of candidates for a rename."""
    full = {side for side in findings.emptied if side in pair.full or _holds_something(pair.stores[side])}
    guards.refuse_emptied(findings.actions, findings.emptied, pair.policy, lately_full=full)
    settled = _without_echoes(pair, findings)

    def learn(side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        """Digests where they cost no transfer; elsewhere a move is a deletion and a new file."""
        able = pair.stores[side].capabilities
        if not pair.stores[side.other].capabilities.moves or not (able.local or able.digests):
            return [None] * len(wanted)
        return list(pair.stores[side].with_digests(wanted))

    renaming = frozenset(s for s, store in pair.stores.items() if store.capabilities.moves_directories)
    found = renames.find(settled.actions, learn, directories=renaming)
    picked = pair.choice(mounts.in_place(found, disks))
    actions = picked.actions
    near = [side for side, store in pair.stores.items() if store.capabilities.local]
    actions, young, settles_ns = settle.sort_out(actions, near, pair.clock.now_ns(), pair.policy.settle_ns)
    # The guards come last, on the very deletions that would be done: a file that is moved is not deleted.
    known = pair.memory.known() if guards.need_known(actions) else 0
    kept, restored = guards.hold_went_back(actions, known, pair.policy)
    kept, holds = guards.hold_mass_delete(kept, known, pair.policy)
    # A conflict whose action was left out waits for a later run, and is reported by that.
    waiting = {a.path for a in (*picked.left, *young)}
    conflicts = (c for c in settled.conflicts if c.resolution is Resolution.ASKED or c.path not in waiting)
    # Names below a missing mount are reported by the hold for that mount.
    problems = (p for p in findings.problems if p.code != BlockReason.UNMOUNTED.value)
    return Plan(
        actions=ordering.ordered(kept),
        conflicts=tuple(conflicts),
        problems=(*problems, *guards.warn_mass_change(kept, known)),
        holds=(*settled.holds, *restored, *holds, *guards.hold_unmounted(findings.absent)),
        left=tuple(picked.left),
        young=tuple(young),
        settles_ns=settles_ns,
        missed=tuple(picked.missed),
        ignored=findings.ignored,
    )


def _without_echoes(pair: SyncContext, findings: Reconciliation) -> echo.Settled:
    """The actions without old content that came back by another job, and without second conflict copies."""

    def learn(side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        return list(pair.stores[side].with_digests(wanted))

    def beside(side: Side, directory: RelPath) -> Mapping[str, Entry]:
        try:
            entries = pair.stores[side].list(directory).entries
        except (StoreError, LocalError):
            return {}
        return {name: e for name, e in entries.items() if isinstance(e, Entry) and e.kind is Kind.FILE}

    settled = echo.Settled(actions=findings.actions, conflicts=findings.conflicts)
    if pair.echoes is not None:
        settled = echo.settle(
            findings.actions, findings.conflicts, pair.echoes, pair.policy, learn, findings.has_unsynced_names
        )
    actions, conflicts = conflict_copies.once(
        settled.actions, settled.conflicts, pair.policy.mode, beside, learn
    )
    return replace(settled, actions=actions, conflicts=conflicts)


# Roots


def _holds_something(store: Store) -> bool:
    state = store.root()
    return state is not None and not state.empty


def _verify_roots(pair: SyncContext, markers: Mapping[Side, str], disks: Mapping[Side, Mounts]) -> None:
    """Check that both roots are still those of this pair: after the scan, and again before deletions.

    Absence may be concluded only at an identified root. If a disk was unmounted during the scan, the
    directory beneath it is empty, and all files would look deleted. Raises GuardTripped.
    """
    for side, store in pair.stores.items():
        state = store.root()
        if state is None or (markers[side] and not roots.stands_for(markers[side], state.marker)):
            raise GuardTripped(
                "root-missing" if state is None else "root-replaced",
                f"the {side.value} root vanished or was replaced during the run; nothing more was changed",
                hint="is a disk or mount gone? put it back and run again",
                path=store.identity,
            )
        if disks[side].told and state.mounts != disks[side].now:
            raise GuardTripped(
                guards.UNMOUNTED,
                f"something was mounted or unmounted inside the {side.value} root during the run; "
                "nothing more was changed",
                hint="run again",
                path=store.identity,
            )


# Afterwards


def _store_fingerprints(
    pair: SyncContext, findings: Reconciliation, reports: Sequence[ActionReport], left: Sequence[Action]
) -> None:
    """Store fingerprints for directories that are fully in sync, and void those of all others.

    The next run opens only directories without a fingerprint, or with another one. `left`: actions that were
    not done; their directories get none, since a failure may leave a directory looking as it did when it was
    agreed. The ignore rules are written first: if the process dies in between, fingerprints taken under the
    old rules must not be trusted under new ones.
    """
    rules = _rules_text(pair.policy)
    if pair.memory.get_setting(IGNORE) != rules:
        pair.memory.set(**{IGNORE: rules})
    # Of the machine's own ignore files only those that were read are known now; "" for one that is gone.
    known = machine_rules(pair.memory)
    now = {path: digest for path, digest in {**known, **findings.machine_rules}.items() if digest}
    if now != known:
        pair.memory.set(**{MACHINE_RULES: json.dumps(now)})
    waiting = {d for action in left for d in _touched(action)}
    unspelt = {
        r.action.path
        for r in reports
        if isinstance(r.action, Move) and r.action.respells and not isinstance(r.outcome, Done)
    }
    agreed = [
        sealed
        for sealed in findings.agreed_directories
        if sealed[0] not in waiting and not (unspelt and unspelt.intersection(paths.upwards(sealed[0])))
    ]
    pair.memory.set_fingerprints(agreed)
    settled = {path for path, _, _ in agreed}
    undone = {d for r in reports if not isinstance(r.outcome, Done) for d in _touched(r.action)} | waiting
    touched = (
        {d for r in reports for d in _touched(r.action)}
        - settled
        - findings.has_unsynced_names
        - findings.one_sided
    )
    pair.memory.set_fingerprints(pair.memory.compute_fingerprints(sorted(touched - undone)))
    _void_fingerprints(pair.memory, (findings.visited - settled - touched) | (undone - settled))


def _void_fingerprints(memory: BaseStore, directories: Collection[RelPath]) -> None:
    """Void the fingerprints of these directories; nothing is written for those that have none."""
    if directories:
        known = memory.directories(Places(directories=frozenset(directories)))
        sealed = [path for path, local, remote in known if path in directories and (local or remote)]
        memory.set_fingerprints((path, None, None) for path in sealed)


def _touched(action: Action) -> Iterable[RelPath]:
    """The directories whose entries an action changes."""
    yield paths.split(action.path)[0]
    match action:
        case MakeDirectory() | KeepBoth():
            yield action.path
        case Forget() if action.now:
            yield action.now
        case Move():
            yield paths.split(action.origin)[0]
            yield action.path
            yield from {paths.split(a.path)[0] for a in action.below}
        case _:
            return
