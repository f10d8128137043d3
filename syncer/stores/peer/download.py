"""One file of the server as content to read: whole, from where it was broken off, or as a delta.

The digest of the whole is compared before the last piece is handed out. A broken connection is gone on
with, from the bytes that were handed out already; a few times in vain, then it is the reader's trouble.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from blake3 import blake3

from syncer.delta.index_cache import WORTH, BlockIndexService, workers
from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.errors import BadDelta, ChangedUnderUs, PermanentError, StoreError, TransientError, Unreadable
from syncer.stores.common import beyond
from syncer.stores.peer.client import PeerAnswer, PeerClient, RetryBudget
from syncer.wire.bounded_json import Json
from syncer.wire.contents import (
    ASK,
    DELTA,
    WHOLE,
    Content,
    Wanted,
    next_content,
)
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import entry_out, malformed

# --------------------------------------------------------------------------------
#
# Many small files in one stream: asked for a window at a time, handed out as their sources are read.
#
# A source that is skipped is read over; one that is read again, or out of turn, fetches itself. Which files
# a window holds is guessed from what the ones before turned out to be: a file whose reader has an older
# version is better served by a delta than by this stream.


SMALL = 64 << 10  # bytes below which no delta is worth asking for
LARGE = 1 << 20  # bytes from which on a file has a request of its own
_FILES, _BYTES = 1000, 16 << 20  # of one window


@dataclass(slots=True)
class _Window:
    """An open stream and the positions that it brings, in order; `next` counts what was begun."""

    answer: PeerAnswer
    frames: Iterator[Frame]
    positions: Sequence[int]
    next: int = 0
    begun: Content | None = None
    place: dict[int, int] = field(default_factory=dict)


class MultiplexedDownload:
    """The stream behind the sources of one `open_many`. One reader at a time; others fetch themselves."""

    def __init__(self, link: PeerClient, wanted: Sequence[tuple[RelPath, Entry]], *, most: int) -> None:
        self._link = link
        self._wanted = wanted
        self._most = min(most, _FILES)
        self._window: _Window | None = None
        self._done = -1  # the last position that was handed out
        self._deltas = True  # whether a middling file is expected to have an older version at the reader
        self._lock = threading.Lock()

    def __del__(self) -> None:
        """Where the last sources are never read, nobody else ends the answer: it holds itself."""
        self._close()

    def here(self, position: int) -> Content | None:
        """The content of the file at the position if this stream can bring it now; its data comes next.

        Raises TransientError where the stream broke off: the source then fetches itself.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._wanted[position][1].size >= SMALL:
                self._deltas = False
            return self._content(position)
        except StoreError:
            self._close()
            raise
        finally:
            self._lock.release()

    def elsewhere(self) -> None:
        """A middling file came as a delta: the next ones are likely to do so, too."""
        self._deltas = True

    def _content(self, position: int) -> Content | None:
        if position <= self._done or not self._streamed(self._wanted[position][1].size):
            return None
        window = self._window
        if window is not None and position not in window.place:
            if position < window.positions[-1]:
                return None  # left out on purpose
            self._close()
            window = None
        if window is None:
            window = self._window = self._opened(position)
        self._done = position
        return self._wound(window, window.place[position])

    def _wound(self, window: _Window, target: int) -> Content:
        """Reads over the contents before the target, and its head."""
        while True:
            if window.begun is not None:
                window.begun.skip()
            window.begun = next_content(window.frames)
            if window.begun.index != window.next:
                raise malformed("the contents in the order they were asked for")
            window.next += 1
            if window.next > target:
                return window.begun

    def _opened(self, position: int) -> _Window:
        positions = list(self._next_ones(position))
        told = [Wanted(path=self._wanted[p][0], entry=self._wanted[p][1]).told() for p in positions]
        answer = self._link.open("fetch", {"wanted": [*told]})
        place = {p: at for at, p in enumerate(positions)}
        return _Window(answer, answer.frames(), positions, place=place)

    def _next_ones(self, position: int) -> Iterator[int]:
        files, size = 0, 0
        for at in range(position, len(self._wanted)):
            weight = self._wanted[at][1].size
            if weight >= LARGE and at > position:
                return  # while it is fetched on its own, nobody would read this stream
            if at == position or self._streamed(weight):
                yield at
                files, size = files + 1, size + weight
                if files >= self._most or size >= _BYTES:
                    return

    def _streamed(self, size: int) -> bool:
        return size < SMALL or (size < LARGE and not self._deltas)

    def finished(self) -> None:
        """The reader of the last content is done with it."""
        window = self._window
        if (
            window is not None
            and window.next == len(window.positions)
            and (window.begun is None or window.begun.ended)
        ):
            if window.begun is not None:
                window.begun.close()
            self._close()

    def broke(self) -> None:
        """The reader met trouble with the stream itself."""
        self._close()

    def _close(self) -> None:
        if self._window is not None:
            self._window.answer.close()
            self._window = None


# --------------------------------------------------------------------------------
#
# Deltas as the peer store makes and applies them: signatures, the 70% limit, and deltas that came out
# wrong.
#
# The formats and the search are `delta.rsync`'s. `DeltaBlocklist` remembers which files are better fetched
# whole: short sums make a wrong delta possible, and the same delta would be wrong again.


def signature_of(basis: LocalBasis) -> bytes:
    """The signature that asks for a delta against it: coarse, for the wire. Raises what reading does."""
    from syncer.delta.rsync import SignatureParams, signature

    chunks = (basis.read(at, min(_PIECE, basis.size - at)) for at in range(0, basis.size, _PIECE))
    return b"".join(signature(chunks, SignatureParams.for_wire(basis.size), workers=workers()))


def patched(basis: LocalBasis, delta: Iterable[bytes], *, size: int) -> Iterator[bytes]:
    """The content that the delta makes of the basis. Raises BadDelta, and what reading either raises."""
    from syncer.delta.rsync import patch

    return patch(basis, delta, size=size)


@dataclass(frozen=True, slots=True)
class DeltaBlocklist:
    """Contents of which a delta came out wrong, as empty files in a folder of ours. Never raises."""

    folder: Path

    def doubts(self, path: RelPath, entry: Entry) -> bool:
        """Whether this content is better fetched whole."""
        return self._place(path, entry).exists()

    def note(self, path: RelPath, entry: Entry) -> None:
        """A delta of this content came out wrong."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._place(path, entry).touch(mode=0o600)
        except OSError:
            return  # it is fetched in vain once more

    def forget(self, path: RelPath, entry: Entry) -> None:
        """The content came, whole."""
        try:
            self._place(path, entry).unlink(missing_ok=True)
        except OSError:
            return

    def _place(self, path: RelPath, entry: Entry) -> Path:
        named = path.encode("utf-8", "surrogateescape") + b"\0" + entry.version
        return self.folder / blake2b(named, digest_size=16).hexdigest()


_PIECE = 1 << 20  # most bytes handed out at once


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadContext:
    """What every source of one store works with."""

    link: PeerClient
    keeper: BlockIndexService
    distrust: DeltaBlocklist


class PeerSource:
    """Implements `engine.interfaces.Source`. `stream` brings the file among others, if it can."""

    def __init__(
        self,
        means: DownloadContext,
        path: RelPath,
        expected: Entry,
        *,
        stream: MultiplexedDownload | None = None,
        position: int = 0,
    ) -> None:
        self._means = means
        self._path = path
        self._expected = expected
        self._stream = stream
        self._position = position
        self._read: Entry | None = None
        self._traffic = TransferStats()

    @property
    def entry(self) -> Entry:
        if self._read is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._read

    @property
    def traffic(self) -> TransferStats | None:
        return self._traffic

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        self._read = None
        self._traffic = TransferStats(method=Method.WHOLE)
        reading = _Reading(self._means, self._path, self._expected, self._count)
        start = basis.start if basis is not None else 0
        older = basis.older if basis is not None and start else basis
        if older is not None and self._is_worth_a_delta(older):
            pieces = reading.by_delta(older, start)
            if self._stream is not None:
                self._stream.elsewhere()
        elif start or self._stream is None:
            pieces = reading.whole(start)
        else:
            pieces = reading.streamed(self._stream, self._position)
        return self._verified(pieces, reading, basis)

    def _is_worth_a_delta(self, basis: LocalBasis) -> bool:
        worth = min(basis.size, self._expected.size) >= SMALL
        return worth and not self._means.distrust.doubts(self._path, self._expected)

    def _count(self, method: Method, sent: int, received: int) -> None:
        now = self._traffic
        self._traffic = TransferStats(method=method, sent=now.sent + sent, received=now.received + received)

    def _verified(
        self, pieces: Iterator[bytes], reading: _Reading, basis: LocalBasis | None
    ) -> Iterator[bytes]:
        """The pieces, the last one held back until the whole was found right and is remembered."""
        keeper, hasher, held = self._means.keeper, blake3(), b""
        start = basis.start if basis is not None else 0
        if basis is not None and start:
            for piece in _bytes_of(basis, start):
                hasher.update(piece)
        old = None
        if basis is not None and self._expected.size >= WORTH and not start:
            old = keeper.sketch(basis.digest, basis.size)
        size = self._expected.size if not start else 0  # half a content has no sketch
        watched = keeper.watched(self._hashed(pieces, hasher, start), old, size, hasher.digest)
        for piece in watched:
            if held:
                yield held
            held = piece
        self._settle(hasher.digest(), reading)
        keeper.keep(watched.sketch, hasher.digest())
        if basis is not None and self._expected.size >= WORTH:
            keeper.drop(basis.digest, unless=hasher.digest())
        if held:
            yield held

    def _hashed(self, pieces: Iterator[bytes], hasher: blake3, total: int) -> Iterator[bytes]:
        """The pieces, if they are as many bytes as are expected; `total` of those are here already."""
        for piece in pieces:
            total += len(piece)
            if total > self._expected.size:
                break
            hasher.update(piece)
            yield piece
        if total != self._expected.size:
            raise ChangedUnderUs(f"{printable(self._path)}: another size came", path=self._path)

    def _settle(self, digest: bytes, reading: _Reading) -> None:
        """Compares what came with what the server says that it is. Raises ChangedUnderUs, PermanentError."""
        assert reading.entry is not None
        if reading.digest != digest:
            if self._traffic.method is Method.DELTA:
                self._means.distrust.note(self._path, self._expected)
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
            self._means.distrust.forget(self._path, self._expected)
        self._read = replace(reading.entry, digest=digest)


class _Reading:
    """One reading of the content: `digest` and `entry` are the server's, known at the end."""

    def __init__(
        self,
        means: DownloadContext,
        path: RelPath,
        expected: Entry,
        count: Callable[[Method, int, int], None],
    ) -> None:
        self._link = means.link
        self._path = path
        self._expected = expected
        self._count = count
        self.digest = b""
        self.entry: Entry | None = None

    def streamed(self, stream: MultiplexedDownload, position: int) -> Iterator[bytes]:
        """Out of the stream of many, and from where that breaks off on its own."""
        at = 0
        try:
            content = stream.here(position)
            if content is not None:
                for piece in _is_whole(content).data():
                    self._count(Method.WHOLE, 0, len(piece))
                    at += len(piece)
                    yield piece
                self._ended(content)
                stream.finished()
                return
        except TransientError:
            stream.broke()
        yield from self.whole(at)

    def whole(self, at: int) -> Iterator[bytes]:
        """From byte `at` on, with requests of its own."""
        tries = RetryBudget(self._link.clock)
        while True:
            try:
                for piece in self._fetched(at):
                    at += len(piece)
                    tries.progress()
                    yield piece
                return
            except TransientError as error:
                tries.failed(error)

    def _fetched(self, at: int) -> Iterator[bytes]:
        wanted = Wanted(path=self._path, entry=self._expected, start=at)
        with self._link.open("fetch", {"wanted": [wanted.told()]}) as answer:
            content = _is_whole(next_content(answer.frames()))
            for piece in content.data():
                self._count(Method.WHOLE, 0, len(piece))
                yield piece
            content.close()
            self._ended(content)

    def by_delta(self, basis: LocalBasis, at: int) -> Iterator[bytes]:
        """From byte `at` on, as what is new against the basis, while that pays; then whole from there."""
        tries = RetryBudget(self._link.clock)
        try:
            while True:
                try:
                    for piece in beyond(self._patched(basis), at):
                        at += len(piece)
                        tries.progress()
                        yield piece
                    return
                except TransientError as error:
                    tries.failed(error)
        except (BadDelta, Unreadable):  # Unreadable: the disk does not give the old content back
            pass
        yield from self.whole(at)

    def _patched(self, basis: LocalBasis) -> Iterator[bytes]:
        with self._delta(basis) as (content, answer, sent):
            if content.encoding == DELTA:
                self._count(Method.DELTA, sent, 0)
                limit = _Limited(content.data(), answer, self._expected.size)
                try:
                    yield from patched(basis, limit, size=self._expected.size)
                finally:
                    self._count(Method.DELTA, 0, answer.received)
            else:
                self._count(Method.WHOLE, sent, 0)
                for piece in _is_whole(content).data():
                    self._count(Method.WHOLE, 0, len(piece))
                    yield piece
            content.close()
            self._ended(content)

    @contextmanager
    def _delta(self, basis: LocalBasis) -> Iterator[tuple[Content, PeerAnswer, int]]:
        """The server's delta: by what it kept of the basis, else by the basis' signature."""
        if basis.digest is not None and self._expected.size >= WORTH:
            wanted = Wanted(path=self._path, entry=self._expected, have=basis.digest)
            with self._link.open("fetch", {"wanted": [wanted.told()]}, unpacks=True) as answer:
                content = next_content(answer.frames())
                if content.encoding != ASK:
                    yield content, answer, 0
                    return
                content.skip()
                content.close()
        sums = signature_of(basis)

        def frames() -> Iterator[Frame]:
            told: dict[str, Json] = {"path": self._path, "entry": entry_out(self._expected)}
            yield Head({**told, "size": basis.size})
            yield Data(sums)
            yield End({"size": basis.size})

        with self._link.stream("delta", frames, unpacks=True) as answer:
            yield next_content(answer.frames()), answer, len(sums)

    def _ended(self, content: Content) -> None:
        self.digest, self.entry = content.digest, content.entry


def _is_whole(content: Content) -> Content:
    """A content that was asked for without a basis. Raises PermanentError where it comes as anything else."""
    if content.encoding != WHOLE:
        raise malformed("a whole content")
    return content


class _Limited:
    """A delta that costs more than it is worth ends in BadDelta."""

    def __init__(self, pieces: Iterator[bytes], answer: PeerAnswer, size: int) -> None:
        self._pieces = pieces
        self._answer = answer
        self._most = size * 7 // 10

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            if self._answer.received > self._most:
                raise BadDelta("the delta is almost as large as the file")


def _bytes_of(basis: LocalBasis, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield basis.read(offset, min(_PIECE, size - offset))
