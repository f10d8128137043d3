"""Every change but new content: names that go, directories that come and go, renames.

What goes is moved into the trash, directories too: the API's own deletion is for good, and takes a folder
with all that is in it, seen or not. Raises `StaleError` for what is not as planned, StoreError.
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Kind, RelPath
from syncer.engine.paths import is_below, printable
from syncer.errors import Unholdable
from syncer.stores.orange.cache import FILE, FOLDER, GONE, CachedItem
from syncer.stores.orange.context import Item, OrangeContext
from syncer.stores.orange.items import DIRECTORY, File, Folder
from syncer.stores.orange.listing import Lister
from syncer.stores.orange.moves import carry, make
from syncer.stores.orange.trash import Trash
from syncer.stores.stale import StaleError


def delete(ground: OrangeContext, trash: Trash, item: DeleteRequest, *, now_ns: int) -> Done:
    """Into the trash, if it is what was planned on."""
    ground.holdable(item.path, Kind.FILE)
    seen = _there(ground.expect(item.path, item.expected), item.path)
    trash.keep(item.path, seen)
    ground.book.put(item.path, CachedItem(kind=GONE, wrote_ns=now_ns))
    return Done()


def make_directory(ground: OrangeContext, trash: Trash, item: MkdirRequest, *, now_ns: int) -> Done:
    """In a directory that stands, in the place of a file only if it is the one that was planned on."""
    ground.holdable(item.path, Kind.DIRECTORY)
    found = ground.look(item.path)
    if isinstance(found, Folder):
        return Done(entry=DIRECTORY)
    replaces = item.replaces if item.replaces is not None and item.replaces.kind is Kind.FILE else None
    if found is not None and replaces is None:
        raise StaleError(f"{printable(item.path)} is there by now, and no directory")
    ground.parent(item.path)
    if replaces is not None:
        trash.keep(item.path, _there(ground.expect(item.path, replaces), item.path))
    make(ground, ground.at(item.path))
    ground.book.put(item.path, CachedItem(kind=FOLDER, wrote_ns=now_ns))
    return Done(entry=DIRECTORY)


def remove_directory(
    ground: OrangeContext, trash: Trash, lister: Lister, path: RelPath, *, now_ns: int
) -> Done:
    """An empty one, into the trash: a listing may lag, and what it does not show yet goes there along."""
    ground.holdable(path, Kind.DIRECTORY)
    found = ground.look(path)
    if found is None:
        return Done()
    if not isinstance(found, Folder) or not _empty(lister, ground.at(path)):
        raise StaleError(f"{printable(path)} is not an empty directory")
    kept = trash.keep(path, found)
    if not _empty(lister, kept):
        trash.put_back(kept, Folder(id=ground.folder_id(kept), name=found.name), path)
        raise StaleError(f"{printable(path)} is not empty any more")
    ground.book.drop(path)
    ground.book.put(path, CachedItem(kind=GONE, wrote_ns=now_ns))
    return Done()


def rename(ground: OrangeContext, trash: Trash, item: RenameRequest, *, tag: str, now_ns: int) -> Done:
    """Onto a free name in a directory that stands. What was moved is looked at, and moved back if need be."""
    ground.holdable(item.origin, item.expected.kind)
    ground.holdable(item.path, item.expected.kind)
    if is_below(item.path, item.origin):
        raise Unholdable(f"{printable(item.path)} is below {printable(item.origin)}", path=item.path)
    seen = _there(ground.expect(item.origin, item.expected, directories=True), item.origin)
    ground.parent(item.path)
    if ground.look(item.path) is not None:
        raise StaleError(f"{printable(item.path)} is there by now")
    after = carry(ground, seen, ground.at(item.origin), ground.at(item.path), tag=tag)
    if not trash.same(seen, after):
        trash.put_back(ground.at(item.path), after, item.origin)
        raise StaleError(f"{printable(item.origin)} changed meanwhile")
    return _renamed(ground, item, seen, after, now_ns)


def _renamed(ground: OrangeContext, item: RenameRequest, seen: Item, after: Item, now_ns: int) -> Done:
    digest = ground.book.digest(item.origin, seen.version) if isinstance(seen, File) else None
    ground.book.drop(item.origin)
    ground.book.put(item.origin, CachedItem(kind=GONE, wrote_ns=now_ns))
    if not isinstance(after, File) or not isinstance(seen, File):
        ground.book.put(item.path, CachedItem(kind=FOLDER, wrote_ns=now_ns))
        return Done(entry=DIRECTORY)
    sure = after.version == seen.version and seen.settled
    noted = CachedItem(kind=FILE, version=after.version, digest=digest, wrote_ns=now_ns)
    ground.book.put(item.path, noted if sure else replace(noted, version=b"", digest=None))
    return Done(entry=replace(after.entry(digest), trusted=sure))


def amend(ground: OrangeContext, item: SetAttributesRequest) -> Done:
    """The service holds neither times nor permissions: nothing is done to what was planned on."""
    ground.holdable(item.path, item.expected.kind)
    seen = _there(ground.expect(item.path, item.expected, directories=True), item.path)
    if isinstance(seen, Folder):
        return Done(entry=DIRECTORY)
    return Done(entry=seen.entry(item.expected.digest))


def _empty(lister: Lister, place: RelPath) -> bool:
    return not lister.children(place)


def _there(found: Item | None, path: RelPath) -> Item:
    if found is None:
        raise StaleError(f"{printable(path)} is gone")
    return found
