"""The calls that send content: `fetch` (whole files and deltas), `delta`, `signature`.

A file is sent while it is read, and its end comes only if it was found unchanged then. An error of one file
is sent in its end; the others of the stream go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syncer.delta.chunking import available_cpus
from syncer.delta.indexed_delta import difference
from syncer.delta.rsync import (
    HEADER,
    SHARE,
    Signature,
    SignatureLimits,
    SignatureParams,
    delta,
    encode,
    signature,
)
from syncer.engine.interfaces import Source
from syncer.engine.model import Entry, RelPath
from syncer.errors import ChangedUnderUs, SyncerError
from syncer.server.extension.index_builder import IndexRequest
from syncer.server.extension.request import CallRequest, CallResponse, frames_response, items_of
from syncer.server.fair_shares import SEARCHING, Reserved
from syncer.server.folder import ServedStore, checked
from syncer.stores.common import beyond
from syncer.wire import schema
from syncer.wire.bounded_json import Json
from syncer.wire.contents import ASK, DELTA, WHOLE, FetchItem, unframed
from syncer.wire.frames import Data, End, Frame, Head

_SMALLEST_BLOCK, _LARGEST_BLOCK = 256, 16 << 20
_MOST_BLOCKS = 1 << 21
_UNKNOWN_SIZE = 1 << 62
_SIGNED = SignatureLimits(
    min_block=_SMALLEST_BLOCK, max_blocks=(1 << 20) + (1 << 16)
)  # a client makes 2^20, rounded
_WIDE = 1 << 17  # blocks beyond which one thread searches: each thread has a table of its own
_THREADS = 4  # the most of one search
_TABLE, _COPIES, _KEPT_WIDTH = 60, 3, 24  # bytes of librsync's table for a block; how often its sums are held
_PIECE = 64 << 10  # bytes of a signature that are read without a reservation


def fetch(call: CallRequest) -> CallResponse:
    """`fetch`: many files in one stream."""
    wanted = [FetchItem.from_json(value) for value in items_of(call.json(), "wanted")]
    to_index: list[IndexRequest] = []

    def frames() -> Iterator[Frame]:
        with call.store() as store:
            for index, item in enumerate(wanted):
                yield from _content(call, store, index, item, to_index)

    return frames_response(frames(), after=lambda: call.shared.indexer.want(*to_index))


def _content(
    call: CallRequest, store: ServedStore, index: int, item: FetchItem, to_index: list[IndexRequest]
) -> Iterator[Frame]:
    """Yield the frames of one file: a delta to `item.have` if there is a block index of that, else whole."""
    block_index = None
    if item.have is not None and not item.start:
        block_index = call.shared.indexer.get(store.below, item.have)
        if block_index is None:
            yield _head(index, item.entry, ASK)
            yield End({})
            return
    source = store.open(item.path, item.entry)
    if block_index is None:
        yield _head(index, item.entry, WHOLE)
        yield from _sent(call, item.path, source, beyond(source.chunks(), item.start))
    else:
        blocks = sum(len(piece.sums) for piece in block_index.pieces) // block_index.parameters.width

        def digest() -> bytes:
            if source.entry.digest is None:
                raise ChangedUnderUs("the file was read without its digest")
            return source.entry.digest

        with _search(call, blocks) as workers:
            commands = difference(
                block_index, source.chunks(), workers=workers, patience=SEARCHING, digest=digest
            )

            def pieces() -> Iterator[bytes]:
                yield from encode(iter(commands), every=SHARE)
                call.shared.indexer.keep(store.below, commands.sketch)

            yield _head(index, item.entry, DELTA)
            yield from _sent(call, item.path, source, pieces())
    _learn(call, store, item.path, source, to_index, old=item.have)


def _head(index: int, entry: Entry, encoding: str) -> Head:
    return Head({"index": index, "size": entry.size, "encoding": encoding})


def _sent(call: CallRequest, path: RelPath, source: Source, pieces: Iterator[bytes]) -> Iterator[Frame]:
    """Yield the data, and its end with the digest and entry of the source, or with the error."""
    try:
        checked(path)
        yield from map(Data, pieces)
        entry = source.entry
    except SyncerError as error:
        yield End(call.error_json(error))
        return
    digest = entry.digest.hex() if entry.digest is not None else None
    yield End({"digest": digest, "entry": schema.entry_out(entry)})


@contextmanager
def _search(call: CallRequest, blocks: int, tables: int = 0) -> Iterator[int]:
    """Reserve a search against so many blocks, and its memory; the value is its number of threads.

    `tables`: librsync's lookup tables that exist already.
    """
    workers = 1 if blocks > _WIDE else min(available_cpus(), _THREADS)
    with (
        Reserved(call.shared.searches, call.key.name) as search,
        Reserved(call.shared.budget, call.key.name) as memory,
    ):
        search(1)
        memory(blocks * (_TABLE * (workers - tables) + (0 if tables else _COPIES * _KEPT_WIDTH)))
        yield workers


def _learn(
    call: CallRequest,
    store: ServedStore,
    path: RelPath,
    source: Source,
    to_index: list[IndexRequest],
    *,
    old: bytes | None = None,
) -> None:
    """Store the digest of a file that was read, and have its block index made."""
    try:
        entry = source.entry
    except SyncerError:
        return  # it was not read to its end
    call.served.learn(store, path, entry)
    to_index.append(IndexRequest(below=store.below, path=path, entry=entry, old=old))


def delta_(call: CallRequest) -> CallResponse:
    """`delta`: one file, against a signature that the client made of what it has."""
    frames = call.frames()
    head = call.head(frames)
    path, entry = schema.path_in(head.get("path")), schema.file_entry_in(head.get("entry"))
    size = schema.optional(head.get("size"), lambda v: schema.number(v, "a size"))
    sums = _reserved(call, unframed(frames))
    against = Signature.load(sums, basis_size=_UNKNOWN_SIZE if size is None else size, limits=_SIGNED)
    to_index: list[IndexRequest] = []

    def response() -> Iterator[Frame]:
        with call.store() as store, against, _search(call, against.blocks, tables=1) as workers:
            source = store.open(path, entry)
            yield _head(0, entry, DELTA)
            pieces = delta(against, source.chunks(), workers=workers, patience=SEARCHING, every=SHARE)
            yield from _sent(call, path, source, pieces)
            _learn(call, store, path, source, to_index)

    return frames_response(response(), after=lambda: call.shared.indexer.want(*to_index))


def _reserved(call: CallRequest, sums: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a signature as it arrives; the memory for what is made of it is reserved before each piece."""
    head, unreserved = b"", 0
    for piece in sums:
        head = (head + piece[:HEADER])[:HEADER]
        unreserved += len(piece)
        if unreserved > _PIECE:
            width = max(int.from_bytes(head[-4:], "big"), 1) + 4  # bytes of a block: strong and weak sum
            call.reserve(unreserved * _COPIES + unreserved * _TABLE // width)
            unreserved = 0
        yield piece


def signature_(call: CallRequest) -> CallResponse:
    """`signature`: of one file, as it is."""
    fields = call.json()
    path, entry = schema.path_in(fields.get("path")), schema.file_entry_in(fields.get("entry"))
    parameters = signature_params_in(fields, entry)
    to_index: list[IndexRequest] = []

    def frames() -> Iterator[Frame]:
        with call.store() as store, _search(call, 0) as workers:
            source = store.open(path, entry)
            yield Head({"size": entry.size})
            pieces = signature(source.chunks(), parameters, workers=workers)
            yield from _sent(call, path, source, pieces)
            _learn(call, store, path, source, to_index)

    return frames_response(frames(), after=lambda: call.shared.indexer.want(*to_index))


def signature_params_in(fields: dict[str, Json], entry: Entry) -> SignatureParams:
    """Block length and bytes of a strong sum; zeros mean those for the wire. Raises PermanentError."""
    block = schema.number(fields.get("block", 0), "a block")
    strong = schema.number(fields.get("strong", 0), "a strong sum")
    default = SignatureParams.for_wire(entry.size)
    block, strong = block or default.block_len, strong or default.strong_len
    if not _SMALLEST_BLOCK <= block <= _LARGEST_BLOCK or entry.size // block > _MOST_BLOCKS or strong > 32:
        raise schema.malformed("a block and a strong sum within their bounds")
    return SignatureParams(block_len=block, strong_len=strong)
