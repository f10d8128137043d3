"""The root directory of a SmartFile store: its marker, its creation, case sensitivity.

.syncer/root-id     the marker: one line
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import RootState
from syncer.engine.paths import PRIVATE, split
from syncer.errors import NotFound, PermanentError, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.smartfile.context import SmartFileRoot, look, move
from syncer.stores.smartfile.download import small
from syncer.stores.smartfile.listing import SmartFileLister
from syncer.stores.smartfile.staging import SmartFileStaging
from syncer.stores.smartfile.trash import SmartFileTrash
from syncer.stores.stale import StaleError

MARKER = f"{PRIVATE}/root-id"
SETTLING = 2.0  # seconds after which the marker of another machine's first run shows
_TWIN = f"{PRIVATE.upper()}/ROOT-ID"
_LONGEST = 1024  # bytes of a marker worth reading


def state(root: SmartFileRoot, lister: SmartFileLister) -> RootState | None:
    """The state of the root; None if there is none. Raises StoreError."""
    found = root.stat("")
    if found is None:
        return None
    if not found.directory:
        raise PermanentError(f"{root.at('')}: a file, not a folder", path=root.at(""))
    marker = small(root, MARKER, _LONGEST).decode("ascii", "replace").strip()
    if marker:
        folds(root)
    return RootState(marker=marker, device="", empty=not lister.holds_anything(root.at("")))


def folds(root: SmartFileRoot) -> None:
    """Find out whether the service folds case: the marker is looked for by its name in capitals."""
    twin = look(root.api, root.at(_TWIN)) is not None
    root.capabilities = replace(root.capabilities, folds_case=twin)


def create(root: SmartFileRoot) -> None:
    """Make the root. Raises NotFound if its parent is missing, PermanentError if a file is in the way."""
    if not root.root:
        return
    found = root.stat("")
    if found is not None and not found.directory:
        raise PermanentError(f"{root.root}: a file, not a folder", path=root.root)
    if found is not None:
        return
    parent = split(root.root)[0]
    if look(root.api, parent or "/") is None:
        raise NotFound(f"{parent}: no such folder", path=parent)
    root.api.mkdir(root.root)


def mark(
    root: SmartFileRoot,
    staging: SmartFileStaging,
    trash: SmartFileTrash,
    marker: str,
    *,
    only_first: bool = False,
) -> None:
    """Writes the marker whole or not at all: a former one is in its place until the new one is complete.

    `only_first`: one that is there stands; two machines that find none at once both look again after a while.
    """
    content = f"{marker}\n".encode("ascii")
    if root.stat("") is None:
        raise NotFound(f"{root.at('')}: no such folder", path=root.at(""))
    root.api.mkdir(root.at(PRIVATE))
    directory, name = staging.place()
    root.api.upload(directory, name, Body(open=lambda: (content,), length=len(content)))
    former = root.stat(MARKER)
    if former is not None and only_first:
        return
    if former is not None:
        try:
            trash.keep(MARKER, former)
        except StaleError as error:
            raise TransientError(f"{root.at('')}: the root could not be marked: {error}") from error
    move(root.api, f"{directory}/{name}", root.at(MARKER))
    if only_first:
        root.api.session.clock.sleep(SETTLING)
    elif small(root, MARKER, _LONGEST) != content:
        raise TransientError(f"{root.at(MARKER)}: it did not arrive as it was sent")
    folds(root)
