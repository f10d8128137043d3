"""Uploads: the `put` call with many small files in one request, and each large file in its own.

A changed file of 64 KiB and more goes as a delta: against the cached block index of what the server has, else
against the server's signature. Everything else goes whole, from where a broken-off upload ended. The end of a
content, which makes it count, is sent only after its source was found unchanged.

When a connection breaks, what was in flight is looked up before it is sent again: the server may have
completed an upload whose response was lost.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from syncer.delta.chunking import available_cpus
from syncer.delta.index_cache import WORTH, BlockIndexService
from syncer.engine.interfaces import Results, Source, WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Outcome, Seen, Stale
from syncer.engine.paths import directory_key
from syncer.errors import (
    AuthError,
    BadDelta,
    ChangedUnderUs,
    LocalError,
    NoSpace,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
    Unreadable,
)
from syncer.stores.peer.client import PeerClient, RetryBudget, with_keepalives
from syncer.stores.peer.download import SMALL
from syncer.stores.peer.queries import Queries
from syncer.wire.bounded_json import Json
from syncer.wire.contents import DELTA, WHOLE, unframed
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import entry_out, error_out, malformed, number, outcome_in
from syncer.wire.validation import ValidBatch, checked_outcome

if TYPE_CHECKING:
    pass


_log = logging.getLogger("syncer.stores.peer")

_FILES, _BYTES = 2000, 64 << 20  # of one request
_HEAD = 4 << 20  # bytes of the head of one request, about
RESUMABLE = 8 << 20  # bytes from which on the server is asked what it has of a broken-off upload
_SILENT = 512 << 20  # bytes from which on a search may find nothing to send until the server times out
_UNRELATED = (QuotaExceeded, NoSpace, NotFound, Unreadable, Unholdable, TransientError)
"""Errors that have nothing to do with the encoding: sending the content whole would change nothing."""


@dataclass(slots=True)
class UploadItem:
    """A request, how it is sent this time, and what became of it. Its frames may be made again."""

    index: int  # in the caller's list
    item: WriteRequest
    as_delta: bool = False
    start: int = 0  # the first bytes, which the server has already
    sent: int = 0
    received: int = 0
    repeated: bool = False  # an earlier request for it may take effect, or have done so
    digest: bytes | None = None  # once the content was read to its end
    error: StoreError | LocalError | None = None  # of our side

    @property
    def is_file(self) -> bool:
        return self.item.kind is Kind.FILE

    @property
    def is_large(self) -> bool:
        """Whether it has a request of its own."""
        return self.is_file and (self.item.size >= RESUMABLE or (self.as_delta and self.item.size >= WORTH))

    @property
    def method(self) -> Method:
        return Method.DELTA if self.as_delta else Method.WHOLE

    def to_json(self) -> Json:
        """The item in the head of `put`. A delta has no token: half of it could not be resumed."""
        item = self.item
        token = b"" if self.as_delta else item.token
        return {
            "path": item.path,
            "kind": int(item.kind),
            "size": item.size,
            "expected": entry_out(item.expected) if item.expected is not None else None,
            "mtime_ns": mtime_out(item.mtime_ns),
            "executable": item.executable,
            "target": item.target,
            "token": token.hex(),
        }

    def as_whole(self) -> UploadItem:
        """The same item, sent from its first byte to its last."""
        return UploadItem(index=self.index, item=self.item, repeated=self.repeated, digest=self.digest)


def mtime_out(mtime_ns: int | None) -> int | None:
    """A time that fits the wire; one beyond the year 2262 is left out, and not set."""
    return mtime_ns if mtime_ns is not None and abs(mtime_ns) < 1 << 63 else None


def delta_pays(item: WriteRequest) -> bool:
    """Whether a delta is tried first."""
    old = item.expected
    if item.kind is not Kind.FILE or old is None or old.kind is not Kind.FILE:
        return False
    return min(item.size, old.size) >= SMALL


class UploadEncoder:
    """Makes the frames of files, and interprets the server's outcomes."""

    def __init__(self, client: PeerClient, indexes: BlockIndexService) -> None:
        self._client = client
        self._indexes = indexes
        self.repaired = 0  # contents that were sent whole after a delta came out wrong

    def frames(self, items: Sequence[UploadItem]) -> Iterator[Frame]:
        """Yield the head of a `put` and the contents of its files.

        An error of one content goes to the server in its end and to `UploadItem.error`. Raises AuthError,
        which ends the run.
        """
        yield Head({"items": [upload.to_json() for upload in items]})
        for position, upload in enumerate(items):
            if not upload.is_file:
                continue
            upload.error, upload.digest, upload.sent, upload.received = None, None, 0, 0
            encoding = DELTA if upload.as_delta else WHOLE
            yield Head({"index": position, "encoding": encoding, "start": upload.start})
            try:
                source = upload.item.source
                if source is None:
                    raise Unholdable("a file without content", path=upload.item.path)
                for payload in (
                    self._delta(upload, source) if upload.as_delta else self._whole(upload, source)
                ):
                    upload.sent += len(payload)
                    yield Data(payload)
                upload.digest = _digest(source)
            except AuthError:
                raise
            except (StoreError, LocalError) as error:
                upload.error = error
                yield End({"error": error_out(error)})
            else:
                yield End({"digest": upload.digest.hex()})

    def _whole(self, upload: UploadItem, source: Source) -> Iterator[bytes]:
        """Yield the content from `upload.start` on. All of it is read: the digest covers it."""
        reader = self._indexes.watched(_sized(source, upload.item), None, upload.item.size)
        skip = upload.start
        for chunk in reader:
            if skip < len(chunk):
                yield chunk[skip:] if skip else chunk
            skip = max(skip - len(chunk), 0)
        # The index is stored before the server agreed. If it refuses, the index is unused and ages out.
        self._indexes.keep(reader.sketch, _digest(source))

    def _delta(self, upload: UploadItem, source: Source) -> Iterator[bytes]:
        """Yield a delta while it is made. Raises BadDelta where it hardly saves anything."""
        from syncer.delta.indexed_delta import difference
        from syncer.delta.rsync import SHARE, encode

        item, expected = upload.item, upload.item.expected
        assert expected is not None
        index = self._indexes.sketch(expected.digest, expected.size)
        if index is not None:
            commands = difference(
                index, _sized(source, item), workers=available_cpus(), digest=lambda: _digest(source)
            )
            pieces = encode(commands, every=SHARE)
        else:
            pieces = self._delta_by_signature(upload, source, expected)
            if item.size >= _SILENT:
                pieces = with_keepalives(pieces)
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > item.size * 7 // 10:
                raise BadDelta("the delta is almost as large as the file", path=item.path)
            yield piece
        if index is not None:
            self._indexes.keep(commands.sketch, _digest(source))

    def _delta_by_signature(self, upload: UploadItem, source: Source, expected: Entry) -> Iterator[bytes]:
        from syncer.delta.rsync import FROM_NETWORK, SHARE, Signature, delta

        item = upload.item
        payload: Json = {"path": item.path, "entry": entry_out(expected), "block": 0, "strong": 0}
        # The server chooses the block length (zeros). It makes half as many blocks as the limit for
        # signatures from the network; tables for the other half would take 150 MB.
        limits = replace(FROM_NETWORK, max_blocks=FROM_NETWORK.max_blocks // 2)

        def load() -> Signature:
            with self._client.open("signature", payload) as response:
                frames = response.frames()
                head = next(frames, None)
                if not isinstance(head, Head) or "size" not in head.fields:
                    raise malformed("a signature")
                loaded = Signature.load(unframed(frames), basis_size=expected.size, limits=limits)
                for _ in frames:
                    raise malformed("the end of the stream")
                upload.received += response.received
                return loaded

        try:
            signature = self._client.retried(load)
        except (PermanentError, PreconditionFailed, LocalError) as error:
            raise BadDelta(f"no signature of it: {error.message}", path=item.path) from error
        reader = self._indexes.watched(_sized(source, item), None, item.size)
        with signature:
            yield from delta(signature, iter(reader), workers=available_cpus(), every=SHARE)
        self._indexes.keep(reader.sketch, _digest(source))

    def interpret(self, upload: UploadItem, outcome: Outcome) -> Outcome | None:
        """The outcome of the item; None if its content is to be sent again, whole."""
        if upload.error is not None:
            return None if isinstance(upload.error, BadDelta) else Failed(error=upload.error)
        if isinstance(outcome, Failed) and not isinstance(outcome.error, _UNRELATED):
            if upload.as_delta:
                _log.warning(
                    "%s: its delta did not apply, it is sent whole: %s", upload.item.path, outcome.error
                )
                self.repaired += 1
                return None
            if upload.start:
                return None
        if not isinstance(outcome, Done):
            return outcome
        entry = outcome.entry
        if not upload.is_file:
            return replace(outcome, method=Method.WHOLE, sent=entry.size if entry is not None else 0)
        if upload.item.expected is not None:
            self._indexes.drop(upload.item.expected.digest, unless=upload.digest)
        if entry is not None and entry.digest is None:
            entry = replace(entry, digest=upload.digest)
        return Done(entry=entry, method=upload.method, sent=upload.sent, received=upload.received)


def _sized(source: Source, item: WriteRequest) -> Iterator[bytes]:
    """Yield the content. Raises ChangedUnderUs, at its end at the latest, if it has not the planned size."""
    size = 0
    for chunk in source.chunks():
        size += len(chunk)
        if size > item.size:
            break
        yield chunk
    if size != item.size:
        raise ChangedUnderUs(f"{item.path}: another length than planned on", path=item.path)


def _digest(source: Source) -> bytes:
    """The digest of a source that was read. Raises ChangedUnderUs if it changed meanwhile."""
    digest = source.entry.digest
    if digest is None:
        raise ChangedUnderUs("a content without a digest")
    return digest


class Uploads:
    """The uploads of one store."""

    def __init__(self, client: PeerClient, encoder: UploadEncoder, queries: Queries) -> None:
        self._client = client
        self._encoder = encoder
        self._queries = queries
        self._may_write = False

    def put(self, items: Sequence[WriteRequest]) -> Results:
        """See `engine.interfaces.Store.put`."""
        batch = ValidBatch(items)
        yield from batch.rejected
        if batch.items and not self._may_write:
            # An empty put asks whether the key may write, before a body is sent that the server would not
            # read.
            with self._client.open(
                "put", partial(self._encoder.frames, []), accept_compressed=True
            ) as response:
                for _ in response.lines():
                    raise malformed("no outcome for no item")
            self._may_write = True
        uploads = [
            UploadItem(index=index, item=item, as_delta=delta_pays(item))
            for index, item in zip(batch.positions, batch.items, strict=True)
        ]
        uploads.sort(key=lambda upload: directory_key(upload.item.path))
        for request in self._requests(uploads):
            retries = RetryBudget(self._client.clock)
            remaining = request
            while remaining:
                remaining = yield from self._send(remaining, retries)

    def _requests(self, uploads: Sequence[UploadItem]) -> Iterator[list[UploadItem]]:
        """Cut the items into requests, in order; a large one goes alone."""
        request: list[UploadItem] = []
        size = head = 0
        for upload in uploads:
            full = (
                len(request) >= min(_FILES, self._queries.server_info.items)
                or size >= _BYTES
                or head >= _HEAD
            )
            if request and (full or upload.is_large or request[-1].is_large):
                yield request
                request, size, head = [], 0, 0
            request.append(upload)
            size += upload.item.size
            head += len(upload.item.path) + len(upload.item.target or "")
        if request:
            yield request

    def _send(
        self, uploads: list[UploadItem], retries: RetryBudget
    ) -> Generator[tuple[int, Outcome], None, list[UploadItem]]:
        """Yield the outcomes of one request; return what is to be sent again, in another way or after a
        break.
        """
        for upload in uploads:
            self._resume(upload)
        again: list[UploadItem] = []
        doubtful: list[tuple[UploadItem, Stale]] = []
        unanswered = dict(enumerate(uploads))
        only_delta = uploads[0] if len(uploads) == 1 and uploads[0].as_delta else None
        sizes: list[int] = []
        lost = TransientError("the server left out an outcome")
        try:
            with self._client.open(
                "put",
                partial(self._encoder.frames, uploads),  # the files are read while they are sent
                sent=sizes.append,
                compress=only_delta is not None,
                accept_compressed=True,
            ) as response:
                if only_delta is not None:
                    only_delta.sent = min(
                        sum(sizes), only_delta.sent
                    )  # compressed, as the statistics count it
                for line in response.lines():
                    match line:
                        case [int(at), value] if at in unanswered:
                            upload = unanswered.pop(at)
                        case _:
                            raise malformed("an outcome")
                    retries.progress()
                    outcome = self._encoder.interpret(upload, checked_outcome(outcome_in(value)))
                    if outcome is None:
                        again.append(upload.as_whole())
                    elif isinstance(outcome, Stale) and upload.repeated:
                        doubtful.append((upload, outcome))
                    else:
                        yield upload.index, outcome
        except TransientError as error:
            lost = error
        # A request whose connection broke may have gone on at the server: what is in the way of its
        # repetition may be its own effect.
        effects = self._effects_or_none([upload for upload, _ in doubtful])
        for (upload, stale), effect in zip(doubtful, effects, strict=True):
            yield upload.index, effect or stale
        if unanswered:
            again += yield from self._settle(list(unanswered.values()), retries, lost)
        return again

    def _settle(
        self, unanswered: list[UploadItem], retries: RetryBudget, error: TransientError
    ) -> Generator[tuple[int, Outcome], None, list[UploadItem]]:
        """Yield the outcomes of unanswered items that took effect; return those to be sent again.

        After the last try all of them have failed.
        """
        # A file that was not read to its end cannot have taken effect, since its end makes it count. Of the
        # others the digest tells: what stands at the name is ours, or it is not.
        try:
            retries.failed(error)
            effects = self._effects(unanswered)
        except TransientError as last:
            yield from ((upload.index, Failed(error=upload.error or last)) for upload in unanswered)
            return []
        again: list[UploadItem] = []
        for upload, effect in zip(unanswered, effects, strict=True):
            if effect is not None:
                yield upload.index, effect
            else:
                upload.repeated = True
                again.append(upload.as_whole() if isinstance(upload.error, BadDelta) else upload)
        return again

    def _resume(self, upload: UploadItem) -> None:
        """Set `start` to how much of a large content the server has of an earlier try."""
        item = upload.item
        if upload.as_delta or not item.token or item.size < RESUMABLE:
            return
        try:
            response = self._client.request("partial", {"path": item.path, "token": item.token.hex()})
            start = number(response.get("start"), "a start")
        except TransientError:
            return  # the put itself will fail
        upload.start = min(start, item.size - 1) if start <= item.size else 0

    def _effects(self, uploads: Sequence[UploadItem]) -> list[Outcome | None]:
        """The outcomes of items that took effect, by two requests for all of them; None: send it again."""
        read = [u for u in uploads if u.digest is not None or not u.is_file]
        seen = list(self._queries.look([u.item.path for u in read]))
        # `look` knows some digests from the server's cache; `digests` has the server hash what is missing.
        pairs = [(u.item.path, e) for u, e in zip(read, seen, strict=True) if isinstance(e, Entry)]
        known = dict(zip((path for path, _ in pairs), self._queries.digests(pairs), strict=True))
        return [_outcome_of_effect(u, known.get(u.item.path)) for u in uploads]

    def _effects_or_none(self, uploads: Sequence[UploadItem]) -> list[Outcome | None]:
        try:
            return self._effects(uploads) if uploads else []
        except TransientError:
            return [None] * len(uploads)


def _outcome_of_effect(upload: UploadItem, found: Seen) -> Outcome | None:
    """Done if the name holds exactly what was to be put (and did not before); None: send it again."""
    item = upload.item
    if upload.error is not None:
        return None if isinstance(upload.error, BadDelta) else Failed(error=upload.error)
    if not isinstance(found, Entry) or found.kind is not item.kind:
        return None
    if item.expected is not None and found.version == item.expected.version:
        return None  # the old version, which may have had the same content
    if item.kind is Kind.SYMLINK:
        right = found.target == item.target
    else:
        right = found.digest is not None and found.digest == upload.digest
    return Done(entry=found, method=upload.method, sent=upload.sent) if right else None
