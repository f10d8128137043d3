"""What every change of one root shares: where it is, what stands at a name, what a name must hold first.

Expectations are checked by a look, as late as this API allows. `StaleError` makes an item stale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from syncer.engine.interfaces import Capabilities, Results
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath, Stale
from syncer.engine.paths import parts, printable, split, unholdable
from syncer.errors import (
    AuthError,
    LocalError,
    NotFound,
    PreconditionFailed,
    StoreError,
    TransientError,
    Unholdable,
)
from syncer.stores.local.root import check_name, is_ours
from syncer.stores.orange.api import Api, Page
from syncer.stores.orange.cache import ItemCache
from syncer.stores.orange.ids import Ids
from syncer.stores.orange.items import DIRECTORY, File, Folder, Malformed
from syncer.stores.orange.items import file as read_file
from syncer.stores.orange.items import folder as read_folder
from syncer.stores.stale import StaleError

ItemT = TypeVar("ItemT")
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


@dataclass(slots=True, kw_only=True)
class OrangeContext:
    """One root: the folder `base` of the account ("" for all of it)."""

    api: Api
    base: RelPath
    book: ItemCache
    able: Capabilities = CAPABILITIES
    ids: Ids = field(default_factory=Ids)
    found: bool = False  # whether the account's root was asked for its id

    def at(self, path: RelPath) -> RelPath:
        """The account's path of one of the root's."""
        return f"{self.base}/{path}" if self.base and path else self.base or path

    # -- looking -----------------------------------------------------------------

    def look(self, path: RelPath) -> Item | None:
        """What stands at a path, asked for freshly; None if nothing does. Raises StoreError but NotFound."""
        return self.seek(self.at(path))

    def seek(self, place: RelPath) -> Item | None:
        """What stands at a path of the account."""
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

    def page(self, place: RelPath, *, offset: int = 0, flat: bool = False) -> Page:
        """An answer about a folder of the account. Raises NotFound, StoreError."""
        try:
            page = self.api.page(self.folder_id(place), offset=offset, flat=flat, about=place)
        except NotFound:
            self.ids.forget(place)
            raise
        if place and page.itself.name != split(place)[1]:
            self.ids.forget(place)
            raise TransientError(f"{printable(place)}: the service answers of another folder", path=place)
        return page

    def _reach(self) -> None:
        """What the account's root is called decides how ids are read."""
        if not self.found:
            try:
                self.ids.rooted(self.api.page(limit=1).itself.id)
                self.found = True
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
        """By the listing of the folder above: for ids that say nothing."""
        above, name = split(place)
        try:
            page = self.api.page(self.folder_id(above), about=above)
        except NotFound:
            self.ids.forget(above)
            return None
        for documents, read, folder in ((page.files, read_file, False), (page.folders, _read_folder, True)):
            for document in documents:
                try:
                    item = read(document, page.asked_ns)
                except Malformed:
                    continue
                if item.name == name:
                    self.ids.learn(place, item.id, folder=folder)
                    return self._file(place) if not folder else item
        return None

    # -- expecting ---------------------------------------------------------------

    def expect(self, path: RelPath, expected: Entry | None, *, directories: bool = False) -> Item | None:
        """What stands at the path, which is what was planned on. Raises Unexpected."""
        found = self.look(path)
        if expected is None:
            if found is not None:
                raise StaleError(f"{printable(path)} is there by now")
            return None
        if found is None:
            raise StaleError(f"{printable(path)} is gone")
        if isinstance(found, Folder):
            if not directories or expected.kind is not Kind.DIRECTORY:
                raise StaleError(f"{printable(path)} is a directory")
        elif expected.kind is not Kind.FILE or found.version != expected.version:
            raise StaleError(f"{printable(path)} changed since it was planned on")
        return found

    def parent(self, path: RelPath) -> Folder:
        """The folder that a path is in. Raises Unexpected where there is none (any more)."""
        directory = split(path)[0]
        found = self.look(directory)
        if not isinstance(found, Folder):
            raise StaleError(f"{printable(directory) or 'the root'}: no such directory (any more)")
        return found

    def holdable(self, path: RelPath, kind: Kind) -> None:
        """Raises Unholdable for a name or a kind that is not to be put here."""
        why = "not a name" if not path else "one of Syncer's own names" if is_ours(path) else ""
        for part in parts(path):
            try:
                check_name(part)
            except OSError:
                why = "not a name"
            why = why or unholdable(part, self.able)
        if kind is Kind.SYMLINK:
            why = why or "Orange Cloud holds no symlinks"
        if why:
            raise Unholdable(f"{printable(path)}: {why}", path=path)

    def entry(self, path: RelPath, item: Item) -> Entry:
        """As the engine knows it, with its digest where that is on record."""
        if isinstance(item, Folder):
            return DIRECTORY
        return item.entry(self.book.digest(path, item.version))


def _read_folder(document: object, asked_ns: int | None) -> Folder:
    return read_folder(document)


def same(before: Item, after: Item | None) -> bool:
    """Whether a rename took what was seen; that of a folder is told by its kind alone."""
    if isinstance(before, Folder) or not isinstance(after, File):
        return isinstance(before, Folder) and isinstance(after, Folder)
    return before.size == after.size


def each(items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], do: Callable[[ItemT], Done]) -> Results:
    """One item after the other."""
    for index, item in enumerate(items):
        yield index, outcome(path_of(item), lambda item=item: do(item))  # type: ignore[misc]


def outcome(path: RelPath, do: Callable[[], Done]) -> Outcome:
    """How an item ends; what ends the run is raised."""
    try:
        return do()
    except AuthError:
        raise
    except StaleError as error:
        return Stale(message=str(error))
    except (PreconditionFailed, NotFound) as error:
        return Stale(message=f"{printable(path)}: {error}")
    except (StoreError, LocalError) as error:
        return Failed(error=error)
