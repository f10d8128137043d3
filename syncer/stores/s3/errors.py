"""What a refusal of an S3 service means: error codes and HTTP statuses to Syncer's errors. Pure.

Codes are those of the S3 API reference ("Error responses") and of Ceph, OpenStack Swift and SeaweedFS, as
measured. A HEAD is refused without a body, so the status alone has to do as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncer.engine.paths import printable
from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
    Unreadable,
)

# Refused before anything was done: any request may be sent again.
THROTTLED_CODES = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded",
     "TooManyRequests"}
)  # fmt: skip
MOMENTARY = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 520, 529})
_MOMENTARY_CODES = frozenset({"RequestTimeout", "InternalError", "BadDigest", "IncompleteBody",
                              "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})  # fmt: skip
_REGION = "check region and endpoint of the account"
_KEYS_REFUSED = (
    "S3 refused the credentials", "check access_key, secret_key and region of the account"
)  # fmt: skip
_LOGIN: Mapping[str, tuple[str, str]] = {
    "ExpiredToken": ("the S3 session has expired", "log in again, for example by `aws sso login`"),
    "RequestTimeTooSkewed": ("S3 refused the time of the request", "set the clock of this machine"),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "TokenRefreshRequired",
         "AuthorizationHeaderMalformed", "InvalidSecurity", "NotSignedUp"),
        _KEYS_REFUSED,
    ),
}  # fmt: skip
_Kind = type[PreconditionFailed] | type[PermanentError]
_CHANGED = (PreconditionFailed, "the object is not what was expected (precondition failed)", "")
_ABSENT = (NotFound, "not found", "")
_FULL = (QuotaExceeded, "no room left", "make room, or raise the quota")
_LONG = (Unholdable, "the name is too long", "")
_LARGE = (Unholdable, "larger than the service takes", "")
_UNSUPPORTED = (PermanentError, "the service does not support this request", "")
_PERMANENT: Mapping[str, tuple[_Kind, str, str]] = {
    "PreconditionFailed": _CHANGED,
    "ConditionalRequestConflict": _CHANGED,  # 409: another writer was at work at the same moment
    "OperationAborted": _CHANGED,
    "InvalidPart": (PreconditionFailed, "a part of the multipart upload is gone or another one", ""),
    "InvalidPartOrder": (PermanentError, "parts of the multipart upload are out of order", ""),
    "NoSuchKey": _ABSENT,
    "NoSuchVersion": _ABSENT,
    "NoSuchUpload": (NotFound, "the multipart upload is gone", ""),
    "NoSuchBucket": (NotFound, "the bucket does not exist", "check its name and the account's region"),
    "QuotaExceeded": _FULL,
    "StorageFull": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "InsufficientStorage": _FULL,
    "KeyTooLongError": _LONG,
    "EntityTooLarge": _LARGE,
    "InvalidObjectState": (
        Unreadable, "archived (Glacier class), not readable now", "restore it at the service first"
    ),
    "PermanentRedirect": (PermanentError, "the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": (PermanentError, "the bucket is in another region", _REGION),
    "NotImplemented": _UNSUPPORTED,
    "MethodNotAllowed": _UNSUPPORTED,
}  # fmt: skip
_STATUSES: Mapping[int, tuple[_Kind, str, str]] = {
    404: _ABSENT,
    412: _CHANGED,
    413: _LARGE,
    414: _LONG,
    501: _UNSUPPORTED,
    507: _FULL,
}
_READING = frozenset({"GET", "HEAD"})


def refusal(
    method: str, status: int, code: str, message: str, headers: Mapping[str, str], about: str
) -> StoreError:
    """The error for an answer that is none of those accepted; `about` is the path or bucket it concerns.

    `message` is the service's own text, used to tell object lock from missing rights, and not repeated:
    services quote request headers there.
    """
    where = printable(about) or "the bucket"
    if code in _MOMENTARY_CODES or is_throttled(status, code) or status in MOMENTARY:
        text = f"{where}: S3 answered {status}{f' {printable(code)}' if code else ''} to {method}"
        return TransientError(text, path=about, retry_after=retry_after(headers))
    if code in _LOGIN or (status == 401 and code not in _PERMANENT):
        text, hint = _LOGIN.get(code, _KEYS_REFUSED)
        return AuthError(text, hint=hint)
    if code in _PERMANENT or status in _STATUSES:
        kind, text, hint = _PERMANENT[code] if code in _PERMANENT else _STATUSES[status]
        return kind(f"{where}: {text}", path=about, hint=hint)
    if status in (301, 307):
        region = headers.get("x-amz-bucket-region", "")
        hint = f'set region = "{printable(region)}" of the account' if region else _REGION
        return PermanentError(f"{where}: the bucket is in another region", path=about, hint=hint)
    if status == 403:
        return _forbidden(method, code, message, where, about)
    text = f"{where}: S3 answered {status}{f' {printable(code)}' if code else ''} to {method}"
    return PermanentError(text, path=about)


def _forbidden(method: str, code: str, message: str, where: str, about: str) -> StoreError:
    if re.search(r"object.?lock|worm|retention|legal hold", f"{code} {message}", re.IGNORECASE):
        return PermanentError(
            f"{where}: protected by object lock", path=about, hint="it can be changed when the retention ends"
        )
    if method in _READING:
        return Unreadable(f"{where}: not allowed to read it (403)", path=about)
    return PermanentError(
        f"{where}: not allowed (403)", path=about, hint="check the rights of the access key"
    )


def is_throttled(status: int, code: str) -> bool:
    """Whether the request was refused for its rate, before it had any effect."""
    return status == 429 or code in THROTTLED_CODES


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After`; None where there is none, or a date."""
    value = headers.get("Retry-After", "").strip()
    return float(value) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value) else None
