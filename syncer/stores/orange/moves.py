"""Renames, moves and new folders on Orange's API, which may lose a reply or choose a name itself.

The API renames in one call and moves in another, answers with a new id or with nothing at all, and its
behaviour for a taken name is not documented: it may refuse, choose another name, or replace. These functions
give an item exactly the wanted name, or put it back. Paths here are those of the account.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from syncer.engine.model import RelPath
from syncer.engine.paths import TEMPORARY, join, printable, split
from syncer.errors import (
    NotFound,
    PermanentError,
    PreconditionFailed,
    StoreError,
    TransientError,
    Unholdable,
)
from syncer.stores.orange.context import Item, OrangeRoot
from syncer.stores.orange.items import Folder
from syncer.stores.remote.effects import move_once
from syncer.stores.stale import StaleError


def carry(root: OrangeRoot, item: Item, origin: RelPath, target: RelPath, *, tag: str = "syncer") -> Item:
    """Give an item another path; the item that stands there then.

    Raises StaleError if the target is taken or the origin gone, Unholdable if the service refuses the name,
    StoreError. After a TransientError it is unknown where the item is.
    """
    origin_folder, origin_name = split(origin)
    target_folder, name = split(target)
    if origin_folder == target_folder:
        return _rename(root, item, origin, name)
    if origin_name == name:
        return _move(root, item, origin, target_folder)
    # Both change: by way of a private name, so that neither folder ever shows the item under a name that is
    # another user's. If the process dies in between, the next run sweeps the private name into the trash.
    private = f"{TEMPORARY}{tag}{secrets.token_hex(4)}"
    item = _rename(root, item, origin, private)
    try:
        item = _move(root, item, join(origin_folder, private), target_folder)
    except (StoreError, StaleError):
        _rename(root, item, join(origin_folder, private), origin_name)
        raise
    try:
        return _rename(root, item, join(target_folder, private), name)
    except (StoreError, StaleError):
        item = _move(root, item, join(target_folder, private), origin_folder)
        _rename(root, item, join(origin_folder, private), origin_name)
        raise


def _rename(root: OrangeRoot, item: Item, origin: RelPath, name: str) -> Item:
    folder, target = isinstance(item, Folder), join(split(origin)[0], name)
    reply = _once(root, origin, target, lambda: root.api.rename(item.id, name, folder=folder, about=target))
    if reply is not None and reply.name != name:
        _undo(lambda: root.api.rename(reply.id, split(origin)[1], folder=folder))
        raise _misnamed(root, target, reply)
    return _arrived(root, origin, target, reply, folder=folder)


def _move(root: OrangeRoot, item: Item, origin: RelPath, target_folder: RelPath) -> Item:
    folder, name = isinstance(item, Folder), split(origin)[1]
    target, parent = join(target_folder, name), root.folder_id(target_folder)
    reply = _once(root, origin, target, lambda: root.api.move(item.id, parent, folder=folder, about=target))
    if reply is not None and reply.name != name:

        def move_back() -> None:
            moved = root.api.move(reply.id, root.folder_id(split(origin)[0]), folder=folder)
            if moved is not None and moved.name != name:
                root.api.rename(moved.id, name, folder=folder)

        _undo(move_back)
        raise _misnamed(root, target, reply)
    return _arrived(root, origin, target, reply, folder=folder)


def _once(
    root: OrangeRoot, origin: RelPath, target: RelPath, call: Callable[[], Folder | None]
) -> Folder | None:
    """Make the call, once: after a lost reply a look decides (`effects.move_once`)."""
    try:
        return move_once(call, origin=lambda: root.seek(origin), target=lambda: root.seek(target))
    except NotFound:
        root.ids.forget(origin)
        raise StaleError(f"{printable(origin)} or its new place is gone") from None


def _arrived(
    root: OrangeRoot, origin: RelPath, target: RelPath, reply: Folder | None, *, folder: bool
) -> Item:
    root.ids.forget(origin)
    root.ids.forget(target)
    if reply is not None:
        root.ids.learn(target, reply.id, folder=folder)
    item = root.seek(target)
    if item is None or isinstance(item, Folder) is not folder:
        raise StaleError(f"{printable(target)}: what was renamed is not there (any more)")
    return item


def _misnamed(root: OrangeRoot, target: RelPath, reply: Folder) -> Exception:
    """The error for another name than requested: the name is taken, or the service does not allow it."""
    root.ids.forget(target)
    if root.seek(target) is not None:
        return StaleError(f"{printable(target)} is there by now")
    return Unholdable(
        f"{printable(target)}: the service would call it {printable(reply.name)!r}", path=target
    )


def _undo(call: Callable[[], object]) -> None:
    try:
        call()
    except StoreError:
        return  # the item stays under the name that the service chose: it is listed, and not lost


def ensure(root: OrangeRoot, path: RelPath) -> None:
    """Make a folder of ours, and those above it, below a root that stands. Raises StoreError."""
    if path == root.base or isinstance(root.seek(path), Folder):
        return
    ensure(root, split(path)[0])
    make(root, path)


def make(root: OrangeRoot, path: RelPath) -> Folder:
    """Make a folder in one that stands; a folder that another client made in the meantime will do.

    Raises StaleError if the name is taken by a file, Unholdable, NotFound, StoreError.
    """
    parent, name = split(path)
    try:
        reply = root.api.make(name, root.folder_id(parent), about=path)
    except (TransientError, PreconditionFailed):  # the reply was lost, or the name is taken: a look decides
        reply = None
    if reply is not None and reply.name != name:
        misnamed = reply

        def remove_empty() -> None:
            page = root.api.page(misnamed.id)
            if page.files or page.folders:  # the API's deletion would take the content along
                raise PermanentError("the folder is not empty")
            root.api.delete(misnamed.id, folder=True)

        _undo(remove_empty)
        root.ids.forget(path)
        if not isinstance(root.seek(path), Folder):
            raise _misnamed(root, path, misnamed)
        reply = None
    if reply is not None:
        root.ids.learn(path, reply.id, folder=True)
    item = root.seek(path)
    if item is None:
        raise TransientError(f"{printable(path)}: it could not be made", path=path)
    if not isinstance(item, Folder):
        raise StaleError(f"{printable(path)} is there by now, and no directory")
    return item
