"""A tree cut into its directories while it streams by, sorted by name: memory for one branch at a time.

Pure. Names come by bytes, so what is below `a/` is together, but after `a.txt`; a directory is complete when
a name outside of it comes. It exists by a marker, or by anything below it. An object beside a directory of
the same name is an obstacle: neither is guessed away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from syncer.engine.fingerprint import fingerprint
from syncer.engine.model import Entry, Kind, Listing, Obstacle, RelPath, Trouble
from syncer.engine.paths import join, printable
from syncer.errors import Unreadable
from syncer.stores.swift.overlay import Shown, split_at_strange

DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
CLASH = Obstacle(Trouble.CLASH, "an object and a directory have this name")

_MOST, _ENTRY = 128 << 20, 360  # bytes that the entries of one directory may take, and about what one takes
Cut = tuple[RelPath, Listing]


@dataclass(slots=True)
class _Branch:
    path: RelPath
    entries: dict[str, Entry | Obstacle] = field(default_factory=dict)
    unopened: set[str] = field(default_factory=set)  # directories of which only a marker came so far
    size: int = 0  # bytes of the entries, about


class Cutter:
    """Takes what is shown, in order, and gives directories as they are complete: those below first."""

    def __init__(self) -> None:
        self._open = [_Branch("")]

    def add(self, shown: Shown) -> Iterator[Cut]:
        """One object. Its path ends in a slash where its name does. Raises Unreadable for too many."""
        path, seen = shown
        if isinstance(seen, Obstacle) and seen.trouble is Trouble.UNSAFE_NAME:
            parts, leaf = split_at_strange(path)
        elif path.endswith("/"):
            yield from self._turn_to(path.removesuffix("/").split("/"))
            if isinstance(seen, Obstacle):
                self._open[-1].entries["/"] = seen
            return
        else:
            *parts, leaf = path.split("/")
        yield from self._turn_to(parts)
        branch = self._open[-1]
        branch.entries[leaf] = CLASH if leaf in branch.entries else seen
        branch.size += _ENTRY + len(leaf)
        if branch.size > _MOST:
            raise too_many(branch.path)
        if isinstance(seen, Entry) and seen.kind is Kind.DIRECTORY:
            branch.unopened.add(leaf)

    def end(self) -> Iterator[Cut]:
        """What is still open, the root last."""
        while self._open:
            yield from self._close()

    def _turn_to(self, parts: list[str]) -> Iterator[Cut]:
        common = 0
        here = self._open[-1].path.split("/") if self._open[-1].path else []
        while common < min(len(parts), len(here)) and parts[common] == here[common]:
            common += 1
        while len(self._open) > common + 1:
            yield from self._close()
        for name in parts[common:]:
            branch = self._open[-1]
            there = branch.entries.setdefault(name, DIRECTORY)
            if there != DIRECTORY:
                branch.entries[name] = CLASH
            branch.unopened.discard(name)
            branch.size += _ENTRY + len(name)
            if branch.size > _MOST:
                raise too_many(branch.path)
            self._open.append(_Branch(join(branch.path, name)))

    def _close(self) -> Iterator[Cut]:
        branch = self._open.pop()
        for name in sorted(branch.unopened):
            yield join(branch.path, name), listing_of({})
        yield branch.path, listing_of(branch.entries)


def listing_of(entries: dict[str, Entry | Obstacle]) -> Listing:
    """With its fingerprint, where all of it can be judged."""
    sound = [(name, e.version) for name, e in entries.items() if isinstance(e, Entry)]
    whole = len(sound) == len(entries)
    return Listing(entries=entries, fingerprint=fingerprint(sound) if whole else None)


def too_many(path: RelPath) -> Unreadable:
    """What a directory is that has no end, or could not be held."""
    return Unreadable(
        f"{printable(path) or 'the root'}: the service lists more in one directory than can be held "
        f"in memory ({_MOST >> 20} MiB)",
        hint="spread the files over several directories, or leave this one out with `ignore`",
        path=path,
    )
