"""Absence confirmed where a service cannot replace a file in one step.

A client that overwrites a file on such a service moves the old one away and then gives the name to the new
one. A listing taken in between lacks the name, and another machine would delete its own copy for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from syncer.engine.model import RelPath, Seen

PAUSE = 2.0
"""Seconds between the two looks: several times what the two renames of a replacement take."""


def confirmed(
    paths: Sequence[RelPath], look: Callable[[RelPath], Seen], *, sleep: Callable[[float], None]
) -> list[Seen]:
    """What stands at each path, in order; None only for a name that was absent in two looks, `PAUSE` apart.

    RACE: a client that died between its two renames leaves the name absent until its next run; the content
    is then in the service's trash and, on every other machine, in the trash of the deletion.
    """
    seen = [look(path) for path in paths]
    if None in seen:
        sleep(PAUSE)
        seen = [look(path) if found is None else found for path, found in zip(paths, seen, strict=True)]
    return seen
