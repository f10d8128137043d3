"""What must hold of any run, said without the engine's own words.

`expected` is a second, much smaller merge: it knows only trees, and only the names whose
directories stand on both sides and in the base. It serves two-way runs with keep-both.
"""

from __future__ import annotations

from syncer.engine import paths
from syncer.engine.model import Action, Delete, Kind, MakeDirectory, RelPath, Side, Transfer
from tests.trees import Node, Tree, World

Content = tuple[Kind, bytes]
MARK = ".sync-conflict-"


def leaves(tree: Tree) -> set[Content]:
    return {node.content for node in tree.values() if node.kind is not Kind.DIRECTORY}


def check_deletions(seen: World, base: Tree, actions: tuple[Action, ...]) -> None:
    """What is deleted or cleared away is what both sides had agreed on, and nothing newer."""
    for action in actions:
        doomed: tuple[Side, RelPath] | None = None
        if isinstance(action, Delete) or (isinstance(action, MakeDirectory) and action.replaces is not None):
            doomed = action.side, action.path
        elif isinstance(action, Transfer) and action.expected is not None:
            doomed = action.source.other, action.path
        if doomed is not None:
            side, path = doomed
            assert path in base, f"{action} takes away what was never agreed on"
            assert seen.sides[side][path].content == base[path].content, f"{action} takes away an edit"


def check_outcome(there: World, base: Tree, local: Tree, remote: Tree) -> None:
    """After the last round: in step, nothing lost, nothing invented, each name as it should be."""
    assert there.contents(Side.LOCAL) == there.contents(Side.REMOTE), "the sides differ"
    bits = [{p: n.executable for p, n in there.sides[s].items()} for s in Side]
    assert bits[0] == bits[1], "the executable bits differ"
    assert set(there.base) == set(there.sides[Side.LOCAL]), "the base is not what the sides hold"
    live = there.live()
    written = leaves(local) | leaves(remote)
    lost = written - live - set(there.trash)
    assert not lost, f"lost: {lost}"
    edited = written - leaves(base)
    assert edited <= live, f"edits are in the trash only: {edited - live}"
    assert live <= written, f"invented: {live - written}"
    _check_names(there, local, remote)
    _check_merge(there, base, local, remote)


def _check_names(there: World, local: Tree, remote: Tree) -> None:
    copies = 0
    for path, node in there.sides[Side.LOCAL].items():
        if path in local or path in remote:
            continue
        assert MARK in path, f"{path}: nobody made this name"
        copies += 1
        stem = path[: path.index(MARK)]
        assert node.content in {t[stem].content for t in (local, remote) if stem in t}, path
    assert copies <= len(set(local) & set(remote)), "more copies than conflicts"


def _check_merge(there: World, base: Tree, local: Tree, remote: Tree) -> None:
    for path in {*base, *local, *remote}:
        if not _stands_everywhere(paths.split(path)[0], base, local, remote):
            continue
        kept, beside = expected(path, base, local, remote)
        node = there.sides[Side.LOCAL].get(path)
        found = node.content if node is not None else None
        assert found == kept, f"{path} holds {found}, not {kept}"
        if beside is not None:
            copies = [n.content for p, n in there.sides[Side.LOCAL].items() if p.startswith(path + MARK)]
            assert copies == [beside], f"{path}: beside it {copies}, not {beside}"


def _stands_everywhere(directory: RelPath, *trees: Tree) -> bool:
    return not directory or all(directory in t and t[directory].kind is Kind.DIRECTORY for t in trees)


def expected(path: RelPath, base: Tree, local: Tree, remote: Tree) -> tuple[Content | None, Content | None]:
    """What the name ends as, and what is kept beside it."""
    agreed, here, there = (t.get(path) for t in (base, local, remote))
    kinds = [n.kind if n is not None else None for n in (here, there)]
    if Kind.DIRECTORY in kinds:
        return _with_directory(path, base, local, remote)
    if _same(here, there) or _same(agreed, there):
        return _content(here), None
    if _same(agreed, here) or here is None:
        return _content(there), None
    if there is None:
        return _content(here), None
    newer, older = (here, there) if here.mtime_ns > there.mtime_ns else (there, here)
    return newer.content, older.content


def _with_directory(
    path: RelPath, base: Tree, local: Tree, remote: Tree
) -> tuple[Content | None, Content | None]:
    agreed, here, there = (t.get(path) for t in (base, local, remote))
    directory: Content = (Kind.DIRECTORY, b"")
    if _same(here, there):
        return directory, None
    mine = local if here is not None and here.kind is Kind.DIRECTORY else remote
    other = there if mine is local else here
    if agreed is None or agreed.kind is not Kind.DIRECTORY:
        clash = other is not None and not _same(agreed, other)
        return directory, _content(other) if clash else None
    if _untouched(path, base, mine):
        return _content(other), None
    return directory, _content(other)


def _untouched(path: RelPath, base: Tree, tree: Tree) -> bool:
    """Whether nothing below was edited or made; what was deleted there does not matter."""
    return all(_same(base.get(p), node) for p, node in tree.items() if paths.is_below(p, path))


def _same(a: Node | None, b: Node | None) -> bool:
    return _content(a) == _content(b)


def _content(node: Node | None) -> Content | None:
    return node.content if node is not None else None
