"""What must hold after anything: the oracle O1 to O8 of the reliability page, for two folders.

O1 every content there was is still there; O2 a user's name holds a content that a user wrote; O3 and
O5 the result is the one an undisturbed run has, no name is invented; O4 a few runs later
both sides are equal and a further run does nothing; O6 exit 0 means equal; O7 nothing waits
for ever; O8 `check` agrees. Contents are compared whole, so no rename fools it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from syncer.engine.model import Side
from syncer.engine.paths import PRIVATE, TEMPORARY
from tests.simulation.faults import COMMIT, Calls
from tests.simulation.hands import Hands
from tests.simulation.machines import End, Machine, Node, Tree

SIDES = ("local", "remote")
MARK = ".sync-conflict-"
Content = tuple[str, bytes]
Shape = tuple[str, bytes, bool]


def visible(tree: Tree, side: str) -> dict[str, Node]:
    """What stands under users' names on one side, by path relative to the root."""
    start = f"{side}/"
    names = {path.removeprefix(start): node for path, node in tree.items() if path.startswith(start)}
    return {p: n for p, n in names.items() if p.split("/")[0] != PRIVATE and TEMPORARY not in p}


def shapes(tree: Tree, side: str) -> dict[str, Shape]:
    """Kind, content and executable bit by path: what syncing makes equal."""
    return {p: (n.kind, n.data, n.executable) for p, n in visible(tree, side).items()}


def contents(tree: Tree, *, passing: bool) -> set[Content]:
    """Every content under a user's name or in a trash; `passing`: under temporary names as well."""
    return {
        (node.kind, node.data)
        for path, node in tree.items()
        if node.kind != "directory" and (passing or not _is_passing(path))
    }


def _is_passing(path: str) -> bool:
    """A temporary on a side; one that was swept into a trash is kept there."""
    return TEMPORARY in path and "/trash/" not in path


@dataclass(frozen=True, slots=True)
class Result:
    """What both sides are to show in the end, path by path."""

    local: dict[str, Shape]
    remote: dict[str, Shape]

    @classmethod
    def of(cls, tree: Tree) -> Result:
        return cls(shapes(tree, "local"), shapes(tree, "remote"))


@dataclass(slots=True)
class Oracle:
    """Watches one machine. `case` says how to replay; `alone` are paths that the sides need not share."""

    machine: Machine
    hands: Hands
    case: str
    alone: tuple[str, ...] = ()
    may_be_empty: tuple[str, ...] = ("empty-file",)
    precious: set[Content] = field(default_factory=set)

    def begin(self) -> None:
        """Everything that stands there now must survive."""
        self.precious = contents(self.machine.tree(), passing=False)

    def renounce(self, before: Tree, after: Tree) -> None:
        """A user changed things between two trees: what is gone by that is the user's own loss."""
        lost = contents(before, passing=False) - contents(after, passing=False)
        self.precious = (self.precious - lost) | contents(after, passing=False)

    def nothing_is_lost(self, *, passing: bool = False) -> None:
        """O1."""
        missing = self.precious - contents(self.machine.tree(), passing=passing)
        self._none("lost", sorted(missing))

    def names_are_whole(self) -> None:
        """O2."""
        tree = self.machine.tree()
        torn = [
            (side, path, node.data[:60])
            for side in SIDES
            for path, node in visible(tree, side).items()
            if node.kind == "file" and not self._was_written(path, node.data)
        ]
        self._none("torn", torn)

    def tells_the_truth(self, end: End) -> None:
        """O6: exit 0 is said only of equal sides."""
        if end.exit_code == 0:
            self._none("exit 0, but different", self._unequal())

    def right_after(self, end: End, *, alone: bool = True) -> None:
        """What must hold at once, healed or not. Unless the run was `alone`, what it saw may have changed."""
        self.names_are_whole()
        self.nothing_is_lost(passing=True)
        if alone:
            self.tells_the_truth(end)

    def heals(self, *, runs: int = 2, result: Result | None = None) -> None:
        """So many undisturbed runs later all is well (O1 to O8)."""
        end = None
        for _ in range(runs):
            self.machine.clock.sleep(10)
            end = self.machine.run()
            self.names_are_whole()
            if end.exit_code == 0 and not self._unequal():
                break
        assert end is not None and end.exit_code == 0, f"{self.case}: not healed: {end}"
        self._none("never equal", self._unequal())
        self.nothing_is_lost()
        self._is_tidy()
        self._rests()
        if result is not None:
            self._ends_as(result)

    def _rests(self) -> None:
        """O4 and O8: a further run changes nothing at all, and `check` finds nothing."""
        self.machine.clock.sleep(10)
        before = self.machine.tree()
        end = self.machine.run()
        self._none("not at rest", [c for c in end.calls.log if not c.endswith(COMMIT)])
        assert end.exit_code == 0, f"{self.case}: {end}"
        assert self.machine.tree() == before, f"{self.case}: a further run changed something"
        wrong = [d for d in self.machine.differences() if not self._stands_alone(d.path, before)]
        self._none("check", wrong)

    def _is_tidy(self) -> None:
        tree = self.machine.tree()
        self._none("left behind", [p for p in tree if _is_passing(p)])
        copies = [n.data for p, n in visible(tree, "local").items() if MARK in p]
        assert len(copies) == len(set(copies)), f"{self.case}: a loser was copied twice"
        for side, store in zip(Side, self.machine.open_stores(Calls()), strict=True):
            able = store.capabilities
            store.close()
            assert able.mtime_granularity_ns == 1 and able.executable, f"{self.case}: {side} {able}"

    def _ends_as(self, result: Result) -> None:
        """O3 and O5."""
        now = Result.of(self.machine.tree())
        for side, wanted, got in (("local", result.local, now.local), ("remote", result.remote, now.remote)):
            wrong = {
                path: (wanted.get(path), got.get(path))
                for path in wanted.keys() | got.keys()
                if wanted.get(path) != got.get(path)
            }
            self._none(f"{side} should be", sorted(wrong.items()))

    def _unequal(self) -> list[str]:
        tree = self.machine.tree()
        local, remote = shapes(tree, "local"), shapes(tree, "remote")
        return sorted(
            path
            for path in local.keys() | remote.keys()
            if local.get(path) != remote.get(path) and not self._stands_alone(path, tree)
        )

    def _stands_alone(self, path: str, tree: Tree) -> bool:
        """Whether the ignore rules that hold by now name the path."""
        rules = tree.get("local/.syncignore")
        words = rules.data.decode().split() if rules else []
        named = [p for p in self.alone if p in words]
        hidden = path.endswith(".bak") and "*.bak" in words
        return hidden or any(path == p or path.startswith(f"{p}/") for p in named)

    def _was_written(self, path: str, data: bytes) -> bool:
        if not data:
            return path.startswith(self.may_be_empty)
        return data in self.hands.written

    def _none(self, what: str, wrong: list[object]) -> None:
        assert not wrong, f"{self.case}: {what}: " + "; ".join(str(w)[:300] for w in wrong[:12])
