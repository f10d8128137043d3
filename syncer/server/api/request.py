"""Request parsing of the SmartFile API: paths, the key, conditions (ETag), ranges.

Paths are percent-encoded and are decoded once; a path that `folder.checked` refuses is a 400, the same
whatever is there. Conditions and ranges are those of RFC 9110; an ETag is the version token of the store.
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
from syncer.server.errors import HttpError
from syncer.server.folder import Key, ServedFolder, ServedStore, checked

_ETAG = re.compile(r'(W/)?"([^"]*)"')
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MOST_DIGITS = 19
REFUSED = "such a path is refused"
"""The message for a path that no client may name, whatever is there."""


def key_of(request: Request) -> Key:
    """The key of the request, as `auth` set it."""
    key: Key = request.state.key
    return key


def writer(request: Request) -> Key:
    """The key of a request that changes something. Raises HttpError 403 for a read-only key."""
    key = key_of(request)
    if key.read_only:
        raise HttpError(403, "This key may change nothing.")
    return key


def asked_path(request: Request) -> RelPath:
    """The path in the URL; slashes at both ends and repeated ones are ignored. Raises HttpError 400."""
    raw: str = request.path_params.get("path", "")
    names = [unquote_to_bytes(part) for part in raw.split("/") if part]
    if any(b"/" in name for name in names):
        raise HttpError(400, REFUSED, fields={"path": [REFUSED]})
    return named_path("/".join(os.fsdecode(name) for name in names))


def named_path(text: str, field: str = "path") -> RelPath:
    """A path from a form: `/a/b/` is `a/b`. Raises HttpError 400."""
    try:
        return checked("/".join(part for part in text.split("/") if part))
    except Unholdable:
        raise HttpError(400, REFUSED, fields={field: [REFUSED]}) from None


def etag(entry: Entry) -> str:
    """A strong ETag: equal means unchanged."""
    return f'"{entry.version.hex()}"'


def seen(store: ServedStore, path: RelPath) -> Entry | None:
    """The file or directory at a path; None if there is none (a symlink or a device is none)."""
    found = store.stat(path)
    shown = isinstance(found, Entry) and found.kind in (Kind.FILE, Kind.DIRECTORY)
    return found if shown and isinstance(found, Entry) else None


def existing(store: ServedStore, path: RelPath, field: str = "") -> Entry:
    """The file or directory at a path. Raises HttpError 404."""
    found = seen(store, path)
    if found is None:
        message = "There is no such file or directory."
        raise HttpError(404, message, fields={field: [message]} if field else None)
    return found


def file_at(store: ServedStore, path: RelPath) -> Entry:
    """The file at a path. Raises HttpError: 404, or 415 for a directory."""
    found = existing(store, path)
    if found.kind is not Kind.FILE:
        raise HttpError(415, "This is a directory.")
    return found


def directory_at(store: ServedStore, path: RelPath, *, missing: int, field: str = "") -> None:
    """Raise HttpError with the status `missing` if there is no directory at the path."""
    found = seen(store, path)
    if found is None or found.kind is not Kind.DIRECTORY:
        message = "There is no such directory."
        raise HttpError(missing, message, fields={field: [message]} if field else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions of a request (RFC 9110, 13): if they do not hold, nothing happens."""

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
        """The status if the file changed in between: 412 if the request had a condition, else 409."""
        return 409 if self.match is self.none_match is self.unmodified_since is None else 412

    def check(self, found: Entry | None) -> None:
        """Raise HttpError 412 if they do not hold, in the order of RFC 9110, 13.2.2."""
        if self.match is not None:
            failed = not _listed(self.match, found)
        else:
            failed = self.unmodified_since is not None and _modified(self.unmodified_since, found)
        if failed or (self.none_match is not None and _listed(self.none_match, found, weak=True)):
            raise HttpError(412, "It is not what the request expects.")


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
        return False  # an invalid date is ignored (RFC 9110, 13.1.4)
    return found is None or (found.mtime_ns or 0) // 10**9 > moment


def unchanged(request: Request, found: Entry) -> bool:
    """Whether a GET is answered by 304."""
    header = request.headers.get("if-none-match")
    return header is not None and _listed(header, found, weak=True)


def asked_range(request: Request, found: Entry) -> tuple[int, int] | None:
    """The first byte and the one after the last; None for the whole file. Raises HttpError 416.

    Several ranges, and an If-Range with another version, get the whole file, as RFC 9110 allows.
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
        raise HttpError(416, "No such range.", headers={"Content-Range": f"bytes */{found.size}"})
    return start, end


def local_path(served: ServedFolder, store: ServedStore, path: RelPath) -> RelPath:
    """The path relative to the served folder, which is the key of the attributes."""
    return "/".join(part for part in (store.below, path) if part)
