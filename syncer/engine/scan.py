"""Scans both sides: finds the directories that changed, and takes the reconciler through them.

`SnapshotReader` reads the three trees for the reconciler. A directory is opened unless both sides show the
fingerprint that they had when everything in it was agreed. Nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from syncer.engine import paths, refusals
from syncer.engine.ignore import LIMIT, Compiler, IgnoreFileError, Rules
from syncer.engine.interfaces import BaseStore, KnownDirectories, Reporter, Scan, Store
from syncer.engine.model import (
    SIDES,
    BaseEntry,
    BlockedEntry,
    BlockReason,
    Entry,
    Listing,
    Policy,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.mounts import NONE, Mounts, known_below
from syncer.engine.reconcile import Reconciler
from syncer.engine.reconciliation import Reconciliation
from syncer.engine.refusals import Refusal
from syncer.engine.scope import EVERYTHING, Scope
from syncer.engine.spelling import Respelt
from syncer.errors import (
    ChangedUnderUs,
    LocalError,
    NotFound,
    PermanentError,
    SyncerError,
    TransientError,
)

MACHINE_RULES = "machine_rules"  # setting: digests of the machine's own ignore files, as JSON
DEEPEST = 2000  # levels; more than 2048 fit in no path that a system call takes (PATH_MAX)
NOTHING_MOUNTED: Mapping[Side, Mounts] = dict.fromkeys(SIDES, NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """The known directories to open, in tree order.

    `whole`: all others were found unchanged, so a name that the run does not meet does not exist.
    `forced`: they are opened although their fingerprints may say that nothing changed.
    `first`: the base is empty, so the only directory is the root, which is not a known one.
    """

    directories: Sequence[RelPath]
    whole: bool = True
    forced: bool = False
    first: bool = False


class SnapshotReader:
    """Implements `Snapshots` over two stores and the base; an unreadable directory is a BlockedEntry."""

    def __init__(
        self,
        stores: Mapping[Side, Store],
        memory: BaseStore,
        reporter: Reporter,
        mounted: Mapping[Side, Mounts] = NOTHING_MOUNTED,
        scans: Mapping[Side, Scan] | None = None,
    ) -> None:
        """`scans` list the directories; None: the stores do, one by one."""
        self.capabilities = {side: store.capabilities for side, store in stores.items()}
        self.absent = {side: dict(mounts.absent) for side, mounts in mounted.items()}
        self._stores = stores
        self._scans: Mapping[Side, Scan | Store] = stores if scans is None else scans
        self._memory = memory
        self._reporter = reporter
        self._mounted = mounted
        self._refusals = refusals.known(memory)
        self._waiting = {side: _names_that_wait(mounts) for side, mounts in mounted.items()}

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        return self._memory.rows(directory)

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        self._reporter.scanning(1)
        if directory.count("/") >= DEEPEST:
            return BlockedEntry(BlockReason.UNHOLDABLE, f"it is nested more than {DEEPEST} levels deep")
        mounts = self._mounted[side]
        point = mounts.absent_above(directory)
        if point is not None:
            return BlockedEntry(BlockReason.UNMOUNTED, mounts.absent[point])
        # A directory that cannot be listed is blocked, never empty: an empty one would mean deletions.
        try:
            listing = self._scans[side].list(directory)
        except (NotFound, ChangedUnderUs) as error:
            return BlockedEntry(BlockReason.BUSY, f"it changed while we looked: {error}")
        except (PermanentError, TransientError, LocalError) as error:
            return self._dead(side, directory, _unread(error, str(error)))
        return self._as_mounted(side, directory, listing) if mounts.told else listing

    def _as_mounted(self, side: Side, directory: RelPath, listing: Listing) -> Listing | BlockedEntry:
        """The listing with its waiting mount points as blocked entries; blocked if it is of another mount."""
        mounts = self._mounted[side]
        point = mounts.at(directory)
        # The listing says what it was read from: a disk that came or went since the run began shows here.
        if listing.mount != ("" if point is None else mounts.now[point]):
            return BlockedEntry(BlockReason.BUSY, "something was mounted or unmounted there while we looked")
        waiting: dict[str, Entry | BlockedEntry] = {}
        # A mount point that vanished together with its disk is not in the listing, but must not look deleted.
        for name, obstacle in self._waiting[side].get(directory, {}).items():
            path = paths.join(directory, name)
            if path in mounts.absent or name not in listing.entries:
                waiting[name] = obstacle
        for name in mounts.points_in(directory):
            seen = listing.entries.get(name)
            if name not in waiting and isinstance(seen, BlockedEntry):
                waiting[name] = self._dead(side, paths.join(directory, name), seen)
        if not waiting:
            return listing
        return replace(listing, entries={**listing.entries, **waiting}, fingerprint=None)

    def _dead(self, side: Side, directory: RelPath, obstacle: BlockedEntry) -> BlockedEntry:
        """The entry for a mount point that cannot be read (EIO, ESTALE): it waits like one not mounted."""
        if directory not in self._mounted[side].now or not known_below(self._memory, directory):
            return obstacle
        message = f"what is mounted there cannot be read: {obstacle.message}"
        self.absent[side][directory] = message
        return BlockedEntry(BlockReason.UNMOUNTED, message)

    def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
        """If the store cannot be asked, each of the names is blocked: none of them counts as absent."""
        try:
            return self._stores[side].left_out(paths)
        except (PermanentError, TransientError, LocalError) as error:
            return [_unread(error, str(error))] * len(paths)

    def digests(self, side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        return list(self._stores[side].with_digests(wanted)) if wanted else ()

    def refusal(self, side: Side, path: RelPath) -> Refusal | None:
        return self._refusals.get((side, path))

    def is_mount(self, side: Side, path: RelPath) -> bool:
        mounts = self._mounted[side]
        return path in mounts.now or path in mounts.absent

    def read_rules(self, side: Side, path: RelPath) -> bytes:
        """The text of an ignore file, b"" if there is none, at most one byte more than the limit.

        Raises IgnoreFileError.
        """
        try:
            return self._stores[side].read_file(path, LIMIT + 1)
        except (PermanentError, TransientError, LocalError) as error:
            raise IgnoreFileError(_unread(error, f"its ignore rules: {error}"), side) from error


def machine_rules(memory: BaseStore) -> Mapping[RelPath, str]:
    """Digests of the machine's own ignore files by directory, as of the last scan below that directory."""
    found: Mapping[RelPath, str] = json.loads(memory.get_setting(MACHINE_RULES) or "{}")
    return found


def _names_that_wait(mounts: Mounts) -> Mapping[RelPath, Mapping[str, BlockedEntry]]:
    """Blocked entries by directory: absent mount points, and the directories above, which may be gone too."""
    found: dict[RelPath, dict[str, BlockedEntry]] = {}
    for point, reason in mounts.absent.items():
        for path in paths.upwards(point):
            if path:
                directory, name = paths.split(path)
                message = reason if path == point else f"{paths.split(point)[1]} in it: {reason}"
                found.setdefault(directory, {})[name] = BlockedEntry(BlockReason.UNMOUNTED, message)
    return found


def _unread(error: SyncerError, message: str) -> BlockedEntry:
    """BUSY for a transient error, which the next run may not meet; UNREADABLE for a lasting one."""
    transient = isinstance(error, TransientError)
    return BlockedEntry(BlockReason.BUSY if transient else BlockReason.UNREADABLE, message)


def reconcile_directories(
    stores: Mapping[Side, Store],
    scans: Mapping[Side, Scan],
    memory: BaseStore,
    policy: Policy,
    compiler: Compiler,
    reporter: Reporter,
    look: ScanResult,
    mounted: Mapping[Side, Mounts] = NOTHING_MOUNTED,
) -> Reconciliation:
    """Reconcile the given directories and any new directories below them; return what was found."""
    eyes = SnapshotReader(stores, memory, reporter, mounted, scans)
    sight = Respelt(eyes)
    rules = Rules(
        policy.ignore,
        compiler,
        lambda side, path: eyes.read_rules(side, sight.at(side, path)),
        machine_rules(memory),
        lambda: reporter.scanning(0),
    )
    reconciler = Reconciler(sight, policy, rules)
    reconciler.findings.machine_rules = rules.machine
    for directory in look.directories:
        reconciler.visit(directory)
    _revisit(reconciler, memory)
    if look.forced or reconciler.findings.rules_moved:
        reconciler.void_fingerprints()
    reconciler.findings.absent = eyes.absent
    return reconciler.findings


def _revisit(reconciler: Reconciler, memory: BaseStore) -> None:
    """Reconcile everything below a changed `.syncignore`: files that did not change may be excluded now.

    These directories get no fingerprint: if both sides changed the rules, those that hold after this run are
    not known yet.
    """
    findings = reconciler.findings
    if not findings.rules_moved:
        return
    moved = tuple(findings.rules_moved)
    for directory, _, _ in memory.directories():
        if any(paths.is_below(reconciler.spelt(directory), top) for top in moved):
            reconciler.visit(directory)
    findings.agreed_directories = [
        s
        for s in findings.agreed_directories
        if not any(s[0] == top or paths.is_below(s[0], top) for top in moved)
    ]


@contextmanager
def begin(
    stores: Mapping[Side, Store],
    memory: BaseStore,
    reporter: Reporter,
    *,
    scope: Scope = EVERYTHING,
    forced: bool = False,
) -> Iterator[tuple[ScanResult, Mapping[Side, Scan]]]:
    """Scan both stores for known directories in the scope that changed; the root if nothing is known.

    `forced`: all known directories, whatever the scope. Directories above those of the scope are in it: a
    name that is new, or gone, shows in the directory it stands in. In the context the scans list directories.
    """
    known: dict[Side, list[tuple[RelPath, bytes | None]]] = {side: [] for side in SIDES}
    dirty: set[RelPath] = set()
    compared = 0
    for path, prints, asked in _candidates(memory, EVERYTHING if forced else scope):
        # A fingerprint that was voided on one side says nothing about the directory on either.
        void = forced or None in prints.values()
        if void:
            dirty.add(path)
        for side in asked:
            known[side].append((path, None if void else prints[side]))
            compared += not void
    # With an empty base there is no known directory to ask about: everything is found from the root on.
    first = not any(known.values()) and bool(scope or forced)
    with opened(stores, known) as scans:
        near = all(store.capabilities.local for store in stores.values())
        for changed in _changed(scans, known, at_once=not near):
            dirty.update(changed)
        if not first:
            reporter.scanning(compared)
        yield (
            ScanResult(
                directories=[""] if first else sorted(dirty, key=paths.tree_key),
                whole=first or forced or scope.everywhere,
                forced=forced,
                first=first,
            ),
            scans,
        )


@contextmanager
def resume(stores: Mapping[Side, Store], seen: ScanResult) -> Iterator[Mapping[Side, Scan]]:
    """Scans that list the directories which an earlier scan found to have changed."""
    # Not compared again: the earlier scan did that, and what it read ahead is gone.
    known = [] if seen.first else [(path, None) for path in seen.directories]
    with opened(stores, dict.fromkeys(SIDES, known)) as scans:
        yield scans


@contextmanager
def opened(
    stores: Mapping[Side, Store], known: Mapping[Side, KnownDirectories]
) -> Iterator[Mapping[Side, Scan]]:
    """A scan of each store, closed with the context."""
    with ExitStack() as stack:
        yield {side: stack.enter_context(store.scan(known[side])) for side, store in stores.items()}


def _candidates(
    memory: BaseStore, scope: Scope
) -> Iterator[tuple[RelPath, Mapping[Side, bytes | None], Collection[Side]]]:
    """Known directories in the scope, with their stored fingerprints, and the sides to compare them on."""
    if scope.local == scope.remote:
        for path, local, remote in memory.directories(scope.local):
            yield path, {Side.LOCAL: local, Side.REMOTE: remote}, SIDES
        return
    for side, places in ((Side.LOCAL, scope.local), (Side.REMOTE, scope.remote)):
        for path, local, remote in memory.directories(places):
            yield path, {Side.LOCAL: local, Side.REMOTE: remote}, (side,)


def _changed(
    scans: Mapping[Side, Scan], known: Mapping[Side, KnownDirectories], *, at_once: bool
) -> Iterator[Sequence[RelPath]]:
    """Ask the sides that have a fingerprint to compare; `at_once`, unless both would use this machine."""
    asked = [side for side in scans if any(print_ is not None for _, print_ in known[side])]
    if len(asked) < 2 or not at_once:
        yield from (list(scans[side].changed()) for side in asked)
        return
    with ThreadPoolExecutor(len(asked), thread_name_prefix="survey") as pool:
        yield from pool.map(lambda side: list(scans[side].changed()), asked)
