"""Asking the objects themselves: what one is, whether a directory stands. Reads only.

A HEAD that asks every replica is the authority; listings are late, and are only believed where an object
that they show is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

from syncer.engine.interfaces import Clock
from syncer.engine.model import BlockedEntry, BlockReason, Entry, Kind
from syncer.engine.paths import unsafe
from syncer.errors import PermanentError, TransientError
from syncer.stores.local.root import is_ours
from syncer.stores.local.staging import link_digest
from syncer.stores.swift.cache import CachedObject, ObjectCache
from syncer.stores.swift.names import ContainerPath, reachable
from syncer.stores.swift.objects import ListingRow, ObjectHead, Objects, entry_of, head_in
from syncer.stores.swift.prefetch import TINY, TinyObjectPrefetch

PARALLEL = 12
Learned: TypeAlias = CachedObject | BlockedEntry | None

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class WorkerPool:
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


class ObjectProber:
    """Finds out about objects, and remembers it."""

    def __init__(self, objects: Objects, known: ObjectCache) -> None:
        self.objects = objects
        self.known = known
        self.early = TinyObjectPrefetch()

    def learn(self, name: str, row: ListingRow | None = None) -> Learned:
        """What the object is now, None where there is none, an Obstacle where it cannot be told."""
        try:
            return self.fact(name, row)
        except TransientError as error:
            return BlockedEntry(BlockReason.BUSY, str(error))
        except PermanentError as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))

    def fact(self, name: str, row: ListingRow | None = None) -> CachedObject | None:
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

    def _link(self, name: str) -> CachedObject | None:
        with self.objects.get(name) as answer:
            content = answer.read()
            head = head_in(answer.headers, size=len(content))
        return fact_of(name, head, target=os.fsdecode(content))

    def _new(self, name: str, row: ListingRow) -> bool:
        """Whether it is tiny, and will most likely be read."""
        return self.early.wanted(row) and self.known.fact(name) is None

    def _early(self, name: str) -> ObjectHead | None:
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


def fact_of(name: str, head: ObjectHead, *, target: str | None = None, listed: str = "") -> CachedObject:
    """What a HEAD says, as a fact. `listed`: the ETag that the listing shows, where that is another."""
    entry = entry_of(name, head, target=target)
    if target is not None:
        entry = replace(entry, digest=link_digest(target))
    return CachedObject(
        name=name,
        ticks=head.stamp.ticks,
        listed=listed or head.etag,
        entry=entry,
        volatile=bool(head.manifest) or head.linked,
    )


# --------------------------------------------------------------------------------
#
# A page of a listing, laid beside what is known of its objects: what is really there.
#
# Listings are late. What one shows as it is known is taken for granted; everything else is asked for
# itself: an object that is new or another, one that is listed and gone, one that is known and not listed.
# The last is gone only when it was not found twice, a while apart: until then it waits
# (`ListingVerifier.unsure`).


GRACE_SECONDS = 3.0  # between the two looks that do not find an object
_SLASHES = "/"  # stands for a name that is empty: "a//b", "/lead"

Shown: TypeAlias = tuple[str, Entry | BlockedEntry]  # a path below the root, and what stands there


@dataclass(slots=True)
class ListingVerifier:
    """For one look at one root, or a part of it. `unsure`: objects not found once, which are waited for."""

    place: ContainerPath
    known: ObjectCache
    learner: ObjectProber
    crew: WorkerPool
    clock: Clock
    unsure: list[str] = field(default_factory=list)
    asked: int = 0

    def page(self, rows: Sequence[ListingRow], facts: Iterable[CachedObject]) -> list[Shown]:
        """What is there of what a part of a listing shows, and of what is known of that part; by name."""
        listed = {row.name: row for row in rows if not is_ours(self._visible(row.name))}
        known = {fact.name: fact for fact in facts}
        found: dict[str, Entry | BlockedEntry] = {}
        doubtful: list[tuple[str, ListingRow | None]] = []
        for name, row in listed.items():
            fact = known.get(name)
            if why := strange(self._visible(name)):
                found[name] = BlockedEntry(BlockReason.UNSAFE_NAME, why)
            elif name.endswith("/") and row.size:
                found[name] = BlockedEntry(
                    BlockReason.UNSUPPORTED, "an object with content whose name ends in a slash"
                )
            elif fact is not None and not fact.volatile and row.stamp.may_be(fact.ticks, fact.listed):
                found[name] = fact.entry
            else:
                doubtful.append((name, row))
        doubtful += [(name, None) for name in known if name not in listed]
        found |= self._ask(doubtful)
        return [(self.place.path(name), found[name]) for name in sorted(found, key=str.encode)]

    def grace(self) -> float:
        """Seconds until all that was not found once may be looked for again."""
        now = self.clock.now_ns()
        since = max((self.known.missing_since(name, now) for name in self.unsure), default=0)
        return max(0.0, GRACE_SECONDS - (now - since) / 1e9) if since else 0.0

    def _ask(self, doubtful: Sequence[tuple[str, ListingRow | None]]) -> dict[str, Entry | BlockedEntry]:
        self.asked += len(doubtful)
        answers = self.crew.each(lambda item: self.learner.learn(*item), doubtful)
        self.known.remember(a for a in answers if isinstance(a, CachedObject))
        found: dict[str, Entry | BlockedEntry] = {}
        gone: list[str] = []
        for (name, row), answer in zip(doubtful, answers, strict=True):
            seen = self._judged(name, row, answer)
            if seen is None:
                gone.append(name)
            else:
                found[name] = seen
        self.known.forget(gone)
        return found

    def _judged(self, name: str, row: ListingRow | None, answer: Learned) -> Entry | BlockedEntry | None:
        if isinstance(answer, CachedObject):
            return answer.entry
        if answer is not None:
            return answer
        if self.known.fact(name) is None:
            return None  # listed only: it was deleted, and nobody here ever relied on it
        now = self.clock.now_ns()
        if now - self.known.missing_since(name, now) >= GRACE_SECONDS * 1e9:
            return None
        self.unsure.append(name)
        return BlockedEntry(
            BlockReason.BUSY, "it was not found, once: that may be a late answer; looked for again"
        )

    def _visible(self, name: str) -> str:
        return self.place.path(name).removesuffix("/")


def strange(path: str) -> str:
    """Why an object's name is no path; "" if it may be one."""
    for part in path.split("/") if path else ():
        if part in ("", ".", ".."):
            return f"the object's name has the part {part or _SLASHES!r}"
        if "\0" in part:
            return "the object's name contains a NUL"
    return ""


def split_at_strange(path: str) -> tuple[list[str], str]:
    """The good parts that a strange path begins with, and a word for the first bad one."""
    good: list[str] = []
    for part in path.split("/"):
        if unsafe(part, at_root=not good):
            return good, part or _SLASHES
        good.append(part)
    return good[:-1], good[-1]
