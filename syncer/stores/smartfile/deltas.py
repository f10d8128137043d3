"""The sync API: only signatures and deltas cross, and no result is believed unverified.

The service applies a delta to whatever a file is at that moment and has no check of its base. So an upload
patches a copy of our own, in a private place, which nobody else changes; the copy gets the name only after
its checksum was right. No delta is sent twice: if an answer is lost, the checksum tells. Whatever fails here
is mended by sending the whole.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from syncer.delta.rsync import (
    Signature,
    SignatureParams,
    SumType,
    delta,
    patch,
    signature,
)
from syncer.engine.interfaces import LocalBasis, WriteRequest
from syncer.engine.model import Kind, Method
from syncer.engine.paths import printable, split
from syncer.errors import AuthError, BadDelta, LocalError, StoreError, TransientError
from syncer.stores.http.bodies import Body, multipart
from syncer.stores.http.client import pieces
from syncer.stores.smartfile.api import Api, Lost, quoted
from syncer.stores.smartfile.context import SmartFileContext
from syncer.stores.smartfile.staging import Digester, Digests, Fed, Staged
from syncer.stores.smartfile.trash import look

log = logging.getLogger(__name__)
WORTH_IT = 64 << 10  # bytes of either content below which the requests cost more than the bytes
LARGEST_SHARE = 0.7  # of the content: a delta beyond it is dropped for the whole
_MOST_BLOCKS = 1 << 19
_IN_MEMORY = 4 << 20
_PIECE = 1 << 20


class Spool:
    """A delta on its way: in memory while it is small, else in a temporary file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self.size = 0

    def take(self, chunks: Iterable[bytes], limit: int) -> bool:
        """Writes all; False, and no more is read, once it is longer than `limit` bytes."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > limit:
                return False
            self._file.write(chunk)
        return True

    def chunks(self) -> Iterator[bytes]:
        """From the start, as often as needed (one reader at a time)."""
        self._file.seek(0)
        while chunk := self._file.read(_PIECE):
            yield chunk

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class Crossed:
    """Bytes of payload that crossed, also in vain."""

    sent: int = 0
    received: int = 0


def parameters(size: int) -> SignatureParams:
    """What the service understands, with blocks that keep a signature below some MiB."""
    block = SignatureParams.smartfile().block_len
    while size > block * _MOST_BLOCKS:
        block *= 2
    return SignatureParams(
        family=SumType.MD4, block_len=block, strong_len=SignatureParams.smartfile().strong_len
    )


# -- up ------------------------------------------------------------------------------


def worth_patching(item: WriteRequest) -> bool:
    """Whether only what changed should be sent."""
    old = item.expected
    if item.kind is not Kind.FILE or item.source is None or old is None or old.kind is not Kind.FILE:
        return False
    return min(old.size, item.size) >= WORTH_IT


def patched(ground: SmartFileContext, item: WriteRequest, crossed: Crossed) -> Staged | None:
    """A verified copy of what stands there with the changes applied; None: send the whole.

    Raises what the item's source raises, AuthError.
    """
    folder: str | None = None
    done = None
    try:
        directory, name = ground.staging.place()
        folder = f"{directory}/{name}"
        path = _copied(ground, item, folder)
        loaded = _signature(ground.api, path, crossed)
        done = _patched(ground, item, path, folder, loaded, crossed)
    except AuthError:
        raise
    except _Theirs as error:
        raise error.error from None
    except StoreError as error:
        log.info("%s: sent whole, since no delta could be: %s", printable(item.path), error)
    finally:
        if done is None and folder is not None:
            ground.staging.discard(folder)
    return done


class _Theirs(Exception):
    """What the source of the content raised: not ours to mend."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _copied(ground: SmartFileContext, item: WriteRequest, folder: str) -> str:
    """A copy of the old content in a folder of its own; its name stays, since the API copies into folders."""
    path = f"{folder}/{split(item.path)[1]}"
    ground.api.mkdir(folder)
    try:
        ground.api.copy(ground.at(item.path), folder)
    except Lost:
        if look(ground.api, path) is None:
            raise
    return path


def _signature(api: Api, path: str, crossed: Crossed) -> Signature:
    """Of what is there. Raises BadDelta, also for one that is shorter than the content needs."""
    size = api.info(path).size
    wish = {"block_size": str(parameters(size).block_len)}
    response = api.session.request(
        "GET", f"api/2/path/sync/signature{quoted(path)}/", params=wish, stream=True, about=path
    )
    before = crossed.received
    found = Signature.load(_counted(pieces(response, path), crossed), basis_size=size, family=SumType.MD4)
    blocks = -(-size // found.parameters.block_len)
    if crossed.received - before != len(found.parameters.header) + blocks * found.parameters.width:
        found.close()
        raise BadDelta(f"{path}: the signature is not as long as the content needs")
    return found


def _counted(chunks: Iterable[bytes], crossed: Crossed) -> Iterator[bytes]:
    for chunk in chunks:
        crossed.received += len(chunk)
        yield chunk


def _patched(
    ground: SmartFileContext, item: WriteRequest, path: str, folder: str, loaded: Signature, crossed: Crossed
) -> Staged | None:
    fed, spool = Fed(item), Spool()
    try:
        with loaded:
            if not spool.take(delta(loaded, _guarded(fed.chunks())), int(item.size * LARGEST_SHARE)):
                return None
        crossed.sent += spool.size
        _send(ground.api, path, spool)
        content = fed.digests()
        try:
            arrived = ground.staging.verify(path, content, item.size)
        except TransientError:
            ground.repaired += 1
            log.warning("%s: the patched file is not right; sending the whole", printable(item.path))
            raise
        info = ground.staging.noted(path, arrived, item, content.blake3)
    finally:
        spool.close()
    return Staged(
        item=item,
        path=path,
        info=info,
        content=content,
        method=Method.DELTA,
        sent=crossed.sent,
        received=crossed.received,
        folder=folder,
    )


def _guarded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (StoreError, LocalError) as error:
        raise _Theirs(error) from error


def _send(api: Api, path: str, spool: Spool) -> None:
    """Once. After a lost answer the delta may have been applied or not: the checksum that follows tells."""
    body = multipart("delta", "delta", Body(open=spool.chunks, length=spool.size))
    try:
        api.session.request("POST", f"api/2/path/sync/patch{quoted(path)}/", body=body, about=path)
    except TransientError as error:
        log.info("%s: the answer to a patch got lost: %s", path, error)


# -- down ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delta that makes the wanted content of a basis: tried, but not verified yet."""

    spool: Spool
    content: Digests
    size: int

    def chunks(self, basis: LocalBasis) -> Iterator[bytes]:
        return patch(basis, self.spool.chunks(), size=self.size)


def worth_fetching(basis: LocalBasis | None, size: int) -> bool:
    """Whether the reader has something that a delta could refer to."""
    return basis is not None and not basis.start and min(basis.size, size) >= WORTH_IT


def fetched(api: Api, path: str, basis: LocalBasis, size: int, crossed: Crossed) -> Fetched | None:
    """The delta from the basis to what the service holds, applied once for its digests; None: get the whole.

    Raises AuthError.
    """
    spool = Spool()
    try:
        if spool.take(_delta(api, path, basis, crossed), int(size * LARGEST_SHARE)):
            digester = Digester()
            for chunk in patch(basis, spool.chunks(), size=size):
                digester.update(chunk)
            return Fetched(spool, digester.digests(), size)
    except AuthError:
        spool.close()
        raise
    except (StoreError, LocalError) as error:
        log.info("%s: fetched whole, since no delta could be: %s", path, error)
    spool.close()
    return None


def _delta(api: Api, path: str, basis: LocalBasis, crossed: Crossed) -> Iterator[bytes]:
    fine = parameters(basis.size)
    length = len(fine.header) + -(-basis.size // fine.block_len) * fine.width
    body = multipart(
        "signature", "signature", Body(open=lambda: signature(_read(basis), fine), length=length)
    )
    crossed.sent += length
    response = api.session.request(
        "POST",
        f"api/2/path/sync/delta{quoted(path)}/",
        body=body,
        stream=True,
        idempotent=True,
        about=path,
    )
    yield from _counted(pieces(response, path), crossed)


def _read(basis: LocalBasis) -> Iterator[bytes]:
    for offset in range(0, basis.size, _PIECE):
        yield basis.read(offset, min(_PIECE, basis.size - offset))
