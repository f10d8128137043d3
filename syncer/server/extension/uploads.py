"""The call `put`: many files and links in one stream, each written by the store's own protocol.

A content is a source that the store reads in order. It checks the size, and the digest of the whole before
its last piece; what the store does not read is skipped. A content that was broken off, is wrong, or no
longer meets its condition leaves its name as it was. `partial` tells how much of a broken-off upload can be
resumed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise

from blake3 import blake3

from syncer.delta.rsync import patch
from syncer.engine.interfaces import LocalBasis, TransferStats, WriteRequest
from syncer.engine.model import Done, Entry, Kind, Method, Outcome
from syncer.engine.paths import directory_key, join
from syncer.errors import BadDelta, ChangedUnderUs, NoSpace, PermanentError, SyncerError, TransientError
from syncer.server.extension.changes import flag_in, mtime_in, path_error, record
from syncer.server.extension.context import encodable
from syncer.server.extension.index_builder import IndexRequest
from syncer.server.extension.request import CallRequest, CallResponse, items_of, json_response
from syncer.server.folder import ServedStore, checked
from syncer.stores.local.root import TOKEN_LENGTH
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.contents import DELTA, WHOLE, Content, ContentReader
from syncer.wire.frames import Frame
from syncer.wire.validation import ValidBatch

_PIECE = 1 << 20
_UNGAUGED, _SWELL = 16 << 20, 16  # a delta may make so many bytes, or so many times the bytes it is made of
_LONGEST_TARGET = 4095  # bytes: PATH_MAX without the NUL


class PutContents:
    """The contents of a `put`, found by the index of their item. Indexes ascend; items may have none."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._reader = ContentReader(frames, encodings=(WHOLE, DELTA), sender_error=_client_error)
        self._ahead: Content | None = None  # whose head was read, for an item that was not asked for yet

    def find(self, index: int) -> Content:
        """Skip to the content of an item. Raises PermanentError if it was not sent, TransientError."""
        while (content := self._peek()) is not None and content.index <= index:
            self._ahead = None
            if content.index == index:
                return content
        raise PermanentError("the content was not sent")

    def finish(self) -> None:
        """Skip the rest, to the end of the stream."""
        while self._peek() is not None:
            self._ahead = None

    def _peek(self) -> Content | None:
        if self._ahead is None:
            self._ahead = self._reader.next()
        return self._ahead


def _client_error(value: Json) -> SyncerError:
    """The error that the client met with its source.

    A transient one becomes ChangedUnderUs: this client does not continue, so nothing of the content is kept.
    """
    error = schema.error_in(value)
    return ChangedUnderUs(error.message) if isinstance(error, TransientError) else error


class WireSource:
    """The content of one item of a `put` (`engine.interfaces.Source`)."""

    def __init__(self, contents: PutContents, index: int, size: int) -> None:
        self._contents = contents
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
        """Yield the content, once; `basis`: the old version, or what a broken-off upload left.

        Raises BadDelta, upon which the client sends the content whole, and what `Content.data` raises.
        """
        if self._begun:
            raise BadDelta("the stream can be read once; send it whole")
        self._begun = True
        content = self._contents.find(self._index)
        hasher, total, pending = blake3(), 0, b""
        if basis is not None and basis.start:
            total = basis.start
            for offset in range(0, basis.start, _PIECE):
                hasher.update(basis.read(offset, min(_PIECE, basis.start - offset)))
        pieces = self._patched(content, basis) if content.encoding == DELTA else self._whole(content, basis)
        for piece in pieces:
            total += len(piece)
            if total > self._size:
                raise BadDelta(f"more than the {self._size} bytes that were announced")
            hasher.update(piece)
            if total < self._size:
                yield piece
            else:
                pending += piece  # the last one, and perhaps empty ones after it
        digest = hasher.digest()
        if total != self._size or digest != content.digest:
            raise BadDelta("what arrived is not what was announced; send it whole")
        self._entry = Entry(Kind.FILE, self._size, b"", digest=digest)
        if pending:
            yield pending

    def _whole(self, content: Content, basis: LocalBasis | None) -> Iterator[bytes]:
        """Yield the bytes behind those that are on the disk; of those the client may send some again."""
        on_disk = basis.start if basis is not None else 0
        if content.start > on_disk:
            raise BadDelta("its beginning is not here (any more); send it whole")
        skip = on_disk - content.start
        for piece in self._data(content):
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(skip - len(piece), 0)

    def _patched(self, content: Content, basis: LocalBasis | None) -> Iterator[bytes]:
        self._method = Method.DELTA
        if basis is None or basis.start:
            raise BadDelta("there is nothing here that a delta could be applied to; send it whole")
        made = 0
        for piece in patch(basis, self._data(content), size=self._size):
            made += len(piece)
            # A few bytes can ask for the old content any number of times.
            if made > _UNGAUGED + _SWELL * (basis.size + self._received):
                raise BadDelta(f"a delta that makes {made} bytes of next to nothing; send it whole")
            yield piece

    def _data(self, content: Content) -> Iterator[bytes]:
        for piece in content.data():
            self._received += len(piece)
            yield piece


def put(call: CallRequest) -> CallResponse:
    """`put`."""
    frames = call.frames()
    fields = call.head(frames)
    contents = PutContents(frames)
    items = [write_request_in(call, contents, i, value) for i, value in enumerate(items_of(fields, "items"))]
    # The store works on one directory after the other, and the contents come in the order of the items.
    keys = [directory_key(encodable(item.path)) for item in items] if len(items) > 1 else []
    if any(before > after for before, after in pairwise(keys)):
        raise schema.malformed("items directory by directory")
    to_index: list[IndexRequest] = []
    return call.outcomes(
        _results(call, items, contents, to_index), after=lambda: call.shared.indexer.want(*to_index)
    )


def _results(
    call: CallRequest, items: Sequence[WriteRequest], contents: PutContents, to_index: list[IndexRequest]
) -> Iterator[tuple[int, Outcome]]:
    with call.store() as store:
        free = store.free_space()

        def error_of(item: WriteRequest) -> SyncerError | None:
            if (error := path_error((item.path,))) is not None:
                return error
            if free is not None and item.size > free and item.size > free + _resumable(store, item):
                # before any of it is received
                return NoSpace(f"{item.size} bytes do not fit: {free} are free", path=item.path)
            return None

        batch = ValidBatch(items, error_of)
        for index, outcome in batch.outcomes(store.put(batch.items)):
            item = items[index]
            record(call, store, (item.path,), outcome)
            if isinstance(outcome, Done) and item.source is not None and item.source.traffic is not None:
                outcome = replace(outcome, method=item.source.traffic.method)
                if outcome.entry is not None:
                    old = item.expected.digest if item.expected is not None else None
                    if item.expected is not None and old is None:
                        old = call.served.digests.find(join(store.below, item.path), item.expected.version)
                    to_index.append(
                        IndexRequest(below=store.below, path=item.path, entry=outcome.entry, old=old)
                    )
            yield index, outcome
        contents.finish()


def _resumable(store: ServedStore, item: WriteRequest) -> int:
    """The bytes that a broken-off upload of the same content has left on the disk."""
    try:
        return store.partial(item.path, item.token) if item.token else 0
    except SyncerError:
        return 0


def write_request_in(call: CallRequest, contents: PutContents, index: int, value: Json) -> WriteRequest:
    """An item of a `put`. Raises PermanentError."""
    fields = schema.take(value, dict, "an item")
    kind = schema.kind_in(fields.get("kind"))
    if kind is Kind.DIRECTORY:
        raise schema.malformed("a file or a symlink")
    size = schema.number(fields.get("size"), "a size")
    return WriteRequest(
        path=schema.path_in(fields.get("path")),
        kind=kind,
        source=WireSource(contents, index, size) if kind is Kind.FILE else None,
        size=size,
        expected=schema.optional(fields.get("expected"), schema.entry_in),
        mtime_ns=mtime_in(fields.get("mtime_ns")),
        executable=flag_in(fields.get("executable")),
        target=schema.optional(fields.get("target"), _target),
        token=_token(call, fields.get("token", "")) if kind is Kind.FILE else b"",
    )


def _target(value: Json) -> str:
    """A link's text. It may lead anywhere: the server never follows a link."""
    target = schema.take(value, str, "a target")
    try:
        size = len(os.fsencode(target))
    except UnicodeEncodeError:
        raise schema.malformed("a target") from None
    if "\0" in target or size > _LONGEST_TARGET:
        raise schema.malformed("a target")
    return target


def _token(call: CallRequest, value: Json) -> bytes:
    """The token as the store sees it: keyed by the API key, so that no key resumes another's upload."""
    token = schema.octets(value, "a token", most=TOKEN_LENGTH)
    if len(token) not in (0, TOKEN_LENGTH):
        raise schema.malformed("a token")
    own = blake2b(call.key.name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return blake2b(token, key=own, digest_size=TOKEN_LENGTH).digest() if token else b""


def partial(call: CallRequest) -> CallResponse:
    """`partial`: how many bytes of a broken-off upload are on the disk."""
    fields = call.json()
    path, token = schema.path_in(fields.get("path")), _token(call, fields.get("token"))
    with call.store() as store:
        try:
            return json_response({"start": store.partial(checked(path), token) if token else 0})
        except SyncerError:
            return json_response({"start": 0})
