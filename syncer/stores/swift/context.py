"""SwiftContext: what the protocols of one root share, and the look right before a change.

Swift has no condition on what it overwrites or deletes. So every object is looked at as late as possible,
what a change will replace is copied to the trash first, and what was written is looked at again; `WINDOW`
says which race remains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from syncer.engine.interfaces import Clock, Results
from syncer.engine.model import Done, Entry, Failed, Kind, Outcome, RelPath, Stale
from syncer.engine.paths import printable, split
from syncer.errors import AuthError, LocalError, PreconditionFailed, StoreError, TransientError
from syncer.stores.stale import StaleError
from syncer.stores.swift import metadata
from syncer.stores.swift.cache import ObjectCache
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.consistency import ObjectProber, WorkerPool, fact_of
from syncer.stores.swift.names import ContainerPath, checked
from syncer.stores.swift.objects import OVERTAKEN, ObjectHead, Objects

WINDOW = (
    "Swift overwrites and deletes unconditionally: somebody else's write of the same object in the moment "
    "between our last look and ours is lost, unless the container keeps versions (X-Versions-Enabled: true)"
)
WINDOW_OF_CEPH = (
    "Ceph overwrites and deletes unconditionally, and its Swift API keeps no versions: somebody else's write "
    "of the same object in the moment between our last look and ours is lost"
)

ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class SwiftContext:
    """One root with its cache, its threads, and what is known of the cluster."""

    objects: Objects
    known: ObjectCache
    prober: ObjectProber
    worker_pool: WorkerPool
    clock: Clock
    cluster: ClusterInfo
    heeds_new: Callable[[], bool]
    """Whether the cluster heeds `If-None-Match: *` on a PUT (Ceph does not)."""
    standing: set[RelPath] = field(default_factory=set)  # directories with a marker that we saw or made
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def place(self) -> ContainerPath:
        return self.objects.place

    def name(self, path: RelPath) -> str:
        """The object for a path that may be changed. Raises Unholdable, and what asking for limits does."""
        return self.place.name(checked(path, prefix=self.place.prefix, longest=self.cluster.limits.max_name))

    def planned_on(self, path: RelPath, expected: Entry) -> ObjectHead:
        """HEAD of the object, if it is exactly the version that was planned on. Raises StaleError.

        Asked with X-Newest: the nearest replica may still have an older version.
        """
        name = self.name(path)
        head = self.objects.head(name, newest=True)
        if head is None:
            raise StaleError(f"{printable(path)} is gone")
        if head.kind(name) is not expected.kind or head.version != expected.version:
            raise StaleError(f"{printable(path)} changed since it was planned on")
        return head

    def standing_parent(self, path: RelPath) -> None:
        """Raises StaleError unless the directory that holds the path is there."""
        parent = split(path)[0]
        with self.lock:
            known = not parent or parent in self.standing
        if known:
            return
        if not self.prober.stands(self.place.name(parent)):
            raise StaleError(f"{printable(parent)} is not a directory (any more)")
        with self.lock:
            self.standing.add(parent)

    def made(
        self, path: RelPath, head: ObjectHead, *, digest: bytes | None, target: str | None = None
    ) -> Done:
        """The outcome of a write: its object is put into the cache."""
        fact = fact_of(self.place.name(path), head, target=target)
        self.known.remember([fact])
        entry = fact.entry
        if digest is not None and entry.digest is None:
            entry = replace(entry, digest=digest)
        return Done(entry=entry)

    def mark_directory(self, path: RelPath) -> None:
        """Make a directory's marker, unless there is one. Raises StaleError where another object is."""
        name = self.name(path)
        if self.heeds_new() or self.objects.head(name, newest=True) is None:
            reply = self.objects.put(name, b"", content_type=metadata.MARKER, only_new=True)
            if reply.status == OVERTAKEN:
                raise TransientError(f"{printable(path)} was written by somebody else", path=path)
        head = self.objects.head(name, newest=True)
        if head is None or head.kind(name) is not Kind.DIRECTORY:
            raise StaleError(f"{printable(path)} is there by now, and no directory")
        self.known.remember([fact_of(name, head)])
        with self.lock:
            self.standing.add(path)

    def keep_directory(self, path: RelPath) -> None:
        """Write a marker for a parent that exists by its files only, before one of them is deleted."""
        parent = split(path)[0]
        if not parent:
            return
        with self.lock:
            if parent in self.standing:
                return
        fact = self.known.fact(self.place.name(parent))
        if fact is None or fact.entry.kind is not Kind.DIRECTORY:
            self.mark_directory(parent)

    # -- many at once ----------------------------------------------------------------

    def each(
        self, items: Sequence[ItemT], path_of: Callable[[ItemT], RelPath], do: Callable[[ItemT], Done]
    ) -> Results:
        """Change all items, on the worker pool; outcomes in order."""

        def change(item: ItemT) -> Outcome:
            return attempt(path_of(item), lambda: do(item))

        # One by one, not as a list: what was changed is recorded as it is known, also if a later item ends
        # the run.
        many = len(items) > 1
        yield from enumerate(self.worker_pool.pool.map(change, items) if many else map(change, items))


def attempt(path: RelPath, step: Callable[[], Done]) -> Outcome:
    """Make one change; its error is its outcome. Raises AuthError, which ends the run.

    As `remote.outcomes.run_item`, but NotFound fails the item: in Swift it means that the container is gone.
    """
    try:
        return step()
    except AuthError:
        raise
    except StaleError as error:
        return Stale(message=str(error))
    except PreconditionFailed as error:
        return Stale(message=error.message)
    except (StoreError, LocalError) as error:
        return Failed(error=error)
