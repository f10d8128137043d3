"""Tiny named trees, and a world made of dicts: a base, two sides, a trash.

The world is a `Sight` for the real reconciler and the place where `tests.applying`
carries plans out. No files, no clock, no threads. Names: `tN` nothing, `tF1` the file
"f" with content one, `tL1` a symlink "f", `tD0` an empty directory "f", `tD1` a
directory "f" with the file "x" in it.
"""
# ruff: noqa: N816  (tN, tF1: the names that reconcilers' tests give their trees)

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from blake3 import blake3

from syncer.engine import guards, ordering, paths, renames
from syncer.engine.changes import DIRECTORY, agreement
from syncer.engine.fingerprint import fingerprint
from syncer.engine.gitignore import compile_rules
from syncer.engine.ignore import Rules
from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    BaseEntry,
    BlockedEntry,
    Entry,
    Kind,
    Listing,
    Policy,
    RelPath,
    Seen,
    Side,
)
from syncer.engine.reconcile import Reconciler
from syncer.engine.reconciliation import Reconciliation
from syncer.engine.refusals import Refusal
from syncer.engine.report import Plan
from syncer.engine.spelling import Respelt

L, R = Side.LOCAL, Side.REMOTE


@dataclass(frozen=True, slots=True)
class Node:
    """What a name holds. `stamp` changes whenever somebody touches it; 0: not placed in a world yet."""

    kind: Kind
    data: bytes = b""
    mtime_ns: int = 1
    executable: bool = False
    stamp: int = 0

    @property
    def content(self) -> tuple[Kind, bytes]:
        return self.kind, self.data


Tree = Mapping[RelPath, Node]
DIR = Node(Kind.DIRECTORY)


def file(data: str, mtime_ns: int = 1, *, executable: bool = False) -> Node:
    return Node(Kind.FILE, data.encode(), mtime_ns, executable)


def link(target: str, mtime_ns: int = 1) -> Node:
    return Node(Kind.SYMLINK, target.encode(), mtime_ns)


tN: Tree = {}
tF1: Tree = {"f": file("one", 11)}
tF2: Tree = {"f": file("two", 12)}
tF3: Tree = {"f": file("thr", 13)}
tL1: Tree = {"f": link("to-one")}
tL2: Tree = {"f": link("to-two")}
tD0: Tree = {"f": DIR}
tD1: Tree = {"f": DIR, "f/x": file("one", 11)}
tD2: Tree = {"f": DIR, "f/x": file("two", 12)}
tD3: Tree = {"f": DIR, "f/x": file("one", 11), "f/y": file("two", 12)}


@cache
def digest(data: bytes) -> bytes:
    return blake3(data).digest()


def entry_of(node: Node, *, read: bool = False) -> Entry:
    """How a side shows the node; a file's digest only when it is read."""
    if node.kind is Kind.DIRECTORY:
        return Entry(Kind.DIRECTORY, 0, b"")
    version = node.stamp.to_bytes(4, "big")
    size = len(node.data)
    if node.kind is Kind.SYMLINK:
        known = digest(node.data)
        return Entry(
            Kind.SYMLINK, size, version, mtime_ns=node.mtime_ns, digest=known, target=node.data.decode()
        )
    read_digest = digest(node.data) if read else None
    return Entry(
        Kind.FILE,
        size,
        version,
        mtime_ns=node.mtime_ns,
        executable=node.executable,
        digest=read_digest,
    )


@dataclass
class World:
    """Three trees and a trash. `obstacles` and `unlistable` are what cannot be judged.

    `unlisted` names are there, and left out of the listing of their directory.
    """

    sides: dict[Side, dict[RelPath, Node]] = field(default_factory=lambda: {L: {}, R: {}})
    base: dict[RelPath, BaseEntry] = field(default_factory=dict)
    capabilities: dict[Side, Capabilities] = field(
        default_factory=lambda: {L: Capabilities(local=True), R: Capabilities(local=True)}
    )
    obstacles: dict[Side, dict[RelPath, BlockedEntry]] = field(default_factory=lambda: {L: {}, R: {}})
    unlistable: dict[Side, dict[RelPath, BlockedEntry]] = field(default_factory=lambda: {L: {}, R: {}})
    unlisted: dict[Side, set[RelPath]] = field(default_factory=lambda: {L: set(), R: set()})
    trash: Counter[tuple[Kind, bytes]] = field(default_factory=Counter)
    seals: dict[RelPath, tuple[bytes, bytes]] = field(default_factory=dict)
    clock: int = 0
    mounts: set[RelPath] = field(default_factory=set)

    def stamp(self) -> int:
        self.clock += 1
        return self.clock

    def place(self, side: Side, tree: Tree) -> None:
        """Make a side show the tree; nodes with the stamp they have there already are unchanged."""
        now = self.sides[side]
        self.sides[side] = {
            path: now[path] if _unmoved(now.get(path), node) else replace(node, stamp=self.stamp())
            for path, node in tree.items()
        }

    def agree(self, tree: Tree) -> None:
        """Both sides hold the tree, and the base knows."""
        for side in Side:
            self.place(side, tree)
        self.base = {path: self.agreed(path) for path in tree}

    def agreed(self, path: RelPath) -> BaseEntry:
        """The base row for a path that both sides hold alike."""
        local, remote = self.sides[L][path], self.sides[R][path]
        if local.kind is Kind.DIRECTORY:
            return DIRECTORY
        return agreement(entry_of(local, read=True), entry_of(remote, read=True))

    # What the reconciler sees

    def rows(self, directory: RelPath) -> Mapping[str, BaseEntry]:
        rows = {}
        for path, row in self.base.items():
            above, name = paths.split(path)
            if above == directory and path:
                rows[name] = row
        return rows

    def list(self, side: Side, directory: RelPath) -> Listing | BlockedEntry:
        """A directory of a side with its fingerprint, or the obstacle that was put there."""
        if directory in self.unlistable[side]:
            return self.unlistable[side][directory]
        shown: dict[str, Entry | BlockedEntry] = {}
        directory = self._spelt(side, directory)
        for path, node in self.sides[side].items():
            above, _, name = path.rpartition("/")
            if above == directory and path not in self.unlisted[side]:
                shown[name] = self.obstacles[side].get(path) or entry_of(node)
        entries = [(n, e.version) for n, e in shown.items() if isinstance(e, Entry)]
        whole = len(entries) == len(shown)
        return Listing(entries=shown, fingerprint=fingerprint(entries) if whole else None)

    def left_out(self, side: Side, paths: Sequence[RelPath]) -> Sequence[Seen]:
        return [self._standing(side, self._spelt(side, path)) for path in paths]

    def _standing(self, side: Side, path: RelPath) -> Seen:
        node = self.sides[side].get(path)
        return self.obstacles[side].get(path) or (None if node is None else entry_of(node))

    def digests(self, side: Side, wanted: Sequence[tuple[RelPath, Entry]]) -> Sequence[Seen]:
        return [entry_of(self.sides[side][self._spelt(side, path)], read=True) for path, _ in wanted]

    def _spelt(self, side: Side, path: RelPath) -> RelPath:
        """A path as the side itself writes it: one that folds knows any spelling."""
        able = self.capabilities[side]
        if path in self.sides[side] or not (able.folds_case or able.folds_form):
            return path
        case, form = able.folds_case, able.folds_form
        folded = {paths.fold(p, case=case, form=form): p for p in self.sides[side]}
        return folded.get(paths.fold(path, case=case, form=form), path)

    def refusal(self, side: Side, path: RelPath) -> Refusal | None:
        return None

    def is_mount(self, side: Side, path: RelPath) -> bool:
        return path in self.mounts

    def read_rules(self, side: Side, path: RelPath) -> bytes:
        node = self.sides[side].get(path)
        return node.data if node is not None and node.kind is Kind.FILE else b""

    # What the tests look at

    def contents(self, side: Side) -> dict[RelPath, tuple[Kind, bytes]]:
        return {path: node.content for path, node in self.sides[side].items()}

    def live(self) -> set[tuple[Kind, bytes]]:
        """Every content that stands under a name on either side."""
        return {n.content for side in Side for n in self.sides[side].values() if n.kind is not Kind.DIRECTORY}

    def mirrored(self) -> World:
        """The same world with its sides exchanged."""
        base = {path: _swapped(row) for path, row in self.base.items()}
        return World(
            sides={L: dict(self.sides[R]), R: dict(self.sides[L])},
            base=base,
            capabilities={L: self.capabilities[R], R: self.capabilities[L]},
            clock=self.clock,
        )


def world(base: Tree, local: Tree, remote: Tree) -> World:
    """Both sides agreed on `base`; since then they became `local` and `remote`."""
    made = World()
    made.agree(base)
    made.place(L, local)
    made.place(R, remote)
    return made


def strangers(local: Tree, remote: Tree) -> World:
    """Two sides that never met: nothing is remembered, as after the loss of the database."""
    made = World()
    made.place(L, local)
    made.place(R, remote)
    return made


def _unmoved(now: Node | None, node: Node) -> bool:
    return now is not None and replace(now, stamp=node.stamp) == node


def _swapped(row: BaseEntry) -> BaseEntry:
    return replace(
        row,
        local_version=row.remote_version,
        remote_version=row.local_version,
        local_mtime_ns=row.remote_mtime_ns,
        remote_mtime_ns=row.local_mtime_ns,
    )


KEEP = Policy()
BOTH_SIDES = frozenset(Side)


def findings(seen: World, policy: Policy = KEEP, *, shortcuts: bool = False) -> Reconciliation:
    """What the real reconciler finds; with `shortcuts` only directories that moved are visited."""
    rules = Rules(policy.ignore, compile_rules, seen.read_rules)
    reconciler = Reconciler(Respelt(seen), policy, rules)
    known = [path for path, row in seen.base.items() if row.kind is Kind.DIRECTORY]
    for directory in sorted(("", *known), key=paths.tree_key):
        if not (shortcuts and _sealed(seen, directory)):
            reconciler.visit(directory)
    return reconciler.findings


def _sealed(seen: World, directory: RelPath) -> bool:
    if directory not in seen.seals:
        return False
    listings = [seen.list(side, directory) for side in Side]
    prints = tuple(x.fingerprint if isinstance(x, Listing) else None for x in listings)
    return prints == seen.seals[directory]


def planned(
    seen: World, found: Reconciliation, policy: Policy = KEEP, *, whole: Iterable[Side] = BOTH_SIDES
) -> Plan:
    """Guards, moves and order, as a run does them. Raises GuardTripped."""
    guards.refuse_emptied(found.actions, found.emptied, policy)
    actions = renames.find(found.actions, seen.digests, directories=frozenset(whole))
    kept, holds = guards.hold_mass_delete(actions, len(seen.base), policy)
    return Plan(
        actions=ordering.ordered(kept),
        conflicts=tuple(found.conflicts),
        problems=tuple(found.problems),
        holds=tuple(holds),
    )


def planning(seen: World, policy: Policy = KEEP) -> Plan:
    """What a run would do."""
    return planned(seen, findings(seen, policy), policy)
