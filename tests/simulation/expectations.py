"""The oracle: what must be true after a run, asked of two folders as they stood before and after.

It shares no line with the engine. `merged` is the result that product.md promises for every name,
from what both sides agreed on last and what each of them showed; the other functions hold
after any run, also after one that was killed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from syncer.engine.model import ConflictPolicy
from tests.world import Node, Snapshot, contents

MARK = ".sync-conflict-"
_DAY_NS = 24 * 3600 * 10**9
Sides = Mapping[str, Snapshot]
Leaf = tuple[str, bytes]


def nothing_is_lost(before: set[bytes], after: set[bytes]) -> None:
    """O1: every content is still somewhere: on a side, beside it, or in a trash."""
    lost = before - after
    assert not lost, f"lost: {sorted(lost)}"


def only_whole_contents(sides: Sides, written: set[bytes]) -> None:
    """O2: under a user's name stands what a user wrote."""
    for side, tree in sides.items():
        for path, node in tree.items():
            known = node.kind == "directory" or node.data in written
            assert known, f"{side}/{path} holds what nobody wrote: {node.data!r}"


def unchanged(before: Sides, after: Sides) -> None:
    """Not even an inode or an mtime differs."""
    for side, tree in before.items():
        differing = {p for p in tree.keys() | after[side].keys() if tree.get(p) != after[side].get(p)}
        assert not differing, f"{side} was changed at {sorted(differing)}"


def equal(sides: Sides) -> None:
    """O6: "in sync" is true."""
    local, remote = contents(sides["local"]), contents(sides["remote"])
    differing = {p for p in local.keys() | remote.keys() if local.get(p) != remote.get(p)}
    assert not differing, {p: (local.get(p), remote.get(p)) for p in sorted(differing)}


def merged(
    base: Snapshot, before: Sides, after: Sides, policy: ConflictPolicy, unsure: Collection[str] = ()
) -> None:
    """O3 and O5: every name holds what the three trees say, and nothing was invented.

    Of `unsure` names nothing is said: directories that cannot go for what is ignored in them.
    """
    local, remote = before["local"], before["remote"]
    asked = _clashing(base, local, remote) if policy is ConflictPolicy.ASK else set()
    for path in sorted((base.keys() | local.keys() | remote.keys()) - set(unsure)):
        if any(path == clash or path.startswith(f"{clash}/") for clash in asked):
            for side, tree in before.items():
                assert _leaf(after[side].get(path)) == _leaf(tree.get(path)), f"{path} waits for an answer"
            continue
        _judge(path, (base.get(path), local.get(path), remote.get(path)), after, policy)
    _nothing_invented(before, after)


def _clashing(base: Snapshot, local: Snapshot, remote: Snapshot) -> set[str]:
    """Names that are a directory on one side and something else on the other: they wait as a whole.

    Where only one side changed, the other follows it, as with an edit.
    """
    both = local.keys() & remote.keys()
    kinds = {p for p in both if (local[p].kind == "directory") is not (remote[p].kind == "directory")}
    return {p for p in kinds if _changed(base, local, p) and _changed(base, remote, p)}


def _changed(base: Snapshot, side: Snapshot, path: str) -> bool:
    """Whether a side differs from what was agreed, at a path or below it."""
    names = (p for p in base.keys() | side.keys() if p == path or p.startswith(f"{path}/"))
    return any(_leaf(base.get(p)) != _leaf(side.get(p)) for p in names)


def _judge(
    path: str, seen: tuple[Node | None, Node | None, Node | None], after: Sides, policy: ConflictPolicy
) -> None:
    kinds = {node.kind for node in seen if node is not None}
    base, local, remote = seen
    if "directory" in kinds:
        _directory(path, base, local, remote, after)
        return
    if local is not None and remote is not None and _in_conflict(base, local, remote):
        _conflict(path, local, remote, after, policy)
        return
    expected = _one_changed(_leaf(base), _leaf(local), _leaf(remote))
    for side, tree in after.items():
        found = _leaf(tree.get(path))
        assert found == expected, f"{side}/{path} is {found}, should be {expected}"


def _leaf(node: Node | None) -> Leaf | None:
    return None if node is None else (node.kind, node.data)


def _in_conflict(base: Node | None, local: Node, remote: Node) -> bool:
    return len({_leaf(base), _leaf(local), _leaf(remote)}) == 3


def _one_changed(base: Leaf | None, local: Leaf | None, remote: Leaf | None) -> Leaf | None:
    """The changed side's, and an edit rather than a deletion."""
    if local == base:
        return remote
    if remote in (base, local):
        return local
    return local or remote


def _newer(local: Node, remote: Node) -> Node:
    """A time of more than a day ahead comes from a wrong clock, and wins nothing."""
    tomorrow = time.time_ns() + _DAY_NS
    ahead = [node for node in (local, remote) if node.mtime_ns > tomorrow]
    if len(ahead) == 1:
        return remote if ahead[0] is local else local
    return local if local.mtime_ns > remote.mtime_ns and not ahead else remote


def _conflict(path: str, local: Node, remote: Node, after: Sides, policy: ConflictPolicy) -> None:
    if policy is ConflictPolicy.ASK:
        assert _leaf(after["local"].get(path)) == _leaf(local), f"{path} waits for an answer"
        assert _leaf(after["remote"].get(path)) == _leaf(remote), f"{path} waits for an answer"
        return
    newer = _newer(local, remote)
    winner = {ConflictPolicy.LOCAL: local, ConflictPolicy.REMOTE: remote}.get(policy, newer)
    loser = remote if winner is local else local
    for side, tree in after.items():
        assert _leaf(tree.get(path)) == _leaf(winner), f"{side}/{path}: the newer one keeps the name"
        if policy is ConflictPolicy.KEEP_BOTH:
            copies = [p for p, node in tree.items() if _is_copy(p, path) and _leaf(node) == _leaf(loser)]
            assert len(copies) == 1, f"{side}: {len(copies)} copies of the other {path}"


def _is_copy(path: str, of: str) -> bool:
    directory, _, name = of.rpartition("/")
    there, _, copy = path.rpartition("/")
    return there == directory and MARK in copy and copy[:1] == name[:1]


def _directory(path: str, base: Node | None, local: Node | None, remote: Node | None, after: Sides) -> None:
    """A new directory keeps its name; what a file of that name held and nobody had seen is beside it."""
    new = [n for n in (local, remote) if n and n.kind == "directory" and (not base or base.kind != n.kind)]
    both = all(n is not None and n.kind == "directory" for n in (local, remote))
    for side, tree in after.items():
        found = tree.get(path)
        if new or both:
            assert found is not None and found.kind == "directory", f"{side}/{path} was a directory"
        for node in (local, remote):
            if node is None or node.kind == "directory" or _leaf(node) == _leaf(base):
                continue
            places = [p for p, n in tree.items() if _leaf(n) == _leaf(node)]
            assert places, f"{side}: the file that was at {path} is nowhere"


def _nothing_invented(before: Sides, after: Sides) -> None:
    known = before["local"].keys() | before["remote"].keys()
    held = {_leaf(n) for tree in before.values() for n in tree.values()}
    for side, tree in after.items():
        for path in tree.keys() - known:
            assert MARK in path, f"{side}/{path} was invented"
            node = tree[path]
            assert _leaf(node) in held, f"{side}/{path} holds what no side had"
