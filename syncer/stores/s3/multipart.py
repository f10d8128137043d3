"""Multipart uploads of S3: create, send and copy parts, list, complete, abort.

Every part but the last has at least 5 MiB; the last one may be of any size, also a copied one. An upload
that is neither completed nor aborted stays, and costs, until `gc` removes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from typing import TypeVar

from syncer.errors import TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.s3 import xml
from syncer.stores.s3.client import COPY_SECONDS, S3Request
from syncer.stores.s3.objects import (
    META,
    CopySource,
    S3Bucket,
    WrittenObject,
    bare,
    is_md5,
    iso_date_ns,
    key_decoder,
    result,
    version_of,
)

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """An uploaded part: its number from 1, its ETag (MD5 of its content), and its length in bytes."""

    number: int
    etag: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedUpload:
    """A multipart upload that was created and not completed. `begun_ns`: by the service's clock."""

    key: str
    upload: str
    begun_ns: int


class MultipartUploads:
    """The operations on the multipart uploads of one bucket. Safe to share between threads."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self._client = bucket.client
        self._options = bucket.options

    def create(
        self,
        key: str,
        *,
        meta: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """A new upload's id. The metadata is that of the object that Complete makes."""
        fields = {META + name: value for name, value in (meta or {}).items()}
        headers = {"Content-Type": content_type, **self._options.creating(), **fields}
        call = S3Request(
            method="POST", key=key, query=(("uploads", ""),), headers=headers, about=key, repeatable=True
        )
        upload = result(self._client.ask(call), call).fields.get("UploadId", "")
        if not upload:
            raise xml.MalformedXml("the S3 answer names no multipart upload")
        return upload

    def send(self, key: str, upload: str, number: int, body: bytes | Body) -> UploadedPart:
        """UploadPart. Raises TransientError where the service stored other bytes than these.

        A stream's MD5 is for the caller to compare.
        """
        call = S3Request(
            method="PUT", key=key, query=_part(upload, number), headers=self._options.reading(), body=body,
            about=key, repeatable=True,
        )  # fmt: skip
        etag = bare(self._client.ask(call).headers.get("ETag", ""))
        if isinstance(body, bytes):
            if self._options.etag_is_md5 and etag != hashlib.md5(body, usedforsecurity=False).hexdigest():
                raise TransientError(f"{key}: the service stored another content than was sent", path=key)
            return UploadedPart(number=number, etag=etag, size=len(body))
        return UploadedPart(number=number, etag=etag, size=body.length or 0)

    def copy(
        self, key: str, upload: str, number: int, source: CopySource, start: int, length: int
    ) -> UploadedPart:
        """UploadPartCopy of a range of an object, up to 5 GiB. Raises PreconditionFailed, NotFound."""
        headers = {
            **source.headers(self._client.bucket),
            **self._options.copied(),
            **self._options.reading(),
            "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
        }
        call = S3Request(
            method="PUT", key=key, query=_part(upload, number), headers=headers, about=key,
            seconds=COPY_SECONDS, repeatable=True,
        )  # fmt: skip
        etag = bare(result(self._client.ask(call), call).fields.get("ETag", ""))
        return UploadedPart(number=number, etag=etag, size=length)

    def complete(
        self,
        key: str,
        upload: str,
        parts: Sequence[UploadedPart],
        *,
        conditions: Mapping[str, str] | None = None,
    ) -> WrittenObject:
        """The object takes its name with the content of the parts, all at once.

        Where the answer is lost the upload is gone or not: the caller compares the object's ETag with
        `composite_etag`. Raises PreconditionFailed, NotFound where the upload does not exist.
        """
        body = xml.complete((part.number, part.etag) for part in sorted(parts, key=lambda part: part.number))
        call = S3Request(
            method="POST", key=key, query=(("uploadId", upload),), headers=conditions or {}, body=body,
            about=key, seconds=COPY_SECONDS,
        )  # fmt: skip
        reply = self._client.ask(call)
        etag = bare(result(reply, call).fields.get("ETag", ""))
        if not etag and self._options.etag_is_md5:
            etag = composite_etag(parts)  # Ceph 16 answers with an empty one
        return WrittenObject(etag=etag, version=version_of(reply.headers))

    def abort(self, key: str, upload: str) -> None:
        """Its parts are removed; also where there is no such upload."""
        query = (("uploadId", upload),)
        self._client.ask(
            S3Request(method="DELETE", key=key, query=query, accept=(404,), about=key, repeatable=True)
        )

    def parts(self, key: str, upload: str) -> Iterator[UploadedPart]:
        """The parts that are there, for an upload that goes on. Raises NotFound."""
        marker = ""
        while True:
            query = [("uploadId", upload), ("max-parts", "1000")]
            query += [("part-number-marker", marker)] if marker else []
            with self._client.stream(S3Request(method="GET", key=key, query=query, about=key)) as answer:
                document = xml.parse(answer.pieces(64 << 10), ("Part",))
            for row in document.of("Part"):
                try:
                    number, size = int(row["PartNumber"]), int(row["Size"])
                except (KeyError, ValueError):
                    raise xml.MalformedXml("a part in the S3 listing has no number or no size") from None
                yield UploadedPart(number=number, etag=bare(row.get("ETag", "")), size=size)
            following = document.fields.get("NextPartNumberMarker", "")
            if document.fields.get("IsTruncated") != "true" or following in ("", marker):
                return
            marker = following

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """The uploads below a prefix that were never completed, of whichever tool."""
        key = upload = ""
        while True:
            query = [("uploads", ""), ("encoding-type", "url"), ("prefix", prefix)]
            query += [("key-marker", key)] if key else []
            query += [("upload-id-marker", upload)] if upload else []
            with self._client.stream(S3Request(method="GET", query=query)) as answer:
                document = xml.parse(answer.pieces(64 << 10), ("Upload",))
            decode = key_decoder(document)
            for row in document.of("Upload"):
                begun = iso_date_ns(row.get("Initiated", ""))
                yield UnfinishedUpload(
                    key=decode(row.get("Key", "")), upload=row.get("UploadId", ""), begun_ns=begun
                )  # fmt: skip
            following = (
                decode(document.fields.get("NextKeyMarker", "")),
                document.fields.get("NextUploadIdMarker", ""),
            )
            if document.fields.get("IsTruncated") != "true" or following in ((key, upload), ("", "")):
                return
            key, upload = following


def composite_etag(parts: Sequence[UploadedPart]) -> str:
    """The ETag of the object that Complete makes: MD5 of the parts' ETags in binary, a dash, their number.

    "" where it cannot be told: SeaweedFS gives a part that is copied from a multipart object its ETag.
    True on all services that were measured, unless the object is encrypted by KMS or SSE-C. SeaweedFS
    gives a copied part the ETag of the whole source, and goes by that here, too.
    """
    if not all(is_md5(part.etag) for part in parts):
        return ""
    digests = b"".join(bytes.fromhex(part.etag) for part in sorted(parts, key=lambda part: part.number))
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _part(upload: str, number: int) -> tuple[tuple[str, str], ...]:
    return (("partNumber", str(number)), ("uploadId", upload))


def run_all(
    executor: Executor | None, function: Callable[[ItemT], ResultT], items: Sequence[ItemT]
) -> list[ResultT]:
    """The results in order; all calls are over when it returns or raises.

    So no upload is aborted while another thread still sends a part of it, which would stay behind.
    """
    if executor is None:
        return [function(item) for item in items]
    futures = [executor.submit(function, item) for item in items]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
