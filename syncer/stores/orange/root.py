"""The root folder of an Orange store: whether it exists, its marker, its creation.

.syncer/root-id     the marker: one line
"""

from __future__ import annotations

from syncer.engine.interfaces import RootState
from syncer.engine.paths import PRIVATE, is_private, printable, split
from syncer.errors import NotFound, PermanentError, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.orange.context import OrangeRoot
from syncer.stores.orange.download import small
from syncer.stores.orange.items import Folder
from syncer.stores.orange.listing import OrangeLister
from syncer.stores.orange.moves import carry, ensure, make
from syncer.stores.orange.staging import OrangeStaging
from syncer.stores.orange.trash import OrangeTrash
from syncer.stores.stale import StaleError

MARKER = f"{PRIVATE}/root-id"
SETTLING = 2.0  # seconds after which the marker of another machine's first run shows
_LONGEST = 1024  # bytes of a marker worth reading


def state(root: OrangeRoot, lister: OrangeLister) -> RootState | None:
    """The state of the root; None if there is none. Raises StoreError."""
    found = root.stat("")
    if found is None:
        return None
    if not isinstance(found, Folder):
        raise PermanentError(f"{root.base}: a file, not a folder", path=root.base)
    marker = small(root, MARKER, _LONGEST).decode("ascii", "replace").strip()
    try:
        empty = all(is_private(name, at_root=True) for name in lister.children(root.base))
    except NotFound:
        return None
    return RootState(marker=marker, device="", empty=empty)


def create(root: OrangeRoot, staging: OrangeStaging) -> None:
    """Make the root folder.

    Raises NotFound if its parent is missing, PermanentError if a file is in the way.
    """
    found = root.stat("")
    if found is not None and not isinstance(found, Folder):
        raise PermanentError(f"{root.base}: a file, not a folder", path=root.base)
    if found is not None:
        return
    if root.seek("") is None:  # the application's own folder comes with the first file in it
        staging.begin()
    if not root.base:
        return
    parent = split(root.base)[0]
    if not isinstance(root.seek(parent), Folder):
        raise NotFound(f"{printable(parent)}: no such folder", path=parent)
    try:
        make(root, root.base)
    except StaleError as error:
        raise PermanentError(str(error), path=root.base) from error


def mark(
    root: OrangeRoot, staging: OrangeStaging, trash: OrangeTrash, marker: str, *, only_first: bool = False
) -> None:
    """Writes the marker whole or not at all: a former one is in the trash before the new one has its name.

    `only_first`: one that is there stands; two machines that find none at once both look again after a while.
    """
    content = f"{marker}\n".encode("ascii")
    if not isinstance(root.stat(""), Folder):
        raise NotFound(f"{root.base}: no such folder", path=root.base)
    try:
        ensure(root, root.at(PRIVATE))
        body = Body(open=lambda: (content,), length=len(content))
        place, file = staging.sent(PRIVATE, body, about=MARKER)
        former = root.stat(MARKER)
        if former is not None and only_first:
            return
        if former is not None:
            trash.keep(MARKER, former)
        carry(root, file, place, root.at(MARKER))
        staging.named(place)
    except StaleError as error:
        raise TransientError(f"{root.base}: the root could not be marked: {error}") from error
    if only_first:
        return root.api.session.clock.sleep(SETTLING)
    if small(root, MARKER, _LONGEST) != content:
        raise TransientError(f"{root.at(MARKER)}: it did not arrive as it was sent")
