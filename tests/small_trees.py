"""Every tree of a few nodes, and everything a person can do to one in a step or two.

Names come from {a, b}; in a base every file holds "x" and every symlink points to "t"; edits write "y"
or "z". Each edit gets a date of its own, local ones odd and remote ones even, so that no
conflict is a tie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from random import Random

from syncer.engine import paths
from syncer.engine.model import Kind, RelPath, Side
from tests.trees import DIR, Node, Tree, file, link

NAMES = "ab"
LEAVES = (file("x", 10), link("t", 10))
Frozen = frozenset[tuple[RelPath, Node]]


@cache
def forests(size: int) -> tuple[Tree, ...]:
    """All trees of exactly `size` nodes, with children of every directory out of `NAMES`."""
    return tuple(_forests(size, NAMES))


def _forests(size: int, names: str) -> Iterator[Tree]:
    if size == 0:
        yield {}
    if size <= 0 or not names:
        return
    yield from _forests(size, names[1:])
    for taken in range(1, size + 1):
        for first in _rooted(names[0], taken):
            for others in _forests(size - taken, names[1:]):
                yield {**first, **others}


def _rooted(name: str, size: int) -> Iterator[Tree]:
    if size == 1:
        yield from ({name: leaf} for leaf in LEAVES)
    for below in forests(size - 1):
        yield {name: DIR, **{f"{name}/{path}": node for path, node in below.items()}}


def edits(tree: Tree, date: int) -> Iterator[Tree]:
    """The tree after one step: create, edit, touch, delete, another kind, rename."""
    directories = ["", *(p for p, n in tree.items() if n.kind is Kind.DIRECTORY)]
    free = [q for d in directories for n in NAMES if (q := paths.join(d, n)) not in tree]
    for path in free:
        yield from ({**tree, path: node} for node in (file("y", date), DIR))
    for path, node in tree.items():
        rest = {p: n for p, n in tree.items() if p != path and not paths.is_below(p, path)}
        yield rest
        yield {**rest, path: file("z", date)}
        if node.kind is not Kind.DIRECTORY:
            yield {**rest, path: DIR}
        if node.kind is Kind.FILE:
            yield {**rest, path: file("y", date)}
            yield {**rest, path: replace(node, mtime_ns=date)}
            yield {**rest, path: replace(node, executable=not node.executable)}
        else:
            yield {**rest, path: link("u", date)}
        yield from (_renamed(tree, path, to) for to in free if not paths.is_below(to, path))


def _renamed(tree: Tree, origin: RelPath, path: RelPath) -> Tree:
    def now(p: RelPath) -> RelPath:
        return path + p[len(origin) :] if p == origin or paths.is_below(p, origin) else p

    return {now(p): node for p, node in tree.items()}


@cache
def _after(base: Frozen, date: int, steps: int) -> tuple[Tree, ...]:
    found: dict[Frozen, Tree] = {base: dict(sorted(base, key=lambda item: item[0]))}  # one order in every run
    newest = dict(found)
    for step in range(steps):
        grown = (t for tree in newest.values() for t in edits(tree, date + 2 * step))
        newest = {frozenset(t.items()): t for t in grown}
        newest = {key: t for key, t in newest.items() if key not in found}
        found |= newest
    return tuple(found.values())


def after(base: Tree, side: Side, steps: int) -> tuple[Tree, ...]:
    """All trees that up to so many steps on one side can make of the base, itself included."""
    return _after(frozenset(base.items()), 101 if side is Side.LOCAL else 102, steps)


def stroll(tree: Tree, dice: Random, date: int, steps: int) -> Tree:
    """The tree after so many steps, chosen by the dice."""
    for step in range(steps):
        tree = dice.choice(list(edits(tree, date + 2 * step)) or [tree])
    return tree
