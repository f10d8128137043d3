"""JSON responses, validated: anything that is not as the API documents it is an error, never a guess."""

from __future__ import annotations

import requests

from syncer.errors import PermanentError, QuotaExceeded, StoreError, TransientError
from syncer.wire.bounded_json import loads

_LARGEST = 1 << 62
VALUES = 24 << 20  # bytes that the values of an answer may take: a page of 500 entries has some 4 MB


def document(response: requests.Response, about: str) -> object:
    """The JSON of a response. Raises TransientError for anything else (such as an error page), TooLarge."""
    try:
        return loads(response.content, most=VALUES)
    except ValueError:
        raise TransientError(f"{about or 'the service'}: the answer is no JSON", path=about) from None


def mapping(response: requests.Response, about: str) -> dict[str, object]:
    """The JSON object of a response. Raises as `document`."""
    found = document(response, about)
    if not isinstance(found, dict):
        raise TransientError(f"{about or 'the service'}: the answer is not understood", path=about)
    return found


def inner_error(found: object, about: str) -> StoreError | None:
    """The error in a response of status 200: `{"status": 400, "detail": …}`."""
    if not isinstance(found, dict) or not isinstance(found.get("status"), int) or found["status"] < 400:
        return None
    words = str(found.get("detail", "refused"))[:300]
    message = f"{about}: {words} (status {found['status']})"
    if found["status"] in (402, 507) or "quota" in words.lower():
        return QuotaExceeded(message, path=about, hint="make room on the service, or ask for more")
    kind = TransientError if found["status"] >= 500 or found["status"] == 429 else PermanentError
    return kind(message, path=about)


class Malformed(ValueError):
    """A service's description of an item cannot be understood. `name` where even that is known."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


def size(value: object, name: str) -> int:
    """The size of the item `name` in bytes, also one sent as text. Raises Malformed."""
    found = number(value)
    if found is None or found >= _LARGEST:
        raise Malformed("its size makes no sense", name)
    return found


def number(value: object) -> int | None:
    """A count, also one sent as text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
