"""Metadata, keys, settings and XML of S3 are read as other tools mean them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.errors import (
    AuthError,
    ConfigError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    TransientError,
    Unholdable,
    Unreadable,
)
from syncer.stores.s3 import xml
from syncer.stores.s3.client import S3Request, S3Response
from syncer.stores.s3.errors import refusal
from syncer.stores.s3.metadata import (
    digest_of,
    executable_of,
    file_meta,
    is_directory,
    is_symlink,
    mode_of,
    mtime_of,
    symlink_meta,
)
from syncer.stores.s3.names import BucketPath, checked, wrong_bucket
from syncer.stores.s3.objects import result
from syncer.stores.s3.settings import Addressing, ObjectOptions, locate


@given(st.integers(-(1 << 62), 1 << 62))
def test_a_time_comes_back_to_the_nanosecond(mtime_ns: int) -> None:
    assert mtime_of(file_meta(mtime_ns=mtime_ns, executable=None)) == mtime_ns


@pytest.mark.parametrize(
    ("text", "mtime"),
    [
        ("1354040105.123456789", 1354040105123456789),  # rclone
        ("1354040105", 1354040105000000000),  # s3fs
        ("0", 0),
        ("-1.5", -1500000000),
        ("1e999999999", None),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_times_of_other_tools(text: str, mtime: int | None) -> None:
    assert mtime_of({"mtime": text}) == mtime


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("33188", 0o100644),  # s3fs: decimal
        ("33261", 0o100755),
        ("16877", 0o040755),
        ("41471", 0o120777),
        ("100644", 0o100644),  # rclone --metadata: octal
        ("0100755", 0o100755),
        ("120777", 0o120777),
        ("755", 0o755),
        ("8", None),
        ("-1", None),
        ("٣", None),
        ("99999999", None),
    ],
)
def test_modes_of_s3fs_and_rclone(text: str, mode: int | None) -> None:
    assert mode_of({"mode": text}) == mode


def test_the_executable_bit_is_ours_or_that_of_a_mode() -> None:
    assert executable_of(file_meta(mtime_ns=1, executable=True)) is True
    assert executable_of({"mode": "33261"}) is True
    assert executable_of({"mode": "33188"}) is False
    assert executable_of({"mode": "16877"}) is None
    assert executable_of({}) is None


def test_a_digest_counts_only_beside_its_etag() -> None:
    digest = bytes(range(32))
    meta = file_meta(mtime_ns=None, executable=None, digest=digest, etag="ab")
    assert digest_of(meta, "ab") == digest
    assert digest_of(meta, "cd") is None
    assert digest_of({"syncer-digest": "zz/ab"}, "ab") is None
    assert file_meta(mtime_ns=None, executable=None, digest=digest) == {}


def test_symlinks_are_those_of_ours_and_of_s3fs() -> None:
    assert is_symlink(symlink_meta(mtime_ns=5), 4, "inode/symlink")
    assert is_symlink({"mode": "41471"}, 4, "application/octet-stream")
    assert not is_symlink({"mode": "41471"}, 5000, "")
    assert not is_symlink({}, 4, "text/plain")


def test_directories_are_empty_objects_of_a_kind() -> None:
    assert is_directory("a/", 0) and is_directory("a", 0, "application/x-directory; charset=UTF-8")
    assert not is_directory("a/", 3) and not is_directory("a", 0, "text/plain")


def test_a_location_is_a_bucket_and_a_prefix() -> None:
    place = BucketPath.of("/bucket/some/folder/")
    assert (place.bucket, place.prefix) == ("bucket", "some/folder/")
    assert place.key("a/b") == "some/folder/a/b" and place.path("some/folder/a/b") == "a/b"
    companion = place.recipe("some/folder/a", "0" * 32 + "-12")
    found = place.recipe_of(companion)
    assert found is not None and found[1] == "0" * 32 + "-12"
    assert place.recipe_of(companion + "x") is None and place.recipe_of("some/folder/a") is None
    assert len(place.recipe("x" * 1024, "0" * 32)) < 200


def test_names_that_no_object_may_have_are_refused() -> None:
    assert checked("a/b.txt") == "a/b.txt"
    for path in ("", ".syncer/x", "a/../b", "x" * 300, "/".join(["d" * 200] * 6), "\udcff"):
        with pytest.raises(Unholdable):
            checked(path)
    assert (
        wrong_bucket("ab") and wrong_bucket("UPPER") and wrong_bucket("1.2.3.4") and not wrong_bucket("a-b.c")
    )


def test_presets_give_endpoint_and_addressing() -> None:
    aws = locate(region="eu-west-3", bucket="b")
    assert aws.url("b") == "https://b.s3.eu-west-3.amazonaws.com"
    assert locate(region="eu-west-3", bucket="b.c").url("b.c") == "https://s3.eu-west-3.amazonaws.com/b.c"
    assert locate(provider="ovh").url("b") == "https://s3.gra.io.cloud.ovh.net/b"
    own = locate(provider="minio", endpoint="http://127.0.0.1:9000/", addressing=Addressing.HOST)
    assert own.url("b") == "http://b.127.0.0.1:9000"


def test_settings_without_a_place_are_refused() -> None:
    for settings in ({"provider": "ceph"}, {"provider": "nobody"}, {"endpoint": "s3.example.net"}):
        with pytest.raises(ConfigError):
            locate(**settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="scheme and a host") as raised:
        locate(endpoint="https://user:made-up-pass@s3.example.net")
    assert "made-up-pass" not in raised.value.message


def test_options_are_headers_and_their_key_is_no_text() -> None:
    options = ObjectOptions(storage_class="STANDARD_IA", customer_key=bytes(range(32)), requester_pays=True)
    assert options.creating()["x-amz-storage-class"] == "STANDARD_IA"
    assert "x-amz-server-side-encryption-customer-key" in options.reading()
    assert "x-amz-copy-source-server-side-encryption-customer-key" in options.copied()
    assert "AAEC" not in repr(options) and "\\x01" not in repr(options)
    assert not options.etag_is_md5 and ObjectOptions(encryption="AES256").etag_is_md5


@pytest.mark.parametrize(
    ("method", "status", "code", "kind"),
    [
        ("GET", 404, "NoSuchKey", NotFound),
        ("HEAD", 404, "", NotFound),
        ("GET", 404, "NoSuchBucket", NotFound),
        ("PUT", 412, "PreconditionFailed", PreconditionFailed),
        ("PUT", 409, "ConditionalRequestConflict", PreconditionFailed),
        ("GET", 403, "AccessDenied", Unreadable),
        ("PUT", 403, "AccessDenied", PermanentError),
        ("PUT", 403, "QuotaExceeded", QuotaExceeded),
        ("PUT", 403, "SignatureDoesNotMatch", AuthError),
        ("PUT", 403, "RequestTimeTooSkewed", AuthError),
        ("PUT", 400, "ExpiredToken", AuthError),
        ("PUT", 400, "KeyTooLongError", Unholdable),
        ("PUT", 400, "BadDigest", TransientError),
        ("PUT", 400, "RequestTimeout", TransientError),
        ("PUT", 503, "SlowDown", TransientError),
        ("GET", 500, "InternalError", TransientError),
        ("GET", 403, "InvalidObjectState", Unreadable),
        ("PUT", 501, "NotImplemented", PermanentError),
        ("GET", 301, "PermanentRedirect", PermanentError),
        ("GET", 301, "", PermanentError),
        ("PUT", 418, "Teapot", PermanentError),
    ],
)
def test_refusals_are_errors_of_their_kind(
    method: str, status: int, code: str, kind: type[Exception]
) -> None:
    error = refusal(method, status, code, "secret words of the service", {}, "a/b")
    assert type(error) is kind
    assert "secret words" not in error.message + error.hint


def test_object_lock_is_said() -> None:
    error = refusal(
        "DELETE", 403, "AccessDenied", "Access Denied because object protected by object lock.", {}, "a"
    )
    assert "object lock" in error.message


# -- XML ---------------------------------------------------------------------------


PAGE = (
    b'\n  <?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
    b"<Contents><Key>a%20b</Key><Size>3</Size><Owner><ID>me</ID></Owner></Contents>"
    b"<Contents><Key>c&amp;d</Key><Size>4</Size></Contents><IsTruncated>false</IsTruncated></ListBucketResult>"
)


@given(st.lists(st.integers(1, 40), max_size=30))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(lengths: list[int]) -> None:
    pieces, at = [], 0
    for length in lengths:
        pieces.append(PAGE[at : at + length])
        at += length
    document = xml.parse([*pieces, PAGE[at:]], ("Contents",))
    assert document.root == "ListBucketResult" and document.fields["IsTruncated"] == "false"
    assert document.of("Contents") == [
        {"Key": "a%20b", "Size": "3", "Owner/ID": "me", "Owner": ""},
        {"Key": "c&d", "Size": "4"},
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>no",
        PAGE[:-20],
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"<a>" * 13 + b"</a>" * 13,
        b"<a>" + b"x" * 70_000 + b"</a>",
        b"<a>" + b"<r/>" * 11 + b"</a>",
        b"<a>" + b"".join(b"<f%d/>" % n for n in range(300)) + b"</a>",
        b"<a>\x00</a>",
    ],
)
def test_hostile_answers_are_malformed(content: bytes) -> None:
    with pytest.raises(xml.MalformedXml):
        xml.parse([content], ("r",), most=10)


def test_a_failure_with_status_200_is_an_error() -> None:
    call = S3Request(method="POST", key="a", about="a")
    failed = b"\n\n<?xml version='1.0'?><Error><Code>InternalError</Code><Message>m</Message></Error>"
    with pytest.raises(TransientError):
        result(S3Response(status=200, headers={}, content=failed), call)
    changed = b"<Error><Code>PreconditionFailed</Code></Error>"
    with pytest.raises(PreconditionFailed):
        result(S3Response(status=200, headers={}, content=changed), call)


@given(st.text(max_size=30))
def test_keys_in_a_bulk_delete_come_back_as_they_are(key: str) -> None:
    if xml.representable(key):
        document = xml.parse([xml.delete([(key, "v1")])], ("Object",))
        assert document.of("Object") == [{"Key": key, "VersionId": "v1"}]
