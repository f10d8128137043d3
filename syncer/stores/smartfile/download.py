"""The content of one file of the service, as a source: whole, by a delta, or the rest of it.

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
    TransientError,
    Unreadable,
)
from syncer.stores.http.client import pieces
from syncer.stores.retry_policy import Attempts
from syncer.stores.smartfile.context import SmartFileContext
from syncer.stores.smartfile.deltas import Crossed, Fetched, fetched, worth_fetching
from syncer.stores.smartfile.info import Info
from syncer.stores.smartfile.staging import Digester, Digests

log = logging.getLogger(__name__)
_EARLY = 1 << 20  # bytes from which a look ahead of the download is worth it
_PIECE = 1 << 20


class RemoteSource:
    """See `engine.interfaces.Source`."""

    def __init__(self, ground: SmartFileContext, path: RelPath, expected: Entry) -> None:
        self._ground = ground
        self._path = path
        self._where = ground.at(path)
        self._expected = expected
        self._entry: Entry | None = None
        self._etag = ""
        self._traffic = TransferStats()

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return self._traffic

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
            made = fetched(self._ground.api, self._where, basis, size, crossed)
            try:
                if made is not None and self._right(made.content, must=True):
                    yield from self._from_delta(made, basis, crossed)
                    return
            finally:
                if made is not None:
                    made.spool.close()
        yield from self._whole(basis, crossed)

    def _from_delta(self, made: Fetched, basis: LocalBasis, crossed: Crossed) -> Iterator[bytes]:
        """The second time that the delta is applied: the basis may have changed since the first."""
        digester, held = Digester(), b""
        for chunk in made.chunks(basis):
            digester.update(chunk)
            if held:
                yield held
            held = chunk
        if digester.digests() != made.content:
            raise ChangedUnderUs(
                f"{printable(self._path)}: the old content changed meanwhile", path=self._path
            )
        self._finish(made.content, Method.DELTA, crossed)
        if held:
            yield held

    def _whole(self, basis: LocalBasis | None, crossed: Crossed) -> Iterator[bytes]:
        start = min(basis.start, self._expected.size) if basis is not None else 0
        digester, held = Digester(), b""
        if basis is not None:
            for offset in range(0, start, _PIECE):
                digester.update(basis.read(offset, min(_PIECE, start - offset)))
        for chunk in self._downloaded(start):
            crossed.received += len(chunk)
            digester.update(chunk)
            if held:
                yield held
            held = chunk
        if not self._right(digester.digests(), must=False):
            raise ChangedUnderUs(f"{printable(self._path)}: not the content it should be", path=self._path)
        self._finish(digester.digests(), Method.WHOLE, crossed)
        if held:
            yield held

    def _downloaded(self, start: int) -> Iterator[bytes]:
        """The bytes from `start` on, exactly to the expected size."""
        position, failures, tries = start, 0, Attempts()
        while position < self._expected.size:
            before = position
            try:
                if failures:
                    with tries.shared():
                        self._unchanged()
                for piece in self._answered(position, tries):
                    position += len(piece)
                    yield piece
                if position < self._expected.size:
                    raise TransientError(f"{self._where}: the answer ended too early", path=self._path)
            except TransientError as error:
                if position > before:
                    failures = 0
                    tries.progress()
                failures += 1
                tries.wait(error, self._ground.api.session.clock.sleep, failures)

    def _answered(self, position: int, tries: Attempts) -> Iterator[bytes]:
        size = self._expected.size
        with tries.shared():
            response = self._ground.api.content(self._where, start=position, etag=self._etag)
        told = response.headers.get("ETag", "")
        self._etag = told if told.startswith('"') else ""  # a weak one says nothing of bytes
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) != size - position:
            response.close()
            raise ChangedUnderUs(f"{printable(self._path)} changed its length", path=self._path)
        for piece in pieces(response, self._path):
            position += len(piece)
            if position > size:
                raise ChangedUnderUs(f"{printable(self._path)} is longer than expected", path=self._path)
            yield piece

    # -- is it right? --------------------------------------------------------------

    def _unchanged(self) -> Info:
        """What the service says of it, which is what was expected."""
        found = self._ground.api.info(self._where)
        if found.entry().kind is not Kind.FILE or found.version != self._expected.version:
            raise ChangedUnderUs(f"{printable(self._path)} changed", path=self._path)
        return found

    def _right(self, content: Digests, *, must: bool) -> bool:
        """By the digest that is known of it, else by the service's own checksum.

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
                right = self._ground.api.checksum(self._where) == content.sha256
            except NotFound:
                raise
            except PermanentError:
                right = not must
        if not right and must:
            self._ground.repaired += 1
            log.warning("%s: what a delta made is not right; fetching the whole", printable(self._path))
        return right

    def _finish(self, content: Digests, method: Method, crossed: Crossed) -> None:
        """The file is still what it was; all that is left to do is to hand out the last piece."""
        now = self._unchanged()
        self._traffic = TransferStats(method=method, sent=crossed.sent, received=crossed.received)
        self._entry = replace(now.entry(), digest=content.blake3)


def small(ground: SmartFileContext, path: RelPath, limit: int) -> bytes:
    """At most so many bytes of a small file; b"" if there is no file. Raises Unreadable, TransientError."""
    found = ground.look(path)
    if found is None or found.entry().kind is not Kind.FILE or not found.size:
        return b""
    content = b""
    try:
        response = ground.api.content(ground.at(path), end=limit)
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
