"""Single names: stat, digests, and the content of small files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    RelPath,
    Seen,
)
from syncer.errors import ChangedUnderUs, NotFound, PermanentError, Unreadable
from syncer.stores.remote.object_metadata import plain_type
from syncer.stores.remote.object_names import wrong
from syncer.stores.swift import metadata
from syncer.stores.swift.context import SwiftContext
from syncer.stores.swift.download import SwiftSource
from syncer.stores.swift.listing import DIRECTORY

_WINDOW = 64  # entries that are asked about at once


class Lookup:
    """Reads only."""

    def __init__(self, context: SwiftContext, is_broken: Callable[[RelPath, Entry], bool]) -> None:
        """`is_broken`: whether a large object surely lacks a segment, as far as that can be told unread."""
        self._context = context
        self._is_broken = is_broken

    def look(self, path: RelPath) -> Seen:
        """See `engine.interfaces.Store.stat`; not for the root."""
        if wrong(path):
            return None
        name = self._context.place.name(path)
        try:
            fact = self._context.prober.fact(name)
            if fact is not None:
                self._context.known.remember([fact])
                return fact.entry
            return DIRECTORY if self._context.prober.occupied(name + "/", marker_counts=True) else None
        except PermanentError as error:
            return BlockedEntry(BlockReason.UNREADABLE, error.message)

    def digests(self, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
        """See `engine.interfaces.Store.with_digests`: from the metadata, or else by reading."""
        for start in range(0, len(wanted), _WINDOW):
            paths = [path for path, _ in wanted[start : start + _WINDOW]]
            yield from self._context.worker_pool.each(self._digest, paths)

    def _digest(self, path: RelPath) -> Seen:
        seen = self.look(path)
        if not isinstance(seen, Entry) or seen.kind is not Kind.FILE:
            return seen
        if seen.digest is not None:
            return self._whole(path, seen)
        source = SwiftSource(self._context, path, seen)
        try:
            for _ in source.chunks():
                pass
        except ChangedUnderUs as error:
            return BlockedEntry(BlockReason.BUSY, error.message)
        except PermanentError as error:
            return (
                None if isinstance(error, NotFound) else BlockedEntry(BlockReason.UNREADABLE, error.message)
            )
        self._keep(path, source.entry)
        return source.entry

    def _whole(self, path: RelPath, seen: Entry) -> Entry | BlockedEntry:
        """One whose digest its metadata tells; that says nothing of the segments it is made of."""
        try:
            broken = self._is_broken(path, seen)
        except PermanentError as error:
            return BlockedEntry(BlockReason.UNREADABLE, error.message)
        if broken:
            name = self._context.place.name(path)
            return BlockedEntry(BlockReason.UNREADABLE, self._context.objects.broken(name).message)
        return seen

    def _keep(self, path: RelPath, entry: Entry) -> None:
        """What was read need not be read again."""
        fact = self._context.known.fact(self._context.place.name(path))
        if fact is not None and fact.entry.version == entry.version and not fact.volatile:
            self._context.known.remember([replace(fact, entry=entry)])

    def read_small(self, path: RelPath, limit: int) -> bytes:
        """See `engine.interfaces.Store.read_file`."""
        if wrong(path):
            return b""
        try:
            with self._context.objects.get(self._context.place.name(path), end=limit) as answer:
                kind = plain_type(answer.headers.get("Content-Type", ""))
                content = answer.read()
                if answer.status >= 300 or kind == metadata.SYMLINK or kind in metadata.MARKERS:
                    return b""
                return content[:limit]
        except NotFound:
            return b""
        except PermanentError as error:
            raise Unreadable(error.message, path=path) from error
