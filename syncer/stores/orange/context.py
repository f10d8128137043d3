"""The root of an Orange store: finds items of a folder of the account by path, ids by `ids`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import printable, split
from syncer.errors import NotFound, TransientError
from syncer.stores.http.json import Malformed
from syncer.stores.orange.api import OrangeApi, OrangePage
from syncer.stores.orange.cache import ItemCache
from syncer.stores.orange.ids import Ids
from syncer.stores.orange.items import DIRECTORY, File, Folder
from syncer.stores.orange.items import file as read_file
from syncer.stores.orange.items import folder as read_folder
from syncer.stores.remote.root import RemoteRoot

Item: TypeAlias = File | Folder
WINDOW = (
    "the service has no conditional writes: size and date are read again right before each change, and what "
    "another program does in the instant between that look and the change is found out only where the change "
    "shows it; a file that appears in it may be replaced, if the service lets a rename replace. A replaced "
    "name is absent for an instant, and after a kill in it until the next run; old versions are in "
    ".syncer/trash"
)
CAPABILITIES = Capabilities(
    symlinks=False, executable=False, mtime_granularity_ns=0, any_bytes=False, window=WINDOW
)


@dataclass(kw_only=True)
class OrangeRoot(RemoteRoot[Item]):
    """One root: the folder `base` of the account ("" for all of it)."""

    api: OrangeApi
    base: RelPath
    cache: ItemCache
    capabilities: Capabilities = CAPABILITIES
    ids: Ids = field(default_factory=Ids)
    knows_account_root: bool = False  # whether the account's root was asked for its id

    def at(self, path: RelPath) -> RelPath:
        """The account's path of one of the root's."""
        return f"{self.base}/{path}" if self.base and path else self.base or path

    # -- looking -----------------------------------------------------------------

    def stat(self, path: RelPath) -> Item | None:
        return self.seek(self.at(path))

    def entry_of(self, item: Item) -> Entry:
        return DIRECTORY if isinstance(item, Folder) else item.entry()

    def refuses(self, kind: Kind, target: str | None) -> str:
        return "Orange Cloud holds no symlinks" if kind is Kind.SYMLINK else ""

    def seek(self, place: RelPath) -> Item | None:
        """The item at a path of the account, None if there is none."""
        self._reach()
        if not place:
            return self._folder(place)
        found = self._file(place) or self._folder(place)
        if found is not None or self.ids.are_paths:
            return found
        return self._listed(place)

    def folder_id(self, place: RelPath) -> str:
        """The id of a folder of the account. Raises NotFound where no folder is."""
        self._reach()
        known = self.ids.folder(place)
        if known is not None:
            return known
        found = self._listed(place)
        if not isinstance(found, Folder):
            raise NotFound(f"{printable(place)}: no such folder", path=place)
        return found.id

    def page(self, place: RelPath, *, offset: int = 0, flat: bool = False) -> OrangePage:
        """One page of a folder of the account. Raises NotFound, StoreError."""
        try:
            page = self.api.page(self.folder_id(place), offset=offset, flat=flat, about=place)
        except NotFound:
            self.ids.forget(place)
            raise
        if place and page.itself.name != split(place)[1]:
            self.ids.forget(place)
            message = f"{printable(place)}: the service returned a different folder than requested"
            raise TransientError(message, path=place)
        return page

    def _reach(self) -> None:
        """Ask for the id of the account's root, once: it shows whether ids are encoded paths."""
        if not self.knows_account_root:
            try:
                self.ids.rooted(self.api.page(limit=1).itself.id)
                self.knows_account_root = True
            except NotFound:
                self.ids.rooted("Lw")  # the application's own folder comes with its first file

    def _file(self, place: RelPath) -> File | None:
        id_ = self.ids.file(place)
        try:
            found = self.api.file(id_, place) if id_ is not None else None
        except NotFound:
            found = None
        if found is None or found.name != split(place)[1]:
            return None
        self.ids.learn(place, found.id, folder=False)
        return found

    def _folder(self, place: RelPath) -> Folder | None:
        id_ = self.ids.folder(place)
        try:
            found = self.api.page(id_, limit=1, about=place).itself if id_ is not None else None
        except NotFound:
            found = None
        if found is None or (place and found.name != split(place)[1]):
            return None
        if place:
            self.ids.learn(place, found.id, folder=True)
        return found

    def _listed(self, place: RelPath) -> Item | None:
        """Find an item in the listing of its folder: for ids that are not encoded paths."""
        above, name = split(place)
        try:
            page = self.api.page(self.folder_id(above), about=above)
        except NotFound:
            self.ids.forget(above)
            return None
        for documents, folder in ((page.files, False), (page.folders, True)):
            for document in documents:
                item: Item
                try:
                    item = read_folder(document) if folder else read_file(document, page.asked_ns)
                except Malformed:
                    continue
                if item.name == name:
                    self.ids.learn(place, item.id, folder=folder)
                    return self._file(place) if not folder else item
        return None

    def entry(self, path: RelPath, item: Item) -> Entry:
        """The item's entry, with its digest where the cache has it."""
        if isinstance(item, Folder):
            return DIRECTORY
        return item.entry(self.cache.digest(path, item.version))
