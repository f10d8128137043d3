"""A delta upload with nothing at the other end but an SFTP server that knows `copy-data`.

The new content is put together in a file of its own: ranges that stay are copied by the server out of the old
file, new bytes are written between them. The old file is open all the while and must be the same before and
after, by size, mtime and mode. Nothing gets a name here: whoever calls verifies, and renames last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from blake3 import blake3

from syncer.errors import BadDelta, PreconditionFailed
from syncer.stores.sftp.client import RemoteFile
from syncer.stores.sftp.delta_plan import CopyRange, Step
from syncer.stores.sftp.files import FileWriter, read_range, read_ranges
from syncer.stores.sftp.packets import Attributes

_PROBE = 512  # bytes compared at each end of a copied range
_PROBES = 64  # ranges that are looked at, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaUpload:
    """What an upload came to, in bytes; `copies` are the copied ranges, in order."""

    size: int
    copied: int
    written: int
    copies: tuple[CopyRange, ...]


def upload_delta(old: RemoteFile, new: RemoteFile, steps: Iterable[Step]) -> DeltaUpload:
    """Perform the steps on the open, empty file `new`.

    Raises PreconditionFailed if the old file changed meanwhile (so what was copied may be anything),
    BadDelta if a step lies beyond it, QuotaExceeded, StoreError. In every case the new file is of no use,
    and harmless.
    """
    before = old.stat()
    writer = FileWriter(new)
    end = written = 0
    copies: list[CopyRange] = []
    for step in steps:
        if step.to != end:
            raise ValueError("the steps of a plan leave a gap")
        if isinstance(step, CopyRange):
            if before.size is None or step.offset + step.size > before.size:
                raise BadDelta("the block index is of a longer file than the one on the server")
            writer.copy(old, step.offset, step.size, step.to)
            copies.append(step)
            end += step.size
        else:
            writer.write(step.to, step.data)
            written += len(step.data)
            end += len(step.data)
    writer.finish()
    if _version(old.stat()) != _version(before):
        raise PreconditionFailed("the file on the server changed while its ranges were copied")
    if new.stat().size != end:  # copy-data ends without an error where the old file became shorter
        raise PreconditionFailed("the server copied fewer bytes than were asked for")
    return DeltaUpload(size=end, copied=end - written, written=written, copies=tuple(copies))


def verify_ends(new: RemoteFile, upload: DeltaUpload, local: Callable[[int, int], bytes]) -> None:
    """Compare both ends of the copied ranges with the local content; costs some KiB, not the whole file.

    `local(offset, size)` reads the content that was meant. Finds a block index that is of another file, or
    an old file that was replaced by something else; an edit in the middle of a range only `verify_whole`
    finds. Raises PreconditionFailed.
    """
    copies = upload.copies
    stride = -(-len(copies) // _PROBES) or 1
    spans = []
    for copy in copies[::stride]:
        size = min(_PROBE, copy.size)
        spans += [(copy.to, size), (copy.to + copy.size - size, size)]
    found = b"".join(read_ranges(new, spans))
    if found != b"".join(local(offset, size) for offset, size in spans):
        raise PreconditionFailed("the old file on the server is not the one that the block index describes")


def verify_whole(new: RemoteFile, size: int, digest: bytes) -> None:
    """Read everything back and compare its BLAKE3-256. Raises PreconditionFailed."""
    found = blake3()
    for data in read_range(new, 0, size):
        found.update(data)
    if found.digest() != digest:
        raise PreconditionFailed("the content on the server is not what was sent")


def _version(attributes: Attributes) -> tuple[int | None, int | None, int | None]:
    return attributes.size, attributes.mtime, attributes.mode
