"""Preconditions of uploads: the look right before a PUT, and the verification right after it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from syncer.engine.interfaces import WriteRequest
from syncer.engine.model import Kind
from syncer.engine.paths import printable
from syncer.stores.stale import StaleError
from syncer.stores.swift import metadata
from syncer.stores.swift.client import SwiftReply
from syncer.stores.swift.context import SwiftContext
from syncer.stores.swift.objects import OVERTAKEN, ObjectHead
from syncer.stores.swift.trash import SwiftTrash
from syncer.stores.swift.versioning import VersionHistory

MANY = 16  # new files of a batch from which on a page of the listing is asked for in place of each
_REFUSED = 412
_FRESH_SECONDS = 0.25
_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What stood at the name (in the trash as `kept`); or nothing; whether Swift sees to it (`heeded`)."""

    head: ObjectHead | None = None
    kept: str = ""
    heeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Names that are listed behind `after`, up to and with `until` (None: all). `since`: when asked for."""

    since: float
    names: frozenset[str]
    after: str
    until: str | None

    def covers(self, name: str) -> bool:
        """Whether a name that is not among them is not there."""
        key = name.encode()
        return self.after.encode() < key and (self.until is None or key <= self.until.encode())


class Preconditions:
    """Everything here raises StaleError where things are not as they were planned on."""

    def __init__(self, context: SwiftContext, trash: SwiftTrash, history: VersionHistory) -> None:
        self.context = context
        self._trash = trash
        self._history = history
        self.many = False  # whether so many are put that a page of the listing is worth it
        self._lock = threading.Lock()
        self._page: _Page | None = None

    def before(self, item: WriteRequest) -> Before:
        """Look right before a PUT, and copy what it will replace to the trash."""
        self.context.standing_parent(item.path)
        name = self.context.name(item.path)
        if item.expected is not None:
            old = self.context.planned_on(item.path, item.expected)
            if old.kind(name) is Kind.DIRECTORY:
                raise StaleError(f"{printable(item.path)} is a directory")
            return Before(head=old, kept=self._trash.keep(item.path, old))
        heeded = self.context.heeds_new()
        if not heeded and self._is_taken(name):
            raise StaleError(f"{printable(item.path)} is there by now")
        return Before(heeded=heeded)

    def _is_taken(self, name: str) -> bool:
        """Whether any object is there. Of many, by a page of the listing, which Ceph's never is behind.

        RACE: the page is `_FRESH_SECONDS` old at most, about as long as a HEAD and the way of the content
        take on a usual line; what is written under the same new name in that time is overwritten (see
        `context.WINDOW_OF_CEPH`).
        """
        if not self.many or not self.context.cluster.limits.is_ceph:
            return self.context.objects.exists(name)
        with self._lock:
            now = self.context.clock.monotonic()
            page = self._page
            if page is None or not page.covers(name) or now - page.since > _FRESH_SECONDS:
                page = self._page = self._looked(name, now)
        if not page.covers(name):
            return self.context.objects.exists(name)
        return name in page.names

    def _looked(self, name: str, now: float) -> _Page:
        """What is listed from a name on: so many rows, or all. An empty page is the end, a short one not."""
        objects, marker = self.context.objects, name[:-1]
        names: set[str] = set()
        last = marker
        while len(names) < _ROWS:
            rows = objects.rows(prefix=objects.place.prefix, marker=last, limit=_ROWS)
            if not rows:
                return _Page(since=now, names=frozenset(names), after=marker, until=None)
            names.update(row.name for row in rows)
            last = rows[-1].name
        return _Page(since=now, names=frozenset(names), after=marker, until=last)

    def after(self, item: WriteRequest, etag: str) -> ObjectHead:
        """The object, if it is what was sent. RACE: see `context.WINDOW`."""
        return ours(item, self.context.objects.head(self.context.name(item.path), newest=True), etag)

    def rescue(self, item: WriteRequest, head: ObjectHead) -> None:
        """Save another client's edit that our write replaced, where the container keeps versions."""
        planned_on = item.expected.version if item.expected is not None else None
        self._history.rescue(item.path, planned_on=planned_on, ours=head.version)


def ours(item: WriteRequest, head: ObjectHead | None, etag: str) -> ObjectHead:
    """The object after a write, if it is what was written. Raises StaleError."""
    if head is None:
        raise StaleError(f"{printable(item.path)} was deleted right after it was written")
    if head.etag != etag:
        raise StaleError(f"{printable(item.path)} was overwritten right after it was written")
    return head


def taken(item: WriteRequest, reply: SwiftReply) -> None:
    """Swift stored it, or this raises StaleError: 202 is an answer to a write that was not stored."""
    if reply.status == _REFUSED:
        raise StaleError(f"{printable(item.path)} is there by now")
    if reply.status == OVERTAKEN:
        raise StaleError(f"{printable(item.path)} was written by somebody else at the same time")


def meta_of(
    item: WriteRequest, old: ObjectHead | None, digest: bytes | None, etag: str = ""
) -> dict[str, str]:
    """The metadata of what is put; the executable bit of what it replaces stays where none is given."""
    if item.kind is not Kind.FILE:
        return {}
    executable = item.executable
    if executable is None:
        executable = bool(old is not None and metadata.executable_of(old.meta))
    return metadata.written(mtime_ns=item.mtime_ns, executable=executable, digest=digest, etag=etag)
