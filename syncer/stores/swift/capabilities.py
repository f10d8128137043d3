"""Capabilities of a cluster and a container: `/info` and the container's headers, asked once.

Where `/info` is switched off, Swift's own defaults are taken, and no extras.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syncer.errors import NotFound, StoreError
from syncer.stores.swift.client import Call, Connection
from syncer.stores.swift.names import ContainerPath
from syncer.stores.swift.objects import count
from syncer.stores.swift.slo.layout import SloFeatures
from syncer.wire.bounded_json import loads

_COUNTERS = ("X-Container-Object-Count", "X-Container-Bytes-Used", "X-Timestamp", "Last-Modified")
_BULK = 1000
_MOST = 4 << 20  # bytes that the values of `/info` may take
_TRUE = ("true", "yes", "1", "on", "t", "y")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLimits:
    """In bytes, and (`bulk_delete`) objects of one request: 0 where bulk requests are not offered."""

    max_file_size: int = 5368709122
    max_name: int = 1024
    bulk_delete: int = 0
    features: SloFeatures | None = None
    """How manifests of static large objects are written here; None where there are none."""
    hides_manifests: bool = True
    """Whether this may be Ceph's gateway (16.2 to 20.1), as it may where nothing else is known: it hands out
    no manifest, and answers for a large object with a segment missing as if there were none (404)."""
    is_ceph: bool = False
    """Whether it surely is."""


class ClusterInfo:
    """Safe to share between threads."""

    def __init__(self, connection: Connection, place: ContainerPath) -> None:
        self._connection = connection
        self._place = place
        self._lock = threading.Lock()
        self._limits: ClusterLimits | None = None
        self._versioned: bool | None = None

    @property
    def limits(self) -> ClusterLimits:
        """Raises AuthError, TransientError."""
        with self._lock:
            if self._limits is None:
                self._limits = self._asked()
            return self._limits

    @property
    def versioned(self) -> bool:
        """Whether the container keeps what is overwritten (`X-Versions-Enabled`). Raises StoreError."""
        with self._lock:
            if self._versioned is None:
                headers = container(self._connection, self._place) or {}
                self._versioned = headers.get("X-Versions-Enabled", "").lower() in _TRUE
            return self._versioned

    def _asked(self) -> ClusterLimits:
        reply = self._connection.unasked("/info")
        try:
            payload: Any = loads(reply.content, most=_MOST) if reply.status == 200 else {}
            payload = payload if isinstance(payload, dict) else {}
        except ValueError:
            payload = {}
        swift, bulk = _part(payload, "swift"), _part(payload, "bulk_delete")
        usual = ClusterLimits()
        most = _number(swift, "max_file_size", usual.max_file_size)
        features = _features(payload, most)
        return ClusterLimits(
            features=features,
            hides_manifests=not _is_swift(payload),
            is_ceph=not _is_swift(payload) and "max_object_name_size" in swift,
            max_file_size=most,
            max_name=min(_number(swift, "max_object_name_length", usual.max_name), usual.max_name),
            # Ceph offers them without a number, and takes as many as OpenStack Swift does at least.
            bulk_delete=_number(bulk, "max_deletes_per_request", _BULK if "bulk_delete" in payload else 0),
        )


def container(connection: Connection, place: ContainerPath) -> Mapping[str, str] | None:
    """The container's headers; None where there is none. Raises StoreError."""
    call = Call(method="HEAD", path=place.url(), about="", accept=(404,))
    reply = connection.ask(call)
    return None if reply.status == 404 else reply.headers


def pulse(connection: Connection, place: ContainerPath) -> bytes:
    """The container's counters as one token: an equal token hints that nothing changed in between.

    No more than a hint: the counters are late, and an edit that leaves number and size alone does not move
    them. Work elsewhere in the container does. Raises NotFound, StoreError.
    """
    headers = container(connection, place)
    if headers is None:
        raise NotFound(f"the container {place.container} is not there")
    return "\0".join(f"{name}={headers.get(name, '')}" for name in _COUNTERS).encode()


def free_space(connection: Connection, place: ContainerPath) -> int | None:
    """Bytes that the quotas of account and container leave; None where there are none, or nobody knows."""
    try:
        account = connection.ask(Call(method="HEAD", path="")).headers
        left = [
            _left(
                account,
                ("X-Account-Quota-Bytes", "X-Account-Meta-Quota-Bytes", "X-Account-Meta-Quota"),
                "Account",
            ),
            _left(container(connection, place) or {}, ("X-Container-Meta-Quota-Bytes",), "Container"),
            connection.tokens.free_space(),
        ]
    except (NotFound, StoreError):
        return None
    return min((room for room in left if room is not None), default=None)


def _features(payload: Any, max_file_size: int) -> SloFeatures | None:
    """By what only Swift itself says of its large objects; data in manifests came with 2.18."""
    slo = _part(payload, "slo")
    if not slo:
        return None
    try:
        version = tuple(count(n) for n in str(_part(payload, "swift").get("version")).split(".")[:2])
    except ValueError:
        version = (0,)
    able = _is_swift(payload) and version >= (2, 18)
    parts = _number(slo, "max_manifest_segments", SloFeatures().parts)
    return SloFeatures(ranges=able, inline=able, parts=parts, segment=max_file_size)


def _is_swift(payload: Any) -> bool:
    """Whether OpenStack Swift itself answers, by a key that no other implementation has."""
    return "min_segment_size" in _part(payload, "slo")


def _left(headers: Mapping[str, str], quotas: tuple[str, ...], whose: str) -> int | None:
    for quota in quotas:
        try:
            return max(0, count(headers[quota]) - count(headers.get(f"X-{whose}-Bytes-Used", "0")))
        except (KeyError, ValueError):
            continue
    return None


def _part(payload: Any, name: str) -> Mapping[str, Any]:
    part = payload.get(name) if isinstance(payload, dict) else None
    return part if isinstance(part, dict) else {}


def _number(part: Mapping[str, Any], name: str, default: int) -> int:
    found = part.get(name)
    return found if isinstance(found, int) and found > 0 else default
