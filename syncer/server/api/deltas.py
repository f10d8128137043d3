"""Handlers of `path/sync`: signatures, deltas and patches in librsync's formats.

Signatures use the old sums of librsync (rollsum, MD4). A patch is applied to the version that the request
found, or that If-Match names, and replaces the file as any upload does: a malformed delta is a 400, and the
file stays as it was. The API has no digest of the result, so only the client can verify it.
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
from syncer.server.auth import ActiveRequest
from syncer.server.errors import HttpError, JsonResponse
from syncer.server.fair_shares import SEARCHING, FairSemaphore
from syncer.server.file_handle import open_file
from syncer.server.folder import Key
from syncer.server.forms import Form, form
from syncer.server.request_body import MAX_FILE, FormFile, UploadSpool, check_space

BLOCKS = SignatureLimits(min_block=256, max_block=1 << 20, min_strong=4, max_blocks=1 << 20)
"""Limits of a client's signature: a million blocks take some 60 MB while they are searched."""
_STRONG = 8
_MOST_SIGNATURE = (BLOCKS.max_blocks + 1) * (4 + 32)
_FREE, _SWELL = 1 << 30, 64  # a delta may make so many bytes, or so many times its inputs
_SIGNED, _SEARCHED = 2, 1  # at once: each takes a core, and a search its memory
_QUEUE_SECONDS = 300.0


class DeltaHandlers:
    """The three methods of the sync API."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._served = context.served
        self._signing = FairSemaphore(_SIGNED, 1, timeout=_QUEUE_SECONDS)
        self._searching = FairSemaphore(_SEARCHED, 1, timeout=_QUEUE_SECONDS)

    async def signature(self, request: Request) -> Response:
        """The signature of a file, with blocks of `block_size` bytes (2048)."""
        path, key = asked_path(request), key_of(request)
        text = request.query_params.get("block_size", "") or "2048"
        block = int(text) if len(text) < 10 and text.isascii() and text.isdigit() else 0
        if not BLOCKS.min_block <= block <= BLOCKS.max_block:
            message = f"A block has {BLOCKS.min_block} to {BLOCKS.max_block} bytes."
            raise HttpError(400, message, fields={"block_size": [message]})

        def work() -> tuple[UploadSpool, Entry]:
            parameters = SignatureParams(family=SumType.MD4, block_len=block, strong_len=_STRONG)
            with self._served.store(key) as store:
                entry = file_at(store, path)
                source = store.open(path, entry)
                spool = self._spooled(signature(source.chunks(), parameters))
                self._served.learn(store, path, source.entry)
            return spool, entry

        async with self._signing.slot(key.name):
            spool, entry = await self._run(request, work)
        return await _sent(spool, entry, "application/librsync-signature")

    async def _run(
        self, request: Request, work: Callable[[], tuple[UploadSpool, Entry]]
    ) -> tuple[UploadSpool, Entry]:
        """Run the work in a thread; it is cancelled if the key is revoked."""
        active: ActiveRequest = request.state.active

        def cancellable() -> tuple[UploadSpool, Entry]:
            with self._served.fs.cancellable(lambda: active.ended):
                return work()

        return await run_in_threadpool(cancellable)

    async def delta(self, request: Request) -> Response:
        """The delta from the content whose signature is sent to the file as it is."""
        path, key = asked_path(request), key_of(request)
        await run_in_threadpool(self._stat, key, path)
        with await form(request, self._context.spools, most=_MOST_SIGNATURE + (64 << 10)) as sent:
            given = _only(sent, "signature")

            def work() -> tuple[UploadSpool, Entry]:
                with (
                    self._served.store(key) as store,
                    Signature.load(given.chunks(), basis_size=MAX_FILE, limits=BLOCKS) as against,
                ):
                    entry = file_at(store, path)
                    source = store.open(path, entry)
                    spool = self._spooled(delta(against, source.chunks(), patience=SEARCHING))
                    self._served.learn(store, path, source.entry)
                return spool, entry

            async with self._searching.slot(key.name):
                spool, entry = await self._run(request, work)
        return await _sent(spool, entry, "application/librsync-delta")

    def _stat(self, key: Key, path: RelPath) -> Entry:
        with self._served.store(key) as store:
            return file_at(store, path)

    async def patch(self, request: Request) -> Response:
        """Apply the delta that is sent to the file. 400 if that is impossible, 412 by If-Match."""
        path, key, conditions = asked_path(request), writer(request), Conditions.of(request)
        expected = await run_in_threadpool(self._stat, key, path)
        conditions.check(expected)
        with await form(request, self._context.spools) as sent:
            given = _only(sent, "delta")

            def work() -> tuple[Info, Entry]:
                with self._served.store(key) as store:
                    expected = file_at(store, path)
                    conditions.check(expected)
                    most = max(_FREE, _SWELL * (expected.size + given.size))
                    size = result_size(given.chunks(), expected.size, most)
                    check_space(size, store.free_space())
                    with open_file(self._served, store, path, expected) as basis:
                        source = FormFile(patch(basis, given.chunks(), size=size), size)
                        entry = self._context.put(
                            store, path, source=source, size=size, expected=expected, stale=conditions.stale
                        )
                    return self._context.info(key, store, path, entry), entry

            found, entry = await run_in_threadpool(work)
        return JsonResponse(found, 200, {"ETag": etag(entry)})

    def _spooled(self, pieces: Iterator[bytes]) -> UploadSpool:
        """Write all pieces to a spool before the first byte is sent: an error can then have a status."""
        spool = UploadSpool(self._context.spools)
        try:
            for piece in pieces:
                spool.write(piece)
        except BaseException:
            spool.close()
            raise
        return spool


def result_size(pieces: Iterable[bytes], basis: int, most: int) -> int:
    """The size of the content that a delta makes. Raises BadDelta for one that cannot be applied.

    Raises HttpError 413 beyond `most`: a few bytes of delta can ask for the old content any number of times.
    """
    size = 0
    for command in commands(pieces, basis=basis):
        size += len(command.data) if isinstance(command, Literal) else command.size
        if size > most:
            raise HttpError(413, f"The delta makes more than {most} bytes; send the file whole.")
    return size


async def _sent(spool: UploadSpool, entry: Entry, media_type: str) -> Response:
    def content() -> Iterator[bytes]:
        try:
            yield from spool.chunks()
        finally:
            spool.close()

    headers = {"Content-Type": media_type, "Content-Length": str(spool.size), "ETag": etag(entry)}
    return await streamed(content, status=200, headers=headers)


def _only(sent: Form, name: str) -> UploadSpool:
    """The file of the part with this name, or the only file of the form. Raises HttpError 400."""
    named = [file for file in sent.files if file.part == name] or sent.files
    if len(named) != 1:
        raise HttpError(400, f"The form must have one file {name!r}.", fields={name: ["This is required."]})
    return named[0].content
