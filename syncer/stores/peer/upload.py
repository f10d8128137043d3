"""One item of a put on its way: which frames carry it, what it cost, and what the server's answer means.

A changed large file goes as a delta, against the sketch that is kept of what the server has, else
against the server's signature; everything else goes whole. The end of a content is sent only after its
source was found unchanged. Requests and their repetition are `upload`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from syncer.delta.index_cache import WORTH, BlockIndexService, IndexingReader, workers
from syncer.engine.interfaces import Results, Source, WriteRequest
from syncer.engine.model import Done, Entry, Failed, Kind, Method, Outcome, Stale
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
from syncer.stores.peer.client import PeerClient, RetryBudget, lively
from syncer.stores.peer.download import SMALL
from syncer.stores.peer.queries import Queries
from syncer.wire.bounded_json import Json
from syncer.wire.contents import DELTA, WHOLE
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.schema import entry_out, error_in, error_out, malformed, number, outcome_in
from syncer.wire.validation import believable_outcome

if TYPE_CHECKING:
    from syncer.delta.block_index import BlockIndex


_log = logging.getLogger("syncer.stores.peer")

_SILENT = 512 << 20  # bytes in which a search may find nothing to send for so long that the server gives up
LASTING = 8 << 20  # bytes from which on the server is asked what it has of a broken-off put
_CLEAR = (QuotaExceeded, NoSpace, NotFound, Unreadable, Unholdable, TransientError)
"""What has nothing to do with how the content was sent: sending it in another way would change nothing."""


class Way(Enum):
    """How a content is sent."""

    WHOLE = WHOLE
    DELTA = DELTA


@dataclass(slots=True)
class UploadItem:
    """An item, and how it goes this time. Its frames may be made anew."""

    index: int  # in the caller's list
    item: WriteRequest
    way: Way = Way.WHOLE
    start: int = 0  # so many first bytes the server has already
    packs: bool = False
    sent: int = 0
    received: int = 0
    repeated: bool = False  # an earlier request for it may take effect, or have done so
    digest: bytes | None = None  # once the content was read to its end
    trouble: StoreError | LocalError | None = None  # of our side with it

    @property
    def is_file(self) -> bool:
        return self.item.kind is Kind.FILE

    @property
    def is_heavy(self) -> bool:
        """Whether it has a request of its own."""
        return self.is_file and (
            self.item.size >= LASTING or (self.way is Way.DELTA and self.item.size >= WORTH)
        )

    def told(self) -> Json:
        """The item as `put` wants it. A delta is never half a content: it is not gone on with."""
        item = self.item
        token = item.token if self.way is Way.WHOLE else b""
        return {
            "path": item.path,
            "kind": int(item.kind),
            "size": item.size,
            "expected": entry_out(item.expected) if item.expected is not None else None,
            "mtime_ns": time_out(item.mtime_ns),
            "executable": item.executable,
            "target": item.target,
            "token": token.hex(),
        }


def time_out(mtime_ns: int | None) -> int | None:
    """A time that fits the wire; one beyond the year 2262 is not told, and not held."""
    return mtime_ns if mtime_ns is not None and abs(mtime_ns) < 1 << 63 else None


def delta_pays(item: WriteRequest) -> bool:
    """Whether a delta is tried first."""
    old = item.expected
    if item.kind is not Kind.FILE or old is None or old.kind is not Kind.FILE:
        return False
    return min(item.size, old.size) >= SMALL


class UploadEncoder:
    """Makes the frames of items."""

    def __init__(self, link: PeerClient, keeper: BlockIndexService) -> None:
        self._link = link
        self._keeper = keeper
        self.repaired = 0  # contents that were sent whole after a delta came out wrong

    def frames(self, number: int, sending: UploadItem) -> Iterator[Frame]:
        """The content of one file. Trouble with it is told to the server and kept in `upload`.

        Raises what ends the run.
        """
        sending.trouble, sending.digest, sending.sent, sending.received = None, None, 0, 0
        yield Head({"index": number, "encoding": sending.way.value, "start": sending.start})
        source = sending.item.source
        try:
            if source is None:
                raise Unholdable("a file without content", path=sending.item.path)
            yield from (
                self._delta(sending, source) if sending.way is Way.DELTA else self._whole(sending, source)
            )
            sending.digest = _digest(source)
        except AuthError:
            raise
        except (StoreError, LocalError) as error:
            sending.trouble = error
            yield End({"error": error_out(error)})
            return
        yield End({"digest": sending.digest.hex()})

    def _whole(self, sending: UploadItem, source: Source) -> Iterator[Frame]:
        watched = self._keeper.watched(_measured(source, sending.item), None, sending.item.size)
        left = sending.start
        for chunk in watched:
            if left < len(chunk):
                payload = chunk[left:] if left else chunk
                sending.sent += len(payload)
                yield Data(payload)
            left = max(left - len(chunk), 0)
        self._keep(watched, _digest(source))

    def _delta(self, sending: UploadItem, source: Source) -> Iterator[Frame]:
        assert sending.item.expected is not None
        sketch = self._keeper.sketch(sending.item.expected.digest, sending.item.expected.size)
        if sketch is not None:
            made = self._by_sketch(sketch, sending, source)
        else:
            made = self._by_signature(sending, source)
            if sending.item.size >= _SILENT:
                made = lively(made)
        most = sending.item.size * 7 // 10
        size = 0
        for piece in made:
            size += len(piece)
            if size > most:
                raise BadDelta("the delta is almost as large as the file", path=sending.item.path)
            sending.sent += len(piece)
            yield Data(piece)

    def _by_sketch(self, sketch: BlockIndex, sending: UploadItem, source: Source) -> Iterator[bytes]:
        """Passed on piece by piece, so that the server copies while we still look for what changed."""
        from syncer.delta.indexed_delta import difference
        from syncer.delta.rsync import SHARE, encode

        chunks = _measured(source, sending.item)
        made = difference(sketch, chunks, workers=workers(), digest=lambda: _digest(source))
        yield from encode(made, every=SHARE)
        self._keeper.keep(made.sketch, _digest(source))

    def _by_signature(self, sending: UploadItem, source: Source) -> Iterator[bytes]:
        from syncer.delta.rsync import FROM_NETWORK, SHARE, Signature, delta

        expected = sending.item.expected
        assert expected is not None
        told: Json = {"path": sending.item.path, "entry": entry_out(expected), "block": 0, "strong": 0}
        # The server chooses the blocks: it takes half as many as it may, and the sums of the other half would
        # be tables of 150 MB.
        limits = replace(FROM_NETWORK, max_blocks=FROM_NETWORK.max_blocks // 2)

        def loading() -> Signature:
            with self._link.open("signature", told) as answer:
                content = _content(answer.frames())
                found = Signature.load(content, basis_size=expected.size, limits=limits)
                sending.received += answer.received
                return found

        try:
            loaded = self._link.patiently(loading)
        except (PermanentError, PreconditionFailed, LocalError) as error:
            raise BadDelta(f"no signature of it: {error.message}", path=sending.item.path) from error
        watched = self._keeper.watched(_measured(source, sending.item), None, sending.item.size)
        with loaded:
            yield from delta(loaded, iter(watched), workers=workers(), every=SHARE)
        self._keep(watched, _digest(source))

    def _keep(self, watched: IndexingReader, digest: bytes) -> None:
        """Before the server agreed: a sketch of what it then refuses is in nobody's way."""
        self._keeper.keep(watched.sketch, digest)

    def judged(self, sending: UploadItem, outcome: Outcome) -> Outcome | None:
        """What the server's answer means; None if the content is to be sent again, whole."""
        if sending.trouble is not None:
            return None if isinstance(sending.trouble, BadDelta) else Failed(error=sending.trouble)
        if isinstance(outcome, Failed) and sending.way is Way.DELTA and not isinstance(outcome.error, _CLEAR):
            _log.warning("%s: its delta did not do, it is sent whole: %s", sending.item.path, outcome.error)
            self.repaired += 1
            return None
        if isinstance(outcome, Failed) and sending.start and not isinstance(outcome.error, _CLEAR):
            return None
        if isinstance(outcome, Done):
            return self._done(sending, outcome)
        return outcome

    def _done(self, sending: UploadItem, outcome: Done) -> Done:
        if not sending.is_file:
            size = outcome.entry.size if outcome.entry is not None else 0
            return replace(outcome, method=Method.WHOLE, sent=size)
        method = Method.DELTA if sending.way is Way.DELTA else Method.WHOLE
        expected, entry = sending.item.expected, outcome.entry
        if expected is not None:
            self._keeper.drop(expected.digest, unless=sending.digest)
        if entry is not None and entry.digest is None:
            entry = replace(entry, digest=sending.digest)
        return Done(entry=entry, method=method, sent=sending.sent, received=sending.received)


def _measured(source: Source, item: WriteRequest) -> Iterator[bytes]:
    """The content, if it has the size that was planned on."""
    size = 0
    for chunk in source.chunks():
        size += len(chunk)
        if size > item.size:
            break
        yield chunk
    if size != item.size:
        raise ChangedUnderUs(f"{item.path}: another length than planned on", path=item.path)


def _digest(source: Source) -> bytes:
    digest = source.entry.digest
    if digest is None:
        raise ChangedUnderUs("a content without a digest")
    return digest


def _content(frames: Iterator[Frame]) -> Iterator[bytes]:
    """The data of an answer that is one content. Raises what the server says of it."""
    for frame in frames:  # to the end of the stream, so that its connection can be used again
        if isinstance(frame, Data):
            yield frame.payload
        elif isinstance(frame, End) and "error" in frame.fields:
            raise error_in(frame.fields["error"])
        elif isinstance(frame, Head) and "size" not in frame.fields:
            raise malformed("a signature")


# --------------------------------------------------------------------------------
#
# A put as requests: many small items in one, each large file in its own, repeated as far as it makes sense.
#
# What was in flight when a connection broke is looked at before it is sent again: a put whose answer was
# lost took effect. What can be sent again, or in another way, is; what remains is the item's outcome.


_FILES, _BYTES = 2000, 64 << 20  # of one request
_HEAD = 4 << 20  # bytes of the head of one request, about


class Uploads:
    """Puts of one store."""

    def __init__(self, link: PeerClient, writer: UploadEncoder, asking: Queries) -> None:
        self._link = link
        self._writer = writer
        self._asking = asking
        self._admitted = False

    def put(self, items: Sequence[WriteRequest]) -> Results:
        """See `engine.interfaces.Store.put`."""
        if not items:
            return
        self._be_admitted()
        order = sorted(range(len(items)), key=lambda i: directory_key(items[i].path))
        most = min(_FILES, self._asking.hello.items)
        for group in _groups([_planned(i, items[i]) for i in order], most):
            yield from self._rounds(group)

    def _be_admitted(self) -> None:
        """Asks once whether this key may write, before a body is sent that nobody would read."""
        if not self._admitted:
            for _ in self._sent([]):
                raise malformed("no outcome for no item")
            self._admitted = True

    def _rounds(self, group: list[UploadItem]) -> Results:
        """The outcomes of one request, and of those that repeat it for what it did not settle."""
        tries = RetryBudget(self._link.clock)
        left = group
        while left:
            for sending in left:
                self._look_for_a_part(sending)
            answered: set[int] = set()
            again: list[UploadItem] = []
            doubtful: list[tuple[UploadItem, Stale]] = []
            broken: TransientError | None = None
            try:
                for at, outcome in self._sent(left):
                    answered.add(at)
                    tries.progress()
                    judged = self._writer.judged(left[at], outcome)
                    if judged is None:
                        again.append(_whole(left[at]))
                    elif isinstance(judged, Stale) and left[at].repeated:
                        doubtful.append((left[at], judged))
                    else:
                        yield left[at].index, judged
            except TransientError as error:
                broken = error
            yield from self._overtaken(doubtful)
            lost = [s for at, s in enumerate(left) if at not in answered]
            if lost:
                why = broken or TransientError("the server left out an outcome")
                lost = yield from self._settled(lost, tries, why)
            left = again + [_whole(s) if isinstance(s.trouble, BadDelta) else s for s in lost]

    def _settled(
        self, lost: list[UploadItem], tries: RetryBudget, error: TransientError
    ) -> Generator[tuple[int, Outcome], None, list[UploadItem]]:
        """Of what was in flight: what took effect, or is the source's own trouble; answers the rest.

        All that remains has failed if that was the last try.
        """
        try:
            tries.failed(error)
            settled = self._looked_at(lost)
        except TransientError as last:
            yield from ((s.index, Failed(error=s.trouble or last)) for s in lost)
            return []
        yield from ((s.index, done) for s, done in settled if done is not None)
        rest = [s for s, done in settled if done is None]
        for sending in rest:
            sending.repeated = True
        return rest

    def _overtaken(self, doubtful: Sequence[tuple[UploadItem, Stale]]) -> Results:
        """A request that broke off may have gone on at the server: what is in our way may be our own."""
        try:
            settled = self._looked_at([s for s, _ in doubtful]) if doubtful else []
        except TransientError:
            settled = [(s, None) for s, _ in doubtful]
        for (sending, stale), (_, done) in zip(doubtful, settled, strict=True):
            yield sending.index, done or stale

    def _looked_at(self, lost: Sequence[UploadItem]) -> list[tuple[UploadItem, Outcome | None]]:
        """Whether each name holds exactly what was to be put, and did not before."""
        read = [s for s in lost if s.digest is not None or not s.is_file]
        seen = list(self._asking.look([s.item.path for s in read]))
        pairs = [(s.item.path, e) for s, e in zip(read, seen, strict=True) if isinstance(e, Entry)]
        known = dict(zip((p for p, _ in pairs), self._asking.digests(pairs), strict=True))
        return [(s, _took_effect(s, known.get(s.item.path))) for s in lost]

    def _look_for_a_part(self, sending: UploadItem) -> None:
        """How much of a large content the server has of an earlier try."""
        item = sending.item
        if sending.way is not Way.WHOLE or not item.token or item.size < LASTING:
            return
        told: Json = {"path": item.path, "token": item.token.hex()}
        try:
            start = number(self._link.ask("partial", told).get("start"), "a start")
        except TransientError:
            return  # the put itself will find out
        sending.start = min(start, item.size - 1) if start <= item.size else 0

    def _sent(self, sendings: Sequence[UploadItem]) -> Iterator[tuple[int, Outcome]]:
        """One request; the outcomes by position."""

        def frames() -> Iterator[Frame]:
            yield Head({"items": [s.told() for s in sendings]})
            for at, sending in enumerate(sendings):
                if sending.is_file:
                    yield from self._writer.frames(at, sending)

        packed = len(sendings) == 1 and sendings[0].way is Way.DELTA
        counted = _Counter()
        with self._link.stream("put", frames, packs=packed, counted=counted, unpacks=True) as answer:
            if packed:
                sendings[0].sent = min(counted.size, sendings[0].sent)
            open_ = set(range(len(sendings)))
            for line in answer.lines():
                match line:
                    case [int(at), told] if at in open_:
                        open_.discard(at)
                        yield at, believable_outcome(outcome_in(told))
                    case _:
                        raise malformed("an outcome")


class _Counter:
    """Adds up."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, size: int) -> None:
        self.size += size


def _planned(index: int, item: WriteRequest) -> UploadItem:
    return UploadItem(index=index, item=item, way=Way.DELTA if delta_pays(item) else Way.WHOLE)


def _whole(sending: UploadItem) -> UploadItem:
    """The same item, sent from its first byte to its last."""
    return UploadItem(
        index=sending.index, item=sending.item, repeated=sending.repeated, digest=sending.digest
    )


def _groups(sendings: Sequence[UploadItem], most: int) -> Iterator[list[UploadItem]]:
    """In order, cut into requests; what is heavy goes alone."""
    group: list[UploadItem] = []
    weight = head = 0
    for sending in sendings:
        full = len(group) >= most or weight >= _BYTES or head >= _HEAD
        if group and (full or sending.is_heavy or group[-1].is_heavy):
            yield group
            group, weight, head = [], 0, 0
        group.append(sending)
        weight += sending.item.size
        head += len(sending.item.path) + len(sending.item.target or "")
    if group:
        yield group


def _took_effect(sending: UploadItem, found: object) -> Outcome | None:
    """Done if the name holds exactly what was to be put (and did not before)."""
    item = sending.item
    if sending.trouble is not None:
        return None if isinstance(sending.trouble, BadDelta) else Failed(error=sending.trouble)
    if not isinstance(found, Entry) or found.kind is not item.kind:
        return None
    if item.expected is not None and found.version == item.expected.version:
        return None
    if item.kind is Kind.SYMLINK:
        right = found.target == item.target
    else:
        right = found.digest is not None and found.digest == sending.digest
    method = Method.DELTA if sending.way is Way.DELTA else Method.WHOLE
    return Done(entry=found, method=method, sent=sending.sent) if right else None
