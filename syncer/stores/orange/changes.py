"""Changes of an Orange root but new content; the cache learns what changed. See `stores.remote.changes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from syncer.engine.interfaces import RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, RelPath
from syncer.stores.orange.cache import FILE, FOLDER, GONE, CachedItem
from syncer.stores.orange.context import Item, OrangeRoot
from syncer.stores.orange.items import DIRECTORY, File, Folder
from syncer.stores.orange.listing import OrangeLister
from syncer.stores.orange.moves import make
from syncer.stores.orange.trash import OrangeTrash
from syncer.stores.remote.changes import RemoteChanges


class OrangeChanges(RemoteChanges[Item]):
    """The changes of one root. `now_ns` is the wall time, by which the cache ages our own writes."""

    def __init__(
        self, root: OrangeRoot, trash: OrangeTrash, lister: OrangeLister, *, now_ns: Callable[[], int]
    ) -> None:
        super().__init__(root, trash)
        self._orange = root
        self._lister = lister
        self._now_ns = now_ns

    def _make(self, path: RelPath) -> None:
        make(self._orange, self._orange.at(path))

    def _is_empty(self, path: RelPath) -> bool:
        return not self._lister.children(self._orange.at(path))

    def _made_directory(self, path: RelPath) -> None:
        self._orange.cache.put(path, CachedItem(kind=FOLDER, wrote_ns=self._now_ns()))

    def _gone(self, path: RelPath, kept: RelPath | None = None) -> None:
        if kept is not None:
            self._orange.cache.drop(path)
        self._orange.cache.put(path, CachedItem(kind=GONE, wrote_ns=self._now_ns()))

    def _renamed(self, item: RenameRequest, seen: Item, after: Item, parent: Item) -> Entry:
        cache, now_ns = self._orange.cache, self._now_ns()
        digest = cache.digest(item.origin, seen.version) if isinstance(seen, File) else None
        cache.drop(item.origin)
        cache.put(item.origin, CachedItem(kind=GONE, wrote_ns=now_ns))
        if not isinstance(after, File) or not isinstance(seen, File):
            cache.put(item.path, CachedItem(kind=FOLDER, wrote_ns=now_ns))
            return DIRECTORY
        # The digest belongs to the content only if nobody can have written since the look before the rename.
        sure = after.version == seen.version and seen.settled
        cached = CachedItem(kind=FILE, version=after.version, digest=digest, wrote_ns=now_ns)
        cache.put(item.path, cached if sure else replace(cached, version=b"", digest=None))
        return replace(after.entry(digest), trusted=sure)

    def amend(self, item: SetAttributesRequest) -> Done:
        """The service holds neither times nor permissions: nothing is changed, the item is only compared."""
        self._orange.check_holdable(item.path, item.expected.kind)
        seen = self._orange.expect(item.path, item.expected, directories=True)
        return Done(entry=DIRECTORY if isinstance(seen, Folder) else seen.entry(item.expected.digest))
