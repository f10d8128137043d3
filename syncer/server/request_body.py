"""Request bodies of the SmartFile API: streamed to a store by a worker thread, or spooled to a file first.

`RequestBody` streams content whose length the request tells. `UploadSpool` holds what has to be complete
before it can be used (a form's file, a signature, a delta): a file without a name in the state directory,
gone with the process. No body is in memory as a whole, except small ones (`whole`). `timeouts` limits how
slow a body may be.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import TypeVar

import anyio.from_thread
import anyio.to_thread
from anyio import CapacityLimiter
from blake3 import blake3
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from syncer.engine.interfaces import LocalBasis, TransferStats
from syncer.engine.model import Entry, Kind
from syncer.errors import NoSpace, TransientError
from syncer.server.errors import HttpError
from syncer.server.fair_shares import FairSemaphore
from syncer.stores.local.batch import MEBIBYTE
from syncer.stores.local.errors import translate

_T = TypeVar("_T")
MAX_FILE = 1 << 44
"""Bytes of one upload, whatever the disk could hold: 16 TiB, ext4's largest file."""
_UPLOAD_QUEUE_SECONDS = 300.0  # that an upload waits for others of its key
_PIECE = 256 << 10  # bytes fetched from the event loop together, at least


def declared(request: Request, most: int = MAX_FILE) -> int | None:
    """The Content-Length; None if the body is chunked. Raises HttpError 413 if it is more than `most`."""
    text = request.headers.get("content-length")
    if text is None:
        return None if "transfer-encoding" in request.headers else 0
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else MAX_FILE + 1
    if size > most:
        raise _too_large(most)
    return size


async def whole(request: Request, most: int) -> bytes:
    """A small body in memory. Raises HttpError 413."""
    declared(request, most)
    body = bytearray()
    async for chunk in _stream(request):
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


async def gathered(request: Request, most: int, take: Callable[[bytes], None]) -> None:
    """Call `take` with pieces of about 1 MiB, each in a worker thread. Raises HttpError 413."""
    declared(request, most)
    pending, total = bytearray(), 0
    async for chunk in _stream(request):
        pending += chunk
        total += len(chunk)
        if total > most:
            raise _too_large(most)
        if len(pending) >= MEBIBYTE:
            await run_in_threadpool(take, bytes(pending))
            pending.clear()
    if pending:
        await run_in_threadpool(take, bytes(pending))


class UploadThreads:
    """The threads that read from clients: few, and fewer for one key, so that slow ones cannot take all."""

    def __init__(self, most: int, each: int) -> None:
        self._slots = FairSemaphore(most, each, timeout=_UPLOAD_QUEUE_SECONDS)
        self._limiter = CapacityLimiter(most)

    async def run(self, owner: str, work: Callable[[], _T]) -> _T:
        """Run `work`, which may read a `RequestBody`, in one of them. Raises TransientError."""
        async with self._slots.slot(owner):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)


class RequestBody:
    """The body of a request, read by a worker thread; the event loop receives no more than it asks for."""

    def __init__(self, request: Request, most: int = MAX_FILE) -> None:
        self._stream = _stream(request)
        self._remaining = most
        self._most = most

    def chunks(self) -> Iterator[bytes]:
        """Yield the body, once. Raises TransientError if the client is gone, HttpError 413."""

        async def fetch() -> bytes:
            piece = bytearray()
            while len(piece) < _PIECE and (chunk := await anext(self._stream, b"")):
                piece += chunk
            return bytes(piece)

        while True:
            try:
                chunk = anyio.from_thread.run(fetch)
            except (asyncio.CancelledError, futures.CancelledError):
                raise TransientError("the server stops before the body is there") from None
            if not chunk:
                return
            self._remaining -= len(chunk)
            if self._remaining < 0:
                raise _too_large(self._most)
            yield chunk


class UploadSpool:
    """Content in a file without a name, which can be read several times. Close it."""

    def __init__(self, directory: Path) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise translate(error, "") from error
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append. Raises NoSpace, LocalError."""
        try:
            self._file.write(data)
        except OSError as error:
            raise translate(error, "") from error
        self.size += len(data)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content from the beginning, in pieces of at most 1 MiB."""
        self._file.seek(0)
        while data := self._file.read(MEBIBYTE):
            yield data

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._file.close()


class FormFile:
    """Content of known length for a `WriteRequest` (`engine.interfaces.Source`): read once, hashed on the
    way.
    """

    def __init__(self, pieces: Iterable[bytes], size: int, digest: bytes | None = None) -> None:
        """`digest`: the BLAKE3-256 that it must have."""
        self._pieces = pieces
        self._size = size
        self._wanted = digest
        self._read: Entry | None = None

    @property
    def entry(self) -> Entry:
        if self._read is None:
            raise TransientError("the upload was not read to its end")
        return self._read

    @property
    def traffic(self) -> TransferStats | None:
        return None

    def chunks(self, basis: LocalBasis | None = None) -> Iterator[bytes]:
        """Yield the pieces; the last one if the length is right. Raises TransientError if it is not."""
        hasher, pending, total = blake3(), b"", 0
        for piece in self._pieces:
            total += len(piece)
            hasher.update(piece)
            if pending:
                yield pending
            pending = piece
        digest = hasher.digest()
        if total != self._size or self._wanted not in (None, digest):
            raise TransientError("the content is not what was announced; nothing was changed")
        self._read = Entry(kind=Kind.FILE, size=total, version=b"", digest=digest)
        if pending:
            yield pending


def check_space(size: int | None, free: int | None) -> None:
    """Raise NoSpace, before anything is received that cannot be stored."""
    if size is not None and free is not None and size > free:
        raise NoSpace(f"{size} bytes do not fit: {free} are free")


async def _stream(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise TransientError("the client went away in the middle of the body") from None


def _too_large(most: int) -> HttpError:
    return HttpError(413, f"The body is larger than {most} bytes.")
