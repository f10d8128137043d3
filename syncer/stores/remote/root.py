"""One root of a remote store: what stands at a path, whether it is what was planned on, which names fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from syncer.engine.interfaces import Capabilities
from syncer.engine.model import Entry, Kind, RelPath
from syncer.engine.paths import is_name, parts, printable, split, unholdable
from syncer.errors import Unholdable
from syncer.stores.common import is_private_path
from syncer.stores.stale import StaleError

ItemT = TypeVar("ItemT")


class RemoteRoot(ABC, Generic[ItemT]):
    """Looks at items of one root. `ItemT` is the service's description of a file or directory.

    Paths are relative to the root. A look is a request: nothing here is cached, since a change relies on it.
    """

    capabilities: Capabilities

    @abstractmethod
    def stat(self, path: RelPath) -> ItemT | None:
        """The item at a path, None if there is none. Raises StoreError, but not NotFound."""

    @abstractmethod
    def entry_of(self, item: ItemT) -> Entry:
        """Kind, size and version of an item; a directory's version is empty."""

    def is_directory(self, item: ItemT | None) -> bool:
        """Whether there is an item and it is a directory."""
        return item is not None and self.entry_of(item).kind is Kind.DIRECTORY

    def expect(self, path: RelPath, expected: Entry, *, directories: bool = False) -> ItemT:
        """The item at a path, if it is the version that was planned on. Raises StaleError, StoreError.

        This is the look right before a change; it makes the change safe but for the time between the two
        requests. A directory is expected only where `directories` is set; its kind is compared, nothing else.
        """
        item = self.stat(path)
        if item is None:
            raise StaleError(f"{printable(path)} is gone")
        entry = self.entry_of(item)
        if entry.kind is Kind.DIRECTORY and not (directories and expected.kind is Kind.DIRECTORY):
            raise StaleError(f"{printable(path)} is a directory")
        if entry.kind is not expected.kind or (
            entry.kind is not Kind.DIRECTORY and entry.version != expected.version
        ):
            raise StaleError(f"{printable(path)} changed since it was planned on")
        return item

    def expect_planned(self, path: RelPath, expected: Entry | None) -> ItemT | None:
        """As `expect`; where nothing was planned on (None), nothing may be there."""
        if expected is not None:
            return self.expect(path, expected)
        if self.stat(path) is not None:
            raise StaleError(f"{printable(path)} is there by now")
        return None

    def parent(self, path: RelPath) -> ItemT:
        """The directory that a path is in. Raises StaleError if there is none (any more)."""
        directory = split(path)[0]
        item = self.stat(directory)
        if item is None or not self.is_directory(item):
            raise StaleError(f"{printable(directory) or 'the root'}: no such directory (any more)")
        return item

    def check_holdable(self, path: RelPath, kind: Kind, target: str | None = None) -> None:
        """Raises Unholdable for a path, kind or symlink target that this store must not or cannot hold."""
        reason = "not a name" if not path else "one of Syncer's own names" if is_private_path(path) else ""
        for part in parts(path):
            if not is_name(part):
                reason = "not a name"
            reason = reason or unholdable(part, self.capabilities)
        if reason := self.refuses(kind, target) or reason:
            raise Unholdable(f"{printable(path)}: {reason}", path=path)

    def refuses(self, kind: Kind, target: str | None) -> str:
        """Why the service cannot hold such an item; "" if it can."""
        return ""
