"""Content that comes by the wire, as sources that a store reads in order.

A source is read once, and checks what it gives: the size, and the digest of the whole before the last
piece. What the store does not read is passed over. Frames come checked (`wire.frames`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise

from blake3 import blake3

from syncer.delta.rsync import patch
from syncer.engine.interfaces import LocalBasis, TransferStats, WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Outcome
from syncer.engine.paths import directory_key, join
from syncer.errors import BadDelta, ChangedUnderUs, NoSpace, PermanentError, SyncerError, TransientError
from syncer.server.extension.changes import flag, moment, refusal, settled
from syncer.server.extension.context import spelt
from syncer.server.extension.index_builder import IndexRequest
from syncer.server.extension.request import Answer, Call, listed, one
from syncer.server.folder import ServedStore, checked
from syncer.stores.local.root import TOKEN_LENGTH
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head

_PIECE = 1 << 20
_UNGAUGED, _SWELL = 16 << 20, 16  # bytes, or times what it is made of, that a delta may make


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """The head of one content."""

    index: int
    delta: bool
    start: int


class Incoming:
    """The contents of a put, one after the other."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._next: Announced | None = None  # read, not begun
        self._last = -1
        self._inside = False
        self._broken: SyncerError | None = None
        self._end: dict[str, Json] = {}

    def begin(self, index: int) -> Announced:
        """Passes over what comes before. Raises PermanentError if it never comes, TransientError."""
        while (head := self._peek()) is not None and head.index <= index:
            self._next, self._inside = None, True
            if head.index == index:
                return head
        raise PermanentError("the content was not sent")

    def data(self) -> Iterator[bytes]:
        """The bytes of the content that was begun. Raises what the client says went wrong."""
        while not isinstance(frame := self._frame(), End):
            if not isinstance(frame, Data):
                raise self._malformed("data or an end")
            yield frame.payload
        self._inside = False
        self._end = frame.fields
        if "error" in frame.fields:
            raise _final(schema.error_in(frame.fields["error"]))

    def digest(self) -> bytes:
        """Of the whole content, as its end told."""
        found = schema.octets(self._end.get("digest"), "a digest")
        if len(found) != blake3.digest_size:
            raise schema.malformed("a digest")
        return found

    def finish(self) -> None:
        """Passes over the rest, to the end of the stream."""
        while self._peek() is not None:
            self._next, self._inside = None, True

    def _peek(self) -> Announced | None:
        if self._next is None:
            while self._inside:
                frame = self._frame()
                if isinstance(frame, Head) or frame is None:
                    raise self._malformed("the end of a content")
                self._inside = isinstance(frame, Data)
            frame = self._frame()
            if frame is not None:
                self._next = self._announced(frame)
        return self._next

    def _announced(self, frame: Frame) -> Announced:
        if not isinstance(frame, Head):
            raise self._malformed("a head")
        try:
            index = schema.number(frame.fields.get("index"), "an index")
            encoding = frame.fields.get("encoding")
            start = schema.number(frame.fields.get("start", 0), "a place in a file")
        except PermanentError as error:
            self._broken = error
            raise
        if index <= self._last or encoding not in ("whole", "delta") or (start and encoding == "delta"):
            raise self._malformed("the head of a content")
        self._last = index
        return Announced(index=index, delta=encoding == "delta", start=start)

    def _frame(self) -> Frame | None:
        """Once it is broken it stays so, and says the same to every source."""
        if self._broken is not None:
            raise self._broken
        try:
            return next(self._frames, None)
        except SyncerError as error:
            self._broken = error
            raise

    def _malformed(self, what: str) -> PermanentError:
        self._broken = schema.malformed(what)
        return self._broken


def _final(error: SyncerError) -> SyncerError:
    """A client that gave up is not to be waited for: nothing of the content is kept."""
    return ChangedUnderUs(error.message) if isinstance(error, TransientError) else error


class WireSource:
    """One content (`engine.interfaces.Source`)."""

    def __init__(self, incoming: Incoming, index: int, size: int) -> None:
        self._incoming = incoming
        self._index = index
        self._size = size
        self._begun = False
        self._entry: Entry | None = None
        self._method = Method.WHOLE
        self._received = 0

    @property
    def entry(self) -> Entry:
        if self._entry is None:
            raise ChangedUnderUs("the content was not read to its end")
        return self._entry

    @property
    def traffic(self) -> TransferStats | None:
        return TransferStats(method=self._method, received=self._received)

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        if self._begun:
            raise BadDelta("what came of it can be used once; send it whole")
        self._begun = True
        head = self._incoming.begin(self._index)
        hasher, total, held = blake3(), 0, b""
        if basis is not None and basis.start:
            total = basis.start
            for piece in _beginning(basis):
                hasher.update(piece)
        pieces = self._patched(basis) if head.delta else self._whole(head.start, basis)
        for piece in pieces:
            total += len(piece)
            if total > self._size:
                raise BadDelta(f"more than the {self._size} bytes that were announced")
            hasher.update(piece)
            if total < self._size:
                yield piece
            else:
                held += piece  # the last one, and perhaps empty ones after it
        self._verify(hasher.digest(), total)
        if held:
            yield held

    def _verify(self, digest: bytes, total: int) -> None:
        if total != self._size or digest != self._incoming.digest():
            raise BadDelta("what arrived is not what was announced; send it whole")
        self._entry = Entry(Kind.FILE, self._size, b"", digest=digest)

    def _whole(self, start: int, basis: LocalBasis | None) -> Iterator[bytes]:
        """The bytes after what is here already; what was sent of those is passed over."""
        here = basis.start if basis is not None else 0
        if start > here:
            raise BadDelta("its beginning is not here (any more); send it whole")
        skip = here - start
        for piece in self._data():
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(skip - len(piece), 0)

    def _patched(self, basis: LocalBasis | None) -> Iterator[bytes]:
        self._method = Method.DELTA
        if basis is None or basis.start:
            raise BadDelta("there is nothing here that a delta could be applied to; send it whole")
        made = 0
        for piece in patch(basis, self._data(), size=self._size):
            made += len(piece)
            if made > _UNGAUGED + _SWELL * (basis.size + self._received):
                raise BadDelta(f"a delta that makes {made} bytes of next to nothing; send it whole")
            yield piece

    def _data(self) -> Iterator[bytes]:
        for piece in self._incoming.data():
            self._received += len(piece)
            yield piece


def _beginning(basis: LocalBasis) -> Iterator[bytes]:
    """What a transfer that was broken off left here."""
    for offset in range(0, basis.start, _PIECE):
        yield basis.read(offset, min(_PIECE, basis.start - offset))


# --------------------------------------------------------------------------------
#
# `put`: many files and links in one stream, each installed by the store's own protocol.
#
# What was broken off, is wrong, or came too late leaves its name as it was. Frames and digests: `uploads`.


_LONGEST_TARGET = 4095  # bytes: PATH_MAX without the NUL


def put(call: Call) -> Answer:
    """`put`."""
    frames = call.frames()
    fields = call.head(frames)
    incoming = Incoming(frames)
    items = [_item(call, incoming, index, value) for index, value in enumerate(listed(fields, "items"))]
    keys = [directory_key(spelt(item.path)) for item in items] if len(items) > 1 else []
    if any(before > after for before, after in pairwise(keys)):
        raise schema.malformed("items directory by directory")
    wishes: list[IndexRequest] = []
    return call.outcomes(
        _results(call, items, incoming, wishes), after=lambda: call.shared.sketches.want(*wishes)
    )


def _results(
    call: Call, items: Sequence[WriteRequest], incoming: Incoming, wishes: list[IndexRequest]
) -> Iterator[tuple[int, Outcome]]:
    with call.store() as store:
        free = store.free_space()
        refused: dict[int, SyncerError] = {}
        for i, item in enumerate(items):
            if (unholdable := refusal((item.path,))) is not None:
                refused[i] = unholdable
            elif free is not None and item.size > free and item.size > free + _here(store, item):
                # before any of it is received
                refused[i] = NoSpace(f"{item.size} bytes do not fit: {free} are free", path=item.path)
        yield from ((i, Failed(error=error)) for i, error in refused.items())
        taken = [i for i in range(len(items)) if i not in refused]
        for at, outcome in store.put([items[i] for i in taken]):
            index = taken[at]
            settled(call, store, (items[index].path,), outcome)
            yield index, _sent(call, store, items[index], outcome, wishes)
        incoming.finish()


def _here(store: ServedStore, item: WriteRequest) -> int:
    """How much of a content a put that was broken off has left on the disk."""
    try:
        return store.partial(item.path, item.token) if item.token else 0
    except SyncerError:
        return 0


def _sent(
    call: Call, store: ServedStore, item: WriteRequest, outcome: Outcome, wishes: list[IndexRequest]
) -> Outcome:
    """The outcome with how the content came; what is large is to be sketched."""
    source = item.source
    if not isinstance(outcome, Done) or source is None or source.traffic is None:
        return outcome
    if outcome.entry is not None:
        old = _digest_before(call, store, item)
        wishes.append(IndexRequest(below=store.below, path=item.path, entry=outcome.entry, old=old))
    return replace(outcome, method=source.traffic.method)


def _digest_before(call: Call, store: ServedStore, item: WriteRequest) -> bytes | None:
    expected = item.expected
    if expected is None or expected.digest is not None:
        return expected.digest if expected is not None else None
    return call.served.digests.find(join(store.below, item.path), expected.version)


def _item(call: Call, incoming: Incoming, index: int, value: Json) -> WriteRequest:
    """Raises PermanentError."""
    fields = schema.take(value, dict, "an item")
    kind = schema.kind_in(fields.get("kind"))
    if kind is Kind.DIRECTORY:
        raise schema.malformed("a file or a symlink")
    size = schema.number(fields.get("size"), "a size")
    return WriteRequest(
        path=schema.path(fields.get("path")),
        kind=kind,
        source=WireSource(incoming, index, size) if kind is Kind.FILE else None,
        size=size,
        expected=schema.optional(fields.get("expected"), schema.entry_in),
        mtime_ns=moment(fields.get("mtime_ns")),
        executable=flag(fields.get("executable")),
        target=schema.optional(fields.get("target"), _target),
        token=_token(call, fields.get("token", "")) if kind is Kind.FILE else b"",
    )


def _target(value: Json) -> str:
    """A link's text, which may lead anywhere: it is never followed here."""
    found = schema.take(value, str, "a target")
    try:
        size = len(os.fsencode(found))
    except UnicodeEncodeError:
        raise schema.malformed("a target") from None
    if "\0" in found or size > _LONGEST_TARGET:
        raise schema.malformed("a target")
    return found


def _token(call: Call, value: Json) -> bytes:
    """The key's own form of a token: what another key left is never gone on with, nor known of."""
    found = schema.octets(value, "a token", most=TOKEN_LENGTH)
    if len(found) not in (0, TOKEN_LENGTH):
        raise schema.malformed("a token")
    own = blake2b(call.key.name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return blake2b(found, key=own, digest_size=TOKEN_LENGTH).digest() if found else b""


def partial(call: Call) -> Answer:
    """`partial`: how much of a put that was broken off is here already."""
    fields = call.json()
    path, token = schema.path(fields.get("path")), _token(call, fields.get("token"))
    with call.store() as store:
        try:
            return one({"start": store.partial(checked(path), token) if token else 0})
        except SyncerError:
            return one({"start": 0})
