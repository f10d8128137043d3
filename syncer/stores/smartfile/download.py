"""Downloads from SmartFile: by a delta, the whole content, or the rest of it.

It goes on by itself after a broken connection, a bounded number of times without progress. The last piece is
handed out only after the whole content was verified and the file found unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Kind, Method, RelPath
from syncer.engine.paths import printable
from syncer.errors import (
    ChangedUnderUs,
    NotFound,
    PermanentError,
    PreconditionFailed,
    Unreadable,
)
from syncer.stores.http.client import pieces
from syncer.stores.remote.download import RemoteSource, hold_last, read_prefix, resumed
from syncer.stores.retry_policy import Attempts
from syncer.stores.smartfile.context import SmartFileRoot
from syncer.stores.smartfile.deltas import Crossed, Fetched, fetched, worth_fetching
from syncer.stores.smartfile.info import Info
from syncer.stores.smartfile.staging import Digester, Digests

log = logging.getLogger(__name__)
_EARLY = 1 << 20  # bytes from which a look ahead of the download is worth it


class SmartFileSource(RemoteSource):
    """The content of one file: by a delta from what is here, whole, or the rest of it."""

    def __init__(self, root: SmartFileRoot, path: RelPath, expected: Entry) -> None:
        super().__init__(path, expected)
        self._root = root
        self._where = root.at(path)
        self._etag = ""
        self._retried = False  # whether a request of the download failed

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Raises ChangedUnderUs, NotFound, Unreadable, TransientError, AuthError."""
        self._entry = None
        self._etag = ""
        self._traffic = TransferStats()
        try:
            yield from self._chunks(basis)
        except PreconditionFailed as error:
            raise ChangedUnderUs(str(error), path=self._path) from error
        except (NotFound, Unreadable):
            raise
        except PermanentError as error:
            raise Unreadable(str(error), path=self._path, hint=error.hint) from error

    def _chunks(self, basis: LocalBasis | None) -> Iterator[bytes]:
        crossed, size = Crossed(), self._expected.size
        if size >= _EARLY:
            self._unchanged()
        if basis is not None and worth_fetching(basis, size):
            made = fetched(self._root.api, self._where, basis, size, crossed)
            try:
                if made is not None and self._right(made.content, must=True):
                    yield from self._from_delta(made, basis, crossed)
                    return
            finally:
                if made is not None:
                    made.spool.close()
        yield from self._whole(basis, crossed)

    def _from_delta(self, made: Fetched, basis: LocalBasis, crossed: Crossed) -> Iterator[bytes]:
        """Apply the delta a second time, for the reader: the basis may have changed since the first time."""
        digester = Digester()

        def digested() -> Iterator[bytes]:
            for chunk in made.chunks(basis):
                digester.update(chunk)
                yield chunk

        def verify() -> None:
            if digester.digests() != made.content:
                raise self._changed("cannot be made by the delta: the old content changed meanwhile")
            self._finish(made.content, Method.DELTA, crossed)

        yield from hold_last(digested(), verify)

    def _whole(self, basis: LocalBasis | None, crossed: Crossed) -> Iterator[bytes]:
        start = min(basis.start, self._expected.size) if basis is not None else 0
        digester = Digester()
        for piece in read_prefix(basis, start):
            digester.update(piece)
        self._retried = False

        def digested() -> Iterator[bytes]:
            clock, size = self._root.api.session.clock, self._expected.size
            for chunk in resumed(self._request, start, size, path=self._path, sleep=clock.sleep):
                crossed.received += len(chunk)
                digester.update(chunk)
                yield chunk

        def verify() -> None:
            if not self._right(digester.digests(), must=False):
                raise self._changed("does not have the content that it should have")
            self._finish(digester.digests(), Method.WHOLE, crossed)

        yield from hold_last(digested(), verify)

    def _request(self, position: int, attempts: Attempts) -> Iterator[bytes]:
        """The bytes from a position on; after a failure only of the file that was expected."""
        size = self._expected.size
        with attempts.shared():
            if self._retried:
                self._unchanged()
            self._retried = True
            response = self._root.api.content(self._where, start=position, etag=self._etag)
        etag = response.headers.get("ETag", "")
        self._etag = etag if etag.startswith('"') else ""  # a weak one does not stand for the bytes
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != size - position:
            response.close()
            raise self._changed("has another length than expected")
        for piece in pieces(response, self._path):
            position += len(piece)
            if position > size:
                raise self._changed("is longer than expected")
            yield piece

    # -- is it right? --------------------------------------------------------------

    def _unchanged(self) -> Info:
        """The file as the service describes it now, if it is the expected version."""
        found = self._root.api.info(self._where)
        if found.entry().kind is not Kind.FILE or found.version != self._expected.version:
            raise self._changed()
        return found

    def _right(self, content: Digests, *, must: bool) -> bool:
        """Whether a content is right: by the known digest, else by the service's own checksum.

        A service without checksums is believed, unless it `must` be known.
        """
        known = self._expected.digest
        if known is None:
            mark = self._unchanged().mark
            known = mark.digest if mark is not None else None
        if known is not None:
            right = known == content.blake3
        else:
            try:
                right = self._root.api.checksum(self._where) == content.sha256
            except NotFound:
                raise
            except PermanentError:
                right = not must
        if not right and must:
            self._root.repaired += 1
            log.warning("%s: what a delta made is not right; fetching the whole", printable(self._path))
        return right

    def _finish(self, content: Digests, method: Method, crossed: Crossed) -> None:
        """Verify that the file did not change while it was read; then the entry is known."""
        now = self._unchanged()
        self._traffic = TransferStats(method=method, sent=crossed.sent, received=crossed.received)
        self._entry = replace(now.entry(), digest=content.blake3)


def small(root: SmartFileRoot, path: RelPath, limit: int) -> bytes:
    """At most so many bytes of a small file; b"" if there is no file. Raises Unreadable, TransientError."""
    found = root.stat(path)
    if found is None or found.entry().kind is not Kind.FILE or not found.size:
        return b""
    content = b""
    try:
        response = root.api.content(root.at(path), end=limit)
        for piece in pieces(response, path):
            content += piece
            if len(content) >= limit:
                break
        response.close()
    except (NotFound, PreconditionFailed):
        return b""
    except Unreadable:
        raise
    except PermanentError as error:
        raise Unreadable(str(error), path=path) from error
    return content[:limit]
