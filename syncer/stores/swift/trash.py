"""The trash of a Swift root.

Objects are copied to `.syncer/trash/<run>/<path>` before they are replaced or deleted.

Swift overwrites whatever is there, so no two runs may ever choose one name: the folder of a run has a random
part. Runs are pruned by their age on the cluster's clock. The copy of a large object is its manifest; the
segments stay where they are.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from syncer.engine.interfaces import Clock
from syncer.engine.model import RelPath
from syncer.engine.paths import printable
from syncer.errors import PermanentError
from syncer.stores.stale import StaleError
from syncer.stores.swift.bulk_delete import delete_many
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.listing import pages
from syncer.stores.swift.objects import COPIED, TICKS, ObjectHead, Objects
from syncer.stores.swift.slo.manifest import asked

KEPT_DAYS = 30
_MOMENT = "%Y%m%dT%H%M%SZ"
_DAY_TICKS = 86_400 * TICKS
_SOME = 100


class SwiftTrash:
    """For one run: it names its folder by the moment of its first use. Safe to share between threads."""

    def __init__(
        self, objects: Objects, cluster: ClusterInfo, clock: Clock, tag: str, *, kept_days: int = KEPT_DAYS
    ) -> None:
        self._objects = objects
        self._cluster = cluster
        self._clock = clock
        self._tag = tag
        self._kept_days = kept_days
        self._lock = threading.Lock()
        self._run = ""
        self._used: dict[RelPath, int] = {}

    @property
    def folder(self) -> str:
        """What the names of everything in the trash begin with."""
        return f"{self._objects.place.private}trash/"

    @property
    def used(self) -> bool:
        """Whether anything went there."""
        return bool(self._run)

    def keep(self, path: RelPath, head: ObjectHead) -> str:
        """Copy the object that a HEAD just showed; the copy's name. Raises StaleError if it changed since."""
        name, kept = self._objects.place.name(path), self._free_name(path)
        try:
            reply = self._objects.copy(name, kept, head)
        except PermanentError as error:
            if not head.static or type(error) is not PermanentError:
                raise
            # 400: a segment is gone, so it cannot be copied as a whole. Its manifest is kept as a document,
            # to save what can be saved.
            found = asked(self._objects.connection, self._objects.place.url(name), about=path)
            if found is None:
                raise StaleError(f"{printable(path)} changed since it was planned on") from None
            self._objects.put(kept, found[0].encoded(), content_type="application/json")
            return kept
        if reply.status != COPIED:
            raise StaleError(f"{printable(path)} changed since it was planned on")
        if head.delete_at:  # it is copied along, and nothing in the trash may expire by itself
            self._objects.post(kept, replace(head, delete_at=""), head.meta)
        return kept

    def prune(self) -> None:
        """Delete what was copied here more than `kept_days` ago. Raises StoreError."""
        limit = self._now() - timedelta(days=self._kept_days)
        old = []
        for page in pages(self._objects, self.folder, delimiter="/"):
            for row in page:
                run = row.name[len(self.folder) : -1]
                when = _moment(run) if row.is_prefix else None
                if when is not None and when < limit:
                    old.append(run)
        if not old:
            return
        # The names are made with this machine's clock, which may have been wrong by months, then or now. The
        # cluster's own time is that of what this very run copied; where that is not listed yet, nothing is
        # pruned.
        rows = self._objects.rows(prefix=f"{self.folder}{self._run}/", limit=_SOME)
        newest = max((row.stamp.ticks for row in rows), default=None)
        if newest is None:
            return
        for run in old:
            for page in pages(self._objects, f"{self.folder}{run}/"):
                names = [row.name for row in page if row.stamp.ticks < newest - self._kept_days * _DAY_TICKS]
                delete_many(self._objects, self._cluster.limits, names)

    def _free_name(self, path: RelPath) -> str:
        with self._lock:
            if not self._run:
                word = secrets.token_hex(8)  # the machines share the container, and a second is long
                self._run = f"{self._now().strftime(_MOMENT)}-{self._tag or 'run'}-{word}"
            count = self._used[path] = self._used.get(path, 0) + 1
        again = f"~{count}" if count > 1 else ""
        name = f"{self.folder}{self._run}/{path}{again}"
        if len(name.encode()) <= self._cluster.limits.max_name:
            return name
        return f"{self.folder}{self._run}/{blake2b(path.encode(), digest_size=16).hexdigest()}{again}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)


def _moment(run: str) -> datetime | None:
    try:
        return datetime.strptime(run.partition("-")[0], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
