"""Which preconditions a bucket heeds (If-Match, If-None-Match, copy source), tried on objects of our own.

Services differ, and change with their releases: Ceph 16 takes ETags in a PUT only without quotes, ignores
conditions of Complete and DELETE, and in a versioned bucket all; OpenStack Swift answers 501 to If-Match.
So each condition is tried once per bucket, with a wrong value (which must be refused) and with the right
one (which must be taken).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

from syncer.errors import PermanentError, PreconditionFailed, StoreError
from syncer.stores.s3.multipart import MultipartUploads
from syncer.stores.s3.objects import CopySource, EtagForm, S3Bucket, md5_etag

_WRONG = md5_etag(b"an ETag that no object of ours has")
_CONTENT = b"Syncer tries which conditions this bucket heeds; this object can be removed.\n"
_FORMS = (EtagForm.QUOTED, EtagForm.BARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketConditions:
    """What is heeded. `*_new`: If-None-Match: *; `*_match`: If-Match, in the form that works.

    `atomic`: of several writers with If-None-Match at the same moment one wins. OpenStack Swift looks before
    it writes, so several may win; it is known by its headers, since a race proves nothing by being won once.
    """

    put_new: bool = False
    put_match: EtagForm = EtagForm.NONE
    complete_new: bool = False
    complete_match: EtagForm = EtagForm.NONE
    copy_new: bool = False
    copy_match: EtagForm = EtagForm.NONE
    delete_match: EtagForm = EtagForm.NONE
    source_match: EtagForm = EtagForm.NONE  # of CopyObject
    part_source_match: EtagForm = EtagForm.NONE  # of UploadPartCopy
    get_match: bool = False
    atomic: bool = False
    copied_part_md5: bool = False  # the ETag of a copied part is the MD5 of its content (not on SeaweedFS)

    def document(self) -> dict[str, str | bool]:
        """For a file; `of` reads it."""
        return {k: v.value if isinstance(v, EtagForm) else v for k, v in asdict(self).items()}

    @classmethod
    def of(cls, document: Mapping[str, object]) -> BucketConditions | None:
        """What `document` made; None where it is anything else."""
        values: dict[str, bool | EtagForm] = {}
        for item in fields(cls):
            value = document.get(item.name)
            if isinstance(item.default, bool):
                if not isinstance(value, bool):
                    return None
                values[item.name] = value
            else:
                try:
                    values[item.name] = EtagForm(value)
                except ValueError:
                    return None
        return cls(**values)  # type: ignore[arg-type] # each by its own kind, above

    @property
    def unheeded(self) -> tuple[str, ...]:
        """The operations that cannot be made conditional here: looked at before and after instead."""
        ways = {
            "PUT": self.put_new and self.put_match is not EtagForm.NONE and self.atomic,
            "CompleteMultipartUpload": self.complete_new and self.complete_match is not EtagForm.NONE,
            "DELETE": self.delete_match is not EtagForm.NONE,
            "UploadPartCopy": self.part_source_match is not EtagForm.NONE,
        }
        return tuple(name for name, heeded in ways.items() if not heeded)


def if_new() -> dict[str, str]:
    """The condition that there is no object of this name."""
    return {"If-None-Match": "*"}


def if_match(etag: str, form: EtagForm) -> dict[str, str]:
    """The condition that the object has this ETag; nothing where it would not be heeded."""
    return {} if form is EtagForm.NONE else {"If-Match": form.of(etag)}


def probe(bucket: S3Bucket, folder: str) -> BucketConditions:
    """Tries all conditions on new objects below `folder` (our own, ending in a slash), then removes them.

    About 40 requests, once per bucket. Raises what a PUT without conditions raises.
    """
    return _Probe(bucket, f"{folder}probe-{secrets.token_hex(8)}").run()


class _Probe:
    def __init__(self, bucket: S3Bucket, stem: str) -> None:
        self._bucket = bucket
        self._uploads = MultipartUploads(bucket)
        self._key, self._absent, self._other = f"{stem}/a", f"{stem}/b", f"{stem}/c"
        self._stem = stem
        self._attempt = 0

    def run(self) -> BucketConditions:
        bucket = self._bucket
        try:
            self._write()
            atomic = not self._is_openstack()
            conditions = BucketConditions(
                atomic=atomic,
                put_new=self._refused(lambda: self._put(self._key, if_new()))
                and self._taken(lambda: self._put(self._absent, if_new())),
                put_match=self._form(self._put_if),
                complete_new=self._refused(lambda: self._complete(if_new())),
                complete_match=self._form(lambda wanted: self._complete({"If-Match": wanted})),
                copy_new=self._refused(lambda: self._copy(if_new())),
                copy_match=self._form(lambda wanted: self._copy({"If-Match": wanted})),
                source_match=self._form(lambda wanted: self._copy_from(wanted, part=False)),
                part_source_match=self._form(lambda wanted: self._copy_from(wanted, part=True)),
                get_match=self._refused(lambda: bucket.get(self._key, etag=_WRONG).close())
                and self._taken(lambda: bucket.get(self._key, etag=self._write()).close()),
                delete_match=self._form(self._delete_if),
                copied_part_md5=self._has_part_md5(),
            )
        finally:
            self._clean()
        return conditions

    # -- one condition ----------------------------------------------------------------

    def _form(self, attempt: Callable[[str], None]) -> EtagForm:
        """The form in which a wrong ETag is refused and the right one is taken.

        The object is written anew before each attempt, with content of its own, since an attempt may have
        replaced it.
        """
        for form in _FORMS:
            self._write()
            if not self._refused(lambda form=form: attempt(form.of(_WRONG))):  # type: ignore[misc]
                continue
            etag = self._write()
            if self._taken(lambda form=form, etag=etag: attempt(form.of(etag))):  # type: ignore[misc]
                return form
        return EtagForm.NONE

    @staticmethod
    def _refused(attempt: Callable[[], object]) -> bool:
        """Whether the condition failed; not where it was ignored, or is not supported at all."""
        try:
            attempt()
        except PreconditionFailed:
            return True
        except PermanentError:
            return False
        return False

    @staticmethod
    def _taken(attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except (PreconditionFailed, PermanentError):
            return False
        return True

    # -- what is attempted ----------------------------------------------------------------

    def _write(self) -> str:
        return self._put(self._key, {})

    def _content(self) -> bytes:
        self._attempt += 1
        return _CONTENT + str(self._attempt).encode()

    def _put(self, key: str, conditions: Mapping[str, str]) -> str:
        return self._bucket.put(key, self._content(), conditions=conditions).etag

    def _put_if(self, wanted: str) -> None:
        self._put(self._key, {"If-Match": wanted})

    def _complete(self, conditions: Mapping[str, str]) -> None:
        upload = self._uploads.create(self._key)
        try:
            part = self._uploads.send(self._key, upload, 1, self._content())
            self._uploads.complete(self._key, upload, [part], conditions=conditions)
        except BaseException:
            self._uploads.abort(self._key, upload)
            raise

    def _copy(self, conditions: Mapping[str, str]) -> None:
        self._bucket.put(self._other, self._content())
        self._bucket.copy(CopySource(key=self._other), self._key, conditions=conditions)

    def _copy_from(self, wanted: str, *, part: bool) -> None:
        """Copies our object elsewhere, if it has the wanted ETag, which stands here as the header's value."""
        form = EtagForm.QUOTED if wanted.startswith('"') else EtagForm.BARE
        source = CopySource(key=self._key, etag=wanted.strip('"'), form=form)
        if not part:
            self._bucket.copy(source, self._other)
            return
        upload = self._uploads.create(self._other)
        try:
            self._uploads.copy(self._other, upload, 1, source, 0, 10)
        finally:
            self._uploads.abort(self._other, upload)

    def _has_part_md5(self) -> bool:
        content = self._content()
        self._bucket.put(self._key, content)
        upload = self._uploads.create(self._other)
        try:
            part = self._uploads.copy(self._other, upload, 1, CopySource(key=self._key), 1, 10)
        finally:
            self._uploads.abort(self._other, upload)
        return part.etag == md5_etag(content[1:11])

    def _delete_if(self, wanted: str) -> None:
        self._bucket.delete(self._key, conditions={"If-Match": wanted})

    def _is_openstack(self) -> bool:
        reply = self._bucket.head_reply(self._key)
        return "x-trans-id" in {name.lower() for name in reply.headers}

    def _clean(self) -> None:
        """All that was made, in a versioned bucket with its versions and delete markers.

        What cannot be removed now is garbage, which `gc` knows by its name.
        """
        for key in (self._key, self._absent, self._other):
            with suppress(StoreError):
                self._bucket.delete(key)
        with suppress(StoreError):
            self._bucket.delete_many([(row.key, row.version) for row in self._bucket.versions(self._stem)])
