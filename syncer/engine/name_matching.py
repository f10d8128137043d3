"""Matches the names of both sides where a side does not tell case or Unicode form apart.

Pure. Where both sides tell all names apart (the usual case) a name is itself. A side that folds finds a name
by any spelling, and shows the one it was given. Two spellings of one name are told apart as contents are: the
side whose spelling is not the agreed one was renamed, and the other side follows. Two names of one side that
the other side would take for one are never merged: one goes on, the other is a clash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import (
    SIDES,
    BaseEntry,
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    Seen,
    Side,
)
from syncer.engine.paths import fold

Names = Mapping[str, Entry | BlockedEntry]
Fixed = Callable[[Side, str], bool]  # whether a name of a side cannot be renamed, whatever the store can do


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTriple:
    """One name as the base, the local and the remote side have it.

    `superseded`: how the base spells it, and `behind`: a side that spells it so as well (or in a third way:
    `spelling`), and is to be renamed. Empty where all agree.
    """

    name: str
    base: BaseEntry | None
    local: Seen
    remote: Seen
    superseded: str = ""
    behind: Side | None = None
    spelling: str = ""

    def seen(self, side: Side) -> Seen:
        return self.local if side is Side.LOCAL else self.remote


def pair(
    base: Mapping[str, BaseEntry],
    local: Names,
    remote: Names,
    able: Mapping[Side, Capabilities],
    *,
    source: Side | None = None,
    fixed: Fixed = lambda side, name: False,
) -> Iterator[NameTriple]:
    """All names of one directory, in order; a clash appears as an obstacle on its side.

    `source`: the side that a one-way job only reads, whose spelling is right.
    """
    case = any(c.folds_case for c in able.values())
    form = any(c.folds_form for c in able.values())
    if not case and not form:
        for name in sorted({*base, *local, *remote}):
            yield NameTriple(name=name, base=base.get(name), local=local.get(name), remote=remote.get(name))
        return
    groups: dict[str, set[str]] = {}
    for name in (*base, *local, *remote):
        groups.setdefault(fold(name, case=case, form=form), set()).add(name)
    for _, spellings in sorted(groups.items()):
        if len(spellings) == 1:
            (name,) = spellings
            yield NameTriple(name=name, base=base.get(name), local=local.get(name), remote=remote.get(name))
        else:
            group = _Group(sorted(spellings), base, {Side.LOCAL: local, Side.REMOTE: remote}, able)
            yield group.united(source, fixed)
            yield from group.clashes()


class _Group:
    """Several spellings of what a folding side takes for one name."""

    def __init__(
        self,
        spellings: list[str],
        base: Mapping[str, BaseEntry],
        names: Mapping[Side, Names],
        able: Mapping[Side, Capabilities],
    ) -> None:
        self._spellings = spellings
        self._base = base
        self._names = names
        self._able = able
        self._chosen = {side: self._one_of(side) for side in SIDES}

    def _one_of(self, side: Side) -> str:
        """The spelling that goes on: the agreed one, else one the other side has too, else the first."""
        there = [s for s in self._spellings if s in self._names[side]]
        for preferred in (self._base, self._names[side.other]):
            for spelling in there:
                if spelling in preferred:
                    return spelling
        return there[0] if there else ""

    def united(self, source: Side | None, fixed: Fixed) -> NameTriple:
        """The name that all of them stand for."""
        there = {side: spelling for side, spelling in self._chosen.items() if spelling}
        row = next((s for s in (*there.values(), *self._spellings) if s in self._base), "")
        name = self._name(there, row, source)
        behind = next((side for side, spelling in there.items() if self._differs(side, name, spelling)), None)
        if behind is not None and not self._can_follow(behind, name, fixed):
            name, behind = self._as_both_find_it(), None
        seen = {side: self._names[side].get(spelling) for side, spelling in self._chosen.items()}
        return NameTriple(
            name=name,
            base=self._base.get(row),
            local=seen[Side.LOCAL],
            remote=seen[Side.REMOTE],
            superseded=row if row != name else "",
            behind=behind,
            spelling=there[behind] if behind is not None else "",
        )

    def _name(self, there: Mapping[Side, str], row: str, source: Side | None) -> str:
        """The later spelling; that of a side which tells names apart where nothing says which one is."""
        if len(set(there.values())) < 2:
            return next((s for side, s in there.items() if not row or self._differs(side, row, s)), row)
        if source is not None:
            return there[source]
        news = [side for side, spelling in there.items() if row and self._differs(side, row, spelling)]
        return there[news[0]] if len(news) == 1 else self._as_both_find_it()

    def _as_both_find_it(self) -> str:
        """A spelling by which neither side misses the name: a side that folds finds it by any."""
        strict = next((s for s in reversed(SIDES) if self._chosen[s] and not self._folds(s)), None)
        return self._chosen[strict] if strict is not None else next(filter(None, self._chosen.values()))

    def _folds(self, side: Side) -> bool:
        return self._able[side].folds_case or self._able[side].folds_form

    def _differs(self, side: Side, name: str, spelling: str) -> bool:
        """Whether a side that was given the name would not show this spelling of it."""
        able = self._able[side]
        case, form = not able.keeps_case, not able.keeps_form
        return fold(name, case=case, form=form) != fold(spelling, case=case, form=form)

    def _can_follow(self, side: Side, name: str, fixed: Fixed) -> bool:
        """Whether the side can spell it so."""
        if name in self._names[side]:
            return False  # by that name it has another one, which clashes
        mine, other = (self._names[s].get(self._chosen[s]) for s in (side, side.other))
        if not (isinstance(mine, Entry) and isinstance(other, Entry)):
            return False
        directory = mine.kind is Kind.DIRECTORY
        able = self._able[side].moves_directories if directory else self._able[side].moves
        return able and not fixed(side, self._chosen[side])

    def clashes(self) -> Iterator[NameTriple]:
        for spelling in self._spellings:
            for side in SIDES:
                if spelling in self._names[side] and spelling != self._chosen[side]:
                    yield _clash(spelling, self._chosen[side], side)


def _clash(name: str, other: str, side: Side) -> NameTriple:
    obstacle = BlockedEntry(
        BlockReason.CLASH, f"the other side cannot tell it from {other!r}; rename one of them"
    )
    local, remote = (obstacle, None) if side is Side.LOCAL else (None, obstacle)
    return NameTriple(name=name, base=None, local=local, remote=remote)
