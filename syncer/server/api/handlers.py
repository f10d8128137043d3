"""What the handlers of the SmartFile API share: the served folder, its tables, info objects, one put.

Every change goes through a store; what took effect is told to the feed and the digests.
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
from syncer.server.errors import Refused, settled
from syncer.server.fair_shares import ENTRY, Crowded
from syncer.server.folder import Key, ServedFolder, ServedStore, counted, is_hidden
from syncer.server.request_body import Uploads

_INFO = 5000  # bytes of an info object, and of its JSON
_CHARACTER = 30  # bytes of a character of an attribute: four, and twelve as JSON escapes it, and that encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerContext:
    """One server's SmartFile API. `extended`: whether Syncer's own protocol is served too."""

    served: ServedFolder
    attributes: Attributes
    tasks: Tasks
    uploads: Uploads
    extended: bool

    @property
    def spools(self) -> Path:
        """Where bodies are put aside; never in the served folder."""
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
        """The info object of a directory with (a page of) its children, in the order of their names."""
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
        """Gives the name new content, if it still holds what was expected. Raises Refused."""
        item = WriteRequest(path=path, kind=Kind.FILE, source=source, size=size, expected=expected)
        return self.took(store, path, one(store.put([item])), stale=stale)

    def took(self, store: ServedStore, path: RelPath, outcome: Outcome, *, stale: int) -> Entry:
        """The entry that a change left at the path, told to everybody who wants to know. Raises Refused."""
        entry = settled(outcome, stale=stale).entry
        assert entry is not None
        self.served.learn(store, path, entry)
        self.changed(store, {split(path)[0]})
        return entry

    def gone(self, store: ServedStore, path: RelPath) -> None:
        """What stood there is in the trash now, or has another name."""
        self.served.gone(store, [path])
        self.changed(store, {split(path)[0]})

    def changed(self, store: ServedStore, directories: Collection[RelPath]) -> None:
        """Names came, went or changed in these directories."""
        self.served.feed.changed(store.below, directories)


def _weight(attributes: Mapping[str, str]) -> int:
    """Bytes that attributes take in an answer."""
    return sum(len(value) for value in attributes.values()) * _CHARACTER


def _hold(entries: int, size: int) -> None:
    """Memory for entries and for bytes of an answer. Raises Refused where there is never so much."""
    try:
        counted(entries + size // ENTRY, 0)
    except Crowded:
        raise Refused(400, "That is too much for one answer; ask for smaller pages (API 2).") from None


def one(results: Results) -> Outcome:
    """The outcome of a batch of one."""
    [(_, outcome)] = results
    return outcome


def shown(store: ServedStore, path: RelPath) -> dict[str, Entry]:
    """The files and directories in a directory that a client may see; a symlink or a device is none."""
    return {
        name: entry
        for name, entry in store.list(path).entries.items()
        if isinstance(entry, Entry) and entry.kind is not Kind.SYMLINK and not is_hidden(name)
    }


def target(store: ServedStore, path: RelPath, conditions: Conditions) -> Entry | None:
    """What stands where a file is to be put; None if the name is free.

    Raises Refused: 412 by the conditions, 415 for a directory, 409 where there is none to put it into.
    """
    if not path:
        raise Refused(415, "This is a directory.")
    found = seen(store, path)
    conditions.check(found)
    if found is not None and found.kind is Kind.DIRECTORY:
        raise Refused(415, "This is a directory.")
    if found is None:
        directory_at(store, split(path)[0], missing=409)
    return found
