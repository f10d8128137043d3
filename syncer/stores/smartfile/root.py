"""The root itself: is it there, whose is it, does the service tell its names apart.

    .syncer/root-id     the marker: one line

It is made and marked here; what stands below it is settled elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import RootState
from syncer.engine.paths import PRIVATE, split
from syncer.errors import NotFound, PermanentError, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.smartfile.context import SmartFileContext
from syncer.stores.smartfile.download import small
from syncer.stores.smartfile.listing import Lister
from syncer.stores.smartfile.trash import look, move

MARKER = f"{PRIVATE}/root-id"
SETTLING = 2.0  # seconds after which the marker of another machine's first run shows
_TWIN = f"{PRIVATE.upper()}/ROOT-ID"
_LONGEST = 1024  # bytes of a marker worth reading


def state(ground: SmartFileContext, lister: Lister) -> RootState | None:
    """What stands at the root; None if nothing does. Raises StoreError."""
    found = ground.look("")
    if found is None:
        return None
    if not found.directory:
        raise PermanentError(f"{ground.at('')}: a file, not a folder", path=ground.at(""))
    marker = small(ground, MARKER, _LONGEST).decode("ascii", "replace").strip()
    if marker:
        folds(ground)
    return RootState(marker=marker, device="", empty=not lister.holds_anything(ground.at("")))


def folds(ground: SmartFileContext) -> None:
    """Finds out by the marker's name whether case counts at this service."""
    twin = look(ground.api, ground.at(_TWIN)) is not None
    ground.able = replace(ground.able, folds_case=twin)


def create(ground: SmartFileContext) -> None:
    """Raises NotFound where the parent is not there, PermanentError where a file is in the way."""
    if not ground.root:
        return
    found = ground.look("")
    if found is not None and not found.directory:
        raise PermanentError(f"{ground.root}: a file, not a folder", path=ground.root)
    if found is not None:
        return
    parent = split(ground.root)[0]
    if look(ground.api, parent or "/") is None:
        raise NotFound(f"{parent}: no such folder", path=parent)
    ground.api.mkdir(ground.root)


def mark(ground: SmartFileContext, marker: str, *, only_first: bool = False) -> None:
    """Writes the marker whole or not at all: a former one is in its place until the new one is complete.

    `only_first`: one that is there stands; two machines that find none at once both look again after a while.
    """
    content = f"{marker}\n".encode("ascii")
    if ground.look("") is None:
        raise NotFound(f"{ground.at('')}: no such folder", path=ground.at(""))
    ground.api.mkdir(ground.at(PRIVATE))
    directory, name = ground.staging.place()
    ground.api.upload(directory, name, Body(open=lambda: (content,), length=len(content)))
    former = ground.look(MARKER)
    if former is not None and only_first:
        return
    if former is not None:
        ground.trash.keep(MARKER)
    move(ground.api, f"{directory}/{name}", ground.at(MARKER))
    if only_first:
        ground.api.session.clock.sleep(SETTLING)
    elif small(ground, MARKER, _LONGEST) != content:
        raise TransientError(f"{ground.at(MARKER)}: it did not arrive as it was sent")
    folds(ground)
