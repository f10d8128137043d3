"""The calls that look: directories, single names, digests, what changed since, small files.

Digests come along where the server knows them for that very version. What the client sees is
what `ServedStore` shows, without our own names at any depth and without leftovers: among
those are the temporaries of calls in flight, so the server sweeps by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from syncer.engine.model import Entry, Kind, Listing, Obstacle, RelPath, Seen, Trouble
from syncer.engine.paths import join
from syncer.errors import SyncerError, Unholdable
from syncer.server.extension.call import Answer, Call, Pieces, lines, listed, one
from syncer.server.extension.packing import said
from syncer.server.served import Served, ServedStore, checked, is_hidden
from syncer.wire import values
from syncer.wire.frames import Json

SMALL = 4 << 20  # bytes that `read-small` answers at most
_HASHED_AT_ONCE = 64
_LONG = 2000  # entries that are put into words at once


def list_(call: Call) -> Answer:
    """`list`: some directories."""
    fields = call.json()
    paths = [values.path(value) for value in listed(fields, "paths")]
    mounts = fields.get("mounts") is True

    def told() -> Iterator[Json | Pieces]:
        with call.store() as store:
            for path in paths:
                yield _shown(call, path, _listing(call.served, store, path), mounts=mounts)

    return lines(told())


def tree(call: Call) -> Answer:
    """`tree`: a directory and all below it, each before what is below it, in tree order."""
    fields = call.json()
    top = values.path(fields.get("path"))
    mounts = fields.get("mounts") is True

    def told() -> Iterator[Json | Pieces]:
        with call.store() as store:
            ahead = [top]
            while ahead:
                path = ahead.pop()
                found = _listing(call.served, store, path)
                yield _shown(call, path, found, mounts=mounts)
                if isinstance(found, Listing):
                    ahead += _below(path, found)

    return lines(told())


def _below(path: RelPath, found: Listing) -> list[RelPath]:
    """The directories in it, last one first."""
    names = [name for name, e in found.entries.items() if isinstance(e, Entry) and e.kind is Kind.DIRECTORY]
    return [join(path, name) for name in sorted(names, key=os.fsencode, reverse=True)]


def _shown(call: Call, path: RelPath, found: Listing | SyncerError, *, mounts: bool) -> Json | Pieces:
    """`mounts`: the client can take what is mounted there; an earlier one takes three fields and no more."""
    if not isinstance(found, Listing):
        return [path, call.trouble(found)]
    shown = found if mounts else replace(found, mount="")
    if len(found.entries) > _LONG:
        return Pieces(_long(path, shown))
    return [path, values.listing_out(shown)]


def _long(path: RelPath, listing: Listing) -> Iterator[bytes]:
    """The same line, some entries at a time: that of a million names has some 200 MiB."""
    names = iter(listing.entries)
    frame = said([path, values.listing_out(replace(listing, entries={}))])
    head, _, tail = frame.rpartition(
        b"{}"
    )  # no name and no mount has braces in hex or in a list that is empty
    yield head + b"{"
    first = True
    while some := list(islice(names, _LONG)):
        piece = said({name: values.seen_out(listing.entries[name]) for name in some})[1:-1]
        yield piece if first else b"," + piece
        first = False
    yield b"}" + tail


def _listing(served: Served, store: ServedStore, path: RelPath) -> Listing | SyncerError:
    """One directory with the digests that are known. Trouble with it is a value."""
    try:
        found = store.list(checked(path))
        known = served.known_digests(store, path)
    except SyncerError as error:
        return error
    if not known.keys() <= found.entries.keys():
        gone = known.keys() - found.entries.keys()
        served.digests.forget(join(store.below, path) if path else store.below, gone)
    entries = {
        name: _digested(seen, known.get(name)) for name, seen in found.entries.items() if not _hides(name)
    }
    whole = len(entries) == len(found.entries)
    return Listing(entries=entries, fingerprint=found.fingerprint if whole else None, mount=found.mount)


def _hides(name: str) -> bool:
    plain = name.isascii() and not name.startswith(".")
    return not plain and is_hidden(name)


def _digested(seen: Entry | Obstacle, known: tuple[bytes, bytes] | None) -> Entry | Obstacle:
    if known is None or not isinstance(seen, Entry) or not seen.trusted or seen.version != known[0]:
        return seen
    return replace(seen, digest=known[1])


def look(call: Call) -> Answer:
    """`look`: single names."""
    paths = [values.path(value) for value in listed(call.json(), "paths")]

    def told() -> Iterator[Json]:
        with call.store() as store:
            for path in paths:
                yield values.seen_out(_seen(call.served, store, path))

    return lines(told())


def _seen(served: Served, store: ServedStore, path: RelPath) -> Seen:
    try:
        seen = store.look(checked(path))
    except Unholdable as error:
        return Obstacle(Trouble.UNSAFE_NAME, error.message)
    if not isinstance(seen, Entry) or seen.kind is not Kind.FILE or not seen.trusted:
        return seen
    return replace(seen, digest=served.digests.find(join(store.below, path), seen.version))


def digests(call: Call) -> Answer:
    """`digests`: reading costs no network here, so what is not known is read now."""
    wanted = [_pair(value) for value in listed(call.json(), "wanted")]

    def told() -> Iterator[Json]:
        with call.store() as store:
            for start in range(0, len(wanted), _HASHED_AT_ONCE):
                yield from map(
                    values.seen_out, _hashed(call.served, store, wanted[start : start + _HASHED_AT_ONCE])
                )

    return lines(told())


def _pair(value: Json) -> tuple[RelPath, Entry]:
    if not isinstance(value, list) or len(value) != 2:
        raise values.malformed("a path with its entry")
    return values.path(value[0]), values.entry_in(value[1])


def _hashed(served: Served, store: ServedStore, wanted: Sequence[tuple[RelPath, Entry]]) -> Iterator[Seen]:
    """In order; what has no known digest in its present version is read, all such names in one go."""
    seen = [_seen(served, store, path) for path, _ in wanted]
    unread = {i: (wanted[i][0], e) for i, e in enumerate(seen) if isinstance(e, Entry) and _needs_reading(e)}
    read = store.digests(list(unread.values()))
    for index, known in enumerate(seen):
        if index not in unread:
            yield known
            continue
        found = next(read)
        if isinstance(found, Entry):
            served.learn(store, unread[index][0], found)
        yield found


def _needs_reading(seen: Entry) -> bool:
    return seen.kind is not Kind.DIRECTORY and seen.digest is None


def read_small(call: Call) -> Answer:
    """`read-small`."""
    fields = call.json()
    path = values.path(fields.get("path"))
    limit = min(values.number(fields.get("limit"), "a limit"), SMALL)
    with call.store() as store:
        try:
            return one({"content": store.read_small(checked(path), limit).hex()})
        except SyncerError as error:
            return one(call.trouble(error))


def changed(call: Call) -> Answer:
    """`changed`: which of the directories that a client knows look otherwise now."""
    fields = call.json()
    name = values.octets(fields.get("name"), "a name", most=32)
    given = fields.get("known")
    lists = call.shared.lists
    with call.store() as store:
        known = lists.get(store.below, name) if given is None else lists.keep(store.below, name, given)
        if known is None:
            return one({"unknown": True})
        return one({"changed": list(store.changed(known))})
