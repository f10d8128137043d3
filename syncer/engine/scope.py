"""The scope of a run: everywhere, or only the directories in which something may have changed.

A scope decides nothing. Whatever is looked at is listed whole on both sides and judged as in any run; what
lies outside is not looked at, and nothing is concluded about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from syncer.engine.model import RelPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Directories of one side: single ones, and ones with everything that is known below them."""

    directories: frozenset[RelPath] = frozenset()
    trees: frozenset[RelPath] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.directories or self.trees)

    def __or__(self, other: Places) -> Places:
        return Places(directories=self.directories | other.directories, trees=self.trees | other.trees)

    @property
    def everywhere(self) -> bool:
        """Whether nothing is left out."""
        return "" in self.trees


NOWHERE = Places()
EVERYWHERE = Places(trees=frozenset({""}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where to look on either side."""

    local: Places = field(default=EVERYWHERE)
    remote: Places = field(default=EVERYWHERE)

    def __bool__(self) -> bool:
        return bool(self.local or self.remote)

    def __or__(self, other: Scope) -> Scope:
        return Scope(local=self.local | other.local, remote=self.remote | other.remote)

    @property
    def everywhere(self) -> bool:
        """Whether it is an ordinary, full run."""
        return self.local.everywhere and self.remote.everywhere


def on_both_sides(directories: Iterable[RelPath]) -> Scope:
    """These single directories, on either side."""
    places = Places(directories=frozenset(directories))
    return Scope(local=places, remote=places)


EVERYTHING = Scope()
NOTHING = Scope(local=NOWHERE, remote=NOWHERE)
