"""The content of one file, as a source: whole, or the rest of what is here already.

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
from syncer.errors import ChangedUnderUs, NotFound, PermanentError, TransientError, Unreadable
from syncer.stores.http.client import pieces
from syncer.stores.orange.cache import FILE, CachedItem
from syncer.stores.orange.context import OrangeContext
from syncer.stores.orange.items import File
from syncer.stores.retry_policy import Attempts

_PIECE = 1 << 20


class RemoteSource:
    """See `engine.interfaces.Source`."""

    def __init__(self, ground: OrangeContext, path: RelPath, expected: Entry) -> None:
        self._ground = ground
        self._path = path
        self._expected = expected
        self._entry: Entry | None = None
        self._received = 0

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return TransferStats(method=Method.WHOLE, received=self._received)

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Raises ChangedUnderUs, NotFound, Unreadable, TransientError, AuthError."""
        self._entry, self._received = None, 0
        start = min(basis.start, self._expected.size) if basis is not None else 0
        hasher, held = blake3(), b""
        if basis is not None:
            for offset in range(0, start, _PIECE):
                hasher.update(basis.read(offset, min(_PIECE, start - offset)))
        for chunk in self._downloaded(start):
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        self._finish(hasher.digest())
        if held:
            yield held

    def _downloaded(self, start: int) -> Iterator[bytes]:
        """The bytes from `start` on, exactly to the expected size."""
        position, failures, tries = start, 0, Attempts()
        while position < self._expected.size:
            before = position
            try:
                for piece in self._answered(position, tries):
                    position += len(piece)
                    yield piece
                if position < self._expected.size:
                    raise TransientError(
                        f"{printable(self._path)}: the answer ended too early", path=self._path
                    )
            except TransientError as error:
                if position > before:
                    failures = 0
                    tries.progress()
                failures += 1
                tries.wait(error, self._ground.api.session.clock.sleep, failures)

    def _answered(self, position: int, tries: Attempts) -> Iterator[bytes]:
        """One download, from `position` on and never beyond the expected size."""
        with tries.shared():
            response, skip = self._begun(position)
        length, size = response.headers.get("Content-Length", ""), self._expected.size
        if length.isdigit() and int(length) > size - position + skip:
            response.close()
            raise ChangedUnderUs(f"{printable(self._path)} is longer than expected", path=self._path)
        for piece in pieces(response, self._path):
            self._received += len(piece)
            over, skip = min(skip, len(piece)), max(0, skip - len(piece))
            rest = piece[over:]
            position += len(rest)
            if position > size:
                raise ChangedUnderUs(f"{printable(self._path)} is longer than expected", path=self._path)
            if rest:
                yield rest

    def _begun(self, position: int) -> tuple[requests.Response, int]:
        """An answer, and how many bytes at its start are here already."""
        file = self._unchanged()
        if not file.url:
            raise Unreadable(f"{printable(self._path)}: the service gives no address of it", path=self._path)
        try:
            response = self._ground.api.content(file.url, start=position, about=self._path)
        except PermanentError as error:
            raise self._refused(error) from error
        told = response.headers.get("Content-Range", "")
        ranged = response.status_code == 206 and told.startswith(f"bytes {position}-")
        if response.status_code == 206 and not ranged:
            response.close()
            raise Unreadable(
                f"{printable(self._path)}: the service gives another part of it", path=self._path
            )
        return response, 0 if ranged else position

    def _refused(self, error: PermanentError) -> TransientError | Unreadable:
        """A refused address of a file that is there may be one that is over: a new one is tried."""
        if isinstance(error, NotFound) or "status 403" in error.message or "no such URL" in error.message:
            return TransientError(str(error), path=self._path)
        return Unreadable(str(error), path=self._path, hint=error.hint)

    def _unchanged(self) -> File:
        """What the service says of it, which is what was expected."""
        try:
            found = self._ground.look(self._path)
        except PermanentError as error:
            raise Unreadable(str(error), path=self._path, hint=error.hint) from error
        if found is None:
            raise NotFound(f"{printable(self._path)} is not there", path=self._path)
        if not isinstance(found, File) or found.version != self._expected.version:
            raise ChangedUnderUs(f"{printable(self._path)} changed", path=self._path)
        return found

    def _finish(self, digest: bytes) -> None:
        """The file is still what it was; all that is left to do is to hand out the last piece."""
        now = self._unchanged()
        known = self._expected.digest or self._ground.book.digest(self._path, now.version)
        if known is not None and self._expected.trusted and known != digest:
            raise ChangedUnderUs(f"{printable(self._path)}: not the content it should be", path=self._path)
        if now.settled:
            self._ground.book.put(self._path, CachedItem(kind=FILE, version=now.version, digest=digest))
        self._entry = now.entry(digest)


def small(ground: OrangeContext, path: RelPath, limit: int) -> bytes:
    """At most so many bytes of a small file; b"" if there is no file. Raises Unreadable, TransientError."""
    found = ground.look(path)
    if not isinstance(found, File) or not found.size:
        return b""
    content = b""
    try:
        response = ground.api.content(found.url, about=path)
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
