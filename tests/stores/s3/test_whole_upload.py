"""A large file goes up in parts; one that broke off goes on, and never with parts of another content."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncer.errors import PermanentError, TransientError
from syncer.stores.s3.delta import LIMITS, MIB
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import S3Bucket
from syncer.stores.s3.whole_upload import WholeUpload, part_size
from tests.s3.servers import S3Server

PART = 5 * MIB


@pytest.mark.parametrize("size", [1, 8 * MIB, 9 * MIB, 100 << 30, LIMITS.max_object])
def test_parts_fit_the_limits(size: int) -> None:
    assert LIMITS.min_part <= part_size(size) <= LIMITS.max_part
    assert -(-size // part_size(size)) <= LIMITS.max_parts


def of(bucket: S3Bucket, data: bytes) -> WholeUpload:
    def read(start: int, length: int) -> bytes:
        return data[start : start + length]

    return WholeUpload(bucket, key="a", size=len(data), read=read, part=PART)


def content(bucket: S3Bucket) -> bytes:
    with bucket.get("a") as answer:
        return answer.read(1 << 30)


def test_an_upload_that_broke_off_goes_on(bucket: S3Bucket, s3_server: S3Server) -> None:
    data = os.urandom(3 * PART + 100)
    ids: list[str] = []
    s3_server.control.rule("status", method="PUT", query="partNumber=3", status=500, times=None)
    with pytest.raises(TransientError):
        of(bucket, data).run(meta={"mtime": "1"}, created=ids.append)
    s3_server.control.reset()
    made = of(bucket, data).run(meta={"mtime": "1"}, upload=ids[0], created=ids.append)
    assert len(ids) == 1
    sent = sum(one.received for one in s3_server.control.requests(method="PUT"))
    assert sent == PART + 100, "only what was missing"
    head = bucket.head("a")
    assert head is not None and head.etag == made.etag and dict(head.meta) == {"mtime": "1"}
    assert content(bucket) == data


def test_parts_of_another_content_are_sent_anew(bucket: S3Bucket) -> None:
    data = os.urandom(PART + 9)
    uploads = MultipartUploads(bucket)
    upload = uploads.create("a")
    uploads.send("a", upload, 1, os.urandom(PART))
    with ThreadPoolExecutor(2) as executor:
        of(bucket, data).run(meta={}, upload=upload, executor=executor)
    assert content(bucket) == data


def test_an_upload_that_is_gone_is_made_anew(bucket: S3Bucket) -> None:
    uploads = MultipartUploads(bucket)
    upload = uploads.create("a")
    uploads.abort("a", upload)
    of(bucket, b"content").run(meta={}, upload=upload)
    assert content(bucket) == b"content"


def test_a_refused_upload_leaves_nothing_behind(bucket: S3Bucket, s3_server: S3Server) -> None:
    s3_server.control.rule("status", method="PUT", query="partNumber=1", status=400)
    with pytest.raises(PermanentError):
        of(bucket, b"content").run(meta={})
    assert list(MultipartUploads(bucket).unfinished()) == [] and bucket.head("a") is None
