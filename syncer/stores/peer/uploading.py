"""A put as requests: many small items in one, each large file in its own, repeated as far as it makes sense.

What was in flight when a connection broke is looked at before it is sent again: a put whose answer
was lost took effect. What can be sent again, or in another way, is; what remains is the item's outcome.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from syncer.engine.model import Done, Entry, Failed, Kind, Method, Outcome, Stale
from syncer.engine.paths import directory_key
from syncer.engine.ports import Put, Results
from syncer.errors import BadDelta, TransientError
from syncer.stores.peer.asking import Asking
from syncer.stores.peer.hostile import believable_outcome
from syncer.stores.peer.link import Link, Tries
from syncer.stores.peer.sending import LASTING, Sending, Way, Writer, delta_pays
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Frame, Head
from syncer.wire.values import malformed, number, outcome_in

_FILES, _BYTES = 2000, 64 << 20  # of one request
_HEAD = 4 << 20  # bytes of the head of one request, about


class Uploading:
    """Puts of one store."""

    def __init__(self, link: Link, writer: Writer, asking: Asking) -> None:
        self._link = link
        self._writer = writer
        self._asking = asking
        self._admitted = False

    def put(self, items: Sequence[Put]) -> Results:
        """See `engine.ports.Store.put`."""
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

    def _rounds(self, group: list[Sending]) -> Results:
        """The outcomes of one request, and of those that repeat it for what it did not settle."""
        tries = Tries(self._link.clock)
        left = group
        while left:
            for sending in left:
                self._look_for_a_part(sending)
            answered: set[int] = set()
            again: list[Sending] = []
            doubtful: list[tuple[Sending, Stale]] = []
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
        self, lost: list[Sending], tries: Tries, error: TransientError
    ) -> Generator[tuple[int, Outcome], None, list[Sending]]:
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

    def _overtaken(self, doubtful: Sequence[tuple[Sending, Stale]]) -> Results:
        """A request that broke off may have gone on at the server: what is in our way may be our own."""
        try:
            settled = self._looked_at([s for s, _ in doubtful]) if doubtful else []
        except TransientError:
            settled = [(s, None) for s, _ in doubtful]
        for (sending, stale), (_, done) in zip(doubtful, settled, strict=True):
            yield sending.index, done or stale

    def _looked_at(self, lost: Sequence[Sending]) -> list[tuple[Sending, Outcome | None]]:
        """Whether each name holds exactly what was to be put, and did not before."""
        read = [s for s in lost if s.digest is not None or not s.is_file]
        seen = list(self._asking.look([s.item.path for s in read]))
        pairs = [(s.item.path, e) for s, e in zip(read, seen, strict=True) if isinstance(e, Entry)]
        known = dict(zip((p for p, _ in pairs), self._asking.digests(pairs), strict=True))
        return [(s, _took_effect(s, known.get(s.item.path))) for s in lost]

    def _look_for_a_part(self, sending: Sending) -> None:
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

    def _sent(self, sendings: Sequence[Sending]) -> Iterator[tuple[int, Outcome]]:
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


def _planned(index: int, item: Put) -> Sending:
    return Sending(index=index, item=item, way=Way.DELTA if delta_pays(item) else Way.WHOLE)


def _whole(sending: Sending) -> Sending:
    """The same item, sent from its first byte to its last."""
    return Sending(index=sending.index, item=sending.item, repeated=sending.repeated, digest=sending.digest)


def _groups(sendings: Sequence[Sending], most: int) -> Iterator[list[Sending]]:
    """In order, cut into requests; what is heavy goes alone."""
    group: list[Sending] = []
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


def _took_effect(sending: Sending, found: object) -> Outcome | None:
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
