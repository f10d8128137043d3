"""What a request to the SmartFile API asks: which path, under which conditions, by whom.

Paths come percent-encoded and are decoded once; what `served.checked` refuses is a 400, the same for
everything. Conditions are RFC 9110's; an ETag is the version token of the store.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from syncer.engine.model import Entry, Kind, RelPath
from syncer.errors import Unholdable
from syncer.server.errors import Refused
from syncer.server.folder import Key, ServedFolder, ServedStore, checked

_ETAG = re.compile(r'(W/)?"([^"]*)"')
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MOST_DIGITS = 19
REFUSED = "such a path is refused"
"""All that is said of a path that may not be named, whatever is there."""


def key_of(request: Request) -> Key:
    """Whose request it is, as the gate found."""
    key: Key = request.state.key
    return key


def writer(request: Request) -> Key:
    """The same for a change. Raises Refused 403 for a read-only key."""
    key = key_of(request)
    if key.read_only:
        raise Refused(403, "This key may change nothing.")
    return key


def asked_path(request: Request) -> RelPath:
    """The path in the URL; slashes at both ends and repeated ones mean nothing. Raises Refused 400."""
    raw: str = request.path_params.get("path", "")
    names = [unquote_to_bytes(part) for part in raw.split("/") if part]
    if any(b"/" in name for name in names):
        raise Refused(400, REFUSED, fields={"path": [REFUSED]})
    return named_path("/".join(os.fsdecode(name) for name in names))


def named_path(text: str, field: str = "path") -> RelPath:
    """A path as a client writes it in a form: `/a/b/` is `a/b`. Raises Refused 400."""
    try:
        return checked("/".join(part for part in text.split("/") if part))
    except Unholdable:
        raise Refused(400, REFUSED, fields={field: [REFUSED]}) from None


def etag(entry: Entry) -> str:
    """A strong ETag: equal means unchanged."""
    return f'"{entry.version.hex()}"'


def seen(store: ServedStore, path: RelPath) -> Entry | None:
    """A file or directory, None where there is nothing that this API can show (a symlink, a device)."""
    found = store.stat(path)
    shown = isinstance(found, Entry) and found.kind in (Kind.FILE, Kind.DIRECTORY)
    return found if shown and isinstance(found, Entry) else None


def existing(store: ServedStore, path: RelPath, field: str = "") -> Entry:
    """The same where there must be something. Raises Refused 404."""
    found = seen(store, path)
    if found is None:
        message = "There is no such file or directory."
        raise Refused(404, message, fields={field: [message]} if field else None)
    return found


def file_at(store: ServedStore, path: RelPath) -> Entry:
    """A file. Raises Refused: 404, or 415 for a directory."""
    found = existing(store, path)
    if found.kind is not Kind.FILE:
        raise Refused(415, "This is a directory.")
    return found


def directory_at(store: ServedStore, path: RelPath, *, missing: int, field: str = "") -> None:
    """Raises Refused `missing` where there is no directory."""
    found = seen(store, path)
    if found is None or found.kind is not Kind.DIRECTORY:
        message = "There is no such directory."
        raise Refused(missing, message, fields={field: [message]} if field else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a request wants to be so, or else nothing happens."""

    match: str | None = None
    none_match: str | None = None
    unmodified_since: str | None = None

    @classmethod
    def of(cls, request: Request) -> Conditions:
        """From the headers."""
        return cls(
            match=request.headers.get("if-match"),
            none_match=request.headers.get("if-none-match"),
            unmodified_since=request.headers.get("if-unmodified-since"),
        )

    @property
    def stale(self) -> int:
        """The status where somebody else was quicker: what failed is the condition, if there was one."""
        return 409 if self.match is self.none_match is self.unmodified_since is None else 412

    def check(self, found: Entry | None) -> None:
        """Raises Refused 412 (RFC 9110, 13.2.2)."""
        if not self._hold(found):
            raise Refused(412, "It is not what the request expects.")

    def _hold(self, found: Entry | None) -> bool:
        if self.match is not None and not _listed(self.match, found):
            return False
        if (
            self.match is None
            and self.unmodified_since is not None
            and _modified(self.unmodified_since, found)
        ):
            return False
        return self.none_match is None or not _listed(self.none_match, found, weak=True)


def _listed(header: str, found: Entry | None, *, weak: bool = False) -> bool:
    if found is None:
        return False
    if header.strip() == "*":
        return True
    return any(tag == found.version.hex() and (weak or not mark) for mark, tag in _ETAG.findall(header))


def _modified(since: str, found: Entry | None) -> bool:
    try:
        moment = parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError):
        return False  # a date that is none is ignored (RFC 9110, 13.1.4)
    return found is None or (found.mtime_ns or 0) // 10**9 > moment


def unchanged(request: Request, found: Entry) -> bool:
    """Whether a GET is answered by 304."""
    header = request.headers.get("if-none-match")
    return header is not None and _listed(header, found, weak=True)


def asked_range(request: Request, found: Entry) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file. Raises Refused 416.

    Of several ranges, and where If-Range names another version, the whole file is the right answer.
    """
    header, condition = request.headers.get("range"), request.headers.get("if-range")
    given = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if given is None or given[0] == "bytes=-" or max(map(len, given.groups())) > _MOST_DIGITS:
        return None
    if condition is not None and not _listed(condition, found):
        return None
    first, last = given.groups()
    start = int(first) if first else max(found.size - int(last), 0)
    end = min(int(last) + 1, found.size) if first and last else found.size
    if first and last and int(last) < start:
        return None
    if start >= found.size or (not first and int(last) == 0):
        raise Refused(416, "No such range.", headers={"Content-Range": f"bytes */{found.size}"})
    return start, end


def local_path(served: ServedFolder, store: ServedStore, path: RelPath) -> RelPath:
    """The path relative to the served folder: what tables about files are keyed by."""
    return "/".join(part for part in (store.below, path) if part)
