"""Eventual consistency: probe objects by HEAD, and verify late listings against what was probed. Reads only.

Swift's listings are updated after the objects, by seconds or more, and each replica of a container on its
own: a listing may lack an object that is there, show one that is gone, or an older version. The object itself
is the authority: a HEAD with `X-Newest: true` asks every replica. So

- a row is believed only if the cache has the very same version (`ObjectCache`), since then a HEAD had shown
it;
- every other row, and every cached object that the listing lacks, is probed (`ObjectProber`);
- an object that is in the cache counts as deleted only after two probes a while apart did not find it
  (`ListingVerifier`): a single 404 may come from replicas that did not get the object yet.
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
from syncer.stores.common import is_private_path, link_digest
from syncer.stores.swift.cache import CachedObject, ObjectCache
from syncer.stores.swift.names import ContainerPath, reachable
from syncer.stores.swift.objects import ListingRow, ObjectHead, Objects, entry_of, head_in
from syncer.stores.swift.prefetch import TINY, TinyObjectPrefetch

PARALLEL = 12
Learned: TypeAlias = CachedObject | BlockedEntry | None

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class WorkerPool:
    """The threads that send requests for one store. A task must not wait for another task of the pool."""

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
    """Probes objects by HEAD (tiny new ones by GET). Its callers put the results into the cache."""

    def __init__(self, objects: Objects, known: ObjectCache) -> None:
        self.objects = objects
        self.known = known
        self.early = TinyObjectPrefetch()

    def learn(self, name: str, row: ListingRow | None = None) -> Learned:
        """What the object is now; None where there is none, a BlockedEntry where that cannot be found out.

        A failure is never an absence: a name that cannot be probed waits for the next run.
        """
        try:
            return self.fact(name, row)
        except TransientError as error:
            return BlockedEntry(BlockReason.BUSY, str(error))
        except PermanentError as error:
            return BlockedEntry(BlockReason.UNREADABLE, str(error))

    def fact(self, name: str, row: ListingRow | None = None) -> CachedObject | None:
        """As `learn`, but raises TransientError, PermanentError, AuthError."""
        # A tiny object that is unknown will most likely be downloaded next: its content costs no more than a
        # HEAD.
        prefetch = row is not None and self.early.wanted(row) and self.known.fact(name) is None
        head = self._early(name) if prefetch else None
        if head is None:
            head = self.objects.head(name, newest=True)
        if head is None:
            return None
        if head.is_short:
            raise self.objects.broken(name)
        if head.kind(name) is Kind.SYMLINK:
            with self.objects.get(name) as answer:
                content = answer.read()
                head = head_in(answer.headers, size=len(content))
            return fact_of(name, head, target=os.fsdecode(content))
        listed = row is not None and row.stamp.is_of(head.stamp.ticks)
        return fact_of(name, head, listed=row.stamp.etag if row is not None and listed else "")

    def _early(self, name: str) -> ObjectHead | None:
        """By a GET whose content is kept for the download; None where a HEAD has to be sent."""
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
        """Whether any object is below a prefix; rows of objects that are gone do not count.

        Asked before a directory is removed. A late listing may lack a new object below: only the directory's
        marker is deleted then, and the object makes the directory exist again.
        """
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
    """The cache's record of a HEAD. `listed`: the ETag that the listing shows, where that is another."""
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


# --------------------------------------------------------------------------------  Verification of a listing:
# each page is compared with the cache, and what differs is probed.  listed, cached, same version
# believed: a HEAD showed this version before listed, cached, another version    probed: a new version, or a
# late row listed, not cached                 probed: new, or deleted since (then it is left out) not listed,
# cached                 probed: deleted, or missing in a late listing  In the last case a 404 is not enough.
# The engine would delete the other side's file for it, so the object counts as deleted only if it was not
# found twice, `GRACE_SECONDS` apart; until then it is BUSY (`unsure`).


GRACE_SECONDS = 3.0  # between the two looks that do not find an object
_SLASHES = "/"  # stands for a name that is empty: "a//b", "/lead"

Shown: TypeAlias = tuple[str, Entry | BlockedEntry]  # a path below the root, and what stands there


@dataclass(slots=True)
class ListingVerifier:
    """For one scan of a root, or a part of it.

    `unsure`: objects that were not found once, to be probed again.
    """

    place: ContainerPath
    known: ObjectCache
    prober: ObjectProber
    worker_pool: WorkerPool
    clock: Clock
    unsure: list[str] = field(default_factory=list)
    asked: int = 0

    def page(self, rows: Sequence[ListingRow], facts: Iterable[CachedObject]) -> list[Shown]:
        """What is really there of a page of the listing.

        `facts` are the cached objects of the same range of names.

        The range matters: a cached object is missing from this page only if its name lies between the first
        and the last name of the page.
        """
        listed = {row.name: row for row in rows if not is_private_path(self._visible(row.name))}
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
        """Seconds until all objects in `unsure` may be probed again.

        `GRACE_SECONDS` after the latest first miss.
        """
        now = self.clock.now_ns()
        since = max((self.known.missing_since(name, now) for name in self.unsure), default=0)
        return max(0.0, GRACE_SECONDS - (now - since) / 1e9) if since else 0.0

    def _ask(self, doubtful: Sequence[tuple[str, ListingRow | None]]) -> dict[str, Entry | BlockedEntry]:
        self.asked += len(doubtful)
        answers = self.worker_pool.each(lambda item: self.prober.learn(*item), doubtful)
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
            return None  # never cached, so no base row exists: its absence makes the engine delete nothing
        now = self.clock.now_ns()
        # The first miss is recorded in the cache with its time, and cleared when the object is found again.
        if now - self.known.missing_since(name, now) >= GRACE_SECONDS * 1e9:
            return None
        self.unsure.append(name)
        return BlockedEntry(
            BlockReason.BUSY, "it was not found, once: that may be a late answer; looked for again"
        )

    def _visible(self, name: str) -> str:
        return self.place.path(name).removesuffix("/")


def strange(path: str) -> str:
    """Why an object's name cannot be a path; "" if it can."""
    for part in path.split("/") if path else ():
        if part in ("", ".", ".."):
            return f"the object's name has the part {part or _SLASHES!r}"
        if "\0" in part:
            return "the object's name contains a NUL"
    return ""


def split_at_strange(path: str) -> tuple[list[str], str]:
    """The valid parts that a strange path begins with, and a name to show for the first invalid one."""
    good: list[str] = []
    for part in path.split("/"):
        if unsafe(part, at_root=not good):
            return good, part or _SLASHES
        good.append(part)
    return good[:-1], good[-1]
