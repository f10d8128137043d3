"""What every way to store content does: the look right before, and the one right after."""

from __future__ import annotations

from dataclasses import dataclass

from syncer.engine.model import Kind
from syncer.engine.paths import printable
from syncer.engine.ports import Put
from syncer.stores.swift import metadata
from syncer.stores.swift.connection import Reply
from syncer.stores.swift.ground import Ground, Unexpected
from syncer.stores.swift.history import History
from syncer.stores.swift.objects import OVERTAKEN, Head
from syncer.stores.swift.trash import Trash

_REFUSED = 412


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What stood at the name (in the trash as `kept`); or nothing; whether Swift sees to it (`heeded`)."""

    head: Head | None = None
    kept: str = ""
    heeded: bool = False


class Placing:
    """Everything here raises Unexpected where things are not as they were planned on."""

    def __init__(self, ground: Ground, trash: Trash, history: History) -> None:
        self.ground = ground
        self._trash = trash
        self._history = history

    def before(self, item: Put) -> Before:
        """Looks, and keeps what is about to be replaced."""
        self.ground.standing_parent(item.path)
        name = self.ground.name(item.path)
        if item.expected is not None:
            old = self.ground.planned_on(item.path, item.expected)
            if old.kind(name) is Kind.DIRECTORY:
                raise Unexpected(f"{printable(item.path)} is a directory")
            return Before(head=old, kept=self._trash.keep(item.path, old))
        heeded = self.ground.heeds_new()
        if not heeded and self.ground.objects.exists(name):
            raise Unexpected(f"{printable(item.path)} is there by now")
        return Before(heeded=heeded)

    def after(self, item: Put, etag: str) -> Head:
        """The object, if it is what was sent. RACE: see `ground.WINDOW`."""
        return ours(item, self.ground.objects.head(self.ground.name(item.path), newest=True), etag)

    def rescue(self, item: Put, head: Head) -> None:
        """Somebody's edit that our write overtook, where the container keeps versions."""
        planned_on = item.expected.version if item.expected is not None else None
        self._history.rescue(item.path, planned_on=planned_on, ours=head.version)


def ours(item: Put, head: Head | None, etag: str) -> Head:
    """What is there after a write, if it is what was written."""
    if head is None:
        raise Unexpected(f"{printable(item.path)} was deleted right after it was written")
    if head.etag != etag:
        raise Unexpected(f"{printable(item.path)} was overwritten right after it was written")
    return head


def taken(item: Put, reply: Reply) -> None:
    """Swift stored it, or this raises Unexpected: 202 is an answer to a write that was not stored."""
    if reply.status == _REFUSED:
        raise Unexpected(f"{printable(item.path)} is there by now")
    if reply.status == OVERTAKEN:
        raise Unexpected(f"{printable(item.path)} was written by somebody else at the same time")


def meta_of(item: Put, old: Head | None, digest: bytes | None, etag: str = "") -> dict[str, str]:
    """The metadata of what is put; the executable bit of what it replaces stays where none is given."""
    if item.kind is not Kind.FILE:
        return {}
    executable = item.executable
    if executable is None:
        executable = bool(old is not None and metadata.executable_of(old.meta))
    return metadata.written(mtime_ns=item.mtime_ns, executable=executable, digest=digest, etag=etag)
