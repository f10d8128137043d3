"""Changes of a SmartFile root but new content: times and permissions too. See `stores.remote.changes`."""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Kind, RelPath
from syncer.engine.paths import printable
from syncer.errors import StoreError, TransientError
from syncer.stores.remote.changes import RemoteChanges
from syncer.stores.smartfile.attributes import Mark
from syncer.stores.smartfile.context import SmartFileRoot
from syncer.stores.smartfile.info import DIRECTORY, Info
from syncer.stores.smartfile.listing import SmartFileLister
from syncer.stores.smartfile.staging import SmartFileStaging
from syncer.stores.smartfile.trash import SmartFileTrash


class SmartFileChanges(RemoteChanges[Info]):
    """The changes of one root."""

    def __init__(
        self, root: SmartFileRoot, trash: SmartFileTrash, staging: SmartFileStaging, lister: SmartFileLister
    ) -> None:
        super().__init__(root, trash)
        self._smartfile = root
        self._staging = staging
        self._lister = lister

    def _make(self, path: RelPath) -> None:
        try:
            self._smartfile.api.mkdir(self._smartfile.at(path))
        except TransientError:
            if not self._root.is_directory(self._root.stat(path)):
                raise

    def _is_empty(self, path: RelPath) -> bool:
        return not self._lister.children(self._smartfile.at(path))

    def _gone(self, path: RelPath, kept: RelPath | None = None) -> None:
        if kept is not None:
            try:
                self._smartfile.api.remove(self._smartfile.at(kept))  # it was listed empty there
            except StoreError:
                return  # an empty directory in the trash, which expires with it

    def _is_respelling(self, item: RenameRequest) -> bool:
        return self._root.capabilities.folds_case and item.origin.casefold() == item.path.casefold()

    def _renamed(self, item: RenameRequest, seen: Info, after: Info, parent: Info) -> Entry:
        """Trusted as if it had been looked at right before the rename: a later write shows another time."""
        if after.directory:
            return DIRECTORY
        if after.version == seen.version:
            return replace(after, asked_ns=parent.asked_ns).entry()
        mark = seen.mark
        if mark is not None:  # the rename took time or attributes from it
            sure = after.time == seen.time
            again = replace(mark, time=after.time, digest=mark.digest if sure else None)
            after = self._staging.annotate(self._smartfile.at(item.path), again.attributes())
        return replace(after.entry(), digest=seen.entry().digest, trusted=False)

    def amend(self, item: SetAttributesRequest) -> Done:
        """Write another time or permission to the attributes; content, digest and the service's time stay."""
        self._root.check_holdable(item.path, item.expected.kind)
        seen = self._root.expect(item.path, item.expected, directories=True)
        if seen.directory:
            return Done(entry=DIRECTORY)
        mark = _amended(seen, item)
        # RACE: a file that is written here now gets our attributes, which do not match its size and time
        after = self._staging.annotate(self._smartfile.at(item.path), mark.attributes())
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
