"""Garbage is what is ours, old enough, and needed by nothing; anything else stays."""

from __future__ import annotations

from syncer.stores.s3.garbage import GRACE_NS, BucketGarbage
from syncer.stores.s3.multipart import MultipartUploads, UnfinishedUpload
from syncer.stores.s3.names import BucketPath
from syncer.stores.s3.objects import ObjectRow, S3Bucket

PLACE = BucketPath.of("bucket/root")
NOW = 1_800_000_000_000_000_000
OLD, YOUNG = NOW - GRACE_NS - 1, NOW - GRACE_NS + 1
ETAG, OTHER = "0" * 32 + "-2", "1" * 32 + "-2"


def row(key: str, *, modified_ns: int = OLD, etag: str = "2" * 32, latest: bool = True) -> ObjectRow:
    return ObjectRow(key=key, size=1, etag=etag, modified_ns=modified_ns, latest=latest)


def found(ours: list[ObjectRow], objects: list[ObjectRow]) -> list[str]:
    garbage = BucketGarbage(PLACE, now_ns=NOW)
    garbage.ours(ours)
    garbage.needed([*ours, *objects])
    return [one.key for one in garbage.garbage()]


def test_old_helpers_and_probes_are_garbage_and_young_ones_are_not() -> None:
    ours = [
        row("root/.syncer/helpers/u/0"),
        row("root/.syncer/helpers/u/1", modified_ns=YOUNG),
        row("root/.syncer/helpers/u/2", modified_ns=0),
        row("root/.syncer/probe-1/a"),
        row("root/.syncer/root-id"),
        row("root/.syncer/trash/x"),
        row("root/.syncer/journal/1"),
    ]
    assert found(ours, []) == ["root/.syncer/helpers/u/0", "root/.syncer/probe-1/a"]


def test_a_companion_is_needed_while_a_version_has_its_etag() -> None:
    current, older = PLACE.recipe("root/a", ETAG), PLACE.recipe("root/a", OTHER)
    assert found([row(current), row(older)], [row("root/a", etag=ETAG)]) == [older]
    versions = [row("root/a", etag=ETAG), row("root/a", etag=OTHER, latest=False)]
    assert found([row(current), row(older)], versions) == []
    assert found([row(current)], [row("root/b", etag=ETAG)]) == [current], "of another object"
    assert found([row(PLACE.recipe("root/a", OTHER), modified_ns=YOUNG)], []) == []


def test_unfinished_uploads_below_the_root_are_garbage_when_they_are_old() -> None:
    uploads = [
        UnfinishedUpload(key="root/a", upload="1", begun_ns=OLD),
        UnfinishedUpload(key="root/a", upload="2", begun_ns=YOUNG),
        UnfinishedUpload(key="root/a", upload="3", begun_ns=0),
        UnfinishedUpload(key="elsewhere/a", upload="4", begun_ns=OLD),
    ]
    garbage = BucketGarbage(PLACE, now_ns=NOW)
    assert [one.upload for one in garbage.uploads(uploads)] == ["1"]


def test_the_listings_of_a_server_are_read(bucket: S3Bucket) -> None:
    place = BucketPath.of(f"{bucket.client.bucket}/root")
    etag = bucket.put(place.key("a"), b"content").etag
    needed, orphan = place.recipe(place.key("a"), etag), place.recipe(place.key("a"), OTHER)
    for key in (f"{place.helpers}u/0", needed, orphan, place.key("b")):
        bucket.put(key, b"x")
    uploads = MultipartUploads(bucket)
    uploads.create(place.key("c"))
    garbage = BucketGarbage(place, now_ns=4_000_000_000_000_000_000)
    garbage.ours(bucket.rows(place.private))
    garbage.needed(bucket.rows(place.prefix))
    assert {one.key for one in garbage.garbage()} == {f"{place.helpers}u/0", orphan}
    assert [one.key for one in garbage.uploads(uploads.unfinished(place.prefix))] == [place.key("c")]
