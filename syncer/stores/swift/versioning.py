"""Object versioning: another client's edit between our last look and our write is found in the versions.

It becomes a conflict copy beside the path, by a copy within the cluster: a new object, which the next run
syncs. Old-style versioning (`X-Versions-Location`) keeps such an edit too, but it is not looked for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from syncer.engine.model import RelPath, Version
from syncer.engine.paths import conflict_name, join, split
from syncer.errors import TransientError
from syncer.stores.swift import objects as versions
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.client import Call
from syncer.stores.swift.objects import ObjectHead, Objects

_DELETED = "application/x-deleted"
_HOST = "swift"  # names the copy: nobody knows from where the edit came
_NS_PER_TICK = 10_000


class VersionHistory:
    """Looks behind our own writes, where the container keeps what they took away."""

    def __init__(self, objects: Objects, cluster: ClusterInfo) -> None:
        self._objects = objects
        self._cluster = cluster

    def rescue(self, path: RelPath, *, planned_on: Version | None, ours: Version | None) -> list[RelPath]:
        """Copies of what was written after what was planned on, by others, before us; the copies' paths.

        `ours` is None after a delete. Raises StoreError: then the versions are still there.
        """
        if not self._cluster.versioned:
            return []
        since = 0 if planned_on is None else versions.ticks_in(planned_on)
        before = None if ours is None else versions.ticks_in(ours)
        name = self._objects.place.name(path)
        copies = []
        for row in sorted(self._versions(name), key=lambda row: -_stamp(row).ticks):
            stamp = _stamp(row)
            if row.get("is_latest") if before is None else stamp.ticks >= before:
                continue
            if stamp.ticks <= since or str(row.get("content_type", "")).startswith(_DELETED):
                break
            if planned_on is None or stamp.etag != versions.etag_in(planned_on):
                copies.append(self._copied(path, name, row))
        return copies

    def _copied(self, path: RelPath, name: str, row: dict[str, Any]) -> RelPath:
        directory, leaf = split(path)
        stamp, version_id = _stamp(row), str(row.get("version_id") or "")
        head = ObjectHead(stamp=stamp, size=0, static=bool(row.get("slo_etag")))
        mtime_ns = stamp.ticks * _NS_PER_TICK
        for attempt in range(100):
            copy = join(directory, conflict_name(leaf, mtime_ns=mtime_ns, host=_HOST, attempt=attempt))
            target = self._objects.place.name(copy)
            there = self._objects.head(target, newest=True)
            if there is not None and there.etag == stamp.etag:
                return copy  # an earlier try made it
            if there is None:
                self._objects.copy(name, target, head, version_id=version_id)
                return copy
        raise TransientError("no free name for a conflict copy", path=path)

    def _versions(self, name: str) -> list[dict[str, Any]]:
        query = urlencode({"versions": "true", "format": "json", "prefix": name}, quote_via=quote)
        rows = self._objects.connection.ask(
            Call(method="GET", path=self._objects.place.url(), query=query)
        ).document()
        return (
            [r for r in rows if isinstance(r, dict) and r.get("name") == name]
            if isinstance(rows, list)
            else []
        )


def _stamp(row: dict[str, Any]) -> versions.Stamp:
    try:
        ticks, _ = versions.by_listing(str(row.get("last_modified")))
    except ValueError:
        ticks = 0
    return versions.Stamp(ticks, versions.bare(str(row.get("slo_etag") or row.get("hash") or "")))
