"""Which name here is which name there, where a side does not tell case or Unicode form apart.

Pure. Where both sides tell all names apart (the usual case) a name is itself. A
side that folds knows any spelling, so the spelling of the side that does not fold is
used for both. Two names of one side that the other side would take for one are
never merged: one goes on, the other is a clash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncer.engine.model import BaseEntry, Entry, Obstacle, Seen, Side, Trouble
from syncer.engine.paths import fold
from syncer.engine.ports import Capabilities

Names = Mapping[str, Entry | Obstacle]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One name as the base, the local and the remote side have it."""

    name: str
    base: BaseEntry | None
    local: Seen
    remote: Seen
    superseded: str = ""  # an older spelling of the base's row

    def seen(self, side: Side) -> Seen:
        return self.local if side is Side.LOCAL else self.remote


def pair(
    base: Mapping[str, BaseEntry], local: Names, remote: Names, able: Mapping[Side, Capabilities]
) -> Iterator[View]:
    """All names of one directory, in order; a clash appears as an obstacle on its side."""
    case = any(c.folds_case for c in able.values())
    form = any(c.folds_form for c in able.values())
    if case or form:
        yield from _pair_folded(base, local, remote, able, case=case, form=form)
        return
    for name in sorted({*base, *local, *remote}):
        yield View(name=name, base=base.get(name), local=local.get(name), remote=remote.get(name))


def _pair_folded(
    base: Mapping[str, BaseEntry],
    local: Names,
    remote: Names,
    able: Mapping[Side, Capabilities],
    *,
    case: bool,
    form: bool,
) -> Iterator[View]:
    groups: dict[str, set[str]] = {}
    for name in (*base, *local, *remote):
        groups.setdefault(fold(name, case=case, form=form), set()).add(name)
    for _, spellings in sorted(groups.items()):
        if len(spellings) == 1:
            (name,) = spellings
            yield View(name=name, base=base.get(name), local=local.get(name), remote=remote.get(name))
        else:
            yield from _unite(sorted(spellings), base, local, remote, able)


def _unite(
    spellings: list[str],
    base: Mapping[str, BaseEntry],
    local: Names,
    remote: Names,
    able: Mapping[Side, Capabilities],
) -> Iterator[View]:
    """Several spellings of what a folding side takes for one name."""
    here = _chosen(spellings, local, base, remote)
    there = _chosen(spellings, remote, base, local)
    strict_remote = not (able[Side.REMOTE].folds_case or able[Side.REMOTE].folds_form)
    name = (there or here) if strict_remote else (here or there)
    row = next((s for s in (name, *spellings) if s in base), None)
    yield View(
        name=name or spellings[0],
        base=base[row] if row is not None else None,
        local=local.get(here) if here else None,
        remote=remote.get(there) if there else None,
        superseded=row if row is not None and row != name else "",
    )
    for spelling in spellings:
        for side, names, chosen in ((Side.LOCAL, local, here), (Side.REMOTE, remote, there)):
            if spelling in names and spelling != chosen:
                yield _clash(spelling, chosen or "", side)


def _chosen(spellings: list[str], names: Names, base: Mapping[str, BaseEntry], other: Names) -> str | None:
    """The spelling that goes on: the agreed one, else one the other side has too, else the first."""
    there = [s for s in spellings if s in names]
    for preferred in (base, other):
        for spelling in there:
            if spelling in preferred:
                return spelling
    return there[0] if there else None


def _clash(name: str, other: str, side: Side) -> View:
    obstacle = Obstacle(Trouble.CLASH, f"the other side cannot tell it from {other!r}; rename one of them")
    local, remote = (obstacle, None) if side is Side.LOCAL else (None, obstacle)
    return View(name=name, base=None, local=local, remote=remote)
