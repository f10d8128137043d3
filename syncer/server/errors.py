"""What goes wrong, as HTTP: error bodies in SmartFile's shapes, our errors to their statuses.

One answer for every path that is refused, whether something is there or not. No handler of requests here.
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


class Json(Response):
    """A JSON document, in ASCII: a name that is not UTF-8 comes as \\udcXX, which reads back to its bytes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode("ascii")

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code=status, headers=headers)


class Refused(Exception):
    """A request ends here with this status. `fields` become SmartFile's lists of messages by field."""

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
        return Json(body, self.status, self.headers)


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


def refusal(error: SyncerError) -> Refused:
    """The answer to an error of ours. What is no trouble with one path or the disk is a 500."""
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    headers = {"Retry-After": "2"} if status == 503 else None
    return Refused(status, error.message, headers=headers)


def settled(outcome: Outcome, *, stale: int = 412) -> Done:
    """The outcome of a change that took effect. Raises Refused; `stale`: the status of "not as expected"."""
    if isinstance(outcome, Done):
        return outcome
    if isinstance(outcome, Stale | Skipped):
        raise Refused(stale, outcome.message)
    raise refusal(outcome.error)
