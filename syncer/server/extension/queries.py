"""The calls that look: directories, single names, digests, what changed since, small files.

Digests come along where the server knows them for that very version. What the client sees is
what `ServedStore` shows, without our own names at any depth and without leftovers: among
those are the temporaries of calls in flight, so the server sweeps by itself.
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
from syncer.server.extension.packing import said
from syncer.server.extension.request import (
    Answer,
    Call,
    Pieces,
    lines,
    listed,
    one,
)
from syncer.server.folder import ServedFolder, ServedStore, checked, is_hidden
from syncer.stores.local import stat
from syncer.stores.local.packed_listing import Packed
from syncer.wire import schema
from syncer.wire.bounded_json import Json

SMALL = 4 << 20  # bytes that `read-small` answers at most
_HASHED_AT_ONCE = _LOOKED_AT_ONCE = 64
_LONG = 2000  # entries that are put into words at once
_LARGE = 128 << 10  # bytes of them
_PATH = 80  # bytes of a path beside its characters
_DIRECTORY = said(schema.entry_out(stat.DIRECTORY)).decode("ascii")


def list_(call: Call) -> Answer:
    """`list`: some directories."""
    fields = call.json()
    paths = [schema.path(value) for value in listed(fields, "paths")]
    mounts = fields.get("mounts") is True

    def told() -> Iterator[Json | Pieces]:
        with call.store() as store:
            for path in paths:
                yield _shown(call, store, path, _listing(call, store, path), mounts=mounts)
                call.hold(0)

    return lines(told())


def tree(call: Call) -> Answer:
    """`tree`: a directory and all below it, each before what is below it, in tree order."""
    fields = call.json()
    top = schema.path(fields.get("path"))
    mounts = fields.get("mounts") is True

    def told() -> Iterator[Json | Pieces]:
        with call.store() as store:
            ahead = [top]
            while ahead:
                path = ahead.pop()
                found = _listing(call, store, path)
                yield _shown(call, store, path, found, mounts=mounts)
                if not isinstance(found, SyncerError):
                    ahead += _below(call, path, found.packed)
                del found
                call.hold(0)

    return lines(told())


@dataclass(frozen=True, slots=True)
class _Found:
    """One directory; `mount` is what is mounted there. Trusted is what was old enough at `now_ns`."""

    packed: Packed
    mount: str
    now_ns: int
    executable: bool  # whether its disk has such a bit


def _listing(call: Call, store: ServedStore, path: RelPath) -> _Found | SyncerError:
    """Trouble with a directory is a value."""
    now = call.served.clock.now_ns()
    try:
        found, mount = store.list_packed(checked(path), hides=is_hidden, hold=call.hold)
    except SyncerError as error:
        return error
    return _Found(found, mount, now, store.traits.executable)


def _below(call: Call, path: RelPath, found: Packed) -> list[RelPath]:
    """The directories in it, last one first."""
    names = sorted(found.directories(), reverse=True)
    if len(names) > _LONG:
        call.reserve(sum(len(path) + len(name) + _PATH for name in names))
    return [join(path, os.fsdecode(name)) for name in names]


def _shown(
    call: Call, store: ServedStore, path: RelPath, found: _Found | SyncerError, *, mounts: bool
) -> Json | Pieces:
    """`mounts`: the client can take what is mounted there; an earlier one takes three fields and no more."""
    if isinstance(found, SyncerError):
        return [path, call.trouble(found)]
    return Pieces(_line(call.served, join(store.below, path) if path else store.below, path, found, mounts))


def _line(
    served: ServedFolder, where: RelPath, path: RelPath, found: _Found, mounts: bool
) -> Iterator[bytes]:
    """The line, some entries at a time, with the digests that are known."""
    directory, odd = found.packed.lines, found.packed.odd
    fingerprint = found.packed.fingerprint
    head = said([path, [fingerprint.hex() if fingerprint is not None else None]])[:-2]
    known = served.digests.of_directory(where)
    met = 0
    piece = head + b",{"
    for start in range(0, len(directory), _LONG):
        names = [line[: line.index(b"/")] for line in directory[start : start + _LONG]]
        digests = served.digests.of_names(where, names) if known is None else known
        texts, size = [], 0
        for line, name in zip(directory[start : start + _LONG], names, strict=True):
            if odd and (seen := odd.get(name)) is not None:
                text = said(schema.seen_out(seen)).decode("ascii")
                size += len(text)
            elif len(line) == len(name) + 1:
                text = _DIRECTORY
            else:
                version = line[len(name) + 1 :]
                size, mtime, ctime, _, mode = stat.UNPACK(version)
                trusted = stat.ripe(ctime, found.now_ns)
                digest = None
                if digests and (last := digests.get(name)) is not None:
                    met += 1
                    digest = last[1] if trusted and last[0] == version else None
                bit = bool(mode & 0o100) if found.executable else None
                text = schema.file_text(size, version, mtime, bit, digest, trusted=trusted)
            texts.append(f"{_quoted(os.fsdecode(name))}:{text}")
            if size > _LARGE:  # targets of links may be long
                yield piece + ",".join(texts).encode("ascii")
                piece, texts, size = b",", [], 0
        if texts:
            yield piece + ",".join(texts).encode("ascii")
            piece = b","
    if not directory:
        yield piece
    yield b"},[]" + (b"," + said(found.mount) if mounts and found.mount else b"") + b"]]"
    if known and met < len(known):
        gone = known.keys() - {line[: line.index(b"/")] for line in directory}
        served.digests.forget(where, gone)


def look(call: Call) -> Answer:
    """`look`: single names."""
    paths = [schema.path(value) for value in listed(call.json(), "paths")]

    def told() -> Iterator[Json]:
        with call.store() as store:
            for start in range(0, len(paths), _LOOKED_AT_ONCE):
                yield from map(
                    schema.seen_out, _seen(call.served, store, paths[start : start + _LOOKED_AT_ONCE])
                )

    return lines(told())


def _seen(served: ServedFolder, store: ServedStore, paths: Sequence[RelPath]) -> list[Seen]:
    """In order, with the digests that are known; a directory is opened once for those that come together."""
    refused: dict[int, BlockedEntry] = {}
    for index, path in enumerate(paths):
        try:
            checked(path)
        except Unholdable as error:
            refused[index] = BlockedEntry(BlockReason.UNSAFE_NAME, error.message)
    found = iter(store.left_out([path for index, path in enumerate(paths) if index not in refused]))
    seen = [refused[index] if index in refused else next(found) for index in range(len(paths))]
    return [_known(served, store, path, one) for path, one in zip(paths, seen, strict=True)]


def _known(served: ServedFolder, store: ServedStore, path: RelPath, seen: Seen) -> Seen:
    if not isinstance(seen, Entry) or seen.kind is not Kind.FILE or not seen.trusted:
        return seen
    digest = served.digests.find(join(store.below, path), seen.version)
    return replace(seen, digest=digest) if digest is not None else seen


def digests(call: Call) -> Answer:
    """`digests`: reading costs no network here, so what is not known is read now."""
    wanted = [_pair(value) for value in listed(call.json(), "wanted")]

    def told() -> Iterator[Json]:
        with call.store() as store:
            for start in range(0, len(wanted), _HASHED_AT_ONCE):
                yield from map(
                    schema.seen_out, _hashed(call.served, store, wanted[start : start + _HASHED_AT_ONCE])
                )

    return lines(told())


def _pair(value: Json) -> tuple[RelPath, Entry]:
    if not isinstance(value, list) or len(value) != 2:
        raise schema.malformed("a path with its entry")
    return schema.path(value[0]), schema.entry_in(value[1])


def _hashed(
    served: ServedFolder, store: ServedStore, wanted: Sequence[tuple[RelPath, Entry]]
) -> Iterator[Seen]:
    """In order; what has no known digest in its present version is read, all such names in one go."""
    seen = _seen(served, store, [path for path, _ in wanted])
    unread = {i: (wanted[i][0], e) for i, e in enumerate(seen) if isinstance(e, Entry) and _needs_reading(e)}
    read = store.with_digests(list(unread.values()))
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
    path = schema.path(fields.get("path"))
    limit = min(schema.number(fields.get("limit"), "a limit"), SMALL)
    with call.store() as store:
        try:
            return one({"content": store.read_file(checked(path), limit).hex()})
        except SyncerError as error:
            return one(call.trouble(error))


def changed(call: Call) -> Answer:
    """`changed`: which of the directories that a client knows look otherwise now."""
    fields = call.json()
    name = schema.octets(fields.get("name"), "a name", most=32)
    given = fields.get("known")
    lists = call.shared.lists
    with call.store() as store:
        known = lists.get(store.below, name) if given is None else lists.keep(store.below, name, given)
        if known is None:
            return one({"unknown": True})
        with store.scan([*known]) as scan:
            return one({"changed": list(scan.changed())})
