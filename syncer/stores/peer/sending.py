"""One item of a put on its way: which frames carry it, what it cost, and what the server's answer means.

A changed large file goes as a delta, against the sketch that is kept of what the server has, else
against the server's signature; everything else goes whole. The end of a content is sent only after its
source was found unchanged. Requests and their repetition are `uploading`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from syncer.engine.model import Done, Failed, Kind, Method, Outcome
from syncer.engine.ports import Put, Source
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
from syncer.stores.peer.contents import DELTA, WHOLE
from syncer.stores.peer.fetching import SMALL
from syncer.stores.peer.keeping import WORTH, Keeper, Watched, workers
from syncer.stores.peer.link import Link
from syncer.stores.peer.lively import lively
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head
from syncer.wire.values import entry_out, error_in, error_out, malformed

if TYPE_CHECKING:
    from syncer.engine.sketch import Sketch

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
class Sending:
    """An item, and how it goes this time. Its frames may be made anew."""

    index: int  # in the caller's list
    item: Put
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


def delta_pays(item: Put) -> bool:
    """Whether a delta is tried first."""
    old = item.expected
    if item.kind is not Kind.FILE or old is None or old.kind is not Kind.FILE:
        return False
    return min(item.size, old.size) >= SMALL


class Writer:
    """Makes the frames of items."""

    def __init__(self, link: Link, keeper: Keeper) -> None:
        self._link = link
        self._keeper = keeper
        self.repaired = 0  # contents that were sent whole after a delta came out wrong

    def frames(self, number: int, sending: Sending) -> Iterator[Frame]:
        """The content of one file. Trouble with it is told to the server and kept in `sending`.

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

    def _whole(self, sending: Sending, source: Source) -> Iterator[Frame]:
        watched = self._keeper.watched(_measured(source, sending.item), None, sending.item.size)
        left = sending.start
        for chunk in watched:
            if left < len(chunk):
                payload = chunk[left:] if left else chunk
                sending.sent += len(payload)
                yield Data(payload)
            left = max(left - len(chunk), 0)
        self._keep(watched, _digest(source))

    def _delta(self, sending: Sending, source: Source) -> Iterator[Frame]:
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

    def _by_sketch(self, sketch: Sketch, sending: Sending, source: Source) -> Iterator[bytes]:
        """Passed on piece by piece, so that the server copies while we still look for what changed."""
        from syncer.engine.delta import SHARE, encode
        from syncer.engine.difference import difference

        chunks = _measured(source, sending.item)
        made = difference(sketch, chunks, workers=workers(), digest=lambda: _digest(source))
        yield from encode(made, every=SHARE)
        self._keeper.keep(made.sketch, _digest(source))

    def _by_signature(self, sending: Sending, source: Source) -> Iterator[bytes]:
        from syncer.engine.delta import FROM_NETWORK, SHARE, Signature, delta

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

    def _keep(self, watched: Watched, digest: bytes) -> None:
        """Before the server agreed: a sketch of what it then refuses is in nobody's way."""
        self._keeper.keep(watched.sketch, digest)

    def judged(self, sending: Sending, outcome: Outcome) -> Outcome | None:
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

    def _done(self, sending: Sending, outcome: Done) -> Done:
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


def _measured(source: Source, item: Put) -> Iterator[bytes]:
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
