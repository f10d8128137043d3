"""Resolutions of conflicts of policy `ask`, stored in the state until the next run applies them.

A resolution is bound to the size and mtime of both sides when the conflict was found. An edit of either side
since then voids it: the user has not seen that content.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncer.engine.interfaces import BaseStore, Store
from syncer.engine.model import ConflictPolicy, Entry, RelPath

if TYPE_CHECKING:
    from syncer.state import ConflictSide, OpenConflict

TAKES = {"local": ConflictPolicy.LOCAL, "remote": ConflictPolicy.REMOTE, "both": ConflictPolicy.KEEP_BOTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictChoices:
    """Resolutions that are valid, and paths whose resolution is void because a side changed since."""

    valid: dict[RelPath, ConflictPolicy] = field(default_factory=dict)
    void: tuple[RelPath, ...] = ()


def _key(path: RelPath) -> str:
    return f"choice.{os.fsencode(path).hex()}"  # a setting's key is text, a path need not be


def choose(memory: BaseStore, conflicts: Iterable[OpenConflict], take: str) -> None:
    """Store a resolution for conflicts. `take` is a key of TAKES."""
    memory.set(**{_key(conflict.path): take for conflict in conflicts})


def chosen(memory: BaseStore, path: RelPath) -> str:
    """The stored resolution of a path, "" for none."""
    return memory.get_setting(_key(path))


def made(memory: BaseStore, conflicts: Iterable[OpenConflict]) -> list[RelPath]:
    """The paths with a stored resolution that no run has applied yet."""
    return [conflict.path for conflict in conflicts if chosen(memory, conflict.path)]


def collect(
    memory: BaseStore, conflicts: Iterable[OpenConflict], local: Store, remote: Store
) -> ConflictChoices:
    """The stored resolutions of the open conflicts, checked against what both sides show now.

    RACE: an edit between this look and the run's own loses the name it had, and is in the trash.
    """
    valid: dict[RelPath, ConflictPolicy] = {}
    void: list[RelPath] = []
    for conflict in conflicts:
        take = TAKES.get(chosen(memory, conflict.path))
        if take is None:
            continue
        shown = _shows(local, conflict.path, conflict.local) and _shows(
            remote, conflict.path, conflict.remote
        )
        if shown:
            valid[conflict.path] = take
        else:
            void.append(conflict.path)
    return ConflictChoices(valid=valid, void=tuple(void))


def forget(memory: BaseStore, paths: Iterable[RelPath]) -> None:
    """Delete resolutions that were applied or are void."""
    keys = {_key(path): "" for path in paths}
    if keys:
        memory.set(**keys)


def _shows(store: Store, path: RelPath, then: ConflictSide) -> bool:
    now = store.stat(path)
    return isinstance(now, Entry) and (now.size, now.mtime_ns) == (then.size, then.mtime_ns)
