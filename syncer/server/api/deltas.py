"""`path/sync`: signatures, deltas and patches in librsync's formats, as SmartFile's clients know them.

Signatures of ours are of the old family (rollsum, MD4). A patch is applied to the very version it
found, or to the one that If-Match names, and replaces the file as any upload does: a bad delta is a 400
and the file stays. Whether the result is what the client meant only the client can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from syncer.delta.rsync import (
    Literal,
    Signature,
    SignatureLimits,
    SignatureParams,
    SumType,
    commands,
    delta,
    patch,
    signature,
)
from syncer.engine.model import Entry, RelPath
from syncer.server.api.files import streamed
from syncer.server.api.handlers import HandlerContext
from syncer.server.api.request import (
    Conditions,
    asked_path,
    etag,
    file_at,
    key_of,
    writer,
)
from syncer.server.api.serializers import Info
from syncer.server.auth import Admitted
from syncer.server.errors import Json, Refused
from syncer.server.fair_shares import SEARCHING, Places
from syncer.server.file_handle import pin
from syncer.server.folder import Key
from syncer.server.forms import Form, form
from syncer.server.request_body import MAX_FILE, FormFile, UploadSpool, room

BLOCKS = SignatureLimits(min_block=256, max_block=1 << 20, min_strong=4, max_blocks=1 << 20)
"""What a signature may ask for; a million blocks take some 60 MB while they are searched."""
_STRONG = 8
_MOST_SIGNATURE = (BLOCKS.max_blocks + 1) * (4 + 32)
_FREE, _SWELL = 1 << 30, 64  # a delta may make so many bytes, or so many times what it is made of
_SIGNED, _SEARCHED = 2, 1  # at once: a core each, and for a search its memory
_OTHERS = 300.0  # seconds that one waits for others


class Syncing:
    """The three calls of the sync API."""

    def __init__(self, office: HandlerContext) -> None:
        self._office = office
        self._served = office.served
        self._signing = Places(_SIGNED, 1, patience=_OTHERS)
        self._searching = Places(_SEARCHED, 1, patience=_OTHERS)

    async def signature(self, request: Request) -> Response:
        """Of the file as it is, with blocks of `block_size` bytes (2048)."""
        path, key = asked_path(request), key_of(request)
        block = _block_size(request.query_params.get("block_size", ""))
        async with self._signing.place(key.name):
            spool, entry = await self._ended_with(request, self._signature, key, path, block)
        return await _sent(spool, entry, "application/librsync-signature")

    async def _ended_with(
        self, request: Request, work: Callable[..., tuple[UploadSpool, Entry]], *arguments: object
    ) -> tuple[UploadSpool, Entry]:
        """The work in a thread; it ends early where the key is revoked."""
        admitted: Admitted = request.state.admitted

        def cancellable() -> tuple[UploadSpool, Entry]:
            with self._served.fs.cancellable(lambda: admitted.ended):
                return work(*arguments)

        return await run_in_threadpool(cancellable)

    def _signature(self, key: Key, path: RelPath, block: int) -> tuple[UploadSpool, Entry]:
        wanted = SignatureParams(family=SumType.MD4, block_len=block, strong_len=_STRONG)
        with self._served.store(key) as store:
            entry = file_at(store, path)
            source = store.open(path, entry)
            spool = self._spooled(signature(source.chunks(), wanted))
            self._served.learn(store, path, source.entry)
        return spool, entry

    async def delta(self, request: Request) -> Response:
        """From the content whose signature is sent, to the file as it is."""
        path, key = asked_path(request), key_of(request)
        await run_in_threadpool(self._look, key, path)
        with await form(request, self._office.spools, most=_MOST_SIGNATURE + (64 << 10)) as sent:
            async with self._searching.place(key.name):
                spool, entry = await self._ended_with(
                    request, self._delta, key, path, _only(sent, "signature")
                )
        return await _sent(spool, entry, "application/librsync-delta")

    def _look(self, key: Key, path: RelPath) -> Entry:
        with self._served.store(key) as store:
            return file_at(store, path)

    def _delta(self, key: Key, path: RelPath, given: UploadSpool) -> tuple[UploadSpool, Entry]:
        with (
            self._served.store(key) as store,
            Signature.load(given.chunks(), basis_size=MAX_FILE, limits=BLOCKS) as against,
        ):
            entry = file_at(store, path)
            source = store.open(path, entry)
            spool = self._spooled(delta(against, source.chunks(), patience=SEARCHING))
            self._served.learn(store, path, source.entry)
        return spool, entry

    async def patch(self, request: Request) -> Response:
        """The delta that is sent is applied to the file. 400 for one that cannot be, 412 by If-Match."""
        path, key, conditions = asked_path(request), writer(request), Conditions.of(request)
        expected = await run_in_threadpool(self._look, key, path)
        conditions.check(expected)
        with await form(request, self._office.spools) as sent:
            found, entry = await run_in_threadpool(self._patch, key, path, _only(sent, "delta"), conditions)
        return Json(found, 200, {"ETag": etag(entry)})

    def _patch(
        self, key: Key, path: RelPath, given: UploadSpool, conditions: Conditions
    ) -> tuple[Info, Entry]:
        with self._served.store(key) as store:
            expected = file_at(store, path)
            conditions.check(expected)
            most = max(_FREE, _SWELL * (expected.size + given.size))
            size = result_size(given.chunks(), expected.size, most)
            room(size, store.free_space())
            with pin(self._served, store, path, expected) as basis:
                source = FormFile(patch(basis, given.chunks(), size=size), size)
                entry = self._office.put(
                    store, path, source=source, size=size, expected=expected, stale=conditions.stale
                )
            return self._office.info(key, store, path, entry), entry

    def _spooled(self, pieces: Iterator[bytes]) -> UploadSpool:
        """All of it, before the first byte is sent: an error is then still an answer."""
        spool = UploadSpool(self._office.spools)
        try:
            for piece in pieces:
                spool.write(piece)
        except BaseException:
            spool.close()
            raise
        return spool


def result_size(pieces: Iterable[bytes], basis: int, most: int) -> int:
    """How long the content is that a delta makes. Raises BadDelta for one that cannot be applied.

    Raises Refused 413 beyond `most`: a few bytes of delta can ask for the old content any number of times.
    """
    found = 0
    for command in commands(pieces, basis=basis):
        found += len(command.data) if isinstance(command, Literal) else command.size
        if found > most:
            raise Refused(413, f"The delta makes more than {most} bytes; send the file whole.")
    return found


async def _sent(spool: UploadSpool, entry: Entry, media_type: str) -> Response:
    def content() -> Iterator[bytes]:
        try:
            yield from spool.chunks()
        finally:
            spool.close()

    headers = {"Content-Type": media_type, "Content-Length": str(spool.size), "ETag": etag(entry)}
    return await streamed(content, status=200, headers=headers)


def _block_size(text: str) -> int:
    size = (
        int(text or "2048") if len(text) < 10 and (text or "0").isascii() and (text or "0").isdigit() else 0
    )
    if not BLOCKS.min_block <= size <= BLOCKS.max_block:
        message = f"A block has {BLOCKS.min_block} to {BLOCKS.max_block} bytes."
        raise Refused(400, message, fields={"block_size": [message]})
    return size


def _only(sent: Form, name: str) -> UploadSpool:
    """The file of that part; the only file, whatever its part is called."""
    named = [file for file in sent.files if file.part == name] or sent.files
    if len(named) != 1:
        raise Refused(400, f"The form must have one file {name!r}.", fields={name: ["This is required."]})
    return named[0].content
