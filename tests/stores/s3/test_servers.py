"""The S3 client against real servers: objects, names, listings, multipart uploads, conditions, failures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from syncer.clock import SystemClock
from syncer.errors import AuthError, NotFound, PreconditionFailed, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.s3.client import S3Client
from syncer.stores.s3.conditions import BucketConditions, if_match, if_new, probe
from syncer.stores.s3.credentials import StaticCredentials
from syncer.stores.s3.multipart import MultipartUploads, composite_etag
from syncer.stores.s3.objects import CopySource, EtagForm, S3Bucket, md5_etag
from syncer.stores.s3.settings import locate
from tests.s3.servers import S3Server

NAMES = [
    "a b+c/é漢😀#%&=~;:@,!'()*.txt",
    "q?x=1&y",
    "dots/.hidden",
    "trailing ",
    "pl+us%20",
    'quote"<>&amp;',
    "back\\slash",
]
NONE, QUOTED, BARE = EtagForm
MIB = 1 << 20


def test_an_object_comes_back_as_it_was_put(bucket: S3Bucket) -> None:
    made = bucket.put("a", b"hello", meta={"mtime": "1.500000000"}, content_type="text/plain")
    head = bucket.head("a")
    assert head is not None
    assert (head.size, head.etag, dict(head.meta)) == (5, md5_etag(b"hello"), {"mtime": "1.500000000"})
    assert made.etag == head.etag and head.content_type.startswith("text/plain") and head.modified_ns > 0
    with bucket.get("a") as answer:
        assert answer.read() == b"hello"
    with bucket.get("a", start=1, end=3, etag=head.etag) as answer:
        assert answer.read() == b"el"
    with pytest.raises(PreconditionFailed):
        bucket.get("a", etag=md5_etag(b"other"))
    assert bucket.head("b") is None
    with pytest.raises(NotFound):
        bucket.get("b")
    bucket.delete("a")
    bucket.delete("a")
    assert bucket.head("a") is None


def test_a_stream_is_sent_without_being_held(bucket: S3Bucket) -> None:
    data = os.urandom(3 * MIB)

    def opened() -> Iterator[bytes]:
        yield from (data[at : at + 100_000] for at in range(0, len(data), 100_000))

    assert bucket.put("a", Body(open=opened, length=len(data))).etag == md5_etag(data)
    with bucket.get("a") as answer:
        assert answer.read() == data


def test_names_are_kept_as_they_are(bucket: S3Bucket, s3_server: S3Server) -> None:
    names = NAMES if s3_server.mock else [*NAMES, "new\nline\r"]
    if s3_server.kind == "seaweedfs":  # takes a backslash for a slash: `a\b` and `a/b` are one object there
        names = [name for name in names if "\\" not in name]
    for name in names:
        bucket.put(name, name.encode())
    assert sorted(row.key for row in bucket.rows()) == sorted(names)
    for name in names:
        with bucket.get(name) as answer:
            assert answer.read() == name.encode()
        bucket.copy(CopySource(key=name), "copy/" + name)
    assert bucket.delete_many([(name, "") for name in names]) == {}
    assert sorted(row.key for row in bucket.rows()) == sorted("copy/" + name for name in names)


def test_a_listing_goes_over_pages_in_order_of_utf8(bucket: S3Bucket) -> None:
    names = [*(f"d/{n:03}" for n in range(25)), "e"]
    for name in names:
        bucket.put(name, b"x")
    found: list[str] = []
    token = ""
    while True:
        page = bucket.page("d/", token=token, size=10)
        assert len(page.rows) <= 10
        found += [row.key for row in page.rows]
        token = page.token
        if not token:
            break
    assert found == names[:-1]
    assert [row.key for row in bucket.rows(after="d/022")] == ["d/023", "d/024", "e"]
    assert bucket.page(delimiter="/").prefixes == ("d/",)
    row = next(bucket.rows("e"))
    assert (row.size, row.etag) == (1, md5_etag(b"x")) and row.modified_ns > 0 and not row.archived


def test_a_multipart_upload_of_sent_and_copied_parts(bucket: S3Bucket) -> None:
    uploads = MultipartUploads(bucket)
    first = os.urandom(5 * MIB)
    bucket.put("source", first)
    upload = uploads.create("a", meta={"mtime": "2"})
    parts = [
        uploads.copy("a", upload, 1, CopySource(key="source"), 0, len(first)),
        uploads.send("a", upload, 2, b"tail"),
    ]
    assert [(part.number, part.size) for part in uploads.parts("a", upload)] == [(1, 5 * MIB), (2, 4)]
    assert [one.key for one in uploads.unfinished()] == ["a"]
    assert bucket.head("a") is None
    made = uploads.complete("a", upload, parts)
    head = bucket.head("a")
    assert head is not None and head.etag == made.etag
    assert composite_etag(parts) in (made.etag, "")
    assert dict(head.meta) == {"mtime": "2"}
    with bucket.get("a", start=5 * MIB - 2) as answer:
        assert answer.read() == first[-2:] + b"tail"
    assert list(uploads.unfinished()) == []
    uploads.abort("a", upload)


def test_a_short_part_that_is_not_the_last_is_refused(bucket: S3Bucket, s3_server: S3Server) -> None:
    uploads = MultipartUploads(bucket)
    upload = uploads.create("a")
    parts = [uploads.send("a", upload, number, b"short") for number in (1, 2)]
    with pytest.raises(Exception, match="EntityTooSmall"):
        uploads.complete("a", upload, parts)
    uploads.abort("a", upload)


def test_a_copy_keeps_or_replaces_the_metadata(bucket: S3Bucket) -> None:
    bucket.put("a", b"content", meta={"mtime": "1"})
    bucket.copy(CopySource(key="a"), "b")
    bucket.copy(CopySource(key="a"), "c", meta={"mtime": "3"})
    found = [bucket.head(key) for key in "bc"]
    assert [dict(head.meta) for head in found if head is not None] == [{"mtime": "1"}, {"mtime": "3"}]
    with pytest.raises(NotFound):
        bucket.copy(CopySource(key="nothing"), "d")


# -- conditions --------------------------------------------------------------------

EXPECTED = {
    "rgw": BucketConditions(
        put_new=True, put_match=BARE, get_match=True, atomic=True, copied_part_md5=True
    ),
    "swift": BucketConditions(
        put_new=True, complete_new=True, copy_new=True, delete_match=QUOTED, source_match=QUOTED,
        part_source_match=QUOTED, get_match=True, atomic=False,
        copied_part_md5=True,
    ),
    "seaweedfs": BucketConditions(
        put_new=True, put_match=QUOTED, complete_new=True, complete_match=QUOTED, copy_new=True,
        copy_match=QUOTED, delete_match=QUOTED, source_match=QUOTED, part_source_match=QUOTED,
        get_match=True, atomic=True,
    ),
    "moto": BucketConditions(
        put_new=True, put_match=QUOTED, complete_new=True, delete_match=QUOTED, get_match=True, atomic=True,
        copied_part_md5=True,
    ),
}  # fmt: skip


def test_the_conditions_of_each_server_are_found_out(bucket: S3Bucket, s3_server: S3Server) -> None:
    before = len(s3_server.control.requests())
    found = probe(bucket, ".syncer/")
    assert found == EXPECTED[s3_server.kind]
    assert BucketConditions.of(found.document()) == found
    assert len(s3_server.control.requests()) - before <= 60
    assert list(bucket.rows()) == [], "nothing is left behind"
    assert list(MultipartUploads(bucket).unfinished()) == []


def test_a_condition_that_is_heeded_keeps_what_is_there(bucket: S3Bucket, s3_server: S3Server) -> None:
    found = EXPECTED[s3_server.kind]
    etag = bucket.put("a", b"one").etag
    with pytest.raises(PreconditionFailed):
        bucket.put("a", b"two", conditions=if_new())
    if found.put_match is not NONE:
        with pytest.raises(PreconditionFailed):
            bucket.put("a", b"two", conditions=if_match(md5_etag(b"other"), found.put_match))
        bucket.put("a", b"three", conditions=if_match(etag, found.put_match))


def test_what_cannot_be_made_conditional_is_said() -> None:
    assert "DELETE" in EXPECTED["rgw"].unheeded and "PUT" not in EXPECTED["rgw"].unheeded
    assert "PUT" in EXPECTED["swift"].unheeded, "its If-None-Match is not atomic"
    assert EXPECTED["seaweedfs"].unheeded == ()


def test_conditions_in_another_shape_are_none() -> None:
    document = BucketConditions().document()
    assert BucketConditions.of(document) == BucketConditions()
    assert BucketConditions.of({**document, "put_new": "yes"}) is None
    assert BucketConditions.of({**document, "put_match": "sometimes"}) is None
    assert BucketConditions.of({}) is None


# -- failures ------------------------------------------------------------------------


def test_a_throttled_put_is_sent_again_with_its_body(bucket: S3Bucket, s3_server: S3Server) -> None:
    slow = "<Error><Code>SlowDown</Code></Error>"
    rule = s3_server.control.rule("status", method="PUT", status=503, body=slow, times=2)
    made = bucket.put("a", Body(open=lambda: iter([b"con", b"tent"]), length=7))
    assert made.etag == md5_etag(b"content") and rule.hits() == 2


def test_a_put_whose_answer_is_lost_is_not_sent_again(bucket: S3Bucket, s3_server: S3Server) -> None:
    rule = s3_server.control.rule("lose-answer", method="PUT", times=None)
    with pytest.raises(TransientError):
        bucket.put("a", b"content")
    assert rule.hits() == 1
    s3_server.control.reset()
    assert bucket.head("a") is not None


def test_a_read_is_tried_again_and_a_part_is(bucket: S3Bucket, s3_server: S3Server) -> None:
    bucket.put("a", b"content")
    s3_server.control.rule("drop", method="HEAD", times=2)
    assert bucket.head("a") is not None
    uploads = MultipartUploads(bucket)
    upload = uploads.create("b")
    s3_server.control.rule("lose-answer", method="PUT", times=1)
    part = uploads.send("b", upload, 1, b"part")
    assert uploads.complete("b", upload, [part]).etag == composite_etag([part])


def test_a_listing_that_breaks_off_is_no_listing(bucket: S3Bucket, s3_server: S3Server) -> None:
    for number in range(30):
        bucket.put(f"a{number}", b"")
    s3_server.control.rule("cut", method="GET", bytes=900, times=None)
    with pytest.raises(TransientError):
        list(bucket.rows())


def test_a_wrong_key_is_an_error_of_the_login_without_the_key(
    bucket: S3Bucket, s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    if s3_server.mock:
        pytest.skip("moto takes any key")
    caplog.set_level(logging.DEBUG)
    location = locate(provider="other", endpoint=s3_server.endpoint)
    keys = StaticCredentials(s3_server.access_key, lambda: "made-up-wrong-secret")
    with (
        closing(S3Client(location, bucket.client.bucket, keys, clock=SystemClock())) as client,
        pytest.raises(AuthError) as raised,
    ):
        S3Bucket(client).put("a", b"x")
    said = f"{raised.value.message} {raised.value.hint} {caplog.text} {keys.current()!r}"
    assert "made-up-wrong-secret" not in said


def test_one_connection_is_enough_for_one_thread(bucket: S3Bucket) -> None:
    bucket.put("a", b"content")
    for _ in range(3):
        assert bucket.head("a") is not None and bucket.head("b") is None
        list(bucket.rows())
        with bucket.get("a") as answer:
            answer.read()
        with pytest.raises(NotFound):
            bucket.get("b")
    pools = bucket.client._connected()[0].poolmanager.pools
    assert [pools.get(key).num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - it is no dict
