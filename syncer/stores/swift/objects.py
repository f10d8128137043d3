"""Objects of one root as typed values: HEAD, GET, PUT, POST, COPY, DELETE, and rows of listings.

One request each; no decisions. Names are objects' names (`names.ContainerPath`), not paths.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, urlencode

from syncer.engine.model import Entry, Kind, Version
from syncer.engine.paths import printable
from syncer.errors import TransientError, Unreadable
from syncer.stores.http.bodies import Body, Overlarge
from syncer.stores.swift import metadata
from syncer.stores.swift.client import READ_SECONDS, Answer, Call, Connection, SwiftReply
from syncer.stores.swift.names import ContainerPath
from syncer.wire.bounded_json import TooLarge

# --------------------------------------------------------------------------------
#
# When an object was written, and what it held: the version by which it is told from what stood there
# before.
#
# Pure. Swift names the time of the last write in ten microseconds (`X-Timestamp`), the listing shows the
# same moment as a date (`last_modified`); a POST moves both and leaves the ETag. Ceph's listing shows
# milliseconds: such a stamp is `coarse`, and agrees with every exact one that it may be.


TICKS = 100_000  # of a second
_HEX = re.compile(r"[0-9a-f]{32}")
_TIMESTAMP = re.compile(r"(-?[0-9]{1,12})(?:\.([0-9]{0,40}))?(?:_|$)")  # an offset in hex may follow
_COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """`ticks` since 1970, in steps of `step` ticks; `etag` without quotes."""

    ticks: int
    etag: str
    step: int = 1

    @property
    def version(self) -> Version:
        """24 bytes."""
        return self.ticks.to_bytes(8, "big", signed=True) + _packed(self.etag)

    def may_be(self, ticks: int, etag: str) -> bool:
        """Whether this is what a listing says of the write at `ticks`."""
        return self.etag == etag and self.is_of(ticks)

    def is_of(self, ticks: int) -> bool:
        """Whether a listing shows the write at `ticks` so, whatever the ETag that it shows."""
        return self.ticks == ticks // self.step * self.step


def etag_in(version: Version) -> str:
    """The ETag of the object that has this version, as far as it is one: MD5 in hex."""
    return version[8:].hex()


def ticks_in(version: Version) -> int:
    """When the object that has this version was written."""
    return int.from_bytes(version[:8], "big", signed=True)


def bare(etag: str) -> str:
    """An ETag without its quotes (large objects have them)."""
    return etag.removeprefix("W/").strip('"').lower()


def count(text: str) -> int:
    """A length in bytes, or a number of objects. Raises ValueError for anything else, 10^18 and more too."""
    if not _COUNT.fullmatch(text.strip()):
        raise ValueError("no count")
    return int(text)


def by_timestamp(text: str) -> int:
    """Ticks of an `X-Timestamp` (`1767261600.12345`). Raises ValueError."""
    found = _TIMESTAMP.match(text)
    if found is None:
        raise ValueError("no timestamp")
    return int(found[1]) * TICKS + int(f"{found[2] or '':0<5.5}")


def by_http_date(text: str) -> int:
    """Ticks of a `Last-Modified`, whole seconds. Raises ValueError."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * TICKS
    except (OverflowError, TypeError, IndexError):
        raise ValueError("no date") from None


def by_listing(text: str) -> tuple[int, int]:
    """Ticks and their step of a `last_modified`: no zone or Z, six decimals, three or none. ValueError."""
    moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    decimals = len(text.removesuffix("Z").partition(".")[2])
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * TICKS + moment.microsecond // 10, 10 ** max(0, 5 - decimals)


def _packed(etag: str) -> bytes:
    if _HEX.fullmatch(etag):
        return bytes.fromhex(etag)
    return hashlib.md5(etag.encode(), usedforsecurity=False).digest()


NEWEST = {"X-Newest": "true"}  # asks every replica: the nearest one may not know yet
COPIED, STORED = 201, 201
OVERTAKEN = 202  # a newer write is there already: this one was not stored
EMPTY = hashlib.md5(b"", usedforsecurity=False).hexdigest()
"""The ETag of nothing, and what Ceph's listings show of every large object."""
_TOLD_SIZE = re.compile(r"/\d+\.\d+/(\d{1,18})(?:/\d{1,18})?/?$")
_FEW = 1000  # rows of a page where ten thousand are too much at once
_COPY_RATE = 4 << 20  # bytes per second that a slow cluster still copies
_ROWS = "row of a listing"
_LARGEST = 1 << 63  # bytes: what a database and every system call can take
_NEVER = Stamp(0, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHead:
    """What Swift says of one object. `meta`: its own metadata, names in small letters without the prefix."""

    stamp: Stamp
    size: int
    content_type: str = ""
    meta: metadata.Meta = field(default_factory=dict)
    static: bool = False  # a static large object (SLO)
    manifest: str = ""  # the segments' prefix of a dynamic one (DLO)
    delete_at: str = ""
    linked: bool = False  # a link of Swift's own: size and ETag are its target's

    @property
    def version(self) -> Version:
        return self.stamp.version

    @property
    def etag(self) -> str:
        return self.stamp.etag

    @property
    def plain(self) -> bool:
        """Whether the ETag is the MD5 of the content."""
        return not (self.static or self.manifest)

    @property
    def is_short(self) -> bool:
        """Whether a dynamic large object surely lacks segments: their listing decides how long it is.

        One of no bytes does; and so does one shorter than the prefix of its segments says, as swiftclient
        (`NAME/MTIME/SIZE/SEGMENT_SIZE/`) and rclone (`NAME/MTIME/SIZE`) write it.
        """
        if not self.manifest:
            return False
        payload = _TOLD_SIZE.search(self.manifest)
        return not self.size or (payload is not None and self.size < int(payload[1]))

    def kind(self, name: str) -> Kind:
        if metadata.is_marker(name, self.size, self.content_type) and not self.manifest:
            return Kind.DIRECTORY
        return Kind.SYMLINK if metadata.is_symlink(self.content_type, self.size) else Kind.FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRow:
    """One object as a listing shows it; or (`is_prefix`) what several names begin with."""

    name: str
    stamp: Stamp = _NEVER
    size: int = 0
    content_type: str = ""
    linked: bool = False
    is_prefix: bool = False

    @property
    def is_marker(self) -> bool:
        return metadata.is_marker(self.name, self.size, self.content_type) and not self.linked


class Objects:
    """Requests about the objects of one container.

    `hides_manifests`: see `capabilities.ClusterLimits`; asked only after a 404.
    """

    def __init__(
        self,
        connection: Connection,
        place: ContainerPath,
        *,
        hides_manifests: Callable[[], bool] = lambda: True,
    ) -> None:
        self.connection = connection
        self.place = place
        self._hides_manifests = hides_manifests

    def head(self, name: str, *, newest: bool = False) -> ObjectHead | None:
        """None where no such object is. Raises Unreadable for a large object with a segment missing."""
        headers = NEWEST if newest else {}
        call = self._call("HEAD", name, headers=headers, accept=(404,))
        reply = self.connection.ask(call)
        if reply.status == 404:
            # Ceph answers so for a large object whose first segment is missing, too. Of that one the manifest
            # has a HEAD of its own; of an object that is gone it has none, in Ceph as in Swift.
            if not self._hides_manifests() or not self.has_manifest(name):
                return None
            reply = self.connection.ask(call)  # or it was written between the two
            if reply.status == 404:
                raise self.broken(name)
        return head_in(reply.headers)

    def exists(self, name: str) -> bool:
        """Whether any object is there, by one request; one that cannot be read as a whole is."""
        return (
            self.has_manifest(name) if self._hides_manifests() else self.head(name, newest=True) is not None
        )

    def has_manifest(self, name: str) -> bool:
        """Whether an object is there, if only as the manifest of a large one."""
        call = self._call("HEAD", name, query="multipart-manifest=get", headers=NEWEST, accept=(404,))
        return self.connection.ask(call).status != 404

    def broken(self, name: str) -> Unreadable:
        """What a large object is that cannot be read as a whole: never an absence."""
        path = self.place.path(name)
        return Unreadable(
            f"{printable(path)}: segment missing: a part of this large object is gone from the service",
            path=path,
            hint="where the file is whole, rename it there: it is uploaded anew; then delete this object",
        )

    def get(
        self, name: str, *, start: int = 0, end: int | None = None, if_match: str = "", newest: bool = False
    ) -> Answer:
        """The content from `start` up to (not with) `end`; to be closed. 412 and 416 are answers, too.

        Raises NotFound, Unreadable, TransientError, AuthError.
        """
        headers = dict(NEWEST) if newest else {}
        if if_match:
            headers["If-Match"] = if_match
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        return self.connection.stream(self._call("GET", name, headers=headers, accept=(412, 416)))

    def put(
        self,
        name: str,
        body: Body | bytes,
        *,
        meta: metadata.Meta | None = None,
        etag: str = "",
        content_type: str = "",
        only_new: bool = False,
    ) -> SwiftReply:
        """Stored (201), overtaken (202), or (`only_new`) refused because the name is taken (412)."""
        headers = metadata.headers_of(meta or {})
        if etag:
            headers["ETag"] = etag
        if content_type:
            headers["Content-Type"] = content_type
        if only_new:
            headers["If-None-Match"] = "*"
        return self.connection.ask(self._call("PUT", name, headers=headers, body=body, accept=(412,)))

    def post(self, name: str, head: ObjectHead, meta: metadata.Meta) -> SwiftReply:
        """Other metadata. A POST replaces all of it, and what makes a DLO one, and when it expires."""
        headers = metadata.headers_of(meta)
        if head.manifest:
            headers["X-Object-Manifest"] = head.manifest
        if head.delete_at:
            headers["X-Delete-At"] = head.delete_at
        return self.connection.ask(self._call("POST", name, headers=headers, accept=(404,)))

    def copy(self, name: str, target: str, head: ObjectHead, *, version_id: str = "") -> SwiftReply:
        """Within the cluster, as it is stored (manifests stay such), if it still is that content.

        404 where it is gone, 412 where it is another by now. The copy has a new time and the same metadata.
        """
        query = {} if head.plain else {"multipart-manifest": "get"}
        headers = {"Destination": self.place.url(target)}
        if version_id:
            query["version-id"] = version_id
        elif head.plain and not head.linked:
            # Both apply to the source: Swift heeds the first one, Ceph the other.
            headers |= {"If-Match": head.etag, "Copy-If-Match": head.etag}
        seconds = READ_SECONDS + head.size / _COPY_RATE
        call = self._call(
            "COPY",
            name,
            query=urlencode(query),
            headers={**headers, **NEWEST},
            accept=(404, 412),
            seconds=seconds,
        )
        reply = self.connection.ask(call)
        if reply.status == COPIED and head.plain and bare(reply.headers.get("Etag", "")) != head.etag:
            raise TransientError("the copy is not what was copied", path=self.place.path(name))
        return reply

    def delete(self, name: str) -> None:
        """The object, not what a manifest names. Gone already is fine: an answer may have been lost."""
        self.connection.ask(self._call("DELETE", name, accept=(404,)))

    def rows(
        self, *, prefix: str, marker: str = "", end: str = "", delimiter: str = "", limit: int | None = None
    ) -> list[ListingRow]:
        """One page of the container's listing. Raises NotFound where there is no container."""
        query = {"format": "json", "prefix": prefix, "marker": marker, "end_marker": end}
        query |= {"delimiter": delimiter, "limit": "" if limit is None else str(limit)}
        text = urlencode({k: v for k, v in query.items() if v}, quote_via=quote)
        call = Call(method="GET", path=self.place.url(), query=text, accept=())
        try:
            found = self.connection.ask(call)
            if found.status == 204:
                return []
            rows = found.document()
        except (Overlarge, TooLarge):
            if limit is not None and limit <= _FEW:
                raise
            # Ten thousand of the longest names, each letter of them escaped, are more than is read at once.
            return self.rows(prefix=prefix, marker=marker, end=end, delimiter=delimiter, limit=_FEW)
        if not isinstance(rows, list):
            raise TransientError("a listing that is none")
        return [_row(row) for row in rows]

    def _call(
        self,
        method: str,
        name: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        accept: tuple[int, ...] = (),
        seconds: float = READ_SECONDS,
    ) -> Call:
        return Call(
            method=method,
            path=self.place.url(name),
            query=query,
            headers=headers or {},
            body=body,
            accept=accept,
            about=self.place.path(name),
            seconds=seconds,
        )


def head_in(headers: Mapping[str, str], *, size: int | None = None) -> ObjectHead:
    """What the headers of a HEAD or GET say; `size` where they speak of a part. Raises TransientError."""
    etag = bare(headers.get("Etag", ""))
    try:
        if "X-Timestamp" in headers:
            ticks = by_timestamp(headers["X-Timestamp"])
        else:
            ticks = by_http_date(headers.get("Last-Modified", ""))
        length = count(headers.get("Content-Length", "")) if size is None else size
    except (ValueError, TypeError):
        raise TransientError("an answer without a time and a length") from None
    return ObjectHead(
        stamp=Stamp(ticks, etag),
        size=length,
        content_type=headers.get("Content-Type", ""),
        meta=metadata.meta_in(headers),
        static=headers.get("X-Static-Large-Object", "").lower() == "true",
        manifest=headers.get("X-Object-Manifest", ""),
        delete_at=headers.get("X-Delete-At", ""),
        linked="Content-Location" in headers,
    )


def entry_of(name: str, head: ObjectHead, *, target: str | None = None) -> Entry:
    """As the engine sees it; a symlink's target is its content, and so is its digest."""
    kind = head.kind(name)
    if kind is Kind.DIRECTORY:
        return Entry(kind=kind, size=0, version=b"")
    if kind is Kind.SYMLINK:
        return Entry(kind=kind, size=head.size, version=head.version, target=target)
    return Entry(
        kind=kind,
        size=head.size,
        version=head.version,
        mtime_ns=metadata.mtime_of(head.meta),
        executable=metadata.executable_of(head.meta),
        digest=metadata.digest_of(head.meta, head.etag) if not head.manifest and not head.linked else None,
    )


def _row(row: object) -> ListingRow:
    """Strictly: a listing that cannot be read is no listing, and nothing may be concluded from it."""
    if not isinstance(row, dict):
        raise TransientError(f"no {_ROWS}")
    if isinstance(subdir := row.get("subdir"), str):
        return ListingRow(name=_spelt(subdir), is_prefix=True)
    name, size, etag = row.get("name"), row.get("bytes"), row.get("slo_etag") or row.get("hash")
    date, kind = row.get("last_modified"), row.get("content_type") or ""
    if not isinstance(name, str) or not isinstance(etag, str) or not isinstance(date, str):
        raise TransientError(f"no {_ROWS}")
    if type(size) is not int or not 0 <= size < _LARGEST or not isinstance(kind, str):
        raise TransientError(f"no {_ROWS}")
    try:
        ticks, step = by_listing(date)
    except (ValueError, OverflowError):
        raise TransientError(f"a {_ROWS} with a date that is none") from None
    return ListingRow(
        name=_spelt(name),
        stamp=Stamp(ticks, bare(_spelt(etag)), step),
        size=size,
        content_type=kind,
        linked="symlink_path" in row,
    )


def _spelt(text: str) -> str:
    """A text that stands for bytes: JSON can say lone surrogates, which do not. Raises TransientError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TransientError(f"a {_ROWS} with a name that is none") from None
    return text
