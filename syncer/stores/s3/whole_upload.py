"""Uploads the whole content of a large file in parts, at the same time, and goes on where it broke off.

The id of the upload is remembered by the caller together with the content's token: metadata is fixed when
an upload is created, so another version of the file must not go on with it. Parts that are there already
count only if their ETag is the MD5 of what the file has at their place now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress

from syncer.errors import NotFound, StoreError, TransientError
from syncer.stores.s3.delta import LIMITS, MIB, PartLimits
from syncer.stores.s3.multipart import MultipartUploads, UploadedPart, run_all
from syncer.stores.s3.objects import S3Bucket, WrittenObject, md5_etag

Read = Callable[[int, int], bytes]  # start and length
_USUAL_PART = 8 * MIB  # as large as makes requests few; as many are in memory as are sent at the same time


def part_size(size: int, limits: PartLimits = LIMITS) -> int:
    """Bytes of a part of an object of `size` bytes: whole MiB, and never more than 10,000 parts."""
    least = -(-size // limits.max_parts)
    return max(_USUAL_PART, limits.min_part, -(-least // MIB) * MIB)


class WholeUpload:
    """One upload of `size` bytes, at least one, which `read` gives by range, from any thread."""

    def __init__(self, bucket: S3Bucket, *, key: str, size: int, read: Read, part: int = 0) -> None:
        """`part`: bytes of a part, where it is not the usual number."""
        self._uploads = MultipartUploads(bucket)
        self._comparable = bucket.options.etag_is_md5
        self._key = key
        self._size = size
        self._read = read
        self._part_size = part or part_size(size)

    def run(
        self,
        *,
        meta: Mapping[str, str],
        content_type: str = "application/octet-stream",
        conditions: Mapping[str, str] | None = None,
        upload: str = "",
        created: Callable[[str], None] = lambda _upload: None,
        executor: Executor | None = None,
    ) -> WrittenObject:
        """`upload` goes on; where it is gone, or "" is given, a new one is made, whose id `created` gets.

        After a TransientError, or a stop, the upload stays, for the next run to go on with; after any other
        error it is aborted. Raises PreconditionFailed where a condition of Complete failed.
        """
        present = self._present(upload) if upload else None
        if present is None:
            upload, present = self._uploads.create(self._key, meta=meta, content_type=content_type), {}
            created(upload)
        known = present
        numbers = range(1, -(-self._size // self._part_size) + 1)
        try:
            parts = run_all(executor, lambda number: self._part(upload, number, known.get(number)), numbers)
            return self._uploads.complete(self._key, upload, parts, conditions=conditions)
        except TransientError:
            raise
        except StoreError:
            with suppress(StoreError):
                self._uploads.abort(self._key, upload)
            raise

    def _present(self, upload: str) -> dict[int, UploadedPart] | None:
        """The parts that are there; None where the upload is gone."""
        try:
            return {part.number: part for part in self._uploads.parts(self._key, upload)}
        except NotFound:
            return None

    def _part(self, upload: str, number: int, present: UploadedPart | None) -> UploadedPart:
        start = (number - 1) * self._part_size
        content = self._read(start, min(self._part_size, self._size - start))
        if present is not None and self._comparable and present.etag == md5_etag(content):
            return UploadedPart(number=number, etag=present.etag, size=len(content))
        return self._uploads.send(self._key, upload, number, content)
