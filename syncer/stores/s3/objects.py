"""Operations on objects of one bucket: list, HEAD, GET, PUT, copy, delete; a request each, no decisions.

ETags are values without quotes; in a condition they are quoted, or bare where a service wants that
(`conditions.EtagForm`). AwsKeys are full names of objects, not paths below a prefix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import partial
from urllib.parse import unquote_plus

from syncer.errors import PermanentError, StoreError, TransientError
from syncer.stores.http.bodies import Body
from syncer.stores.remote.object_names import quoted
from syncer.stores.s3 import xml
from syncer.stores.s3.client import COPY_SECONDS, S3Client, S3Request, S3Response, S3Stream
from syncer.stores.s3.errors import refusal

PAGE = 1000  # keys of a page, and of a bulk delete
META = "x-amz-meta-"
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class EtagForm(Enum):
    """How a service wants an ETag in a condition; NONE: it does not heed the condition."""

    NONE = ""
    QUOTED = "quoted"
    BARE = "bare"

    def of(self, etag: str) -> str:
        """The header's value. NONE has none."""
        assert self is not EtagForm.NONE, "a condition that is not heeded is not sent"
        return f'"{etag}"' if self is EtagForm.QUOTED else etag


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """One object in a listing. `modified_ns`: since 1970, by the service's clock."""

    key: str
    size: int
    etag: str
    modified_ns: int
    storage_class: str = ""
    version: str = ""  # of a versions listing
    latest: bool = True
    deleted: bool = False  # a delete marker

    @property
    def archived(self) -> bool:
        """Whether its class needs a restore before it can be read (Glacier)."""
        return self.storage_class in _ARCHIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """A page of a listing: objects, common prefixes (with a delimiter), and where the next one starts."""

    rows: tuple[ObjectRow, ...]
    prefixes: tuple[str, ...]
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHead:
    """What the headers of HEAD and GET say of an object. `size`: of the whole, also in a ranged answer."""

    size: int
    etag: str
    modified_ns: int
    content_type: str
    version: str
    storage_class: str
    archived: bool
    meta: Mapping[str, str] = field(repr=False)  # names in small letters, without the prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenObject:
    """What a PUT, a copy or a Complete made."""

    etag: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """What is copied from: an object of the same bucket, pinned by version id or ETag where heeded."""

    key: str
    version: str = ""
    etag: str = ""
    form: EtagForm = EtagForm.NONE

    def headers(self, bucket: str) -> dict[str, str]:
        """The headers that name the source, percent-encoded, and the condition on it."""
        name = f"/{bucket}/{quoted(self.key)}"
        headers = {"x-amz-copy-source": f"{name}?versionId={self.version}" if self.version else name}
        if self.etag and self.form is not EtagForm.NONE:
            headers["x-amz-copy-source-if-match"] = self.form.of(self.etag)
        return headers


class S3Bucket:
    """The operations. Safe to share between threads."""

    def __init__(self, client: S3Client) -> None:
        self.client = client
        self.options = client.options

    # -- the bucket ----------------------------------------------------------------

    def exists(self) -> bool:
        """Whether the bucket is there. Raises Unreadable where it is somebody else's."""
        return self.client.ask(S3Request(method="HEAD", accept=(404,))).status != 404

    def create(self) -> None:
        """Makes the bucket; nothing happens where we own it already. Raises PermanentError."""
        region = self.client.location.region
        aws = "amazonaws.com" in self.client.location.endpoint
        body = xml.location(region) if aws and region != "us-east-1" else None
        reply = self.client.ask(S3Request(method="PUT", body=body, accept=(409,)))
        if reply.status == 409 and xml.parse([reply.content]).fields.get("Code") != "BucketAlreadyOwnedByYou":
            raise PermanentError("the bucket's name is taken by another account", hint="choose another name")

    def delete_bucket(self) -> None:
        self.client.ask(S3Request(method="DELETE"))

    def versioned(self) -> bool:
        """Whether old versions are kept. False where the service has no versioning."""
        reply = self.client.ask(
            S3Request(method="GET", query=(("versioning", ""),), accept=(400, 403, 404, 405, 501))
        )
        return reply.status == 200 and xml.parse([reply.content]).fields.get("Status") == "Enabled"

    # -- listings --------------------------------------------------------------------

    def page(
        self, prefix: str = "", *, after: str = "", token: str = "", delimiter: str = "", size: int = PAGE
    ) -> ObjectPage:
        """One page of ListObjectsV2, keys in ascending UTF-8 order. `after`: the key before the first."""
        query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(size)), ("prefix", prefix)]
        query += [("delimiter", delimiter)] if delimiter else []
        query += [("continuation-token", token)] if token else [("start-after", after)] if after else []
        document = self._listed(query, ("Contents", "CommonPrefixes"))
        decode = key_decoder(document)
        return ObjectPage(
            rows=tuple(_row(row, decode(row.get("Key", ""))) for row in document.of("Contents")),
            prefixes=tuple(decode(row.get("Prefix", "")) for row in document.of("CommonPrefixes")),
            token=_next(document, "NextContinuationToken"),
        )

    def rows(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectRow]:
        """All objects below a prefix, page by page: memory is bounded by one page."""
        token = ""
        while True:
            page = self.page(prefix, after=after, token=token)
            yield from page.rows
            if not page.token:
                return
            if page.token == token:
                raise TransientError("the S3 listing does not go on: the same page came twice")
            token = page.token

    def versions(self, prefix: str = "") -> Iterator[ObjectRow]:
        """All versions and delete markers below a prefix, of each key the newest first."""
        key = version = ""
        while True:
            query = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(PAGE)), ("prefix", prefix)]
            query += [("key-marker", key)] if key else []
            query += [("version-id-marker", version)] if version else []
            document = self._listed(query, ("Version", "DeleteMarker"))
            decode = key_decoder(document)
            for kind, row in document.rows:
                yield _row(row, decode(row.get("Key", "")), deleted=kind == "DeleteMarker")
            if document.fields.get("IsTruncated") != "true":
                return
            following = (
                decode(_next(document, "NextKeyMarker")),
                document.fields.get("NextVersionIdMarker", ""),
            )
            if following == (key, version):
                raise TransientError("the S3 listing does not go on: the same page came twice")
            key, version = following

    def _listed(self, query: Sequence[tuple[str, str]], rows: Sequence[str]) -> xml.XmlDocument:
        with self.client.stream(S3Request(method="GET", query=query)) as answer:
            # A page has 1,000 keys; a service that sends many more is cut off before memory is short.
            return xml.parse(answer.pieces(64 << 10), rows, most=10 * PAGE)

    # -- objects -------------------------------------------------------------------------

    def head(self, key: str, *, version: str = "", about: str = "") -> ObjectHead | None:
        """None where there is no such object."""
        reply = self.head_reply(key, version=version, about=about)
        return None if reply.status == 404 else head_of(reply.headers)

    def head_reply(self, key: str, *, version: str = "", about: str = "") -> S3Response:
        """The answer to HEAD with all its headers; status 404 where there is no such object."""
        query = (("versionId", version),) if version else ()
        return self.client.ask(
            S3Request(
                method="HEAD", key=key, query=query, headers=self.options.reading(), accept=(404,),
                about=about or key,
            )
        )  # fmt: skip

    def get(
        self,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        etag: str = "",
        version: str = "",
        about: str = "",
    ) -> S3Stream:
        """The content from `start`, up to (not including) `end`; to be closed.

        With `etag`, raises PreconditionFailed where the object has another one by now. Raises NotFound,
        Unreadable, and PermanentError where a range was asked for and the whole object came.
        """
        headers = dict(self.options.reading())
        ranged = start > 0 or end is not None
        if ranged:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if etag:
            headers["If-Match"] = f'"{etag}"'
        query = (("versionId", version),) if version else ()
        stream = self.client.stream(
            S3Request(method="GET", key=key, query=query, headers=headers, about=about or key)
        )
        if ranged and not self._is_range(stream.headers, start, end):
            status = stream.status
            stream.close()
            raise PermanentError(f"{about or key}: the service sent another range (status {status})")
        return stream

    @staticmethod
    def _is_range(headers: Mapping[str, str], start: int, end: int | None) -> bool:
        found = re.match(r"bytes (\d{1,20})-(\d{1,20})/", headers.get("Content-Range", ""))
        return found is not None and int(found[1]) == start and (end is None or int(found[2]) < end)

    def put(
        self,
        key: str,
        body: bytes | Body,
        *,
        meta: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
        conditions: Mapping[str, str] | None = None,
        about: str = "",
    ) -> WrittenObject:
        """PutObject of up to 5 GiB. `conditions`: If-Match or If-None-Match.

        Content given as bytes is checked by the service (Content-MD5, SHA-256). For a stream the caller
        compares the ETag with the MD5 of what it sent (`ObjectOptions.etag_is_md5`).
        """
        headers = {**self._new(meta, content_type), **(conditions or {})}
        reply = self.client.ask(
            S3Request(method="PUT", key=key, headers=headers, body=body, about=about or key)
        )
        return written(reply.headers)

    def copy(
        self,
        source: CopySource,
        key: str,
        *,
        meta: Mapping[str, str] | None = None,
        content_type: str = "application/octet-stream",
        conditions: Mapping[str, str] | None = None,
        about: str = "",
    ) -> WrittenObject:
        """CopyObject of up to 5 GiB, with the source's metadata, or with `meta` instead."""
        headers = {**source.headers(self.client.bucket), **self.options.copied(), **(conditions or {})}
        if meta is None:
            headers |= self.options.creating()
        else:
            headers |= {**self._new(meta, content_type), "x-amz-metadata-directive": "REPLACE"}
        call = S3Request(method="PUT", key=key, headers=headers, about=about or key, seconds=COPY_SECONDS)
        reply = self.client.ask(call)
        document = result(reply, call)
        return WrittenObject(etag=bare(document.fields.get("ETag", "")), version=version_of(reply.headers))

    def delete(
        self, key: str, *, version: str = "", conditions: Mapping[str, str] | None = None, about: str = ""
    ) -> None:
        """Removes an object, or one version of it; also where there is none."""
        query = (("versionId", version),) if version else ()
        self.client.ask(
            S3Request(
                method="DELETE", key=key, query=query, headers=conditions or {}, accept=(404,),
                about=about or key, repeatable=not conditions,
            )
        )  # fmt: skip

    def delete_many(self, keys: Sequence[tuple[str, str]]) -> dict[str, StoreError]:
        """DeleteObjects: up to 1,000 keys with version ids (""); an error for each key that was refused.

        AwsKeys that XML cannot hold are deleted one by one.
        """
        failed: dict[str, StoreError] = {}
        listed = [(key, version) for key, version in keys if xml.representable(key)]
        for start in range(0, len(listed), PAGE):
            body = xml.delete(listed[start : start + PAGE])
            call = S3Request(method="POST", query=(("delete", ""),), body=body, repeatable=True)
            document = result(self.client.ask(call), call, ("Error",))
            for row in document.of("Error"):
                code = row.get("Code", "")
                if code in ("NoSuchKey", "NoSuchVersion"):
                    continue
                key = row.get("Key", "")
                status = 503 if code in ("SlowDown", "InternalError", "ServiceUnavailable") else 403
                failed[key] = refusal("DELETE", status, code, row.get("Message", ""), {}, key)
        for key, version in keys:
            if not xml.representable(key):
                self.delete(key, version=version)
        return failed

    def _new(self, meta: Mapping[str, str] | None, content_type: str) -> dict[str, str]:
        fields = {META + name: value for name, value in (meta or {}).items()}
        return {"Content-Type": content_type, **self.options.creating(), **fields}


def result(reply: S3Response, call: S3Request, rows: Sequence[str] = ()) -> xml.XmlDocument:
    """The document of an answer that may report its failure with status 200 (copies, Complete).

    Raises the error that it reports.
    """
    document = xml.parse([reply.content], rows)
    if document.root == "Error":
        code, message = document.fields.get("Code", ""), document.fields.get("Message", "")
        raise refusal(
            call.method, 500 if code == "InternalError" else 400, code, message, reply.headers, call.about
        )
    return document


def head_of(headers: Mapping[str, str]) -> ObjectHead:
    """The values in the headers of an answer to HEAD or GET. Raises TransientError without a size."""
    total = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    if not re.fullmatch(r"\d{1,20}", total):
        raise TransientError("the S3 answer does not say how large the object is")
    storage_class = headers.get("x-amz-storage-class", "")
    restored = 'ongoing-request="false"' in headers.get("x-amz-restore", "")
    return ObjectHead(
        size=int(total),
        etag=bare(headers.get("ETag", "")),
        modified_ns=http_date_ns(headers.get("Last-Modified", "")),
        content_type=headers.get("Content-Type", ""),
        version=version_of(headers),
        storage_class=storage_class,
        archived=storage_class in _ARCHIVED and not restored,
        meta={k.lower()[len(META) :]: v for k, v in headers.items() if k.lower().startswith(META)},
    )


def written(headers: Mapping[str, str]) -> WrittenObject:
    """ETag and version id in the headers of an answer to PUT."""
    return WrittenObject(etag=bare(headers.get("ETag", "")), version=version_of(headers))


def md5_etag(content: bytes) -> str:
    """The ETag of an object, or of a part, that holds this content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def is_md5(etag: str) -> bool:
    """Whether an ETag can be the MD5 of the content.

    That of a multipart upload is not, nor, on SeaweedFS, that of some larger objects sent in one PUT.
    """
    return re.fullmatch(r"[0-9a-f]{32}", etag) is not None


def http_date_ns(text: str) -> int:
    """A Last-Modified header in nanoseconds since 1970; 0 where it is none."""
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0


def iso_date_ns(text: str) -> int:
    """A time of a listing (ISO 8601) in nanoseconds since 1970; 0 where it is none."""
    try:
        found = datetime.fromisoformat(text)
        whole = int(found.replace(microsecond=0).timestamp())
    except (ValueError, OverflowError):
        return 0
    return whole * 1_000_000_000 + found.microsecond * 1000


def _row(row: Mapping[str, str], key: str, *, deleted: bool = False) -> ObjectRow:
    size = row.get("Size", "0")
    if not key or not re.fullmatch(r"\d{1,20}", size):
        raise xml.MalformedXml("a row of the S3 listing has no key or no size")
    version = row.get("VersionId", "")
    return ObjectRow(
        key=key,
        size=int(size),
        etag=bare(row.get("ETag", "")),
        modified_ns=iso_date_ns(row.get("LastModified", "")),
        storage_class=row.get("StorageClass", ""),
        version=version,
        latest=row.get("IsLatest", "true") == "true",
        deleted=deleted,
    )


def key_decoder(document: xml.XmlDocument) -> Callable[[str], str]:
    """How keys in a listing are read. Bytes that are not UTF-8 are kept as `os.fsdecode` keeps them.

    So two keys never become one name; no path is made of such a key (`object_names.wrong`).
    """
    if document.fields.get("EncodingType") != "url":
        return str
    return partial(unquote_plus, errors="surrogateescape")


def _next(document: xml.XmlDocument, name: str) -> str:
    """The token of the next page; "" after the last. A page cut off without one is no listing."""
    if document.fields.get("IsTruncated", "false") != "true":
        return ""
    token = document.fields.get(name, "")
    if not token:
        raise xml.MalformedXml("the S3 listing breaks off without saying where it goes on")
    return token


def bare(etag: str) -> str:
    """An ETag without its quotes."""
    return etag.removeprefix("W/").strip('"')


def version_of(headers: Mapping[str, str]) -> str:
    """The version id in the headers of an answer; "" for an object that has none ("null")."""
    found = headers.get("x-amz-version-id", "")
    return "" if found == "null" else found
