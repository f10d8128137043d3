"""rsync deltas with SmartFile's sync API: signatures and deltas are transferred, every result is verified.

The service applies a delta to whatever a file is at that moment and does not check its base. So an upload
patches a copy in our work directory; the copy gets the name only after its checksum was right. Where anything
here fails, the whole file is transferred.
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
from syncer.stores.smartfile.api import Lost, SmartFileApi, quoted
from syncer.stores.smartfile.context import SmartFileRoot, look
from syncer.stores.smartfile.staging import (
    Digester,
    Digests,
    SmartFileStaging,
    StagedUpload,
    digests_of,
    upload_of,
)

log = logging.getLogger(__name__)
WORTH_IT = 64 << 10  # bytes of either content below which the requests cost more than the bytes
LARGEST_SHARE = 0.7  # of the content: a delta beyond it is dropped for the whole
_MOST_BLOCKS = 1 << 19
_IN_MEMORY = 4 << 20
_PIECE = 1 << 20


class Spool:
    """A delta: in memory while it is small, else in an unnamed temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self.size = 0

    def take(self, chunks: Iterable[bytes], limit: int) -> bool:
        """Write all chunks; False as soon as they are longer than `limit` bytes."""
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
    """Bytes that were transferred for one item, also by attempts that failed."""

    sent: int = 0
    received: int = 0


def parameters(size: int) -> SignatureParams:
    """Parameters that the service understands, with blocks that keep a signature below some MiB."""
    block = SignatureParams.smartfile().block_len
    while size > block * _MOST_BLOCKS:
        block *= 2
    return SignatureParams(
        family=SumType.MD4, block_len=block, strong_len=SignatureParams.smartfile().strong_len
    )


# -- up ------------------------------------------------------------------------------


def worth_patching(item: WriteRequest) -> bool:
    """Whether a delta may be smaller than the file: both contents are large enough."""
    old = item.expected
    if item.kind is not Kind.FILE or item.source is None or old is None or old.kind is not Kind.FILE:
        return False
    return min(old.size, item.size) >= WORTH_IT


def patched(
    root: SmartFileRoot, staging: SmartFileStaging, item: WriteRequest, crossed: Crossed
) -> StagedUpload | None:
    """Patch a copy of the old content into the new one; None: the whole has to be sent.

    The copy is in a folder of its own in our work directory, where no other client writes: so the base of the
    delta cannot change between its signature and the patch. The copy is used only if its checksum is that of
    the content that was read here. Raises what the item's source raises, AuthError.
    """
    folder: str | None = None
    staged: StagedUpload | None = None
    upload, spool = upload_of(item), Spool()
    try:
        directory, name = staging.place()
        folder = f"{directory}/{name}"
        path = f"{folder}/{split(item.path)[1]}"  # the API copies into a folder, under the same name
        root.api.mkdir(folder)
        try:
            root.api.copy(root.at(item.path), folder)
        except Lost:
            if look(root.api, path) is None:
                raise
        with _signature(root.api, path, crossed) as loaded:
            worth_it = spool.take(delta(loaded, _guarded(upload.chunks())), int(item.size * LARGEST_SHARE))
        if worth_it:
            crossed.sent += spool.size
            body = multipart("delta", "delta", Body(open=spool.chunks, length=spool.size))
            try:
                # Sent once: a delta that is applied twice makes another content. After a lost reply the
                # checksum shows whether it was applied.
                root.api.session.request(
                    "POST", f"api/2/path/sync/patch{quoted(path)}/", body=body, about=path
                )
            except TransientError as error:
                log.info("%s: the reply to a patch was lost: %s", path, error)
            content = digests_of(upload)
            try:
                arrived = staging.verify(path, content, item.size)
            except TransientError:
                root.repaired += 1
                log.warning("%s: the patched file is not right; sending the whole", printable(item.path))
                raise
            staged = StagedUpload(
                item=item,
                path=path,
                info=staging.noted(path, arrived, item, content.blake3),
                content=content,
                method=Method.DELTA,
                sent=crossed.sent,
                received=crossed.received,
                folder=folder,
            )
    except AuthError:
        raise
    except _SourceError as error:
        raise error.error from None
    except StoreError as error:
        log.info("%s: sent whole, since no delta could be: %s", printable(item.path), error)
    finally:
        spool.close()
        if staged is None and folder is not None:
            staging.discard(folder)
    return staged


class _SourceError(Exception):
    """What the source of the content raised: sending the whole would raise it again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _signature(api: SmartFileApi, path: str, crossed: Crossed) -> Signature:
    """The signature of the copy. Raises BadDelta, also for one that is shorter than the content needs."""
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


def _guarded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (StoreError, LocalError) as error:
        raise _SourceError(error) from error


# -- down ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delta that makes a content of the basis; `content` still has to be verified."""

    spool: Spool
    content: Digests
    size: int

    def chunks(self, basis: LocalBasis) -> Iterator[bytes]:
        return patch(basis, self.spool.chunks(), size=self.size)


def worth_fetching(basis: LocalBasis | None, size: int) -> bool:
    """Whether the reader has an old content that a delta could refer to."""
    return basis is not None and not basis.start and min(basis.size, size) >= WORTH_IT


def fetched(api: SmartFileApi, path: str, basis: LocalBasis, size: int, crossed: Crossed) -> Fetched | None:
    """The delta from the basis to the service's content, applied once for its digests; None: get the whole.

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


def _delta(api: SmartFileApi, path: str, basis: LocalBasis, crossed: Crossed) -> Iterator[bytes]:
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
