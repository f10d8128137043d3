"""Mount points inside a root: what is not mounted as it was last time is unknown, not deleted.

A pair's memory holds what was mounted inside each root, by mount point, with the identity that the store
gave it. A mount point at which nothing, or something else, is mounted now is *absent*: nothing is concluded
about what is known below it. So is a directory of the root itself over which something was mounted. It is no
longer absent when what was mounted there is back, when nothing is known below it any more, or when a
person says so (--yes). Decides nothing about files; `scan` asks, `guards` tells the person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncer.engine import paths
from syncer.engine.interfaces import BaseStore, Store
from syncer.engine.model import (
    Action,
    Entry,
    Kind,
    MakeDirectory,
    Move,
    Policy,
    Reason,
    RelPath,
    RemoveDirectory,
    Side,
)
from syncer.engine.scope import Places
from syncer.errors import LocalError, StoreError

WITNESSES = 16  # directories in which a file is looked for that only the same disk can show


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """One side: what is mounted inside its root now, and what is absent, with the reason in words."""

    now: Mapping[RelPath, str] = field(default_factory=dict)
    absent: Mapping[RelPath, str] = field(default_factory=dict)
    told: bool = False  # whether the store can tell at all

    def at(self, directory: RelPath) -> RelPath | None:
        """The mount point that a directory is on now; None where it is on the root's own file system."""
        return _covering(self.now, directory)

    def points_in(self, directory: RelPath) -> list[str]:
        """The names of the mount points directly in a directory."""
        return [name for above, name in map(paths.split, self.now) if above == directory]

    def absent_above(self, path: RelPath) -> RelPath | None:
        """The absent mount point that a path is at or below."""
        return _covering(self.absent, path)


NONE = Mounts()


def _covering(points: Mapping[RelPath, str], path: RelPath) -> RelPath | None:
    return next((up for up in paths.upwards(path) if up in points), None) if points else None


def judge(
    side: Side, store: Store, memory: BaseStore, now: Mapping[RelPath, str] | None, policy: Policy
) -> Mounts:
    """Compare the mounts now with those of the last run; reads listings where identities differ."""
    if now is None:
        return NONE
    known = remembered(memory, side)
    if known is None or policy.allow_deletes:
        return Mounts(now=now, told=True)
    absent: dict[RelPath, str] = {}
    for point in sorted({*known, *now}, key=paths.tree_key):
        if known.get(point) == now.get(point) or _covering(absent, point) is not None:
            continue
        if _moved(point, known, now) or not known_below(memory, point):
            continue
        if point in now and _is_same(side, store, memory, point):
            continue
        absent[point] = _reason(point, known, now)
    if absent and policy.accepted is not None and _count(memory, absent) <= policy.accepted:
        absent = {}
    return Mounts(now=now, absent=absent, told=True)


def _moved(point: RelPath, known: Mapping[RelPath, str], now: Mapping[RelPath, str]) -> bool:
    """Whether what was mounted there is mounted at another place in the root, as after a rename above it."""
    wanted = known.get(point)
    return (
        wanted is not None
        and point not in now
        and any(identity == wanted and known.get(place) != wanted for place, identity in now.items())
    )


def known_below(memory: BaseStore, point: RelPath) -> bool:
    """Whether anything is remembered of what is below."""
    return any(memory.rows(directory) for directory in _directories(memory, point))


def _count(memory: BaseStore, points: Mapping[RelPath, str]) -> int:
    """How many entries are known below these mount points, of which none is below another."""
    return sum(len(memory.rows(directory)) for point in points for directory in _directories(memory, point))


def _directories(memory: BaseStore, point: RelPath) -> list[RelPath]:
    known = memory.directories(Places(trees=frozenset({point})))
    return [path for path, _, _ in known if path == point or paths.is_below(path, point)]


def _is_same(side: Side, store: Store, memory: BaseStore, point: RelPath) -> bool:
    """Whether a known file is there with the very stamp it had: only the file system it was on shows that.

    Mount options, another kernel or a changed UUID may give a file system another identity.
    """
    for directory in _directories(memory, point)[:WITNESSES]:
        try:
            shown = store.list(directory).entries
        except (StoreError, LocalError):
            return False
        for name, row in memory.rows(directory).items():
            seen, version = shown.get(name), row.version(side)
            if isinstance(seen, Entry) and seen.kind is not Kind.DIRECTORY and seen.version == version:
                return True
    return False


def _reason(point: RelPath, known: Mapping[RelPath, str], now: Mapping[RelPath, str]) -> str:
    if point not in now:
        return "what was mounted there is not mounted now"
    if point in known:
        return "something else is mounted there than last time"
    return "something is mounted over what was synced there"


def remembered(memory: BaseStore, side: Side) -> Mapping[RelPath, str] | None:
    """What was mounted inside the root when it was looked at last; None where that was never told."""
    text = memory.get_setting(f"{side.value}_mounts")
    found: Mapping[RelPath, str] | None = json.loads(text) if text else None
    return found


def remember(memory: BaseStore, side: Side, mounts: Mounts) -> None:
    """What is mounted now, and what was where something is absent. Before anything is synced into it."""
    if not mounts.told:
        return
    before = remembered(memory, side)
    kept = {p: i for p, i in (before or {}).items() if mounts.absent_above(p) is not None}
    fresh = {p: i for p, i in mounts.now.items() if mounts.absent_above(p) is None}
    if before != {**kept, **fresh}:
        memory.set(**{f"{side.value}_mounts": json.dumps({**kept, **fresh}, sort_keys=True)})


def in_place(actions: Sequence[Action], mounted: Mapping[Side, Mounts]) -> list[Action]:
    """The actions with none that would remove or rename a mount point: the system refuses that (EBUSY).

    A directory that was removed on the other side comes back there, empty; instead of a rename what is in
    the directory moves.
    """
    if not any(mounts.now for mounts in mounted.values()):
        return list(actions)
    found: list[Action] = []
    for action in actions:
        if isinstance(action, Move) and action.origin in mounted[action.side].now:
            found += in_place(action.instead, mounted)
        elif isinstance(action, RemoveDirectory) and _holds_mount(mounted[action.side], action.path):
            back = MakeDirectory(path=action.path, reason=Reason.EDIT_BEATS_DELETE, side=action.side.other)
            found.append(action if action.clearing else back)
        else:
            found.append(action)
    return found


def _holds_mount(mounts: Mounts, path: RelPath) -> bool:
    return any(point == path or paths.is_below(point, path) for point in mounts.now)
