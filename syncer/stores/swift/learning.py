"""Asking the objects themselves: what one is, whether a directory stands. Reads only.

A HEAD that asks every replica is the authority; listings are late, and are only believed where an object
that they show is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias, TypeVar

from syncer.engine.model import Kind, Obstacle, Trouble
from syncer.errors import PermanentError, TransientError
from syncer.stores.staging import link_digest
from syncer.stores.swift.early import TINY, Early
from syncer.stores.swift.known import Fact, Known
from syncer.stores.swift.names import reachable
from syncer.stores.swift.objects import Head, Objects, Row, entry_of, head_in

PARALLEL = 12
Learned: TypeAlias = Fact | Obstacle | None

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Crew:
    """The threads that ask for one store. What they do must not ask the crew again."""

    def __init__(self, size: int = PARALLEL) -> None:
        self.pool = ThreadPoolExecutor(size, thread_name_prefix="swift")
        self.size = size

    def each(self, do: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
        """The results in order."""
        wanted = list(items)
        return [do(item) for item in wanted] if len(wanted) < 2 else list(self.pool.map(do, wanted))

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


class Learner:
    """Finds out about objects, and remembers it."""

    def __init__(self, objects: Objects, known: Known) -> None:
        self.objects = objects
        self.known = known
        self.early = Early()

    def learn(self, name: str, row: Row | None = None) -> Learned:
        """What the object is now, None where there is none, an Obstacle where it cannot be told."""
        try:
            return self.fact(name, row)
        except TransientError as error:
            return Obstacle(Trouble.BUSY, str(error))
        except PermanentError as error:
            return Obstacle(Trouble.UNREADABLE, str(error))

    def fact(self, name: str, row: Row | None = None) -> Fact | None:
        """The same; raises TransientError, PermanentError, AuthError. The caller remembers it."""
        head = self._early(name) if row is not None and self._new(name, row) else None
        if head is None:
            head = self.objects.head(name, newest=True)
        if head is None:
            return None
        if head.is_short:
            raise self.objects.broken(name)
        if head.kind(name) is Kind.SYMLINK:
            return self._link(name)
        listed = row is not None and row.stamp.is_of(head.stamp.ticks)
        return fact_of(name, head, listed=row.stamp.etag if row is not None and listed else "")

    def _link(self, name: str) -> Fact | None:
        with self.objects.get(name) as answer:
            content = answer.read()
            head = head_in(answer.headers, size=len(content))
        return fact_of(name, head, target=os.fsdecode(content))

    def _new(self, name: str, row: Row) -> bool:
        """Whether it is tiny, and will most likely be read."""
        return self.early.wanted(row) and self.known.fact(name) is None

    def _early(self, name: str) -> Head | None:
        """By its content, which is kept; None where only a HEAD can tell."""
        try:
            answer = self.objects.get(name, newest=True)
        except PermanentError:
            return None
        with answer:
            size = answer.headers.get("Content-Length", "")
            if answer.status != 200 or not size.isdecimal() or len(size) > 9 or int(size) > TINY:
                return None  # it is another by now
            try:
                content = answer.read()
            except TransientError:
                return None
            head = head_in(answer.headers, size=len(content))
        self.early.keep(name, head, content)
        return head

    def stands(self, name: str) -> bool:
        """Whether a directory of this name is there, by a marker or by anything below it."""
        head = self.objects.head(name, newest=True)
        if head is not None:
            return head.kind(name) is Kind.DIRECTORY
        return self.occupied(name + "/", marker_counts=True)

    def occupied(self, prefix: str, *, marker_counts: bool = False) -> bool:
        """Whether any object is below a prefix; rows of objects that are gone do not count."""
        marker = ""
        while rows := self.objects.rows(prefix=prefix, marker=marker, limit=100 if marker else 10):
            for row in rows:
                if row.name == prefix and not marker_counts:
                    continue
                unreachable = not reachable(row.name.removesuffix("/"))
                if unreachable or self.objects.head(row.name, newest=True) is not None:
                    return True
            marker = rows[-1].name
        return False


def fact_of(name: str, head: Head, *, target: str | None = None, listed: str = "") -> Fact:
    """What a HEAD says, as a fact. `listed`: the ETag that the listing shows, where that is another."""
    entry = entry_of(name, head, target=target)
    if target is not None:
        entry = replace(entry, digest=link_digest(target))
    return Fact(
        name=name,
        ticks=head.stamp.ticks,
        listed=listed or head.etag,
        entry=entry,
        volatile=bool(head.manifest) or head.linked,
    )
