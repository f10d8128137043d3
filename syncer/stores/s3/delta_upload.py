"""Carries out the plan of a delta upload: helper objects, parts, Complete, and the helpers' removal.

The object keeps its old content until Complete, and has all of the new one afterwards. A process that dies
leaves helpers and an unfinished upload behind, which `garbage` finds by name and age; nothing else refers
to them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from itertools import accumulate, count

from syncer.errors import PreconditionFailed, StoreError
from syncer.stores.s3.delta import HelperObject, HelperRange, NewRange, OldRange, PartSource, UploadPlan
from syncer.stores.s3.multipart import MultipartUploads, UploadedPart, run_all
from syncer.stores.s3.objects import CopySource, S3Bucket, WrittenObject

_PIECE = 1 << 20
Read = Callable[[int, int], bytes]  # start and length in the new content


class DeltaUpload:
    """One new version of one object. `helpers`: the folder for helper objects, ending in a slash.

    `versioned`: the bucket keeps old versions (`S3Bucket.versioned`).

    `source` is the old version, pinned by version id or ETag where the service heeds that. With
    `check_parts` (`BucketConditions.copied_part_md5`) the ETag of each copied part is compared with the MD5
    of what the new content has there, before Complete: so neither a source that changed meanwhile nor a
    false match of the delta gets into the object, and the service vouches for every byte. Without it the
    caller looks at the object right before (`before_complete`) and verifies its digest afterwards.
    """

    def __init__(
        self,
        bucket: S3Bucket,
        *,
        key: str,
        source: CopySource,
        plan: UploadPlan,
        read: Read,
        helpers: str,
        check_parts: bool = False,
        versioned: bool = False,
    ) -> None:
        self._bucket = bucket
        self._uploads = MultipartUploads(bucket)
        self._key = key
        self._source = source
        self._plan = plan
        self._read = read
        self._check_parts = check_parts and bucket.options.etag_is_md5
        self._versioned = versioned
        self._folder = f"{helpers}{secrets.token_hex(8)}/"

    def run(
        self,
        *,
        meta: Mapping[str, str],
        content_type: str = "application/octet-stream",
        conditions: Mapping[str, str] | None = None,
        before_complete: Callable[[], None] = lambda: None,
        executor: Executor | None = None,
    ) -> WrittenObject:
        """Raises PreconditionFailed where the source or the object is another one by now, NotFound, …

        `executor` makes independent chains of helpers, and the parts, at the same time.
        """
        upload = ""
        try:
            run_all(executor, self._chain, self._chains())
            upload = self._uploads.create(self._key, meta=meta, content_type=content_type)
            starts = accumulate((part.length for part in self._plan.parts), initial=0)
            placed = list(zip(count(1), starts, self._plan.parts, strict=False))
            parts = run_all(executor, lambda item: self._checked(upload, *item), placed)
            before_complete()
            made = self._uploads.complete(self._key, upload, parts, conditions=conditions)
        except BaseException:
            with suppress(StoreError):
                if upload:
                    self._uploads.abort(self._key, upload)
            self._clean()
            raise
        self._clean()
        return made

    def _chains(self) -> list[list[int]]:
        """Numbers of helpers; each list is one chain, to be made in its order."""
        chains: list[list[int]] = []
        for number, helper in enumerate(self._plan.helpers):
            if isinstance(helper.base, HelperRange):
                chains[-1].append(number)  # the planner finishes a chain before it begins the next one
            else:
                chains.append([number])
        return chains

    def _chain(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._make(self._name(number), self._plan.helpers[number])

    def _make(self, name: str, helper: HelperObject) -> None:
        upload = self._uploads.create(name)
        try:
            parts = [self._part(name, upload, 1, helper.base), self._part(name, upload, 2, helper.tail)]
            self._uploads.complete(name, upload, parts)
        except BaseException:
            with suppress(StoreError):
                self._uploads.abort(name, upload)
            raise

    def _checked(self, upload: str, number: int, start: int, part: PartSource) -> UploadedPart:
        """A part of the new object, `start` bytes from its beginning."""
        made = self._part(self._key, upload, number, part)
        if self._check_parts and not isinstance(part, NewRange):
            expected = hashlib.md5(usedforsecurity=False)
            for at in range(start, start + part.length, _PIECE):
                expected.update(self._read(at, min(_PIECE, start + part.length - at)))
            if made.etag != expected.hexdigest():
                raise PreconditionFailed(
                    f"{self._key}: the old version on the service is not that of the delta",
                    path=self._key,
                )
        return made

    def _part(self, key: str, upload: str, number: int, part: PartSource) -> UploadedPart:
        match part:
            case NewRange(start, length):
                return self._uploads.send(key, upload, number, self._read(start, length))
            case OldRange(start, length):
                return self._uploads.copy(key, upload, number, self._source, start, length)
            case HelperRange(helper, start, length):
                source = CopySource(key=self._name(helper))
                return self._uploads.copy(key, upload, number, source, start, length)

    def _name(self, helper: int) -> str:
        return f"{self._folder}{helper}"

    def _clean(self) -> None:
        """In a versioned bucket helpers go with their versions: they would be kept otherwise.

        Swift names no version in its answer to Complete, so they are listed.
        """
        with suppress(StoreError):
            if self._versioned:
                rows = self._bucket.versions(self._folder)
                self._bucket.delete_many([(row.key, row.version) for row in rows])
            elif self._plan.helpers:
                self._bucket.delete_many([(self._name(n), "") for n in range(len(self._plan.helpers))])
