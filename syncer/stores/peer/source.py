"""One file of the server as content to read: whole, from where it was broken off, or as a delta.

The digest of the whole is compared before the last piece is handed out. A broken connection is gone on
with, from the bytes that were handed out already; a few times in vain, then it is the reader's trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from blake3 import blake3

from syncer.engine.model import Entry, Method, RelPath
from syncer.engine.paths import printable
from syncer.engine.ports import Basis, Traffic
from syncer.errors import BadDelta, ChangedUnderUs, PermanentError, TransientError, Unreadable
from syncer.stores.peer.contents import ASK, DELTA, WHOLE, Content, Wanted, next_content
from syncer.stores.peer.deltas import Distrust, patched, signature_of
from syncer.stores.peer.fetching import SMALL, Fetching
from syncer.stores.peer.keeping import WORTH, Keeper
from syncer.stores.peer.link import Answer, Link, Tries
from syncer.stores.reading import beyond
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.values import entry_out, malformed

_PIECE = 1 << 20  # most bytes handed out at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every source of one store works with."""

    link: Link
    keeper: Keeper
    distrust: Distrust


class PeerSource:
    """Implements `engine.ports.Source`. `stream` brings the file among others, if it can."""

    def __init__(
        self,
        means: Means,
        path: RelPath,
        expected: Entry,
        *,
        stream: Fetching | None = None,
        position: int = 0,
    ) -> None:
        self._means = means
        self._path = path
        self._expected = expected
        self._stream = stream
        self._position = position
        self._read: Entry | None = None
        self._traffic = Traffic()

    @property
    def entry(self) -> Entry:
        if self._read is None:
            raise ChangedUnderUs(f"{printable(self._path)} was not read to its end", path=self._path)
        return self._read

    @property
    def traffic(self) -> Traffic | None:
        return self._traffic

    def chunks(self, basis: Basis | None = None) -> Iterator[bytes]:
        self._read = None
        self._traffic = Traffic(method=Method.WHOLE)
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

    def _is_worth_a_delta(self, basis: Basis) -> bool:
        worth = min(basis.size, self._expected.size) >= SMALL
        return worth and not self._means.distrust.doubts(self._path, self._expected)

    def _count(self, method: Method, sent: int, received: int) -> None:
        now = self._traffic
        self._traffic = Traffic(method=method, sent=now.sent + sent, received=now.received + received)

    def _verified(self, pieces: Iterator[bytes], reading: _Reading, basis: Basis | None) -> Iterator[bytes]:
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
        self, means: Means, path: RelPath, expected: Entry, count: Callable[[Method, int, int], None]
    ) -> None:
        self._link = means.link
        self._path = path
        self._expected = expected
        self._count = count
        self.digest = b""
        self.entry: Entry | None = None

    def streamed(self, stream: Fetching, position: int) -> Iterator[bytes]:
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
        tries = Tries(self._link.clock)
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

    def by_delta(self, basis: Basis, at: int) -> Iterator[bytes]:
        """From byte `at` on, as what is new against the basis, while that pays; then whole from there."""
        tries = Tries(self._link.clock)
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

    def _patched(self, basis: Basis) -> Iterator[bytes]:
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
    def _delta(self, basis: Basis) -> Iterator[tuple[Content, Answer, int]]:
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

    def __init__(self, pieces: Iterator[bytes], answer: Answer, size: int) -> None:
        self._pieces = pieces
        self._answer = answer
        self._most = size * 7 // 10

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece
            if self._answer.received > self._most:
                raise BadDelta("the delta is almost as large as the file")


def _bytes_of(basis: Basis, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield basis.read(offset, min(_PIECE, size - offset))
