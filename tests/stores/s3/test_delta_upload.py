"""A delta upload on real servers: the new content, or the old one; never a part, and nothing left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncer.errors import NotFound, PreconditionFailed, StoreError, TransientError
from syncer.stores.s3.delta import LineSpeed, NewRange, OldRange, Piece, plan
from syncer.stores.s3.delta_upload import DeltaUpload
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import CopySource, EtagForm, S3Bucket, md5_etag
from tests.s3.servers import S3Server
from tests.stores.s3.test_servers import EXPECTED

MIB = 1 << 20
SLOW = LineSpeed(latency=0.001, bandwidth=1e6, copy_rate=1e9)
HELPERS = ".syncer/helpers/"


@pytest.fixture(scope="module")
def old() -> bytes:
    return os.urandom(24 * MIB)


def pieces_of(old: bytes) -> tuple[bytes, list[Piece]]:
    """Bytes in front, two edits close to each other, one alone, and bytes at the end."""
    new = bytearray(old)
    new[9 * MIB : 9 * MIB + 100] = os.urandom(100)
    new[10 * MIB : 10 * MIB + 100] = os.urandom(100)
    new[18 * MIB : 18 * MIB + 1] = bytes([new[18 * MIB] ^ 1])
    content = b"front" + bytes(new) + b"end"
    edits = [(9 * MIB, 100), (10 * MIB, 100), (18 * MIB, 1)]
    pieces: list[Piece] = [NewRange(0, 5)]
    at = 0
    for start, length in edits:
        pieces += [OldRange(at, start - at), NewRange(start + 5, length)]
        at = start + length
    return content, [*pieces, OldRange(at, len(old) - at), NewRange(len(old) + 5, 3)]


def upload(
    bucket: S3Bucket, old: bytes, source: CopySource, *, check_parts: bool = False
) -> tuple[bytes, DeltaUpload]:
    new, pieces = pieces_of(old)
    found = plan(pieces, old_size=len(old), line=SLOW)
    assert found is not None and found.helpers and found.sent == 5 + 201 + 3
    read = lambda start, length: new[start : start + length]  # noqa: E731
    return new, DeltaUpload(
        bucket, key="a", source=source, plan=found, read=read, helpers=HELPERS, check_parts=check_parts
    )


def content(bucket: S3Bucket) -> bytes:
    with bucket.get("a") as answer:
        return answer.read(1 << 30)


def test_only_the_new_bytes_are_sent(bucket: S3Bucket, s3_server: S3Server, old: bytes) -> None:
    bucket.put("a", old)
    new, delta = upload(bucket, old, CopySource(key="a"))
    s3_server.control.clear()
    with ThreadPoolExecutor(3) as executor:
        made = delta.run(meta={"mtime": "5"}, executor=executor)
    assert sum(one.received for one in s3_server.control.requests()) < 20_000
    head = bucket.head("a")
    assert head is not None and head.etag == made.etag and dict(head.meta) == {"mtime": "5"}
    assert content(bucket) == new
    assert [row.key for row in bucket.rows()] == ["a"]
    assert list(MultipartUploads(bucket).unfinished()) == []


def test_a_failure_leaves_the_old_content_and_no_helper(
    bucket: S3Bucket, s3_server: S3Server, old: bytes
) -> None:
    bucket.put("a", old)
    _, delta = upload(bucket, old, CopySource(key="a"))
    s3_server.control.rule("status", method="PUT", status=400, query="partNumber=2", after=2, times=1)
    with pytest.raises(StoreError):
        delta.run(meta={})
    assert content(bucket) == old
    assert [row.key for row in bucket.rows()] == ["a"]
    assert list(MultipartUploads(bucket).unfinished()) == []


def test_an_answer_that_is_lost_at_the_end_leaves_the_new_content(
    bucket: S3Bucket, s3_server: S3Server, old: bytes
) -> None:
    bucket.put("a", old)
    new, delta = upload(bucket, old, CopySource(key="a"))
    path = f"/{bucket.client.bucket}/a"
    s3_server.control.rule("lose-answer", method="POST", path=path, query="uploadId")
    with pytest.raises(TransientError):
        delta.run(meta={})
    assert content(bucket) == new
    assert [row.key for row in bucket.rows()] == ["a"]


def test_a_source_that_changed_is_refused_where_the_service_heeds_it(
    bucket: S3Bucket, s3_server: S3Server, old: bytes
) -> None:
    form = EXPECTED[s3_server.kind].part_source_match
    if form is EtagForm.NONE:
        pytest.skip("the condition is ignored here; the caller looks before Complete")
    bucket.put("a", old)
    source = CopySource(key="a", etag=md5_etag(b"another content"), form=form)
    _, delta = upload(bucket, old, source)
    with pytest.raises(PreconditionFailed):
        delta.run(meta={})
    assert content(bucket) == old


def test_parts_that_hold_other_bytes_than_expected_are_never_completed(
    bucket: S3Bucket, s3_server: S3Server, old: bytes
) -> None:
    """Also where the service ignores the condition on the source: Ceph, moto."""
    if not EXPECTED[s3_server.kind].copied_part_md5:
        pytest.skip("the ETag of a copied part is not that of its content here")
    other = old[: 20 * MIB] + bytes([old[20 * MIB] ^ 1]) + old[20 * MIB + 1 :]
    bucket.put("a", other)
    _, delta = upload(bucket, old, CopySource(key="a"), check_parts=True)
    with pytest.raises(PreconditionFailed):
        delta.run(meta={})
    assert content(bucket) == other
    bucket.put("a", old)
    new, delta = upload(bucket, old, CopySource(key="a"), check_parts=True)
    delta.run(meta={})
    assert content(bucket) == new


def test_the_caller_may_refuse_right_before_complete(bucket: S3Bucket, old: bytes) -> None:
    bucket.put("a", old)
    _, delta = upload(bucket, old, CopySource(key="a"))

    def refuse() -> None:
        raise NotFound("the object is gone")

    with pytest.raises(NotFound):
        delta.run(meta={}, before_complete=refuse)
    assert content(bucket) == old
    assert [row.key for row in bucket.rows()] == ["a"]
