"""Deletes, and making and removing directories: objects are copied to the trash and looked at again first.

A directory exists until it is removed itself: before the last of its files is deleted, it gets a marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, Results
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath
from syncer.engine.paths import depth, printable
from syncer.errors import StoreError
from syncer.stores.stale import StaleError
from syncer.stores.swift import metadata
from syncer.stores.swift.bulk_delete import delete_many
from syncer.stores.swift.consistency import fact_of
from syncer.stores.swift.context import SwiftContext, attempt
from syncer.stores.swift.listing import DIRECTORY
from syncer.stores.swift.objects import OVERTAKEN
from syncer.stores.swift.trash import SwiftTrash
from syncer.stores.swift.versioning import VersionHistory

FEW = 8  # objects that are deleted one by one
GROUP = 48  # objects of a bulk delete: the time between the last look and the end is a round of HEADs


class Deleter:
    """Deletes, and the making and removing of directories."""

    def __init__(self, context: SwiftContext, trash: SwiftTrash, history: VersionHistory) -> None:
        self._context = context
        self._trash = trash
        self._history = history

    # -- files and symlinks --------------------------------------------------------

    def delete(self, items: Sequence[DeleteRequest]) -> Results:
        """See `engine.interfaces.Store.delete`."""
        if len(items) < FEW or not self._context.cluster.limits.bulk_delete:
            yield from self._context.each(items, lambda item: item.path, self._delete)
            return
        for start in range(0, len(items), GROUP):
            group = items[start : start + GROUP]
            for index, outcome in enumerate(self._together(group)):
                yield start + index, outcome

    def _delete(self, item: DeleteRequest) -> Done:
        self._kept(item)
        self._context.objects.delete(self._context.name(item.path))
        return self._gone(item)

    def _kept(self, item: DeleteRequest) -> Done:
        """The object is as expected, and in the trash."""
        head = self._context.planned_on(item.path, item.expected)
        if head.kind(self._context.name(item.path)) is Kind.DIRECTORY:
            raise StaleError(f"{printable(item.path)} is a directory")
        self._context.keep_directory(item.path)
        self._trash.keep(item.path, head)
        return Done()

    def _gone(self, item: DeleteRequest) -> Done:
        self._context.known.forget([self._context.place.name(item.path)])
        self._history.rescue(item.path, planned_on=item.expected.version, ours=None)
        return Done()

    def _together(self, group: Sequence[DeleteRequest]) -> list[Outcome]:
        """Delete a group by one bulk request, which has no conditions.

        All are looked at and copied to the trash, then all are looked at once more: between the second look
        of an object and its deletion only the other looks of the group lie. What fails a step is left out of
        the next one.
        """
        outcomes = [o for _, o in self._context.each(group, lambda item: item.path, self._kept)]
        left = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Done)]

        def look_again(item: DeleteRequest) -> Done:
            self._context.planned_on(item.path, item.expected)
            return Done()

        looked = self._context.each([group[i] for i in left], lambda item: item.path, look_again)
        for i, (_, outcome) in zip(left, looked, strict=True):
            outcomes[i] = outcome
        left = [i for i in left if isinstance(outcomes[i], Done)]
        names = [self._context.place.name(group[i].path) for i in left]

        def bulk() -> Done:
            trouble.update(delete_many(self._context.objects, self._context.cluster.limits, names))
            return Done()

        trouble: dict[str, StoreError] = {}
        whole = attempt("", bulk)
        for i, name in zip(left, names, strict=True):
            error, item = trouble.get(name), group[i]
            if not isinstance(whole, Done):
                outcomes[i] = whole
            elif error is not None:
                outcomes[i] = Failed(error=error)
            else:
                outcomes[i] = attempt(item.path, partial(self._gone, item))
        return outcomes

    # -- directories -----------------------------------------------------------------

    def make_directories(self, items: Sequence[MkdirRequest]) -> Results:
        """See `engine.interfaces.Store.make_directories`."""
        levels: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            levels.setdefault(depth(item.path), []).append(index)
        for _, indices in sorted(levels.items()):
            made = self._context.each([items[i] for i in indices], lambda item: item.path, self._make)
            yield from ((i, outcome) for i, (_, outcome) in zip(indices, made, strict=True))

    def _make(self, item: MkdirRequest) -> Done:
        self._context.name(item.path)
        self._context.standing_parent(item.path)
        if item.replaces is not None and item.replaces.kind is not Kind.DIRECTORY:
            self._replace(item.path, item.replaces)
        else:
            self._context.mark_directory(item.path)
        return Done(entry=DIRECTORY)

    def _replace(self, path: RelPath, expected: Entry) -> None:
        """A file's name becomes a directory's marker, in one write."""
        name, objects = self._context.name(path), self._context.objects
        head = self._context.planned_on(path, expected)
        self._trash.keep(path, head)
        reply = objects.put(name, b"", content_type=metadata.MARKER)
        now = objects.head(name, newest=True)
        if reply.status == OVERTAKEN or now is None or now.kind(name) is not Kind.DIRECTORY:
            raise StaleError(f"{printable(path)} was written by somebody else at the same time")
        self._context.known.remember([fact_of(name, now)])
        self._history.rescue(path, planned_on=expected.version, ours=now.version)

    def remove_directories(self, paths: Sequence[RelPath]) -> Results:
        """See `engine.interfaces.Store.remove_directories`."""
        for index, path in enumerate(paths):
            yield index, attempt(path, lambda path=path: self._remove(path))  # type: ignore[misc]

    def _remove(self, path: RelPath) -> Done:
        """Only markers go: whatever is written below meanwhile keeps the directory by being there."""
        name, objects = self._context.name(path), self._context.objects
        head = objects.head(name, newest=True)
        if head is not None and head.kind(name) is not Kind.DIRECTORY:
            raise StaleError(f"{printable(path)} is not a directory")
        if self._context.prober.occupied(name + "/"):
            raise StaleError(f"{printable(path)} is not empty")
        if head is not None:
            self._context.keep_directory(path)  # the parent may have stood by this one alone
        for marker in (name, name + "/"):
            if marker == name and head is None:
                continue
            if marker != name and objects.head(marker, newest=True) is None:
                continue
            objects.delete(marker)
            self._context.known.forget([marker])
        with self._context.lock:
            self._context.standing.discard(path)
        return Done()
