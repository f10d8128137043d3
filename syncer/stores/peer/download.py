"""Downloads: a file of the server as a `Source`: whole, resumed, as a delta, or among many in one stream.

The digest of the whole content is compared before the last piece is handed out. After a broken connection the
download resumes behind the last byte handed out; it gives up after a few tries without progress
(TransientError).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from blake3 import blake3

from syncer.delta.chunking import available_cpus
from syncer.delta.index_cache import WORTH, BlockIndexService
from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.errors import BadDelta, ChangedUnderUs, PermanentError, StoreError, TransientError, Unreadable
from syncer.stores.common import beyond
from syncer.stores.peer.client import PeerClient, PeerResponse, RetryBudget
from syncer.wire.bounded_json import Json
from syncer.wire.contents import ASK, DELTA, WHOLE, Content, ContentReader, FetchItem
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import entry_out, malformed

SMALL = 64 << 10  # bytes below which no delta is worth asking for
LARGE = 1 << 20  # bytes from which on a file has a request of its own
_FILES, _BYTES = 1000, 16 << 20  # of one window of a multiplexed download
_PIECE = 1 << 20  # the most bytes read at once


def next_content(reader: ContentReader) -> Content:
    """The next content. Raises TransientError at the end of the stream."""
    content = reader.next()
    if content is None:
        raise TransientError("the stream ended early")
    return content


# -- many small files in one stream ------------------------------------------------


@dataclass(slots=True)
class _Window:
    """One `fetch` of several files: positions in the caller's list, in order; `begun` counts those read."""

    response: PeerResponse
    reader: ContentReader
    positions: Sequence[int]
    begun: int = 0
    current: Content | None = None


class MultiplexedDownload:
    """Downloads the small files of one `open_many` in a few requests, a window of files in each.

    The files are handed out while their sources are read in order. A source that is skipped is read over;
    one that is read again, or out of order, fetches its file by itself. A file whose reader has an older
    version is better served by a delta, so whether a window holds middling files depends on what the last
    ones turned out to be. One source reads at a time; others fetch their files themselves.
    """

    def __init__(self, client: PeerClient, wanted: Sequence[tuple[RelPath, Entry]], *, most: int) -> None:
        """`most`: files of one request."""
        self._client = client
        self._wanted = wanted
        self._most = min(most, _FILES)
        self._window: _Window | None = None
        self._last = -1  # the last position that was handed out
        self._expects_deltas = (
            True  # whether middling files are expected to have an older version at the reader
        )
        self._lock = threading.Lock()

    def __del__(self) -> None:
        # If the last sources are never read, nothing else closes the response, which refers to itself.
        self.abort()

    def take(self, position: int) -> Content | None:
        """The content of the file at the position, whose data comes next; None if this stream has it not.

        Raises TransientError where the stream broke off: the source then fetches its file itself.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            size = self._wanted[position][1].size
            if size >= SMALL:
                self._expects_deltas = False
            if position <= self._last or not self._is_streamed(size):
                return None
            window = self._window
            if window is not None and position > window.positions[-1]:
                self.abort()
                window = None
            if window is not None:
                at = bisect_left(window.positions, position)
                if window.positions[at] != position:
                    return None  # left out on purpose
            if window is None:
                window = self._window = self._open(position)
            self._last = position
            # Contents come in the order of the request: read over those whose sources were skipped.
            content = window.current
            while content is None or window.positions[window.begun - 1] < position:
                content = window.current = next_content(window.reader)
                if content.index != window.begun:
                    raise malformed("the contents in the order of the request")
                window.begun += 1
            return content
        except StoreError:
            self.abort()
            raise
        finally:
            self._lock.release()

    def note_delta(self) -> None:
        """A middling file came as a delta: the next ones are likely to, too."""
        self._expects_deltas = True

    def _open(self, position: int) -> _Window:
        """Request the file at the position, and those behind it that are likely to be read here."""
        positions: list[int] = []
        size = 0
        for at in range(position, len(self._wanted)):
            file_size = self._wanted[at][1].size
            if file_size >= LARGE and at > position:
                break  # while it is downloaded by itself, this stream would stand still
            if at == position or self._is_streamed(file_size):
                positions.append(at)
                size += file_size
                if len(positions) >= self._most or size >= _BYTES:
                    break
        items = [FetchItem(path=path, entry=entry) for path, entry in (self._wanted[at] for at in positions)]
        response = self._client.open("fetch", {"wanted": [item.to_json() for item in items]})
        return _Window(response, ContentReader(response.frames()), positions)

    def _is_streamed(self, size: int) -> bool:
        return size < SMALL or (size < LARGE and not self._expects_deltas)

    def finished(self) -> None:
        """The reader of the last content has all of it."""
        window = self._window
        if window is not None and window.begun == len(window.positions):
            if window.current is not None and not window.current.ended:
                return
            window.reader.expect_end()
            self.abort()

    def abort(self) -> None:
        """Close the current response, read or not."""
        if self._window is not None:
            self._window.response.close()
            self._window = None


# -- deltas ----------------------------------------------------------------------


def signature_of(basis: LocalBasis) -> bytes:
    """The signature of the content at hand, coarse, for the wire. Raises what reading does."""
    from syncer.delta.rsync import SignatureParams, signature

    pieces = _pieces_of(basis, basis.size)
    return b"".join(signature(pieces, SignatureParams.for_wire(basis.size), workers=available_cpus()))


def patched(basis: LocalBasis, delta: Iterator[bytes], *, size: int) -> Iterator[bytes]:
    """Yield the content that the delta makes of the basis. Raises BadDelta, and what reading raises."""
    from syncer.delta.rsync import patch

    return patch(basis, delta, size=size)


def _pieces_of(basis: LocalBasis, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield basis.read(offset, min(_PIECE, size - offset))


@dataclass(frozen=True, slots=True)
class DeltaBlocklist:
    """Contents whose delta came out wrong, as empty files in a private directory. Never raises.

    The short sums of a delta make a wrong one possible, and the same delta would be wrong again: such a file
    is downloaded whole.
    """

    folder: Path

    def contains(self, path: RelPath, entry: Entry) -> bool:
        """Whether this content is to be downloaded whole."""
        return self._file(path, entry).exists()

    def add(self, path: RelPath, entry: Entry) -> None:
        """A delta of this content came out wrong."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file(path, entry).touch(mode=0o600)
        except OSError:
            return  # the next run downloads a wrong delta once more

    def remove(self, path: RelPath, entry: Entry) -> None:
        """The content was downloaded whole."""
        try:
            self._file(path, entry).unlink(missing_ok=True)
        except OSError:
            return

    def _file(self, path: RelPath, entry: Entry) -> Path:
        key = path.encode("utf-8", "surrogateescape") + b"\0" + entry.version
        return self.folder / blake2b(key, digest_size=16).hexdigest()


# -- one file ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadContext:
    """What all sources of a store share."""

    client: PeerClient
    indexes: BlockIndexService
    blocklist: DeltaBlocklist


class PeerSource:
    """Implements `engine.interfaces.Source`. `stream` has the file among others, if it can bring it."""

    def __init__(
        self,
        context: DownloadContext,
        path: RelPath,
        expected: Entry,
        *,
        stream: MultiplexedDownload | None = None,
        position: int = 0,
    ) -> None:
        """`position`: of the file in the stream."""
        self._context = context
        self._path = path
        self._expected = expected
        self._stream = stream
        self._position = position
        self._read: Entry | None = None
        self._transfer: _Transfer | None = None

    @property
    def entry(self) -> Entry:
        if self._read is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._read

    @property
    def traffic(self) -> TransferStats | None:
        return self._transfer.traffic if self._transfer is not None else TransferStats()

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        self._read = None
        transfer = self._transfer = _Transfer(self._context.client, self._path, self._expected)
        start = basis.start if basis is not None else 0
        older = basis.older if basis is not None and start else basis
        if (
            older is not None
            and min(older.size, self._expected.size) >= SMALL
            and not self._context.blocklist.contains(self._path, self._expected)
        ):
            pieces = transfer.by_delta(older, start)
            if self._stream is not None:
                self._stream.note_delta()
        elif start or self._stream is None:
            pieces = transfer.whole(start)
        else:
            pieces = transfer.streamed(self._stream, self._position)
        return self._verified(pieces, transfer, basis)

    def _verified(
        self, pieces: Iterator[bytes], transfer: _Transfer, basis: LocalBasis | None
    ) -> Iterator[bytes]:
        """Yield the pieces; the last one only after the whole content was verified and its index stored."""
        indexes, hasher, pending = self._context.indexes, blake3(), b""
        start = basis.start if basis is not None else 0
        if basis is not None and start:
            for piece in _pieces_of(basis, start):
                hasher.update(piece)
        large = basis is not None and self._expected.size >= WORTH
        old = indexes.sketch(basis.digest, basis.size) if basis is not None and large and not start else None
        size = self._expected.size if not start else 0  # of a resumed content no index can be made
        # The index of the new content is made while it passes; with the old one only the changes are summed.
        indexed = indexes.watched(self._sized(pieces, hasher, start), old, size, hasher.digest)
        for piece in indexed:
            if pending:
                yield pending
            pending = piece
        self._verify(hasher.digest(), transfer)
        indexes.keep(indexed.sketch, hasher.digest())
        if basis is not None and large:
            indexes.drop(basis.digest, unless=hasher.digest())
        if pending:
            yield pending

    def _sized(self, pieces: Iterator[bytes], hasher: blake3, total: int) -> Iterator[bytes]:
        """Yield and hash the pieces, `total` bytes being here already. Raises ChangedUnderUs for another
        size.
        """
        for piece in pieces:
            total += len(piece)
            if total > self._expected.size:
                break
            hasher.update(piece)
            yield piece
        if total != self._expected.size:
            raise ChangedUnderUs(f"{printable(self._path)}: another size came", path=self._path)

    def _verify(self, digest: bytes, transfer: _Transfer) -> None:
        """Compare the digest with the server's and with the plan's. Raises ChangedUnderUs, PermanentError."""
        assert transfer.entry is not None
        if transfer.digest != digest:
            if transfer.traffic.method is Method.DELTA:
                self._context.blocklist.add(self._path, self._expected)
                raise PermanentError(
                    f"{printable(self._path)}: a delta came out wrong and was thrown away",
                    hint="the next run fetches the file whole",
                    path=self._path,
                )
            raise ChangedUnderUs(
                f"{printable(self._path)}: another content came than was sent", path=self._path
            )
        if self._expected.digest not in (None, digest):
            raise ChangedUnderUs(f"{printable(self._path)} is not what was planned on", path=self._path)
        if self._expected.size >= SMALL:
            self._context.blocklist.remove(self._path, self._expected)
        self._read = replace(transfer.entry, digest=digest)


class _Transfer:
    """One reading of a file: `digest` and `entry` are what the server sent at the end, `traffic` counts
    bytes.
    """

    def __init__(self, client: PeerClient, path: RelPath, expected: Entry) -> None:
        self._client = client
        self._path = path
        self._expected = expected
        self.traffic = TransferStats(method=Method.WHOLE)
        self.digest = b""
        self.entry: Entry | None = None

    def _count(self, method: Method, *, sent: int = 0, received: int = 0) -> None:
        now = self.traffic
        self.traffic = TransferStats(method=method, sent=now.sent + sent, received=now.received + received)

    def streamed(self, stream: MultiplexedDownload, position: int) -> Iterator[bytes]:
        """Yield the content out of a stream of many files; where that breaks off, continue with `whole`."""
        at = 0
        try:
            content = stream.take(position)
            if content is not None:
                for piece in self._data(content):
                    at += len(piece)
                    yield piece
                stream.finished()
                return
        except TransientError:
            stream.abort()
        yield from self.whole(at)

    def whole(self, at: int) -> Iterator[bytes]:
        """Yield the content from byte `at` on, resumed after each broken connection."""
        retries = RetryBudget(self._client.clock)
        while True:
            item = FetchItem(path=self._path, entry=self._expected, start=at)
            try:
                with self._client.open("fetch", {"wanted": [item.to_json()]}) as response:
                    reader = ContentReader(response.frames())
                    for piece in self._data(next_content(reader)):
                        at += len(piece)
                        retries.progress()
                        yield piece
                    reader.expect_end()
                return
            except TransientError as error:
                retries.failed(error)

    def _data(self, content: Content) -> Iterator[bytes]:
        """Yield the data of a whole content; note its digest and entry. Raises PermanentError for a delta."""
        if content.encoding != WHOLE:
            raise malformed("a whole content")
        for piece in content.data():
            self._count(Method.WHOLE, received=len(piece))
            yield piece
        self.digest, self.entry = content.digest, content.entry

    def by_delta(self, basis: LocalBasis, at: int) -> Iterator[bytes]:
        """Yield the content from byte `at` on, made from the basis and a delta; as `whole` if that saves
        little.

        A delta cannot be resumed: after a broken connection it is made again, and what was handed out of the
        content is left out.
        """
        retries = RetryBudget(self._client.clock)
        try:
            while True:
                try:
                    for piece in beyond(self._patched(basis), at):
                        at += len(piece)
                        retries.progress()
                        yield piece
                    return
                except TransientError as error:
                    retries.failed(error)
        except (BadDelta, Unreadable):  # Unreadable: the disk does not return the old content
            pass
        yield from self.whole(at)

    def _patched(self, basis: LocalBasis) -> Iterator[bytes]:
        def worthwhile(delta: Iterator[bytes], response: PeerResponse) -> Iterator[bytes]:
            for piece in delta:
                yield piece
                if response.received > self._expected.size * 7 // 10:
                    raise BadDelta("the delta is almost as large as the file")

        with self._delta(basis) as (reader, content, response, sent):
            if content.encoding == DELTA:
                self._count(Method.DELTA, sent=sent)
                try:
                    # Counted at the end: what was received is known compressed, not piece by piece.
                    delta = worthwhile(content.data(), response)
                    yield from patched(basis, delta, size=self._expected.size)
                finally:
                    self._count(Method.DELTA, received=response.received)
                self.digest, self.entry = content.digest, content.entry
            else:
                self._count(Method.WHOLE, sent=sent)
                yield from self._data(content)
            reader.expect_end()

    @contextmanager
    def _delta(self, basis: LocalBasis) -> Iterator[tuple[ContentReader, Content, PeerResponse, int]]:
        """The server's delta, by its block index of the basis, else by the signature of the basis."""
        if basis.digest is not None and self._expected.size >= WORTH:
            item = FetchItem(path=self._path, entry=self._expected, have=basis.digest)
            payload: Json = {"wanted": [item.to_json()]}
            with self._client.open("fetch", payload, accept_compressed=True) as response:
                reader = ContentReader(response.frames())
                content = next_content(reader)
                if content.encoding != ASK:
                    yield reader, content, response, 0
                    return
                content.skip()
                reader.expect_end()
        signature = signature_of(basis)

        def frames() -> Iterator[Frame]:
            yield Head({"path": self._path, "entry": entry_out(self._expected), "size": basis.size})
            yield Data(signature)
            yield End({"size": basis.size})

        with self._client.open("delta", frames, accept_compressed=True) as response:
            reader = ContentReader(response.frames())
            yield reader, next_content(reader), response, len(signature)
