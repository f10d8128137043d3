"""Shared context of the SmartFile API's handlers: info objects, listings, and writes with their records.

Every change goes through a store; the digest cache and the change feed are updated with what took effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from syncer.engine.interfaces import Results, Source, WriteRequest
from syncer.engine.model import Entry, Kind, Outcome, RelPath
from syncer.engine.paths import join, split
from syncer.server.api.attributes import Attributes
from syncer.server.api.request import Conditions, directory_at, local_path, seen
from syncer.server.api.serializers import Info, info, page
from syncer.server.api.tasks import Tasks
from syncer.server.errors import HttpError, settled
from syncer.server.fair_shares import ENTRY, TooManyNames
from syncer.server.folder import Key, ServedFolder, ServedStore, counted, is_hidden
from syncer.server.request_body import UploadThreads

_INFO = 5000  # bytes of memory of an info object with its JSON
_CHARACTER = 30  # bytes of a character of an attribute: four as text, twelve as escaped JSON, twice


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerContext:
    """What all handlers use. `extended`: whether Syncer's own protocol is served too."""

    served: ServedFolder
    attributes: Attributes
    tasks: Tasks
    uploads: UploadThreads
    extended: bool

    @property
    def spools(self) -> Path:
        """The directory for spooled bodies; never in the served folder."""
        return self.served.state

    def info(self, key: Key, store: ServedStore, path: RelPath, entry: Entry) -> Info:
        """The info object of one path."""
        found = self.attributes.of(local_path(self.served, store, path), entry.version)
        _hold(0, _weight(found))
        items = None
        if entry.kind is Kind.DIRECTORY:
            items = len(shown(store, path))
        return info(path, entry, key=key, attributes=found, items=items)

    def listing(
        self, key: Key, store: ServedStore, path: RelPath, asked: dict[str, str], *, paged: bool
    ) -> Info:
        """The info object of a directory with its children (a page of them), sorted by name."""
        entries = shown(store, path)
        names, numbers = page(sorted(entries), asked, paged=paged)
        children, size = [], len(names) * _INFO
        for name in names:
            child, entry = join(path, name), entries[name]
            known = self.attributes.of(local_path(self.served, store, child), entry.version)
            size += _weight(known)
            _hold(len(entries), size)
            children.append(info(child, entry, key=key, attributes=known))
        own = self.attributes.of(local_path(self.served, store, path), b"")
        directory = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
        return (
            info(path, directory, key=key, attributes=own, items=len(entries))
            | numbers
            | {"children": children}
        )

    def put(
        self,
        store: ServedStore,
        path: RelPath,
        *,
        source: Source,
        size: int,
        expected: Entry | None,
        stale: int = 409,
    ) -> Entry:
        """Write a file, if the name still holds what was expected. Raises HttpError."""
        item = WriteRequest(path=path, kind=Kind.FILE, source=source, size=size, expected=expected)
        return self.record(store, path, one(store.put([item])), stale=stale)

    def record(self, store: ServedStore, path: RelPath, outcome: Outcome, *, stale: int) -> Entry:
        """Record the entry that a change left at the path, and return it. Raises HttpError if it failed."""
        entry = settled(outcome, stale=stale).entry
        assert entry is not None
        self.served.learn(store, path, entry)
        self.changed(store, {split(path)[0]})
        return entry

    def gone(self, store: ServedStore, path: RelPath) -> None:
        """Record that a path was removed or renamed."""
        self.served.gone(store, [path])
        self.changed(store, {split(path)[0]})

    def changed(self, store: ServedStore, directories: Collection[RelPath]) -> None:
        """NameReservation came, went or changed in these directories."""
        self.served.feed.changed(store.below, directories)


def _weight(attributes: Mapping[str, str]) -> int:
    """Bytes of memory that attributes take in a response."""
    return sum(len(value) for value in attributes.values()) * _CHARACTER


def _hold(entries: int, size: int) -> None:
    """Reserve memory for entries, and for bytes of a response. Raises HttpError if there is never so much."""
    try:
        counted(entries + size // ENTRY, 0)
    except TooManyNames:
        raise HttpError(400, "That is too much for one answer; ask for smaller pages (API 2).") from None


def one(results: Results) -> Outcome:
    """The outcome of a batch of one."""
    [(_, outcome)] = results
    return outcome


def shown(store: ServedStore, path: RelPath) -> dict[str, Entry]:
    """The files and directories in a directory that this API shows: no symlinks, devices or hidden names."""
    return {
        name: entry
        for name, entry in store.list(path).entries.items()
        if isinstance(entry, Entry) and entry.kind is not Kind.SYMLINK and not is_hidden(name)
    }


def target(store: ServedStore, path: RelPath, conditions: Conditions) -> Entry | None:
    """The file that an upload replaces; None if the name is free.

    Raises HttpError: 412 by the conditions, 415 for a directory, 409 if the parent is no directory.
    """
    if not path:
        raise HttpError(415, "This is a directory.")
    found = seen(store, path)
    conditions.check(found)
    if found is not None and found.kind is Kind.DIRECTORY:
        raise HttpError(415, "This is a directory.")
    if found is None:
        directory_at(store, split(path)[0], missing=409)
    return found
