"""`put`: many files and links in one stream, each installed by the store's own protocol.

What was broken off, is wrong, or came too late leaves its name as it was. Frames and digests: `incoming`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise

from syncer.engine.model import Done, Failed, Kind, Outcome
from syncer.engine.paths import directory_key, join
from syncer.engine.ports import Put
from syncer.errors import NoSpace, SyncerError
from syncer.server.extension.call import Answer, Call, listed, one
from syncer.server.extension.changing import flag, moment, refusal, settled
from syncer.server.extension.incoming import Incoming, WireSource
from syncer.server.extension.known import spelt
from syncer.server.extension.sketches import Wish
from syncer.server.served import ServedStore, checked
from syncer.stores.ground import TOKEN_LENGTH
from syncer.wire import values
from syncer.wire.bounded_json import Json

_LONGEST_TARGET = 4095  # bytes: PATH_MAX without the NUL


def put(call: Call) -> Answer:
    """`put`."""
    frames = call.frames()
    fields = call.head(frames)
    incoming = Incoming(frames)
    items = [_item(call, incoming, index, value) for index, value in enumerate(listed(fields, "items"))]
    keys = [directory_key(spelt(item.path)) for item in items] if len(items) > 1 else []
    if any(before > after for before, after in pairwise(keys)):
        raise values.malformed("items directory by directory")
    wishes: list[Wish] = []
    return call.outcomes(
        _results(call, items, incoming, wishes), after=lambda: call.shared.sketches.want(*wishes)
    )


def _results(
    call: Call, items: Sequence[Put], incoming: Incoming, wishes: list[Wish]
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


def _here(store: ServedStore, item: Put) -> int:
    """How much of a content a put that was broken off has left on the disk."""
    try:
        return store.partial(item.path, item.token) if item.token else 0
    except SyncerError:
        return 0


def _sent(call: Call, store: ServedStore, item: Put, outcome: Outcome, wishes: list[Wish]) -> Outcome:
    """The outcome with how the content came; what is large is to be sketched."""
    source = item.source
    if not isinstance(outcome, Done) or source is None or source.traffic is None:
        return outcome
    if outcome.entry is not None:
        old = _digest_before(call, store, item)
        wishes.append(Wish(below=store.below, path=item.path, entry=outcome.entry, old=old))
    return replace(outcome, method=source.traffic.method)


def _digest_before(call: Call, store: ServedStore, item: Put) -> bytes | None:
    expected = item.expected
    if expected is None or expected.digest is not None:
        return expected.digest if expected is not None else None
    return call.served.digests.find(join(store.below, item.path), expected.version)


def _item(call: Call, incoming: Incoming, index: int, value: Json) -> Put:
    """Raises PermanentError."""
    fields = values.take(value, dict, "an item")
    kind = values.kind_in(fields.get("kind"))
    if kind is Kind.DIRECTORY:
        raise values.malformed("a file or a symlink")
    size = values.number(fields.get("size"), "a size")
    return Put(
        path=values.path(fields.get("path")),
        kind=kind,
        source=WireSource(incoming, index, size) if kind is Kind.FILE else None,
        size=size,
        expected=values.optional(fields.get("expected"), values.entry_in),
        mtime_ns=moment(fields.get("mtime_ns")),
        executable=flag(fields.get("executable")),
        target=values.optional(fields.get("target"), _target),
        token=_token(call, fields.get("token", "")) if kind is Kind.FILE else b"",
    )


def _target(value: Json) -> str:
    """A link's text, which may lead anywhere: it is never followed here."""
    found = values.take(value, str, "a target")
    try:
        size = len(os.fsencode(found))
    except UnicodeEncodeError:
        raise values.malformed("a target") from None
    if "\0" in found or size > _LONGEST_TARGET:
        raise values.malformed("a target")
    return found


def _token(call: Call, value: Json) -> bytes:
    """The key's own form of a token: what another key left is never gone on with, nor known of."""
    found = values.octets(value, "a token", most=TOKEN_LENGTH)
    if len(found) not in (0, TOKEN_LENGTH):
        raise values.malformed("a token")
    own = blake2b(call.key.name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return blake2b(found, key=own, digest_size=TOKEN_LENGTH).digest() if found else b""


def partial(call: Call) -> Answer:
    """`partial`: how much of a put that was broken off is here already."""
    fields = call.json()
    path, token = values.path(fields.get("path")), _token(call, fields.get("token"))
    with call.store() as store:
        try:
            return one({"start": store.partial(checked(path), token) if token else 0})
        except SyncerError:
            return one({"start": 0})
