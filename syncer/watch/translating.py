"""watchdog's events as places. Pure; what an event means beyond its directory is not asked.

Systems name a change in many ways, and some events in a wrong order: a directory too many is harmless.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from watchdog.events import FileSystemEvent

from syncer.engine.model import RelPath
from syncer.engine.paths import is_private, parts
from syncer.engine.scope import NOWHERE, Places
from syncer.watch.troubles import Break

_QUIET = ("opened", "closed_no_write")  # kinds of events in which nothing changed
_BORN = ("created", "moved")


@dataclass(unsafe_hash=True)
class Noticed(FileSystemEvent):
    """What our own observer tells: all that one reading brought, as one event."""

    event_type = "noticed"
    places: Places = NOWHERE
    breaks: tuple[Break, ...] = ()
    number: int = 0  # errno, of REFUSED


def places_of(event: FileSystemEvent, root: str) -> Places:
    """Where something may have happened, relative to the root."""
    if isinstance(event, Noticed):
        return event.places
    if event.event_type in _QUIET:
        return NOWHERE
    directories: set[RelPath] = set()
    trees: set[RelPath] = set()
    for path in _paths(event, root):
        directories.add(path.rpartition("/")[0])
        if event.is_directory:
            (trees if path and event.event_type in _BORN else directories).add(path)
    return Places(directories=frozenset(directories), trees=frozenset(trees))


def breaks_of(event: FileSystemEvent, root: str) -> tuple[Break, ...]:
    """What is wrong with the watching itself."""
    if isinstance(event, Noticed):
        return event.breaks
    left = event.is_directory and event.event_type in ("deleted", "moved")
    return (Break.UPROOTED,) if left and os.fsdecode(event.src_path) == root else ()


def _paths(event: FileSystemEvent, root: str) -> Iterator[RelPath]:
    """The event's paths below the root that are not ours alone."""
    for given in (event.src_path, event.dest_path):
        name = os.fsdecode(given)
        if name == root:
            yield ""
        elif name.startswith(root.rstrip("/") + "/"):
            path = name[len(root.rstrip("/")) + 1 :]
            if not any(is_private(part, at_root=n == 0) for n, part in enumerate(parts(path))):
                yield path
