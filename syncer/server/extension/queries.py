"""The read-only calls: listings, stat, digests, what changed since, small files.

Digests are included where the server has them for that very version. The client sees what `ServedStore`
shows, without Syncer's own names at any depth and without leftovers: among those are the temporary files of
calls in flight, so the server removes leftovers itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring_ascii as _quoted

from syncer.engine.model import (
    BlockedEntry,
    BlockReason,
    Entry,
    Kind,
    RelPath,
    Seen,
)
from syncer.engine.paths import join
from syncer.errors import SyncerError, Unholdable
from syncer.server.extension.request import (
    CallRequest,
    CallResponse,
    LongLine,
    items_of,
    json_response,
    lines_response,
)
from syncer.server.folder import ServedFolder, ServedStore, checked, is_hidden
from syncer.stores.local import stat
from syncer.stores.local.packed_listing import Packed
from syncer.wire import schema
from syncer.wire.bounded_json import Json, dumps

SMALL = 4 << 20  # bytes that `read-small` sends at most
_BATCH = 64  # names that are looked up or hashed together
_ENTRIES = 2000  # entries that are serialized together
_LARGE = 128 << 10  # bytes of them
_PATH = 80  # bytes of memory of a path beside its characters
_DIRECTORY = dumps(schema.entry_out(stat.DIRECTORY)).decode("ascii")


def list_(call: CallRequest) -> CallResponse:
    """`list`: some directories."""
    fields = call.json()
    paths = [schema.path_in(value) for value in items_of(fields, "paths")]
    mounts = fields.get("mounts") is True

    def values() -> Iterator[Json | LongLine]:
        with call.store() as store:
            for path in paths:
                listing = _listing(call, store, path)
                yield _line(call, store, path, listing, mounts=mounts)
                del listing
                call.hold(0)

    return lines_response(values())


def tree(call: CallRequest) -> CallResponse:
    """`tree`: a directory and all below it, parents first, in tree order."""
    fields = call.json()
    top = schema.path_in(fields.get("path"))
    mounts = fields.get("mounts") is True

    def values() -> Iterator[Json | LongLine]:
        with call.store() as store:
            pending = [top]  # the next directory last
            while pending:
                path = pending.pop()
                listing = _listing(call, store, path)
                yield _line(call, store, path, listing, mounts=mounts)
                if not isinstance(listing, SyncerError):
                    names = sorted(listing.packed.directories(), reverse=True)
                    if len(names) > _ENTRIES:
                        call.reserve(sum(len(path) + len(name) + _PATH for name in names))
                    pending += [join(path, os.fsdecode(name)) for name in names]
                del listing
                call.hold(0)

    return lines_response(values())


@dataclass(frozen=True, slots=True)
class _Listing:
    """One directory; `mount` is what is mounted there. Entries are trusted if they were old enough at
    `now_ns`.
    """

    packed: Packed
    mount: str
    now_ns: int
    executable: bool  # whether its disk has executable bits


def _listing(call: CallRequest, store: ServedStore, path: RelPath) -> _Listing | SyncerError:
    """The listing of a directory, or the error as a value: the others of the call go on."""
    now = call.served.clock.now_ns()
    try:
        packed, mount = store.list_packed(checked(path), hides=is_hidden, hold=call.hold)
    except SyncerError as error:
        return error
    return _Listing(packed, mount, now, store.traits.executable)


def _line(
    call: CallRequest, store: ServedStore, path: RelPath, listing: _Listing | SyncerError, *, mounts: bool
) -> Json | LongLine:
    """`mounts`: whether the client reads a fourth field; the first release takes exactly three."""
    if isinstance(listing, SyncerError):
        return [path, call.error_json(listing)]
    local = join(store.below, path) if path else store.below
    return LongLine(_listing_json(call.served, local, path, listing, mounts))


def _listing_json(
    served: ServedFolder, local: RelPath, path: RelPath, listing: _Listing, mounts: bool
) -> Iterator[bytes]:
    """Yield `[path, listing]` as JSON, some entries at a time, with the digests that are known.

    `local`: the path relative to the served folder. Entries are formatted from their packed bytes: as values
    of the engine, a directory of 100,000 names would take 100 MB and four times as long.
    """
    directory, odd = listing.packed.lines, listing.packed.odd
    fingerprint = listing.packed.fingerprint
    head = dumps([path, [fingerprint.hex() if fingerprint is not None else None]])[:-2]
    known = served.digests.of_directory(local)  # None: too many, then they are looked up by name
    met = 0
    piece = head + b",{"
    for start in range(0, len(directory), _ENTRIES):
        names = [line[: line.index(b"/")] for line in directory[start : start + _ENTRIES]]
        digests = served.digests.of_names(local, names) if known is None else known
        texts, gathered = [], 0
        for line, name in zip(directory[start : start + _ENTRIES], names, strict=True):
            if odd and (seen := odd.get(name)) is not None:
                text = dumps(schema.seen_out(seen)).decode("ascii")
                gathered += len(text)
            elif len(line) == len(name) + 1:
                text = _DIRECTORY
            else:
                version = line[len(name) + 1 :]
                size, mtime, ctime, _, mode = stat.UNPACK(version)
                trusted = stat.ripe(ctime, listing.now_ns)
                digest = None
                if digests and (last := digests.get(name)) is not None:
                    met += 1
                    digest = last[1] if trusted and last[0] == version else None
                bit = bool(mode & 0o100) if listing.executable else None
                text = schema.file_text(size, version, mtime, bit, digest, trusted=trusted)
            texts.append(f"{_quoted(os.fsdecode(name))}:{text}")
            if gathered > _LARGE:  # targets of links may be long
                yield piece + ",".join(texts).encode("ascii")
                piece, texts, gathered = b",", [], 0
        if texts:
            yield piece + ",".join(texts).encode("ascii")
            piece = b","
    if not directory:
        yield piece
    yield b"},[]" + (b"," + dumps(listing.mount) if mounts and listing.mount else b"") + b"]]"
    if known and met < len(known):
        # Digests of names that are not in the directory any more.
        gone = known.keys() - {line[: line.index(b"/")] for line in directory}
        served.digests.forget(local, gone)


def look(call: CallRequest) -> CallResponse:
    """`look`: single names."""
    paths = [schema.path_in(value) for value in items_of(call.json(), "paths")]

    def values() -> Iterator[Json]:
        with call.store() as store:
            for start in range(0, len(paths), _BATCH):
                yield from map(schema.seen_out, _seen(call.served, store, paths[start : start + _BATCH]))

    return lines_response(values())


def _seen(served: ServedFolder, store: ServedStore, paths: Sequence[RelPath]) -> list[Seen]:
    """What stands at each of the names, with the digests that are known.

    NameReservation of one directory that follow each other are looked up through one open directory.
    """
    refused: dict[int, BlockedEntry] = {}
    for index, path in enumerate(paths):
        try:
            checked(path)
        except Unholdable as error:
            refused[index] = BlockedEntry(BlockReason.UNSAFE_NAME, error.message)
    found = iter(store.left_out([path for index, path in enumerate(paths) if index not in refused]))
    result: list[Seen] = []
    for index, path in enumerate(paths):
        seen = refused[index] if index in refused else next(found)
        if isinstance(seen, Entry) and seen.kind is Kind.FILE and seen.trusted:
            digest = served.digests.find(join(store.below, path), seen.version)
            seen = replace(seen, digest=digest) if digest is not None else seen
        result.append(seen)
    return result


def digests(call: CallRequest) -> CallResponse:
    """`digests`: entries with their digests; a file whose digest is not known is read."""
    paths: list[RelPath] = []
    for pair in items_of(call.json(), "wanted"):
        if not isinstance(pair, list) or len(pair) != 2:
            raise schema.malformed("a path with its entry")
        paths.append(schema.path_in(pair[0]))
        schema.entry_in(pair[1])  # checked, and ignored: the digest is that of the file as it is now

    def values() -> Iterator[Json]:
        with call.store() as store:
            for start in range(0, len(paths), _BATCH):
                yield from map(schema.seen_out, _hashed(call.served, store, paths[start : start + _BATCH]))

    return lines_response(values())


def _hashed(served: ServedFolder, store: ServedStore, paths: Sequence[RelPath]) -> Iterator[Seen]:
    """Yield the entries in order; those without a known digest are read by one call of the store.

    Each is yielded as soon as it is read: hashing 64 large files takes longer than a client waits.
    """
    seen = _seen(served, store, paths)
    unread = {
        index: (paths[index], entry)
        for index, entry in enumerate(seen)
        if isinstance(entry, Entry) and entry.kind is not Kind.DIRECTORY and entry.digest is None
    }
    read = iter(store.with_digests(list(unread.values())))
    for index, entry in enumerate(seen):
        if index not in unread:
            yield entry
            continue
        hashed = next(read)
        if isinstance(hashed, Entry):
            served.learn(store, paths[index], hashed)
        yield hashed


def read_small(call: CallRequest) -> CallResponse:
    """`read-small`: the content of a small file."""
    fields = call.json()
    path = schema.path_in(fields.get("path"))
    limit = min(schema.number(fields.get("limit"), "a limit"), SMALL)
    with call.store() as store:
        try:
            return json_response({"content": store.read_file(checked(path), limit).hex()})
        except SyncerError as error:
            return json_response(call.error_json(error))


def changed(call: CallRequest) -> CallResponse:
    """`changed`: which of the directories that a client knows look different now."""
    fields = call.json()
    name = schema.octets(fields.get("name"), "a name", most=32)
    given = fields.get("known")
    lists = call.shared.lists
    with call.store() as store:
        known = lists.get(store.below, name) if given is None else lists.keep(store.below, name, given)
        if known is None:
            return json_response({"unknown": True})
        with store.scan([*known]) as scan:
            return json_response({"changed": list(scan.changed())})
