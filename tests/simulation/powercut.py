"""The disks that a power cut could leave: from a disk, the log of what happened since, and a cut.

What was synced before the cut is there. Each unsynced change of names is there or not,
independently of all others and of data (one call's changes at once: a rename is never half done);
unsynced data is as before, as after, cut short, empty or zeros. A change of names counts
as synced once *every* directory it touches was; this is harsher than journals are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.disk import Disk
from tests.simulation.inodes import ROOT, Barrier, Committed, Effect, Inode, Naming, Writing

PLAIN = ("lost", "kept", "names only", "data only")


@dataclass(frozen=True, slots=True)
class Choice:
    """What becomes of each unsynced thing."""

    keep_name: Callable[[], bool]
    data: Callable[[], str]  # lost, kept, empty, zeros or prefix
    fresh_stamp: Callable[[], bool]

    @classmethod
    def plain(cls, how: str) -> Choice:
        names = how in ("kept", "names only")
        data = {"lost": "lost", "kept": "kept", "names only": "empty", "data only": "kept"}[how]
        return cls(lambda: names, lambda: data, lambda: names)

    @classmethod
    def random(cls, seed: int) -> Choice:
        draw = random.Random(seed)
        share = draw.choice((0.2, 0.5, 0.8))
        return cls(
            lambda: draw.random() < share,
            lambda: draw.choice(("lost", "kept", "empty", "zeros", "prefix")),
            lambda: draw.random() < 0.7,
        )


def cut(start: Disk, log: Sequence[Effect], at: int, choice: Choice) -> Disk:
    """The disk that comes up after a power cut when the first `at` effects had happened."""
    happened = log[:at]
    barriers = _Barriers(happened)
    inodes = _data(start, happened, barriers, choice)
    for index, effect in enumerate(happened):
        if isinstance(effect, Naming):
            sure = all(barriers.names_are_safe(directory, index) for directory, _, _ in effect.changes)
            if sure or choice.keep_name():
                _apply(inodes, effect, choice)
    _tidy(inodes)
    return Disk(inodes, now_ns=start.clock.now_ns() + 10**11)


def image_at(log: Sequence[Effect], at: int, first: bytes) -> bytes:
    """The state database after the last commit before the cut: a commit that returned is durable."""
    images = [e.image for e in log[:at] if isinstance(e, Committed)]
    return images[-1] if images else first


class _Barriers:
    """Which effects were made durable by a later sync."""

    def __init__(self, happened: Sequence[Effect]) -> None:
        self._all: dict[int, list[tuple[int, bool]]] = {}
        for index, effect in enumerate(happened):
            if isinstance(effect, Barrier):
                self._all.setdefault(effect.inode, []).append((index, effect.worked))

    def names_are_safe(self, directory: int, index: int) -> bool:
        return any(at > index and worked for at, worked in self._of(directory))

    def data_is_safe(self, inode: int, index: int) -> bool:
        """By the first sync after the write: if that one failed, later ones do not try again."""
        return next((worked for at, worked in sorted(self._of(inode)) if at > index), False)

    def _of(self, inode: int) -> list[tuple[int, bool]]:
        return self._all.get(inode, []) + self._all.get(0, [])


def _data(start: Disk, happened: Sequence[Effect], barriers: _Barriers, choice: Choice) -> dict[int, Inode]:
    """Every inode there ever was, with the data and attributes that the cut left it."""
    sure = {n: i.copy() for n, i in start.inodes.items()}
    later: dict[int, Inode] = {}
    for index, effect in enumerate(happened):
        if isinstance(effect, Naming) and effect.born is not None:
            sure[effect.born.number] = effect.born.copy()
        elif isinstance(effect, Writing):
            number = effect.after.number
            safe = barriers.data_is_safe(number, index)
            (sure if safe else later)[number] = effect.after.copy()
    for number, newest in later.items():
        sure[number] = _survivor(sure[number], newest, choice.data())
    return sure


def _survivor(old: Inode, new: Inode, what: str) -> Inode:
    """One of the states in which unsynced writes may leave an inode. A directory's names are set later."""
    found = (old if what == "lost" else new).copy()
    found.entries = dict(old.entries)
    if what != "lost" and new.data != old.data:
        size = len(new.data)
        half = new.data[: size // 2]
        found.data = {"kept": new.data, "empty": b"", "zeros": bytes(size), "prefix": half}[what]
    return found


def _apply(inodes: dict[int, Inode], effect: Naming, choice: Choice) -> None:
    for directory, name, number in effect.changes:
        entries = inodes[directory].entries
        if number is None:
            entries.pop(name, None)
            continue
        entries[name] = number
        if choice.fresh_stamp():
            inodes[number].ctime_ns = effect.moment_ns


def _tidy(inodes: dict[int, Inode]) -> None:
    """As a check of the file system would: one name for a directory, right link counts, no orphans."""
    links: dict[int, int] = {ROOT: 2}
    pending = [ROOT]
    while pending:
        directory = inodes[pending.pop()]
        for name, number in list(directory.entries.items()):
            child = inodes[number]
            if not child.is_directory:
                links[number] = links.get(number, 0) + 1
            elif number in links:
                del directory.entries[name]
            else:
                links[number], child.up = 2, directory.number
                pending.append(number)
    for number in inodes.keys() - links.keys():
        del inodes[number]
    for number, count in links.items():
        inodes[number].links = count
