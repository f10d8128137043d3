"""Handlers of `path/data`: download (whole, ranges), upload by form or as a body, append, delete.

All are conditional by ETag. A write is a `WriteRequest` of the folder store: the file holds its old or its
new content, and the old one goes to the trash.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from itertools import chain

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from syncer.engine.interfaces import DeleteRequest
from syncer.engine.model import Entry, RelPath
from syncer.engine.paths import join
from syncer.server.api.handlers import HandlerContext, one, target
from syncer.server.api.request import (
    REFUSED,
    Conditions,
    asked_path,
    asked_range,
    directory_at,
    etag,
    file_at,
    key_of,
    named_path,
    unchanged,
    writer,
)
from syncer.server.errors import HttpError, JsonResponse, settled
from syncer.server.file_handle import open_file
from syncer.server.folder import Key
from syncer.server.forms import form
from syncer.server.request_body import (
    FormFile,
    RequestBody,
    UploadSpool,
    check_space,
    declared,
    gathered,
)

_APPEND = re.compile(r"bytes=(\d{1,19})-")
_PLAIN = "application/octet-stream"
"""The media type of every file: no browser shows it as a page of this server."""


class FileHandlers:
    """`path/data`."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._served = context.served

    # -- down ------------------------------------------------------------------

    async def download(self, request: Request) -> Response:
        """GET and HEAD: 206 for a range, 304 by If-None-Match, 412, 415 for a directory, 416."""
        path, key = asked_path(request), key_of(request)
        conditions = Conditions.of(request)

        def stat() -> Entry:
            with self._served.store(key) as store:
                found = file_at(store, path)
                # If-None-Match of a GET is no condition to fail by: it makes a 304.
                replace(conditions, none_match=None).check(found)
                return found

        entry = await run_in_threadpool(stat)
        headers = {
            "ETag": etag(entry),
            "Last-Modified": formatdate(max((entry.mtime_ns or 0) // 10**9, 0), usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Disposition": "attachment",
        }
        if unchanged(request, entry):
            return Response(status_code=304, headers=headers)
        span = asked_range(request, entry) if request.method == "GET" else None
        start, end = span or (0, entry.size)
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Response(headers=headers, media_type=_PLAIN)
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{entry.size}"

        def content() -> Iterator[bytes]:
            with self._served.store(key) as store:
                if span is not None:
                    with open_file(self._served, store, path, entry) as file:
                        yield from file.pieces(*span)
                    return
                source = store.open(path, entry)
                yield from source.chunks()
                self._served.learn(store, path, source.entry)

        return await streamed(content, status=206 if span else 200, headers=headers)

    # -- up ----------------------------------------------------------------------

    async def post(self, request: Request) -> Response:
        """API 2: write the files of a form into the directory. 409 if there is no directory."""
        key, directory = writer(request), asked_path(request)
        conditions = Conditions.of(request)
        await run_in_threadpool(self._check_room, request, key, directory)
        with await form(request, self._context.spools) as sent:
            if not sent.files:
                raise HttpError(400, "The form has no file.", fields={"file": ["This is required."]})

            def work() -> list[object]:
                infos: list[object] = []
                with self._served.store(key) as store:
                    for file in sent.files:
                        if "/" in file.filename or not file.filename:
                            raise HttpError(400, REFUSED, fields={"file": [REFUSED]})
                        path = named_path(join(directory, file.filename), "file")
                        expected = target(store, path, conditions)
                        entry = self._context.put(
                            store,
                            path,
                            source=FormFile(file.content.chunks(), file.content.size),
                            size=file.content.size,
                            expected=expected,
                            stale=conditions.stale,
                        )
                        infos.append(self._context.info(key, store, path, entry))
                return infos

            return JsonResponse(await run_in_threadpool(work))

    async def put(self, request: Request) -> Response:
        """API 3: the body is the whole file. 201 if it is new; 412 by If-Match, If-None-Match."""
        return await self._replace(request, self._put)

    async def append(self, request: Request) -> Response:
        """API 3, PATCH: write the body behind the first N bytes (`Range: bytes=N-`). 416 beyond the end."""
        return await self._replace(request, self._append)

    async def _replace(
        self, request: Request, work: Callable[[Request, Key, Iterator[bytes], int], Response]
    ) -> Response:
        """Stream a body of known length to the store; spool one without a length first."""
        key = writer(request)
        size = declared(request)
        await run_in_threadpool(self._check_room, request, key, "")
        if size is not None:
            pieces = RequestBody(request).chunks()
            return await self._context.uploads.run(key.name, lambda: work(request, key, pieces, size))
        spool = await run_in_threadpool(UploadSpool, self._context.spools)
        try:
            await gathered(request, 1 << 44, spool.write)
            return await run_in_threadpool(work, request, key, spool.chunks(), spool.size)
        finally:
            spool.close()

    def _check_room(self, request: Request, key: Key, directory: RelPath) -> None:
        """Check, before anything is received, that the directory exists and that the body fits the disk."""
        with self._served.store(key) as store:
            directory_at(store, directory, missing=409)
            check_space(declared(request), store.free_space())

    def _put(self, request: Request, key: Key, pieces: Iterator[bytes], size: int) -> Response:
        path, conditions = asked_path(request), Conditions.of(request)
        with self._served.store(key) as store:
            expected = target(store, path, conditions)
            source = FormFile(pieces, size)
            entry = self._context.put(
                store, path, source=source, size=size, expected=expected, stale=conditions.stale
            )
            found = self._context.info(key, store, path, entry)
        return JsonResponse(found, 201 if expected is None else 200, {"ETag": etag(entry)})

    def _append(self, request: Request, key: Key, pieces: Iterator[bytes], size: int) -> Response:
        path, conditions = asked_path(request), Conditions.of(request)
        given = _APPEND.fullmatch(request.headers.get("range", ""))
        if given is None:
            raise HttpError(400, "A header `Range: bytes=N-` must say where to append.")
        start = int(given[1])
        with self._served.store(key) as store:
            expected = file_at(store, path)
            conditions.check(expected)
            if start > expected.size:
                raise HttpError(416, "No such range.", headers={"Content-Range": f"bytes */{expected.size}"})
            check_space(start + size, store.free_space())
            with open_file(self._served, store, path, expected) as old:
                source = FormFile(chain(old.pieces(0, start), pieces), start + size)
                entry = self._context.put(
                    store, path, source=source, size=start + size, expected=expected, stale=conditions.stale
                )
            found = self._context.info(key, store, path, entry)
        return JsonResponse(found, 200, {"ETag": etag(entry)})

    async def delete(self, request: Request) -> Response:
        """Move a file to the trash. 204, 404, 412 by If-Match, 415 for a directory."""
        key, path, conditions = writer(request), asked_path(request), Conditions.of(request)

        def work() -> None:
            with self._served.store(key) as store:
                expected = file_at(store, path)
                conditions.check(expected)
                outcome = one(store.delete([DeleteRequest(path=path, expected=expected)]))
                settled(outcome, stale=conditions.stale)
                self._context.gone(store, path)

        await run_in_threadpool(work)
        return Response(status_code=204)


async def streamed(
    content: Callable[[], Iterator[bytes]], *, status: int, headers: dict[str, str]
) -> Response:
    """A response that is made piece by piece in worker threads.

    An error before the first piece has a status of its own. A later one cuts the connection, and the client
    misses bytes of the Content-Length.
    """
    pieces = content()
    first = await run_in_threadpool(next, pieces, b"")

    async def body() -> AsyncIterator[bytes]:
        try:
            piece = first
            while piece:
                yield piece
                piece = await run_in_threadpool(next, pieces, b"")
        finally:
            await run_in_threadpool(pieces.close)  # type: ignore[attr-defined]

    media_type = headers.pop("Content-Type", _PLAIN)
    return StreamingResponse(body(), status_code=status, headers=headers, media_type=media_type)
