"""Files and folders as Orange's API describes them, and their entries.

The service keeps no hash and no version: a version is made of size and date. Its dates are whole seconds of
its own clock, so a version that was young when it was looked at proves nothing yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from syncer.engine.model import Entry, Kind
from syncer.stores.http.json import Malformed
from syncer.stores.http.json import size as size_of

SECOND_NS = 10**9
MARGIN_NS = (
    5 * SECOND_NS
)  # a later second than the shown one, by clocks of two hosts that may differ a little
DIRECTORY = Entry(kind=Kind.DIRECTORY, size=0, version=b"")
_FARTHEST = 1 << 63  # nanoseconds: what a database and every system call can take


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """`date` as shown, `date_ns` what it means (None for what is no date).

    `asked_ns`: the service's clock when it was asked, at the earliest; None if it does not say.
    `url`: where the content is to be had for a short while; "" where the answer does not tell.
    """

    id: str
    name: str
    size: int
    date: str
    date_ns: int | None
    asked_ns: int | None
    url: str = ""

    @property
    def version(self) -> bytes:
        """Opaque, 16 bytes: the same while size and date are, in whatever time zone the date is shown."""
        date = self.date if self.date_ns is None else str(self.date_ns)
        return blake2b(f"{self.size}\0{date}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    @property
    def settled(self) -> bool:
        """Whether any later write shows another date than this one."""
        if self.date_ns is None or self.asked_ns is None:
            return False
        return self.date_ns + MARGIN_NS <= self.asked_ns

    def entry(self, digest: bytes | None = None) -> Entry:
        """The engine's entry. The mtime is when the service got the file: it stores no other."""
        return Entry(
            kind=Kind.FILE,
            size=self.size,
            version=self.version,
            mtime_ns=self.date_ns,
            digest=digest,
            trusted=self.settled,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder, without what is in it."""

    id: str
    name: str


def file(document: object, asked_ns: int | None) -> File:
    """From the API's JSON object. Raises Malformed."""
    id_, name, found = _item(document)
    date, url = found.get("lastUpdateDate"), found.get("downloadUrl")
    return File(
        id=id_,
        name=name,
        size=size_of(found.get("size"), name),
        date=date if isinstance(date, str) else "",
        date_ns=_moment(date),
        asked_ns=asked_ns,
        url=url if isinstance(url, str) else "",
    )


def folder(document: object) -> Folder:
    """From the API's JSON object. Raises Malformed."""
    id_, name, _ = _item(document)
    return Folder(id=id_, name=name)


def _item(document: object) -> tuple[str, str, dict[str, object]]:
    if not isinstance(document, dict):
        raise Malformed("not an object")
    id_, name = document.get("id"), document.get("name")
    if not isinstance(name, str) or any("\ud800" <= c <= "\udfff" for c in name):
        raise Malformed("no name that is text")
    if not isinstance(id_, str) or not id_:
        raise Malformed("no id", name)
    return id_, name, document


def _moment(value: object) -> int | None:
    """ns since 1970 of a date like `2026-01-01T10:00:00+0100`; one without an offset means nothing."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        moment = None if found is None or found.tzinfo is None else int(found.timestamp()) * SECOND_NS
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and -_FARTHEST <= moment < _FARTHEST else None
