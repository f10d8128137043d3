"""From statuses of Swift to errors, with the pause that the service asks for. Pure.

Bodies of refusals are never read for their meaning: each implementation words them as it likes.
"""

from __future__ import annotations

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
from syncer.stores.retry_policy import retry_after

THROTTLED = frozenset({429, 498})  # refused before anything was done
MOMENTARY = frozenset({408, 425, 499, 500, 502, 503, 504, 507, 529})
_READING = frozenset({"GET", "HEAD"})


def refusal(method: str, status: int, headers: Mapping[str, str], about: str) -> StoreError:
    """The error for an answer that was not hoped for; `about` is the path that it is about."""
    where = printable(about) or "the container"
    said = f"{where}: Swift answered {status} to {method}"
    if status in THROTTLED or status in MOMENTARY:
        return TransientError(said, path=about, retry_after=retry_after(headers))
    match status:
        case 401:
            return AuthError("Swift refused a new token", hint="check the account's credentials")
        case 403 if method in _READING:
            return Unreadable(f"{where}: not allowed to read it (403)", path=about)
        case 403:
            return PermanentError(f"{where}: not allowed (403)", path=about, hint="check the user's rights")
        case 404:
            return NotFound(f"{where} is not there", path=about)
        case 409 if method in _READING:
            return Unreadable(f"{where}: a segment that it is made of is missing (409)", path=about)
        case 409 | 412:
            return PreconditionFailed(said, path=about)
        case 413:
            return QuotaExceeded(
                f"{where}: no room left (413)", path=about, hint="make room or raise the quota"
            )
        case 414:
            return Unholdable(f"{where}: the name is too long", path=about)
        case 422:
            message = f"{where}: checksum mismatch after upload: Swift reports another ETag than was sent"
            return TransientError(message, path=about)
    return PermanentError(said, path=about)
