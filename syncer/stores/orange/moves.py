"""Renames and moves whose answer may get lost, or whose name the service may choose itself.

The API renames in one call and moves in another, answers with a new id or with nothing at all, and what it
does with a taken name nobody wrote down: it may refuse, choose another name, or replace. Which item a
change takes is for the callers; here it gets exactly the wanted name, or is put back.
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
from syncer.stores.orange.context import Item, OrangeContext
from syncer.stores.orange.items import Folder
from syncer.stores.stale import StaleError

TRIES = 3


def carry(
    ground: OrangeContext, item: Item, origin: RelPath, target: RelPath, *, tag: str = "syncer"
) -> Item:
    """Gives an item of the account another path, and says what stands there then.

    Both paths are the account's. Raises Unexpected where the target is taken or the origin gone, Unholdable
    where the service will not have the name, StoreError. After a TransientError nobody knows.
    """
    around, name = split(target)
    if split(origin)[0] == around:
        return _renamed(ground, item, origin, name)
    if split(origin)[1] == name:
        return _moved(ground, item, origin, around)
    private = f"{TEMPORARY}{tag}{secrets.token_hex(4)}"  # what a death in between leaves is swept
    between, beyond = join(split(origin)[0], private), join(around, private)
    item = _renamed(ground, item, origin, private)
    try:
        item = _moved(ground, item, between, around)
    except (StoreError, StaleError):
        _renamed(ground, item, between, split(origin)[1])
        raise
    try:
        return _renamed(ground, item, beyond, name)
    except (StoreError, StaleError):
        _renamed(ground, _moved(ground, item, beyond, split(origin)[0]), between, split(origin)[1])
        raise


def _renamed(ground: OrangeContext, item: Item, origin: RelPath, name: str) -> Item:
    folder, target = isinstance(item, Folder), join(split(origin)[0], name)
    told = _certain(
        ground, origin, target, lambda: ground.api.rename(item.id, name, folder=folder, about=target)
    )
    if told is not None and told.name != name:
        _undo(lambda: ground.api.rename(told.id, split(origin)[1], folder=folder))
        raise _misnamed(ground, target, told)
    return _arrived(ground, origin, target, told, folder=folder)


def _moved(ground: OrangeContext, item: Item, origin: RelPath, around: RelPath) -> Item:
    folder, target = isinstance(item, Folder), join(around, split(origin)[1])
    above = ground.folder_id(around)
    told = _certain(
        ground, origin, target, lambda: ground.api.move(item.id, above, folder=folder, about=target)
    )
    if told is not None and told.name != split(target)[1]:
        _undo(lambda: _back(ground, told, origin, folder=folder))
        raise _misnamed(ground, target, told)
    return _arrived(ground, origin, target, told, folder=folder)


def _back(ground: OrangeContext, told: Folder, origin: RelPath, *, folder: bool) -> None:
    again = ground.api.move(told.id, ground.folder_id(split(origin)[0]), folder=folder)
    if again is not None and again.name != split(origin)[1]:
        ground.api.rename(again.id, split(origin)[1], folder=folder)


def _certain(
    ground: OrangeContext, origin: RelPath, target: RelPath, call: Callable[[], Folder | None]
) -> Folder | None:
    """Calls until it is known to have taken effect: a lost answer is looked for, not asked for again."""
    for attempt in range(TRIES):
        try:
            return call()
        except NotFound:
            ground.ids.forget(origin)
            raise StaleError(f"{printable(origin)} or its new place is gone") from None
        except TransientError:
            here, there = ground.seek(origin), ground.seek(target)
            if here is None and there is not None:
                return None
            if here is None or there is not None or attempt + 1 == TRIES:
                raise
    raise AssertionError("unreachable")


def _arrived(
    ground: OrangeContext, origin: RelPath, target: RelPath, told: Folder | None, *, folder: bool
) -> Item:
    ground.ids.forget(origin)
    ground.ids.forget(target)
    if told is not None:
        ground.ids.learn(target, told.id, folder=folder)
    found = ground.seek(target)
    if found is None or isinstance(found, Folder) is not folder:
        raise StaleError(f"{printable(target)}: what was renamed is not there (any more)")
    return found


def _misnamed(ground: OrangeContext, target: RelPath, told: Folder) -> Exception:
    """The service gave another name: because the wanted one is taken, or because it does not like it."""
    ground.ids.forget(target)
    if ground.seek(target) is not None:
        return StaleError(f"{printable(target)} is there by now")
    return Unholdable(f"{printable(target)}: the service would call it {printable(told.name)!r}", path=target)


def _undo(call: Callable[[], object]) -> None:
    try:
        call()
    except StoreError:
        return  # it stays under the name that the service chose: seen, and lost to nobody


def ensure(ground: OrangeContext, place: RelPath) -> None:
    """Makes a folder of ours, and those above it, below a root that stands. Raises StoreError."""
    if place == ground.base or isinstance(ground.seek(place), Folder):
        return
    ensure(ground, split(place)[0])
    make(ground, place)


def make(ground: OrangeContext, place: RelPath) -> Folder:
    """A folder of the account in one that stands; one that another client made in the meantime will do.

    Raises Unexpected where the name is taken by a file, Unholdable, NotFound, StoreError.
    """
    above, name = split(place)
    try:
        told = ground.api.make(name, ground.folder_id(above), about=place)
    except (TransientError, PreconditionFailed):  # the answer was lost, or the name is taken: a look tells
        told = None
    if told is not None and told.name != name:
        made = told
        _undo(lambda: _drop_empty(ground, made))
        ground.ids.forget(place)
        if not isinstance(ground.seek(place), Folder):
            raise _misnamed(ground, place, made)
        told = None
    if told is not None:
        ground.ids.learn(place, told.id, folder=True)
    found = ground.seek(place)
    if found is None:
        raise TransientError(f"{printable(place)}: it could not be made", path=place)
    if not isinstance(found, Folder):
        raise StaleError(f"{printable(place)} is there by now, and no directory")
    return found


def _drop_empty(ground: OrangeContext, folder: Folder) -> None:
    page = ground.api.page(folder.id)
    if page.files or page.folders:
        raise PermanentError("somebody put something into it")
    ground.api.delete(folder.id, folder=True)
