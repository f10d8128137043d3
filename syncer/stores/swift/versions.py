"""When an object was written, and what it held: the version by which it is told from what stood there before.

Pure. Swift names the time of the last write in ten microseconds (`X-Timestamp`), the listing shows the same
moment as a date (`last_modified`); a POST moves both and leaves the ETag. Ceph's listing shows milliseconds:
such a stamp is `coarse`, and agrees with every exact one that it may be.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from syncer.engine.model import Version

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
