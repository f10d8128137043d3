"""What a status of Swift means to the engine, and how long it asks to wait. Pure.

Bodies of refusals are never read for their meaning: each implementation words them as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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

THROTTLED = frozenset({429, 498})  # refused before anything was done
MOMENTARY = frozenset({408, 425, 499, 500, 502, 503, 504, 507, 529})
_READING = frozenset({"GET", "HEAD"})


def refusal(method: str, status: int, headers: Mapping[str, str], about: str) -> StoreError:
    """The error for an answer that was not hoped for; `about` is the path that it is about."""
    where = printable(about) or "the container"
    said = f"{where}: Swift answered {status} to {method}"
    if status in THROTTLED or status in MOMENTARY:
        return TransientError(said, path=about, retry_after=asked_for(headers))
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
            return TransientError(f"{where}: it arrived in another shape than it was sent in", path=about)
    return PermanentError(said, path=about)


def asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After`; None where there is none, or a date (whose clock is it?)."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


@contextmanager
def translated(said: str, about: str) -> Iterator[None]:
    """Broken connections become TransientError; what cannot be spoken at all, PermanentError."""
    import requests
    from swiftclient.exceptions import ClientException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise PermanentError(
            f"{said}: the server's certificate is not accepted", hint="REQUESTS_CA_BUNDLE names one that is"
        ) from error
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        ClientException,
    ) as error:
        raise PermanentError(f"{said}: not an address that can be asked") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise TransientError(f"{said}: {_cause(error)}", path=about) from error


def _cause(error: BaseException) -> str:
    """In a word, without the address, which may hold more than a message should."""
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer in time"
    return "the connection broke"
