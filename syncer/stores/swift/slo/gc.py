"""Garbage collection: find segments that no manifest names, and remove those older than the grace time.

Swift counts no references. So all of our segments are listed first, then all manifests that may name them
(objects, the trash, older versions, the containers of versions). The order matters: a segment that is
uploaded and named after the first listing is not among the candidates at all. Manifests are read twice, a
while apart, since a listing may lag behind a rename. An object that is listed and gone shows that the listing
lags: then nothing is concluded. Nor is anything while a manifest cannot be read, which may name any segment.

RACE: a large object that was renamed, and that no listing shows under either name both times, loses the
segments that are older than the grace time; therefore `syncer gc` is run by a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlencode

from syncer.engine.interfaces import Clock
from syncer.errors import NotFound, TransientError
from syncer.stores.remote.object_names import quoted
from syncer.stores.swift import metadata, objects
from syncer.stores.swift.bulk_delete import delete_many
from syncer.stores.swift.capabilities import ClusterInfo
from syncer.stores.swift.client import Call, Connection
from syncer.stores.swift.consistency import WorkerPool
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.objects import EMPTY, ObjectHead, Objects, head_in
from syncer.stores.swift.slo.companions import FOLDER, Companions, name_of
from syncer.stores.swift.slo.manifest import asked
from syncer.stores.swift.slo.upload import GRACE_SECONDS, OURS, SUFFIX

SETTLE_SECONDS = 15.0  # between two looks at the manifests
_LOOKS = 4  # at most, until a listing agrees with what is there
_TOGETHER = 200  # segments that are removed at once
_SHOWN = 2  # looks that must agree
_ELSEWHERE = ("X-Versions-Location", "X-History-Location")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A segment that nothing names. `age` in seconds since it was written, by the cluster's clock."""

    name: str
    size: int
    age: float
    stamp: objects.Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What was found. `young`: orphans that may still be part of an upload; `named`: segments in use.

    `unreadable`: large objects whose segments are unknown. As long as there is one, any
    segment that no other object names may be one of its parts: those are `undecided`, and none is an orphan.
    """

    orphans: tuple[Orphan, ...]
    young: int
    named: int
    undecided: int = 0
    unreadable: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that removing the orphans sets free."""
        return sum(orphan.size for orphan in self.orphans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What became of it: `kept` were written again since they were listed, `failed` could not be removed."""

    segments: int
    size: int
    kept: int
    failed: int


class _Told(Enum):
    """What is known of a row that has no manifest to read."""

    PLAIN = "it is an object of its own"
    GONE = "it is not there (any more)"
    HIDDEN = "it is made of segments, and nobody says of which"


class Collector:
    """For one container. `grace`: seconds for which an orphan is left alone."""

    def __init__(
        self,
        connection: Connection,
        container: str,
        *,
        clock: Clock,
        grace: float = GRACE_SECONDS,
        settle: float = SETTLE_SECONDS,
    ) -> None:
        self._connection = connection
        self._limits = limits = ClusterInfo(connection, ContainerPath(container=container)).limits
        hides = limits.hides_manifests
        self._objects = Objects(connection, ContainerPath(container=container), hides_manifests=lambda: hides)
        self._segments = Objects(
            connection, ContainerPath(container=container + SUFFIX), hides_manifests=lambda: hides
        )
        self._clock = clock
        self._grace = grace
        self._settle = settle
        self._worker_pool = WorkerPool()
        self._read: dict[tuple[str, str, str], frozenset[str]] = {}
        self._companions = Companions(connection, self._segments.place.container)
        self._documents: dict[str, list[str]] = {}  # companions by the ETag that they are for
        self._listed: dict[str, frozenset[str]] = {}  # what those that were read list

    def close(self) -> None:
        self._worker_pool.close()

    def find(self) -> Garbage:
        """Raises NotFound where there is no such container, TransientError where its listing lags."""
        headers = self._connection.ask(Call(method="HEAD", path=self._objects.place.url())).headers
        try:  # the cluster's clock: this machine's may be wrong by more than the grace time
            now = parsedate_to_datetime(headers.get("Date", "")).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            raise TransientError("the cluster does not send its time") from None
        found = [_orphan(row, now) for row in self._ours()]
        old = [orphan for orphan in found if orphan.age >= self._grace]
        named, unreadable = (
            self._named(headers, {self._path(one.name) for one in old}) if found else (set(), set())
        )
        orphans = tuple(orphan for orphan in old if self._path(orphan.name) not in named)
        young = [one for one in found if one.age < self._grace and self._path(one.name) not in named]
        return Garbage(
            orphans=() if unreadable else orphans,
            young=len(young),
            named=len(found) - len(orphans) - len(young),
            undecided=len(orphans) if unreadable else 0,
            unreadable=tuple(sorted(unreadable)) if orphans else (),
        )

    def remove(self, garbage: Garbage) -> Removed:
        """Each is looked at once more right before. Raises AuthError, TransientError."""
        done, size, kept, failed = 0, 0, 0, 0
        for start in range(0, len(garbage.orphans), _TOGETHER):
            group = garbage.orphans[start : start + _TOGETHER]
            same = self._worker_pool.each(self._is_same, group)
            names = [one.name for one, same_ in zip(group, same, strict=True) if same_]
            trouble = delete_many(self._segments, self._limits, names)
            kept += len(group) - len(names)
            failed += len(trouble)
            done += len(names) - len(trouble)
            size += sum(one.size for one in group if one.name in names and one.name not in trouble)
        return Removed(segments=done, size=size, kept=kept, failed=failed)

    def _is_same(self, orphan: Orphan) -> bool:
        head = self._segments.head(orphan.name, newest=True)
        return head is not None and orphan.stamp.is_of(head.stamp.ticks)

    # -- who names what ----------------------------------------------------------------

    def _named(self, headers: Mapping[str, str], old: set[str]) -> tuple[set[str], set[str]]:
        """All segments' paths that a manifest names, by looks that show no sign of a listing that lags.

        One look is enough where it finds all of the `old` ones named. Second: the objects whose manifest
        cannot be read.
        """
        named: set[str] = set()
        unreadable: set[str] = set()
        sound = 0
        for look in range(_LOOKS):
            if look:
                self._clock.sleep(self._settle)
            paths, unread, settled = self._look(headers)
            named |= paths
            unreadable |= unread
            sound = sound + 1 if settled else 0
            if sound == _SHOWN or old <= named or unreadable:
                return named, unreadable
        raise TransientError(
            f"{self._objects.place.container}: its listing shows objects that are not there (any more)",
            hint="run it again when nobody works on the container",
        )

    def _look(self, headers: Mapping[str, str]) -> tuple[set[str], set[str], bool]:
        named: set[str] = set()
        unreadable: set[str] = set()
        settled = True
        places = [(self._objects.place.container, "X-Versions-Enabled" in headers)]
        places += [(headers[name], False) for name in _ELSEWHERE if headers.get(name)]
        for container, versioned in places:
            for page in _pages(self._connection, container, versioned=versioned):
                large = [row for row in page if self._may_be_large(row)]
                found = self._worker_pool.each(partial(self._parts, container), large)
                for row, payload in zip(large, found, strict=True):
                    if isinstance(payload, frozenset):
                        named |= payload
                    elif payload is _Told.HIDDEN:
                        unreadable.add(str(row.get("name")))
                    settled = settled and payload is not _Told.GONE
        return named, unreadable, settled

    def _may_be_large(self, row: Mapping[str, Any]) -> bool:
        """Swift's listings tell which objects are; Ceph lists them like empty ones; elsewhere all may be."""
        if not self._limits.hides_manifests or row.get("slo_etag"):
            return bool(row.get("slo_etag"))
        return not self._limits.is_ceph or objects.bare(str(row.get("hash") or EMPTY)) == EMPTY

    def _parts(self, container: str, row: Mapping[str, Any]) -> frozenset[str] | _Told:
        """The paths of all objects that a row's one is made of, or why none are known."""
        name, version = str(row.get("name")), str(row.get("version_id") or "")
        etag = objects.bare(str(row.get("slo_etag") or ""))
        key = (f"{container}/{name}", version, f"{etag} {row.get('last_modified')}")
        url = quoted(f"{container}/{name}")
        if key in self._read and self._stands(url, version, etag):
            return self._read[key]
        query = urlencode({"version-id": version}) if version else ""
        if self._limits.hides_manifests and (payload := self._told(url, version)) is not _Told.HIDDEN:
            return payload  # what the cluster itself says of its own is still asked for: a later one may tell
        try:
            found = asked(self._connection, url, query=query, about=name)
        except NotFound:
            return self._unlisted(url, version)
        if found is None:
            return self._told(url, version)
        self._read[key] = frozenset(one.path for one in found[0].segments)
        return self._read[key]

    def _stands(self, url: str, version: str, etag: str) -> bool:
        """Whether what was read a moment ago is what is there now."""
        query = urlencode({"version-id": version}) if version else ""
        call = Call(method="HEAD", path=url, query=query, headers={"X-Newest": "true"}, accept=(404,))
        reply = self._connection.ask(call)
        return reply.status != 404 and objects.bare(reply.headers.get("Etag", "")) == etag

    def _told(self, url: str, version: str) -> frozenset[str] | _Told:
        """Of an object whose manifest does not come: what its companion lists, or what else a HEAD says."""
        query = urlencode({"version-id": version}) if version else ""
        reply = self._connection.ask(Call(method="HEAD", path=url, query=query, accept=(404,)))
        if reply.status == 404:
            return self._unlisted(url, version)
        head = head_in(reply.headers)
        container, _, prefix = unquote(head.manifest).partition("/")
        ours = prefix.startswith(OURS) or OURS.startswith(prefix)
        if head.manifest and container == self._segments.place.container and ours:
            return _Told.HIDDEN
        return _Told.PLAIN if not head.static else self._companion(head, url)

    def _companion(self, head: ObjectHead, about: str) -> frozenset[str] | _Told:
        """What all companions for this ETag list, if there is the one that the object refers to.

        Of equal content that was sent twice under two names the objects have one ETag, and differ in their
        segments. Metadata that a POST sends again right after the other one was put would refer to the wrong
        one: so that both count.
        """
        if self._companions.of(head, about=about) is None:
            return _Told.HIDDEN
        own = name_of(metadata.manifest_in(head.meta, head.etag), head.etag)
        paths: set[str] = set()
        for name in {own, *self._documents.get(head.etag, ())}:
            if name not in self._listed:
                found = self._companions.read(name, about=about)
                if found is not None:
                    self._listed[name] = frozenset(one.path for one in found[0].segments)
            paths |= {self._path(name)} | self._listed.get(name, frozenset())
        return frozenset(paths)

    def _unlisted(self, url: str, version: str) -> _Told:
        """Of an object that is listed and not there: it is gone, or one of its segments is."""
        query = urlencode({"multipart-manifest": "get"} | ({"version-id": version} if version else {}))
        reply = self._connection.ask(Call(method="HEAD", path=url, query=query, accept=(404,)))
        return _Told.GONE if reply.status == 404 else _Told.HIDDEN

    # -- what there is -------------------------------------------------------------------

    def _ours(self) -> Iterator[Mapping[str, Any]]:
        """Rows of all segments and companions."""
        try:
            for prefix in (OURS, FOLDER):
                for page in _pages(self._connection, self._segments.place.container, prefix=prefix):
                    for row in (row for row in page if str(row.get("name")).startswith(prefix)):
                        if prefix == FOLDER:
                            name = str(row["name"])
                            self._documents.setdefault(name.split("/")[1], []).append(name)
                        yield row
        except NotFound:
            return  # nothing was ever sent in segments

    def _path(self, name: str) -> str:
        return f"{self._segments.place.container}/{name}"


def _orphan(row: Mapping[str, Any], now: float) -> Orphan:
    try:
        ticks, step = objects.by_listing(str(row["last_modified"]))
        size = int(row["bytes"])
    except (KeyError, ValueError, TypeError):
        raise TransientError("a listing that cannot be read") from None
    stamp = objects.Stamp(ticks, objects.bare(str(row.get("hash") or "")), step)
    return Orphan(name=str(row["name"]), size=size, age=now - ticks / objects.TICKS, stamp=stamp)


def _pages(
    connection: Connection, container: str, *, prefix: str = "", versioned: bool = False
) -> Iterator[list[Mapping[str, Any]]]:
    """The whole listing. Raises NotFound, and TransientError for what is no listing."""
    marker = version = ""
    while True:
        query = {"format": "json", "marker": marker, "prefix": prefix}
        query |= {"versions": "true"} if versioned else {}
        query |= {"version_marker": version} if version else {}
        call = Call(method="GET", path=quoted(container), query=urlencode(query, quote_via=quote))
        reply = connection.ask(call)
        rows = reply.document() if reply.status != 204 else []
        if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
            raise TransientError("a listing that is none")
        if not rows:
            return
        yield rows
        last = rows[-1]
        before, marker, version = (marker, version), str(last.get("name")), str(last.get("version_id") or "")
        if (marker, version) == before or marker.encode() < before[0].encode():
            raise TransientError("Swift's listing is out of order")
