"""The calls by which content leaves: whole files, deltas of them, signatures.

A file is sent as it is read, and its end comes only if it was found unchanged then. Trouble with one file is
told in its end. Which sketches are kept is `index_builder`' affair, what deltas are the engine's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from syncer.delta.indexed_delta import IndexedDelta, difference
from syncer.delta.rsync import (
    HEADER,
    SHARE,
    Command,
    Signature,
    SignatureLimits,
    SignatureParams,
    delta,
    encode,
    signature,
)
from syncer.engine.interfaces import Source
from syncer.engine.model import Entry, Kind, RelPath
from syncer.errors import ChangedUnderUs, SyncerError
from syncer.server.extension.index_builder import IndexRequest
from syncer.server.extension.request import Answer, Call, framed, listed
from syncer.server.fair_shares import SEARCHING, Reserved
from syncer.server.folder import ServedStore, checked
from syncer.stores.common import beyond
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.frames import Data, End, Frame, Head

_SMALLEST_BLOCK, _LARGEST_BLOCK = 256, 16 << 20
_MOST_BLOCKS = 1 << 21
_UNKNOWN_SIZE = 1 << 62
_SIGNED = SignatureLimits(
    min_block=_SMALLEST_BLOCK, max_blocks=(1 << 20) + (1 << 16)
)  # a client makes 2^20, rounded
_WIDE = 1 << 17  # blocks beyond which one thread searches: each has a table of its own
_TABLE, _COPIES, _KEPT_WIDTH = 60, 3, 24  # bytes of librsync's table for a block; how often its sums are held
_PIECE = 64 << 10  # bytes of a signature that are read without asking for memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file, from `start` on; `have` is the digest of another version that the client has."""

    path: RelPath
    entry: Entry
    start: int = 0
    have: bytes | None = None


def fetch(call: Call) -> Answer:
    """`fetch`: many files in one stream."""
    wanted = [_wanted(value) for value in listed(call.json(), "wanted")]
    wishes: list[IndexRequest] = []

    def told() -> Iterator[Frame]:
        with call.store() as store:
            for index, want in enumerate(wanted):
                yield from _content(call, store, index, want, wishes)

    return framed(told(), after=lambda: call.shared.sketches.want(*wishes))


def _wanted(value: Json) -> Wanted:
    fields = schema.take(value, dict, "what is wanted")
    have = schema.optional(fields.get("have"), lambda v: schema.octets(v, "a digest", most=32))
    return Wanted(
        path=schema.path(fields.get("path")),
        entry=_file(fields.get("entry")),
        start=schema.number(fields.get("start", 0), "a place in a file"),
        have=have or None,
    )


def _file(value: Json) -> Entry:
    entry = schema.entry_in(value)
    if entry.kind is not Kind.FILE:
        raise schema.malformed("a file")
    return entry


def _content(
    call: Call, store: ServedStore, index: int, want: Wanted, wishes: list[IndexRequest]
) -> Iterator[Frame]:
    sketch = None
    if want.have is not None and not want.start:
        sketch = call.shared.sketches.get(store.below, want.have)
    if want.have is not None and sketch is None and not want.start:
        yield _head(index, want.entry, "ask")
        yield End({})
        return
    source = store.open(want.path, want.entry)
    if sketch is None:
        yield _head(index, want.entry, "whole")
        yield from _told(call, want.path, source, map(Data, beyond(source.chunks(), want.start)))
    else:
        blocks = sum(len(piece.sums) for piece in sketch.pieces) // sketch.parameters.width
        with _searching(call, blocks) as workers:
            changes = difference(
                sketch, source.chunks(), workers=workers, patience=SEARCHING, digest=lambda: _digest(source)
            )
            yield _head(index, want.entry, "delta")
            yield from _told(call, want.path, source, _carried(call, store, changes))
    _learn(call, store, want.path, source, wishes, old=want.have)


def _head(index: int, entry: Entry, encoding: str) -> Head:
    return Head({"index": index, "size": entry.size, "encoding": encoding})


def _told(call: Call, path: RelPath, source: Source, data: Iterator[Data]) -> Iterator[Frame]:
    """The data and its end, or where it went wrong."""
    try:
        checked(path)
        yield from data
        entry = source.entry
    except SyncerError as error:
        yield End(call.trouble(error))
        return
    digest = entry.digest.hex() if entry.digest is not None else None
    yield End({"digest": digest, "entry": schema.entry_out(entry)})


def _digest(source: Source) -> bytes:
    digest = source.entry.digest
    if digest is None:
        raise ChangedUnderUs("the file was read without its digest")
    return digest


def _carried(call: Call, store: ServedStore, changes: IndexedDelta) -> Iterator[Data]:
    """The delta, passed on while it is made; then the sketch of what was sent is kept."""
    commands: Iterator[Command] = iter(changes)
    yield from map(Data, encode(commands, every=SHARE))
    call.shared.sketches.keep(store.below, changes.sketch)


@contextmanager
def _searching(call: Call, blocks: int, tables: int = 0) -> Iterator[int]:
    """A place for a search against so many blocks, and memory; answers how many threads it has.

    `tables`: how many of what librsync looks them up in are there already.
    """
    workers = 1 if blocks > _WIDE else cores()
    with (
        Reserved(call.shared.searches, call.key.name) as place,
        Reserved(call.shared.budget, call.key.name) as memory,
    ):
        place(1)
        memory(blocks * (_TABLE * (workers - tables) + (0 if tables else _COPIES * _KEPT_WIDTH)))
        yield workers


def _learn(
    call: Call,
    store: ServedStore,
    path: RelPath,
    source: Source,
    wishes: list[IndexRequest],
    *,
    old: bytes | None,
) -> None:
    """What was read has a digest now, and perhaps is worth a sketch."""
    try:
        entry = source.entry
    except SyncerError:
        return  # it was not read to its end
    call.served.learn(store, path, entry)
    wishes.append(IndexRequest(below=store.below, path=path, entry=entry, old=old))


def delta_(call: Call) -> Answer:
    """`delta`: one file, against a signature that the client made of what it has."""
    frames = call.frames()
    head = call.head(frames)
    want = Wanted(path=schema.path(head.get("path")), entry=_file(head.get("entry")))
    size = schema.optional(head.get("size"), lambda v: schema.number(v, "a size"))
    known = _UNKNOWN_SIZE if size is None else size
    sums = _counted(call, _signature(frames))
    against = Signature.load(sums, basis_size=known, limits=_SIGNED)
    wishes: list[IndexRequest] = []

    def told() -> Iterator[Frame]:
        with call.store() as store, against, _searching(call, against.blocks, tables=1) as workers:
            source = store.open(want.path, want.entry)
            yield _head(0, want.entry, "delta")
            pieces = delta(against, source.chunks(), workers=workers, patience=SEARCHING, every=SHARE)
            yield from _told(call, want.path, source, map(Data, pieces))
            _learn(call, store, want.path, source, wishes, old=None)

    return framed(told(), after=lambda: call.shared.sketches.want(*wishes))


def _counted(call: Call, sums: Iterator[bytes]) -> Iterator[bytes]:
    """A signature as it comes; the memory for what is made of it is reserved before."""
    head, owed = b"", 0
    for piece in sums:
        head = (head + piece[:HEADER])[:HEADER]
        owed += len(piece)
        if owed > _PIECE:
            width = max(int.from_bytes(head[-4:], "big"), 1) + 4
            call.reserve(owed * _COPIES + owed * _TABLE // width)
            owed = 0
        yield piece


def _signature(frames: Iterator[Frame]) -> Iterator[bytes]:
    for frame in frames:
        if isinstance(frame, End):
            return
        if not isinstance(frame, Data):
            raise schema.malformed("a signature")
        yield frame.payload
    raise schema.malformed("the end of a signature")


def signature_(call: Call) -> Answer:
    """`signature`: of one file, as it is."""
    fields = call.json()
    path, entry = schema.path(fields.get("path")), _file(fields.get("entry"))
    parameters = _parameters(fields, entry)
    wishes: list[IndexRequest] = []

    def told() -> Iterator[Frame]:
        with call.store() as store, _searching(call, 0) as workers:
            source = store.open(path, entry)
            yield Head({"size": entry.size})
            pieces = signature(source.chunks(), parameters, workers=workers)
            yield from _told(call, path, source, map(Data, pieces))
            _learn(call, store, path, source, wishes, old=None)

    return framed(told(), after=lambda: call.shared.sketches.want(*wishes))


def _parameters(fields: dict[str, Json], entry: Entry) -> SignatureParams:
    block = schema.number(fields.get("block", 0), "a block")
    strong = schema.number(fields.get("strong", 0), "a strong sum")
    usual = SignatureParams.for_wire(entry.size)
    block, strong = block or usual.block_len, strong or usual.strong_len
    if not _SMALLEST_BLOCK <= block <= _LARGEST_BLOCK or entry.size // block > _MOST_BLOCKS or strong > 32:
        raise schema.malformed("a block and a strong sum within their bounds")
    return SignatureParams(block_len=block, strong_len=strong)


def cores() -> int:
    """Threads that sums of one file are worth."""
    return min(os.cpu_count() or 1, 4)
