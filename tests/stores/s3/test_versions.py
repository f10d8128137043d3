"""Buckets that keep old versions: listed, read, copied from and removed one by one."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from syncer.stores.s3.client import S3Request
from syncer.stores.s3.conditions import probe
from syncer.stores.s3.delta import NewRange, OldRange, plan
from syncer.stores.s3.delta_upload import DeltaUpload
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import CopySource, EtagForm, S3Bucket
from tests.s3.servers import S3Server
from tests.stores.s3.test_delta_upload import HELPERS, SLOW
from tests.stores.s3.test_servers import EXPECTED

ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


@pytest.fixture
def versioned(bucket: S3Bucket) -> S3Bucket:
    assert not bucket.versioned()
    bucket.client.ask(S3Request(method="PUT", query=(("versioning", ""),), body=ENABLED))
    assert bucket.versioned()
    return bucket


def test_old_versions_and_delete_markers_are_listed(versioned: S3Bucket, s3_server: S3Server) -> None:
    first = versioned.put("a", b"one")
    time.sleep(1.1)  # versions of one second may be listed in any order
    second = versioned.put("a", b"second")
    versioned.put("b", b"")
    time.sleep(1.1)
    versioned.delete("a")
    assert versioned.head("a") is None
    rows = [row for row in versioned.versions() if row.key == "a"]
    if s3_server.mock:  # lists the delete markers of a page behind its versions
        rows.sort(key=lambda row: not row.deleted)
    assert [row.deleted for row in rows] == [True, False, False]
    assert [row.version for row in rows[1:]] == [second.version, first.version]
    assert [row.size for row in rows[1:]] == [6, 3] and [row.latest for row in rows] == [True, False, False]
    with versioned.get("a", version=first.version) as answer:
        assert answer.read() == b"one"
    versioned.delete("a", version=rows[0].version)
    head = versioned.head("a")
    assert head is not None and head.version == second.version


def test_a_copy_from_an_old_version_is_that_version(versioned: S3Bucket) -> None:
    first = versioned.put("a", b"one")
    versioned.put("a", b"second")
    versioned.copy(CopySource(key="a", version=first.version), "b")
    uploads = MultipartUploads(versioned)
    upload = uploads.create("c")
    part = uploads.copy("c", upload, 1, CopySource(key="a", version=first.version), 1, 2)
    uploads.complete("c", upload, [part])
    with versioned.get("b") as whole, versioned.get("c") as piece:
        assert (whole.read(), piece.read()) == (b"one", b"ne")


def test_a_delta_upload_leaves_no_version_of_a_helper(versioned: S3Bucket) -> None:
    old = os.urandom(12 << 20)
    versioned.put("a", old)
    new, pieces = old[: 6 << 20] + b"!" + old[6 << 20 :], [OldRange(0, 6 << 20), NewRange(6 << 20, 1)]
    made = plan([*pieces, OldRange(6 << 20, 6 << 20)], old_size=len(old), line=SLOW)
    assert made is not None and made.helpers
    DeltaUpload(
        versioned, key="a", source=CopySource(key="a"), plan=made, helpers=HELPERS, versioned=True,
        read=lambda start, length: new[start : start + length],
    ).run(meta={})  # fmt: skip
    assert [row.key for row in versioned.versions()] == ["a", "a"]
    with versioned.get("a") as answer:
        assert answer.read() == new


def test_probing_a_versioned_bucket_leaves_nothing_behind(versioned: S3Bucket, s3_server: S3Server) -> None:
    expected = dict(EXPECTED)
    # In a versioned bucket these two heed less than elsewhere.
    expected["rgw"] = replace(EXPECTED["rgw"], put_new=False, put_match=EtagForm.NONE)
    expected["swift"] = replace(EXPECTED["swift"], delete_match=EtagForm.NONE)
    assert probe(versioned, ".syncer/") == expected[s3_server.kind]
    assert list(versioned.versions()) == []
