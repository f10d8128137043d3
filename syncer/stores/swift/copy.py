"""Renames and metadata changes of objects.

Swift has no rename: it is a copy within the cluster, then a delete. RACE: the copy overwrites what another
client puts at the new name after the look at it, and the delete takes what is written to the old name after
the second look (versioned containers keep both).
"""

from __future__ import annotations

from collections.abc import Sequence

from syncer.engine.interfaces import RenameRequest, Results, SetAttributesRequest
from syncer.engine.model import Done, Kind
from syncer.engine.paths import is_below, printable
from syncer.errors import Unholdable, Unmovable
from syncer.stores.stale import StaleError
from syncer.stores.swift import metadata
from syncer.stores.swift.context import SwiftContext
from syncer.stores.swift.listing import DIRECTORY
from syncer.stores.swift.objects import COPIED, ObjectHead
from syncer.stores.swift.versioning import VersionHistory


class Renamer:
    """Renames and amendments of files and symlinks; a directory is moved file by file by its caller."""

    def __init__(self, context: SwiftContext, history: VersionHistory) -> None:
        self._context = context
        self._history = history

    def rename(self, items: Sequence[RenameRequest]) -> Results:
        """See `engine.interfaces.Store.rename`."""
        yield from self._context.each(items, lambda item: item.path, self._rename)

    def amend(self, items: Sequence[SetAttributesRequest]) -> Results:
        """See `engine.interfaces.Store.set_attributes`."""
        yield from self._context.each(items, lambda item: item.path, self._amend)

    def _rename(self, item: RenameRequest) -> Done:
        context, objects = self._context, self._context.objects
        origin, name = context.name(item.origin), context.name(item.path)
        if is_below(item.path, item.origin):
            raise Unholdable(f"{printable(item.path)} is below {printable(item.origin)}", path=item.path)
        if item.expected.kind is Kind.DIRECTORY:
            raise Unmovable(f"{printable(item.origin)}: Swift moves single objects only", path=item.origin)
        old = context.planned_on(item.origin, item.expected)
        context.standing_parent(item.path)
        if context.prober.stands(name) or objects.head(name, newest=True) is not None:
            raise StaleError(f"{printable(item.path)} is there by now")
        if objects.copy(origin, name, old).status != COPIED:
            raise StaleError(f"{printable(item.origin)} changed since it was planned on")
        head = objects.head(name, newest=True)
        if head is None or head.etag != old.etag:
            raise StaleError(f"{printable(item.path)} was written by somebody else at the same time")
        self._leave(item, origin, name, head)
        self._history.rescue(item.path, planned_on=None, ours=head.version)
        return context.made(item.path, head, digest=item.expected.digest, target=item.expected.target)

    def _leave(self, item: RenameRequest, origin: str, name: str, copy: ObjectHead) -> None:
        """The old name goes if it still is what was copied; else the copy does."""
        context, objects = self._context, self._context.objects
        try:
            context.planned_on(item.origin, item.expected)
        except StaleError:
            now = objects.head(name, newest=True)
            if now is not None and now.version == copy.version:
                objects.delete(name)
            raise
        context.keep_directory(item.origin)
        objects.delete(origin)
        context.known.forget([origin])
        self._history.rescue(item.origin, planned_on=item.expected.version, ours=None)

    def _amend(self, item: SetAttributesRequest) -> Done:
        context, objects = self._context, self._context.objects
        name = context.name(item.path)
        if item.expected.kind is Kind.DIRECTORY:
            if not context.prober.stands(name):
                raise StaleError(f"{printable(item.path)} is not a directory (any more)")
            return Done(entry=DIRECTORY)
        head = context.planned_on(item.path, item.expected)
        if item.expected.kind is Kind.SYMLINK:
            return Done(entry=item.expected)
        given = metadata.written(mtime_ns=item.mtime_ns, executable=item.executable)
        objects.post(name, head, {**head.meta, **given})
        now = objects.head(name, newest=True)
        if now is None or now.etag != head.etag:
            raise StaleError(f"{printable(item.path)} was written by somebody else at the same time")
        return context.made(item.path, now, digest=item.expected.digest)
