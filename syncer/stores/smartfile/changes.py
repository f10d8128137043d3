"""Every change but new content: names that go, directories that come and go, renames, times and permissions.

What goes is moved into the trash; a directory is emptied of nothing: it is moved away, found empty
there, and only then removed. Raises `StaleError` for what is not as planned, StoreError.
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Kind, RelPath
from syncer.engine.paths import is_below, printable
from syncer.errors import NotFound, StoreError, TransientError, Unholdable
from syncer.stores.smartfile.attributes import Mark
from syncer.stores.smartfile.context import SmartFileContext
from syncer.stores.smartfile.info import DIRECTORY, Info
from syncer.stores.smartfile.listing import Lister
from syncer.stores.smartfile.trash import look, move
from syncer.stores.stale import StaleError


def delete(ground: SmartFileContext, item: DeleteRequest) -> Done:
    """Into the trash, if it is what was planned on."""
    ground.holdable(item.path, Kind.FILE)
    seen = ground.expect(item.path, item.expected)
    if seen is None:
        raise StaleError(f"{printable(item.path)} is gone")
    ground.keep(item.path, seen)
    return Done()


def make_directory(ground: SmartFileContext, item: MkdirRequest) -> Done:
    """In a directory that stands, in the place of a file only if it is the one that was planned on."""
    ground.holdable(item.path, Kind.DIRECTORY)
    found = ground.look(item.path)
    if found is not None and found.directory:
        return Done(entry=DIRECTORY)
    if found is not None:
        if item.replaces is None or item.replaces.kind is Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is there by now, and no directory")
        seen = ground.expect(item.path, item.replaces)
        ground.keep(item.path, seen or found)
    else:
        ground.parent(item.path)  # RACE: a parent removed just now would be made again
        if item.replaces is not None and item.replaces.kind is not Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is gone")
    try:
        ground.api.mkdir(ground.at(item.path))
    except TransientError:
        made = ground.look(item.path)
        if made is None or not made.directory:
            raise
    return Done(entry=DIRECTORY)


def remove_directory(ground: SmartFileContext, lister: Lister, path: RelPath) -> Done:
    """An empty one. It is moved into the trash first, since the API would remove what is in it, too."""
    ground.holdable(path, Kind.DIRECTORY)
    found = ground.look(path)
    if found is None:
        return Done()
    if not found.directory or lister.children(ground.at(path)):
        raise StaleError(f"{printable(path)} is not an empty directory")
    kept = ground.keep(path, found)
    if lister.children(kept):
        ground.put_back(kept, path)
        raise StaleError(f"{printable(path)} is not empty any more")
    try:
        ground.api.remove(kept)
    except StoreError:
        pass  # an empty directory in the trash, pruned with it
    return Done()


def rename(ground: SmartFileContext, item: RenameRequest) -> Done:
    """Onto a free name in a directory that stands. What was moved is looked at, and moved back if need be."""
    ground.holdable(item.origin, item.expected.kind)
    ground.holdable(item.path, item.expected.kind)
    if is_below(item.path, item.origin):
        raise Unholdable(f"{printable(item.path)} is below {printable(item.origin)}", path=item.path)
    seen = ground.expect(item.origin, item.expected, directories=True)
    around = ground.parent(item.path)
    there = ground.look(item.path)
    if seen is None or (there is not None and not _respelled(ground, item)):
        raise StaleError(f"{printable(item.path)} is there by now")
    origin, path = ground.at(item.origin), ground.at(item.path)
    try:
        move(ground.api, origin, path)
    except NotFound:
        raise StaleError(f"{printable(item.origin)} is gone") from None
    after = look(ground.api, path)
    if after is None or not ground.same(seen, after):
        ground.put_back(path, item.origin)
        raise StaleError(f"{printable(item.origin)} changed meanwhile")
    return Done(entry=_renamed(ground, seen, after, path, around.asked_ns))


def _respelled(ground: SmartFileContext, item: RenameRequest) -> bool:
    """Whether both names are one to a service that does not tell case apart."""
    return ground.able.folds_case and item.origin.casefold() == item.path.casefold()


def _renamed(ground: SmartFileContext, seen: Info, after: Info, path: str, asked_ns: int | None) -> Entry:
    """Trusted as if it had been looked at right before: a later write shows another time."""
    if after.directory:
        return DIRECTORY
    if after.version == seen.version:
        return replace(after, asked_ns=asked_ns).entry()
    mark = seen.mark
    if mark is not None:  # the rename took time or attributes from it
        sure = after.time == seen.time
        again = replace(mark, time=after.time, digest=mark.digest if sure else None)
        after = ground.staging.annotate(path, again.attributes())
    return replace(after.entry(), digest=seen.entry().digest, trusted=False)


def amend(ground: SmartFileContext, item: SetAttributesRequest) -> Done:
    """Notes another time or permission; the content, its digest and its time at the service stay."""
    ground.holdable(item.path, item.expected.kind)
    seen = ground.expect(item.path, item.expected, directories=True)
    if seen is None or seen.directory:
        return Done(entry=DIRECTORY)
    mark = _amended(seen, item)
    # RACE: somebody who writes here now gets our note, which does not speak of their size and time
    after = ground.staging.annotate(ground.at(item.path), mark.attributes())
    if after.size != seen.size or after.time != seen.time:
        raise TransientError(f"{printable(item.path)}: it changed while it was amended", path=item.path)
    return Done(entry=replace(after.entry(), digest=item.expected.digest))


def _amended(seen: Info, item: SetAttributesRequest) -> Mark:
    """A digest is noted only of content that cannot have changed since it was read."""
    old, entry = seen.mark, seen.entry()
    digest = old.digest if old is not None else None
    if digest is None and seen.settled and item.expected.trusted and entry.kind is Kind.FILE:
        digest = item.expected.digest
    if old is None:
        old = Mark(size=seen.size, time=seen.time, mtime_ns=entry.mtime_ns, executable=bool(entry.executable))
    return replace(
        old,
        digest=digest,
        mtime_ns=old.mtime_ns if item.mtime_ns is None else item.mtime_ns,
        executable=old.executable if item.executable is None else item.executable,
    )
