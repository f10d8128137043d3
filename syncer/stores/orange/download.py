"""Downloads from Orange Cloud: the whole content, or the rest of it.

The address of the content is asked for anew each time, since it holds for a short while only. A broken
download is gone on with, a bounded number of times without progress; whether the service heeds a range
nobody wrote down, so an answer from the start is read over. The last piece is handed out only after the
length is right, the digest too where it is on record, and the file was found unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator

import requests
from blake3 import blake3

from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.errors import NotFound, PermanentError, TransientError, Unreadable
from syncer.stores.http.client import pieces
from syncer.stores.orange.cache import FILE, CachedItem
from syncer.stores.orange.context import OrangeRoot
from syncer.stores.orange.items import File
from syncer.stores.remote.download import RemoteSource, hold_last, read_prefix, resumed
from syncer.stores.retry_policy import Attempts


class OrangeSource(RemoteSource):
    """The content of one file, whole or the rest of it."""

    def __init__(self, root: OrangeRoot, path: RelPath, expected: Entry) -> None:
        super().__init__(path, expected)
        self._root = root
        self._received = 0

    @property
    def traffic(self) -> TransferStats | None:
        return TransferStats(method=Method.WHOLE, received=self._received)

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Raises ChangedUnderUs, NotFound, Unreadable, TransientError, AuthError."""
        self._entry, self._received = None, 0
        start = min(basis.start, self._expected.size) if basis is not None else 0
        hasher = blake3()
        for piece in read_prefix(basis, start):
            hasher.update(piece)

        def hashed() -> Iterator[bytes]:
            for piece in resumed(
                self._request,
                start,
                self._expected.size,
                path=self._path,
                sleep=self._root.api.session.clock.sleep,
            ):
                hasher.update(piece)
                yield piece

        yield from hold_last(hashed(), lambda: self._finish(hasher.digest()))

    def _request(self, position: int, attempts: Attempts) -> Iterator[bytes]:
        """One request: the bytes from `position` on, never beyond the expected size."""
        with attempts.shared():
            response, skip = self._begun(position)
        length, size = response.headers.get("Content-Length", ""), self._expected.size
        if length.isdigit() and int(length) > size - position + skip:
            response.close()
            raise self._changed("is longer than expected")
        for piece in pieces(response, self._path):
            self._received += len(piece)
            over, skip = min(skip, len(piece)), max(0, skip - len(piece))
            rest = piece[over:]
            position += len(rest)
            if position > size:
                raise self._changed("is longer than expected")
            if rest:
                yield rest

    def _begun(self, position: int) -> tuple[requests.Response, int]:
        """A response, and how many bytes at its start have to be skipped."""
        file = self._unchanged()
        if not file.url:
            raise Unreadable(f"{printable(self._path)}: the service gives no address of it", path=self._path)
        try:
            response = self._root.api.content(file.url, start=position, about=self._path)
        except PermanentError as error:
            raise self._refused(error) from error
        payload = response.headers.get("Content-Range", "")
        ranged = response.status_code == 206 and payload.startswith(f"bytes {position}-")
        if response.status_code == 206 and not ranged:
            response.close()
            raise Unreadable(
                f"{printable(self._path)}: the service gives another part of it", path=self._path
            )
        return response, 0 if ranged else position

    def _refused(self, error: PermanentError) -> TransientError | Unreadable:
        """A URL that is refused may have expired: a TransientError makes the next attempt get a new one."""
        if isinstance(error, NotFound) or "status 403" in error.message or "no such URL" in error.message:
            return TransientError(str(error), path=self._path)
        return Unreadable(str(error), path=self._path, hint=error.hint)

    def _unchanged(self) -> File:
        """The file as the service describes it now, if it is the expected version."""
        try:
            found = self._root.stat(self._path)
        except PermanentError as error:
            raise Unreadable(str(error), path=self._path, hint=error.hint) from error
        if found is None:
            raise NotFound(f"{printable(self._path)} is not there", path=self._path)
        if not isinstance(found, File) or found.version != self._expected.version:
            raise self._changed()
        return found

    def _finish(self, digest: bytes) -> None:
        """Verify the digest, and that the file did not change while it was read."""
        now = self._unchanged()
        known = self._expected.digest or self._root.cache.digest(self._path, now.version)
        if known is not None and self._expected.trusted and known != digest:
            raise self._changed("does not have the content that it should have")
        if now.settled:
            self._root.cache.put(self._path, CachedItem(kind=FILE, version=now.version, digest=digest))
        self._entry = now.entry(digest)


def small(root: OrangeRoot, path: RelPath, limit: int) -> bytes:
    """At most so many bytes of a small file; b"" if there is no file. Raises Unreadable, TransientError."""
    found = root.stat(path)
    if not isinstance(found, File) or not found.size:
        return b""
    content = b""
    try:
        response = root.api.content(found.url, about=path)
        for piece in pieces(response, path):
            content += piece
            if len(content) >= limit:
                break
        response.close()
    except NotFound:
        return b""
    except Unreadable:
        raise
    except PermanentError as error:
        raise Unreadable(str(error), path=path) from error
    return content[:limit]
