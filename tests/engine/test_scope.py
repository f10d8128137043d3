"""Partial runs: over a scope that covers what happened they do what a full run does; over any other, no harm.

Two desks live through the same story, one with full runs and one with runs over a part. A failure prints
its seed and the command that replays it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from syncer.engine import paths, sync
from syncer.engine.model import Kind, Policy, RelPath, Side
from syncer.engine.report import RunReport
from syncer.engine.scope import EVERYTHING, EVERYWHERE, NOTHING, NOWHERE, Places, Scope
from syncer.state import BaseTable, view_state
from syncer.testing.memory_store import MemoryStore
from tests.desk import Desk
from tests.small_trees import stroll
from tests.trees import Tree

ANY_DELETES = Policy(allow_deletes=True)  # the guards have tests of their own
HOSTILE = ("..", "../..", "/etc", "a/../b", "a\0b", ".", "a//b", "a/", "x" * 300, "\udcff", ".syncer")
REPLAY = "SEED={seed} .venv/bin/pytest -m long tests/engine/test_scope.py -k one_seed"


@contextmanager
def fleeting() -> Iterator[BaseTable]:
    """A memory that is in memory, since there will be thousands."""
    with view_state(Path("/nowhere/at/all")) as state:
        state.database.execute("PRAGMA foreign_keys=ON")  # as in a file that is written to
        yield state.memory


@contextmanager
def desk_at_rest(tree: Tree, policy: Policy = ANY_DELETES) -> Iterator[Desk]:
    """Both sides hold the tree and know it."""
    with fleeting() as memory:
        desk = Desk(memory, policy)
        desk.memory.may_forget = True  # a directory that became a file on both sides
        becomes(desk.local, {}, tree)
        for _ in range(2):
            report = desk.run()
        assert report.exit_code == 0 and report.actions == ()
        yield desk


def becomes(store: MemoryStore, before: Tree, after: Tree) -> None:
    """Edits a side, by the steps that a person could take."""
    for path in before:
        if path not in after or after[path].kind is not before[path].kind:
            store.remove(path)
    for path, node in after.items():
        if before.get(path) == node and store.stat(path) is not None:
            continue
        if node.kind is Kind.DIRECTORY:
            store.make_directory(path)
        elif node.kind is Kind.SYMLINK:
            store.link(path, node.data.decode())
        else:
            store.write(path, node.data, mtime_ns=node.mtime_ns, executable=node.executable)


def over(desk: Desk, scope: Scope) -> RunReport:
    """A run over a part, as `jobs.runner` makes it."""
    return sync.sync(desk.pair, sync.find_changed_directories(desk.pair, scope))


def touched(before: Tree, after: Tree) -> list[RelPath]:
    """The directories in which something is otherwise now."""
    differing = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    return sorted({paths.split(path)[0] for path in differing})


def covering(dice: Random, directories: list[RelPath]) -> Places:
    """Places that hold all of these, each by itself or in a tree; and some that nothing happened in."""
    single, trees = set(), set()
    for directory in directories:
        if dice.random() < 0.6:
            single.add(directory)
        else:
            trees.add(
                dice.choice(
                    [up for up in paths.upwards(directory) if up or dice.random() < 0.2] or [directory]
                )
            )
    single |= {name for name in ("a", "b/a", "new/unknown", "a/b/a") if dice.random() < 0.2}
    return Places(directories=frozenset(single), trees=frozenset(trees))


def anywhere(dice: Random) -> Places:
    """Places out of the blue: true ones, false ones, and what nobody should ever say."""
    known = ("", "a", "b", "a/a", "a/b", "b/a", "b/b", "a/a/a", "c", "c/d")
    single = frozenset(dice.choice((*known, *HOSTILE)) for _ in range(dice.randint(0, 3)))
    trees = frozenset(dice.choice((*known[1:], *HOSTILE)) for _ in range(dice.randint(0, 2)))
    return Places(directories=single, trees=trees)


def contents(desk: Desk) -> set[bytes]:
    """Every content that stands on a side or was kept of it."""
    found = set()
    for store in (desk.local, desk.remote):
        live = [data for data in store.tree().values() if data is not None]
        found |= {data.encode() if isinstance(data, str) else data for data in live}
        found |= {data for _, data in store.kept}
    return found


def signed(tree: Tree, before: Tree, author: str) -> Tree:
    """The tree with every file that was written since `before` made unlike anything else."""
    return {
        path: node
        if node.kind is not Kind.FILE or before.get(path) == node
        else replace(node, data=f"{author} {path} {node.mtime_ns}".encode())
        for path, node in tree.items()
    }


def like_a_full_run(seed: int) -> None:
    dice = Random(seed)
    base = stroll({}, dice, 1, dice.randint(0, 14))
    local, remote = (stroll(base, dice, 101 + i, dice.randint(0, 4)) for i in range(2))
    scope = Scope(local=covering(dice, touched(base, local)), remote=covering(dice, touched(base, remote)))
    with desk_at_rest(base) as full, desk_at_rest(base) as part:
        for desk in (full, part):
            becomes(desk.local, base, local)
            becomes(desk.remote, base, remote)
        expected, found = full.run(), over(part, scope) if scope else part.run()
        assert found.actions == expected.actions, f"scope {scope}"
        assert found.conflicts == expected.conflicts and found.problems == expected.problems
        assert part.local.tree() == full.local.tree() and part.remote.tree() == full.remote.tree()
        assert part.rows() == full.rows()
        while (again := full.run()).actions:
            assert over(part, scope).actions == again.actions
        assert part.run().actions == (), f"a full run finds more to do than one over {scope}"


def harmless(seed: int) -> None:
    dice = Random(seed)
    trees = dict.fromkeys(Side, stroll({}, dice, 1, dice.randint(2, 14)))
    with desk_at_rest(trees[Side.LOCAL]) as desk:
        for day in range(5):
            for side, store in ((Side.LOCAL, desk.local), (Side.REMOTE, desk.remote)):
                now = _tree(store)
                later = stroll(now, dice, 1001 + 100 * day + (side is Side.REMOTE), dice.randint(0, 3))
                becomes(store, now, signed(later, now, f"{day}{side.value}"))
            before = contents(desk)
            over(desk, Scope(local=anywhere(dice), remote=anywhere(dice)))
            assert before <= contents(desk), f"day {day} lost something"
        before = contents(desk)
        for _ in range(5):
            desk.run()
        assert before <= contents(desk), "lost"
        desk.comes_to_rest()


def _tree(store: MemoryStore) -> Tree:
    """What a side shows, as a tree to go on from."""
    from tests.trees import DIR, Node

    nodes = {n.spelling: n for n in store._nodes.values()}
    return {
        path: DIR
        if n.kind is Kind.DIRECTORY
        else Node(n.kind, n.data or (n.target or "").encode(), n.mtime_ns or 0, bool(n.executable))
        for path, n in sorted(nodes.items())
    }


def told(test: Callable[[int], None], seed: int) -> None:
    try:
        test(seed)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}\nreplay: {REPLAY.format(seed=seed)}") from error


def test_a_run_over_what_happened_does_exactly_what_a_full_run_does() -> None:
    for seed in range(300):
        told(like_a_full_run, seed)


def test_runs_over_places_out_of_the_blue_lose_nothing_and_a_full_run_brings_all_in_step() -> None:
    for seed in range(200):
        told(harmless, seed)


@pytest.mark.long
@pytest.mark.parametrize("shard", range(10))
def test_twenty_thousand_stories_of_partial_runs(shard: int) -> None:
    for seed in range(shard * 1000, (shard + 1) * 1000):
        told(like_a_full_run, seed)
        told(harmless, seed)


@pytest.mark.long
def test_one_seed() -> None:
    seed = int(os.environ.get("SEED", "0"))
    told(like_a_full_run, seed)
    told(harmless, seed)


# Values


def test_places_and_scopes_add_up() -> None:
    one, two = Places(directories=frozenset({"a"})), Places(trees=frozenset({"b"}))
    assert one | two == Places(directories=frozenset({"a"}), trees=frozenset({"b"}))
    assert one | NOWHERE == one and not NOWHERE and one and two
    scope = Scope(local=one, remote=NOWHERE) | Scope(local=NOWHERE, remote=two)
    assert scope == Scope(local=one, remote=two) and scope and not NOTHING


def test_only_the_tree_of_the_root_is_everywhere() -> None:
    assert EVERYWHERE.everywhere and EVERYTHING.everywhere
    assert not Places(directories=frozenset({""})).everywhere
    assert not Scope(local=EVERYWHERE, remote=NOWHERE).everywhere
    assert (Scope(local=EVERYWHERE, remote=NOWHERE) | Scope(local=NOWHERE)).everywhere
