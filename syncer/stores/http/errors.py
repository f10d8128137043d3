"""From HTTP responses to errors: status codes, requested pauses, the service's clock.

Statuses are those of SmartFile's API and of HTTP (RFC 9110). Nothing of a request but its method and path
gets into a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3
from requests import exceptions

from syncer.errors import (
    AuthError,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    StoreError,
    TransientError,
)

REFUSED = "the service refuses the login"
LOGIN_HINT = (
    "check the account's `key` and `password` (or SMARTFILE_API_KEY and SMARTFILE_API_PASSWORD, or netrc), "
    "or `access_token` and `access_secret` (SMARTFILE_ACCESS_TOKEN and SMARTFILE_ACCESS_SECRET)"
)
_X_THROTTLE = re.compile(r".*; next=(\d+(?:\.\d+)?) sec$")  # the official client's own expression
_FULL = re.compile(
    r"quota|disk space|storage (?:limit|is full)|not enough space|over (?:the|your) limit", re.I
)
_DETAIL_BYTES = 16 << 10
_LONGEST_WORDS = 300
_DEEPEST_WORDS = 8  # objects and lists within each other


def pause(response: requests.Response) -> float | None:
    """Seconds to wait as the service asks; None if it does not ask (a bare 503 is a failure)."""
    if response.status_code not in (429, 503):
        return None
    asked = _asked(response)
    return 1.0 if asked is None and response.status_code == 429 else asked


def _asked(response: requests.Response) -> float | None:
    headers = response.headers
    found = _X_THROTTLE.match(headers.get("X-Throttle", ""))
    text = found[1] if found else headers.get("Retry-After", headers.get("X-Throttle-Wait-Seconds", ""))
    if re.fullmatch(r"\d{1,9}(?:\.\d+)?", text.strip()):
        return float(text)
    until, now = _moment(text), _moment(headers.get("Date", ""))
    return max(0.0, (until - now).total_seconds()) if until and now else None


def date_ns(response: requests.Response) -> int | None:
    """The service's own clock when it answered: ns since 1970 in whole seconds, None if it does not say."""
    found = _moment(response.headers.get("Date", ""))
    return None if found is None else int(found.timestamp()) * 1_000_000_000


def asked_ns(response: requests.Response) -> int | None:
    """The service's own clock when it got the request, or a little earlier; as `date_ns`.

    Its Date was taken somewhere between the request and the answer.
    """
    date = date_ns(response)
    return None if date is None else date - int(response.elapsed.total_seconds() * 1e9)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def error(response: requests.Response, about: str) -> StoreError:
    """The error that a status other than 2xx stands for. Reads some of the content and ends the answer."""
    words, status = _words(response), response.status_code
    message = f"{about or 'the service'}: {words or response.reason or 'refused'} (status {status})"
    if status == 401:
        return AuthError(REFUSED, hint=LOGIN_HINT)
    if status in (402, 507) or (status in (400, 403, 413) and _FULL.search(words)):
        return QuotaExceeded(message, path=about, hint="make room on the service, or ask for more")
    if status == 404:
        if "html" not in response.headers.get("Content-Type", ""):
            return NotFound(message, path=about)
        # A page of HTML says that no such URL exists, which says nothing about the path.
        return PermanentError(
            f"{about or 'the service'}: no such URL there",
            hint="the url of the account does not lead to a SmartFile API",
            path=about,
        )
    if status in (409, 412, 415, 416, 423):
        return PreconditionFailed(message, path=about)
    if status in (408, 425, 429) or status >= 500:
        return TransientError(message, path=about, retry_after=pause(response))
    return PermanentError(message, path=about)


def _words(response: requests.Response) -> str:
    """The message for a person: the `detail` of a JSON response, or its texts joined; "" if there is none."""
    try:
        text = next(response.iter_content(_DETAIL_BYTES), b"")
        document = json.loads(text)
    except (ValueError, OSError, RecursionError, exceptions.RequestException, urllib3.exceptions.HTTPError):
        return ""
    finally:
        response.close()
    return " ".join(_texts(document))[:_LONGEST_WORDS]


def _texts(document: object, depth: int = 0) -> Iterator[str]:
    if isinstance(document, str):
        yield "".join(c if c.isprintable() else " " for c in document)
    elif isinstance(document, list | dict) and depth < _DEEPEST_WORDS:
        for item in document.values() if isinstance(document, dict) else document:
            yield from _texts(item, depth + 1)


def drop(response: requests.Response) -> None:
    """Close a response without using it; a short rest is read so that the connection can be reused."""
    try:
        if 0 < int(response.headers.get("Content-Length", "0")) <= _DETAIL_BYTES:
            next(response.iter_content(_DETAIL_BYTES), b"")
    except (ValueError, OSError, exceptions.RequestException, urllib3.exceptions.HTTPError):
        pass
    finally:
        response.close()
