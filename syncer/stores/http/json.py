"""JSON answers, taken apart with suspicion: what is not as the API says is a failure, never a guess."""

from __future__ import annotations

import requests

from syncer.errors import PermanentError, QuotaExceeded, StoreError, TransientError
from syncer.wire.bounded_json import loads

VALUES = 24 << 20  # bytes that the values of an answer may take: a page of 500 entries has some 4 MB


def document(response: requests.Response, about: str) -> object:
    """The answer's JSON. Raises TransientError for anything else (an error page is no answer), TooLarge."""
    try:
        return loads(response.content, most=VALUES)
    except ValueError:
        raise TransientError(f"{about or 'the service'}: the answer is no JSON", path=about) from None


def mapping(response: requests.Response, about: str) -> dict[str, object]:
    """The answer's JSON object."""
    found = document(response, about)
    if not isinstance(found, dict):
        raise TransientError(f"{about or 'the service'}: the answer is not understood", path=about)
    return found


def inner_error(found: object, about: str) -> StoreError | None:
    """The error that hides in an answer of status 200: `{"status": 400, "detail": …}`."""
    if not isinstance(found, dict) or not isinstance(found.get("status"), int) or found["status"] < 400:
        return None
    words = str(found.get("detail", "refused"))[:300]
    message = f"{about}: {words} (status {found['status']})"
    if found["status"] in (402, 507) or "quota" in words.lower():
        return QuotaExceeded(message, path=about, hint="make room on the service, or ask for more")
    kind = TransientError if found["status"] >= 500 or found["status"] == 429 else PermanentError
    return kind(message, path=about)


def number(value: object) -> int | None:
    """A count, also one sent as text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
