"""HTTP errors of the SmartFile API: its error bodies, and the statuses of Syncer's own errors.

A refused path has the same response whether something is there or not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from syncer.engine.model import Done, Outcome, Skipped, Stale
from syncer.errors import (
    BadDelta,
    ChangedUnderUs,
    LocalError,
    NoSpace,
    NotFound,
    PermanentError,
    PreconditionFailed,
    QuotaExceeded,
    SyncerError,
    TransientError,
    Unholdable,
    Unreadable,
)


class JsonResponse(Response):
    """A JSON document in ASCII. A byte of a name that is not UTF-8 is sent as \\udcXX (PEP 383)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode("ascii")

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code=status, headers=headers)


class HttpError(Exception):
    """Ends a request with this status. `fields`: lists of messages by field, as SmartFile sends them."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        fields: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields
        self.headers = headers

    def response(self) -> Response:
        """`{"detail": …}`, with `field_errors` and the bare fields where a field is to blame."""
        body: dict[str, object] = {"detail": self.detail}
        if self.fields is not None:
            body |= {"field_errors": dict(self.fields), **self.fields}
        return JsonResponse(body, self.status, self.headers)


_STATUSES: tuple[tuple[type[SyncerError], int], ...] = (
    (NotFound, 404),
    (Unholdable, 400),
    (BadDelta, 400),
    (PreconditionFailed, 412),
    (ChangedUnderUs, 409),
    (QuotaExceeded, 507),
    (NoSpace, 507),
    (Unreadable, 403),
    (TransientError, 503),
    (PermanentError, 409),
    (LocalError, 503),
)


def http_error_of(error: SyncerError) -> HttpError:
    """The HTTP error of one of Syncer's; 500 if it is none of a path or of the disk."""
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    headers = {"Retry-After": "2"} if status == 503 else None
    return HttpError(status, error.message, headers=headers)


def settled(outcome: Outcome, *, stale: int = 412) -> Done:
    """The outcome of a change that took effect. Raises HttpError; `stale`: the status of a stale one."""
    if isinstance(outcome, Done):
        return outcome
    if isinstance(outcome, Stale | Skipped):
        raise HttpError(stale, outcome.message)
    raise http_error_of(outcome.error)
