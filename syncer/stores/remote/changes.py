"""Deletes, new directories, removed directories and renames on a service with moves and without conditions.

Each change looks right before it acts (`RemoteRoot.expect`), and whatever leaves a name is moved to the trash
and compared there (`RemoteTrash.keep`); nothing is ever removed at its own name. Each function makes one
change, and raises `StaleError` if the item is not as planned, StoreError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest
from syncer.engine.model import Done, Entry, Kind, RelPath
from syncer.engine.paths import is_below, printable
from syncer.errors import Unholdable
from syncer.stores.remote.root import RemoteRoot
from syncer.stores.remote.trash import RemoteTrash
from syncer.stores.stale import StaleError

DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
ItemT = TypeVar("ItemT")


class RemoteChanges(ABC, Generic[ItemT]):
    """The changes of one root that need no content."""

    def __init__(self, root: RemoteRoot[ItemT], trash: RemoteTrash[ItemT]) -> None:
        self._root = root
        self._trash = trash

    # -- what a service implements -------------------------------------------------

    @abstractmethod
    def _make(self, path: RelPath) -> None:
        """Make a directory in one that stands; one that is there will do. Raises StaleError, StoreError."""

    @abstractmethod
    def _is_empty(self, path: RelPath) -> bool:
        """Whether a complete listing of the directory is empty. Raises StoreError."""

    @abstractmethod
    def _renamed(self, item: RenameRequest, seen: ItemT, after: ItemT, parent: ItemT) -> Entry:
        """The entry of what was renamed. `parent`: the target's directory, looked at before the rename."""

    def _is_respelling(self, item: RenameRequest) -> bool:
        """Whether both names of a rename are one to this service (it folds case)."""
        return False

    def _gone(self, path: RelPath, kept: RelPath | None = None) -> None:
        """Called after a name was freed; `kept`: where an empty directory is in the trash."""

    def _made_directory(self, path: RelPath) -> None:
        """Called after a directory was made."""

    # -- the changes ----------------------------------------------------------------

    def delete(self, item: DeleteRequest) -> Done:
        """Move a file into the trash, if it is what was planned on."""
        self._root.check_holdable(item.path, Kind.FILE)
        seen = self._root.expect(item.path, item.expected)
        self._trash.keep(item.path, seen)
        self._gone(item.path)
        return Done()

    def make_directory(self, item: MkdirRequest) -> Done:
        """Make a directory in one that stands; in place of a file only if that is the one planned on."""
        self._root.check_holdable(item.path, Kind.DIRECTORY)
        found = self._root.stat(item.path)
        if self._root.is_directory(found):
            return Done(entry=DIRECTORY)
        replaces = item.replaces
        if replaces is not None and replaces.kind is Kind.DIRECTORY:
            replaces = None
        if found is not None:
            if replaces is None:
                raise StaleError(f"{printable(item.path)} is there by now, and no directory")
            self._trash.keep(item.path, self._root.expect(item.path, replaces))
        else:
            self._root.parent(item.path)  # RACE: a service may make again a parent that is removed right now
            if replaces is not None:
                raise StaleError(f"{printable(item.path)} is gone")
        self._make(item.path)
        self._made_directory(item.path)
        return Done(entry=DIRECTORY)

    def remove_directory(self, path: RelPath) -> Done:
        """Move an empty directory into the trash.

        The service's own removal would take what is in a directory along, seen or not. A listing may be late,
        or another client write in between: the directory is listed again in the trash, where no other client
        puts anything, and goes back if it is not empty.
        """
        self._root.check_holdable(path, Kind.DIRECTORY)
        found = self._root.stat(path)
        if found is None:
            return Done()
        if not self._root.is_directory(found) or not self._is_empty(path):
            raise StaleError(f"{printable(path)} is not an empty directory")
        kept = self._trash.keep(path, found)
        if not self._is_empty(kept):
            moved = self._root.stat(kept)
            self._trash.put_back(kept, found if moved is None else moved, path)
            raise StaleError(f"{printable(path)} is not empty any more")
        self._gone(path, kept)
        return Done()

    def rename(self, item: RenameRequest) -> Done:
        """Move an item onto a free name in a directory that stands; another item that was moved goes back."""
        self._root.check_holdable(item.origin, item.expected.kind)
        self._root.check_holdable(item.path, item.expected.kind)
        if is_below(item.path, item.origin):
            raise Unholdable(f"{printable(item.path)} is below {printable(item.origin)}", path=item.path)
        seen = self._root.expect(item.origin, item.expected, directories=True)
        parent = self._root.parent(item.path)
        if self._root.stat(item.path) is not None and not self._is_respelling(item):
            raise StaleError(f"{printable(item.path)} is there by now")
        after = self._trash.move(seen, item.origin, item.path)
        return Done(entry=self._renamed(item, seen, after, parent))
