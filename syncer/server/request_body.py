"""Request bodies on their way to a store: pulled piece by piece by a worker thread, or put aside first.

`Incoming` is for content whose length the request tells; `UploadSpool` for what has to be whole before it
means anything (a form's file, a signature, a delta): a nameless file in the state directory, gone
with the process. Nothing is whole in memory. How slow a body may be is settled by `timeouts`.
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
from syncer.server.errors import Refused
from syncer.server.fair_shares import Places
from syncer.stores.local.batch import MEBIBYTE
from syncer.stores.local.errors import translate

_T = TypeVar("_T")
MAX_FILE = 1 << 44
"""Bytes of one upload, whatever the disk could hold: 16 TiB, ext4's largest file."""
_UPLOAD_PATIENCE = 300.0  # seconds that an upload waits for others of its key
_PIECE = 256 << 10  # bytes fetched from the loop in one go, at least


def declared(request: Request, most: int = MAX_FILE) -> int | None:
    """The Content-Length; None where the body is chunked. Raises Refused 413 if it is more than `most`."""
    text = request.headers.get("content-length")
    if text is None:
        return None if "transfer-encoding" in request.headers else 0
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else MAX_FILE + 1
    if size > most:
        raise _too_large(most)
    return size


async def whole(request: Request, most: int) -> bytes:
    """A small body. Raises Refused 413."""
    declared(request, most)
    body = bytearray()
    async for chunk in _stream(request):
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


async def gathered(request: Request, most: int, take: Callable[[bytes], None]) -> None:
    """Hands the body over in pieces of about 1 MiB, each in a worker thread. Raises Refused 413."""
    declared(request, most)
    held, total = bytearray(), 0
    async for chunk in _stream(request):
        held += chunk
        total += len(chunk)
        if total > most:
            raise _too_large(most)
        if len(held) >= MEBIBYTE:
            await run_in_threadpool(take, bytes(held))
            held.clear()
    if held:
        await run_in_threadpool(take, bytes(held))


class Uploads:
    """The threads that wait for clients: few, and for one key fewer, so that slow ones cannot take all."""

    def __init__(self, most: int, each: int) -> None:
        self._places = Places(most, each, patience=_UPLOAD_PATIENCE)
        self._limiter = CapacityLimiter(most)

    async def run(self, owner: str, work: Callable[[], _T]) -> _T:
        """Runs `work`, which may pull from an `Incoming`, in one of them. Raises TransientError."""
        async with self._places.place(owner):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)


class Incoming:
    """The body of a request as seen from a worker thread, which pulls it; so nothing piles up."""

    def __init__(self, request: Request, most: int = MAX_FILE) -> None:
        self._stream = _stream(request)
        self._left = most
        self._most = most

    def chunks(self) -> Iterator[bytes]:
        """Once. Raises TransientError if the client is gone, Refused 413."""
        while chunk := self._pulled():
            self._left -= len(chunk)
            if self._left < 0:
                raise _too_large(self._most)
            yield chunk

    def _pulled(self) -> bytes:
        try:
            return anyio.from_thread.run(self._fetch)
        except (asyncio.CancelledError, futures.CancelledError):
            raise TransientError("the server stops before the body is there") from None

    async def _fetch(self) -> bytes:
        held = bytearray()
        while len(held) < _PIECE and (chunk := await anext(self._stream, b"")):
            held += chunk
        return bytes(held)


class UploadSpool:
    """Content put aside in a file without a name, to be read as often as wanted. Close it."""

    def __init__(self, directory: Path) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise translate(error, "") from error
        self.size = 0

    def write(self, data: bytes) -> None:
        """Appends. Raises NoSpace, LocalError."""
        try:
            self._file.write(data)
        except OSError as error:
            raise translate(error, "") from error
        self.size += len(data)

    def chunks(self) -> Iterator[bytes]:
        """From the beginning, in pieces of at most 1 MiB."""
        self._file.seek(0)
        while data := self._file.read(MEBIBYTE):
            yield data

    def close(self) -> None:
        """The content is gone."""
        self._file.close()


class FormFile:
    """Content of known length for a `Put` (`engine.interfaces.Source`): read once, hashed on the way."""

    def __init__(self, pieces: Iterable[bytes], size: int, digest: bytes | None = None) -> None:
        """`digest`: the BLAKE3 that it must turn out to have."""
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
        """The last piece is handed out once the length is right. Raises TransientError if it is not."""
        hasher, held, total = blake3(), b"", 0
        for piece in self._pieces:
            total += len(piece)
            hasher.update(piece)
            if held:
                yield held
            held = piece
        digest = hasher.digest()
        if total != self._size or self._wanted not in (None, digest):
            raise TransientError("the content is not what was announced; nothing was changed")
        self._read = Entry(kind=Kind.FILE, size=total, version=b"", digest=digest)
        if held:
            yield held


def room(size: int | None, free: int | None) -> None:
    """Raises NoSpace before anything is received that cannot be stored."""
    if size is not None and free is not None and size > free:
        raise NoSpace(f"{size} bytes do not fit: {free} are free")


async def _stream(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise TransientError("the client went away in the middle of the body") from None


def _too_large(most: int) -> Refused:
    return Refused(413, f"The body is larger than {most} bytes.")
