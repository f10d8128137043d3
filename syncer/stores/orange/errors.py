"""From refusals of Orange Cloud to errors, in any of the API's formats.

    {"code": 42, "message": "Expired credentials", "description": "…"}
    {"error": {"code": 42, "message": "…", "description": "…"}}
    {"error": {"code": 800, "label": "NO_SPACE_LEFT", "details": "…"}}       older; or no JSON at all

The codes are those of the vendor's reference of Cloud France 1.x. Pure: nothing is sent again here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
    Unholdable,
)

EXPIRED = frozenset({41, 42})
TOO_MANY = 53
BUSY = frozenset({5, 6})
_BACK_END = 800
_NAME = frozenset({24})  # an invalid field of the body: a name, if one was sent
_LONGEST_WORDS = 300
_FULL = re.compile(r"NO_SPACE|QUOTA|NOT_ENOUGH_SPACE|DISK_FULL|STORAGE_FULL", re.I)
_EXISTS = re.compile(r"ALREADY.?EXIST|CONFLICT|DUPLICATE", re.I)
_MISSING = re.compile(r"NOT.?FOUND|NO.?SUCH|UNKNOWN_(?:FILE|FOLDER|ID)", re.I)
_BAD_NAME = re.compile(r"(?:INVALID|BAD|FORBIDDEN|ILLEGAL)_?(?:FILE|FOLDER)?_?(?:NAME|CHAR)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A response that is no success. `words` holds label, message and description."""

    status: int
    code: int | None
    words: str

    @property
    def expired(self) -> bool:
        """Whether a new access token may help."""
        return self.status == 401 and (self.code is None or self.code in EXPIRED)

    @property
    def later(self) -> bool:
        """Refused before anything was done, and only for the moment."""
        return (self.status, self.code) == (403, TOO_MANY) or (self.status == 503 and self.code in BUSY)


def read(status: int, body: bytes) -> Refusal:
    """The refusal in a response."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    inner = document.get("error") if isinstance(document, dict) else None
    payload = inner if isinstance(inner, dict) else document if isinstance(document, dict) else {}
    texts = [payload.get(key) for key in ("label", "message", "description", "details")]
    words = ": ".join(dict.fromkeys(text for text in texts if isinstance(text, str) and text))
    printable = "".join(c if c.isprintable() else " " for c in words)[:_LONGEST_WORDS]
    return Refusal(status=status, code=_code(payload.get("code")), words=printable)


def _code(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def error(refusal: Refusal, about: str, *, again: str, naming: bool = False) -> StoreError:
    """`about` is the path an error speaks of; `naming`: the request gave something a name."""
    status, code, words = refusal.status, refusal.code, refusal.words
    number = f"status {status}" if code is None else f"status {status}, code {code}"
    message = f"{about or 'the service'}: {words or 'refused'} ({number})"
    if status == 401:
        return AuthError(f"Orange Cloud refuses the login, or what it may do ({number})", hint=again)
    found = _labelled(words, message, about) or _back_end(refusal, message, about)
    if found is not None:
        return found
    if refusal.later or status in (408, 429, 500, 502, 503, 504):
        return TransientError(message, path=about)
    if status == 404:
        return _missing(refusal, message, about)
    if status == 412:
        return PreconditionFailed(message, path=about)
    if status in (413, 414) or (status == 400 and code in _NAME and naming):
        return Unholdable(message, path=about)
    if status == 501:
        return PermanentError(message, hint="Orange Cloud is not offered in this country", path=about)
    return PermanentError(message, path=about)


def _labelled(words: str, message: str, about: str) -> StoreError | None:
    """Labels say more than the status: some that come with 500 will never pass."""
    if _FULL.search(words):
        return QuotaExceeded(message, path=about, hint="make room in the Orange Cloud")
    if "TOO_BIG_FILE" in words:
        return Unholdable(message, path=about)
    if "SESSION_EXPIRED" in words:
        return TransientError(message, path=about)
    if "CGU_NOT_ACCEPTED" in words:
        return AuthError(
            "the terms of Orange Cloud are not accepted yet",
            hint="log in to Orange Cloud with a browser once",
        )
    if "USER_NOT_ELIGIBLE" in words:
        return AuthError("this user has no Orange Cloud", hint="log in as another user")
    return None


def _back_end(refusal: Refusal, message: str, about: str) -> StoreError | None:
    """Code 800 comes with any status: only its message tells."""
    if refusal.code != _BACK_END:
        return None
    if _EXISTS.search(refusal.words):
        return PreconditionFailed(message, path=about)
    if _MISSING.search(refusal.words):
        return NotFound(message, path=about)
    if _BAD_NAME.search(refusal.words):
        return Unholdable(message, path=about)
    if "FORBIDDEN" in refusal.words.upper() or refusal.status < 500:
        return PermanentError(message, path=about)
    return TransientError(message, path=about)


def _missing(refusal: Refusal, message: str, about: str) -> StoreError:
    """A gateway's page says that no such URL exists, which is nothing about the path."""
    if refusal.code is not None:
        return NotFound(message, path=about)
    return PermanentError(
        f"{about or 'the service'}: no such URL there", hint="check the account's api_url", path=about
    )
