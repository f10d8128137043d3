"""Long operations: started by one request, waited for by polling.

`{"uuid": …}` now, `{"uuid": …, "result": {"status": …, "result": …}}` later (older answers have the status
at the top). SUCCESS with a list of errors is a failure of those paths. Whether an operation
took effect whose task got lost is for the caller to look at: `Lost` says so.
"""

from __future__ import annotations

import re

from syncer.errors import NotFound, PermanentError, TransientError
from syncer.stores.smartfile import documents
from syncer.stores.smartfile.session import Session

FIRST_PAUSE, LONGEST_PAUSE, PATIENCE = 0.192, 6.1, 390.0  # seconds, as the service's own client waits
_UUID = re.compile(r"[0-9A-Za-z-]{1,64}")


class Lost(TransientError):
    """Nobody knows how the operation ended: its task is forgotten, or never ends."""


def finish(session: Session, started: object, about: str) -> dict[str, object]:
    """Waits for the task that an operation was answered with; what it has to say of its success.

    Raises PermanentError where it failed, also in part, TransientError for FAILURE, Lost.
    """
    inner = _settled(started, about)
    if inner is not None:
        return inner
    uuid = started.get("uuid") if isinstance(started, dict) else None
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
        raise Lost(f"{about}: the service does not say how far it is", path=about)
    clock, pause = session.clock, FIRST_PAUSE
    until = clock.monotonic() + PATIENCE
    while clock.monotonic() < until:
        inner = _settled(_ask(session, uuid, about), about)
        if inner is not None:
            return inner
        clock.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    raise Lost(f"{about}: the service does not come to an end with it", path=about)


def _ask(session: Session, uuid: str, about: str) -> object:
    try:
        return documents.mapping(session.request("GET", f"api/2/task/{uuid}/", about=about), about)
    except NotFound:
        raise Lost(f"{about}: the service has forgotten the task", path=about) from None


def _settled(found: object, about: str) -> dict[str, object] | None:
    """What a task that ended says; None while it goes on."""
    if not isinstance(found, dict):
        return None
    result = found.get("result")
    nested = isinstance(result, dict) and isinstance(result.get("status"), str)
    layer = result if nested and isinstance(result, dict) else found
    if layer.get("status") == "FAILURE":
        raise TransientError(f"{about}: the service failed to do it", path=about)
    if layer.get("status") != "SUCCESS":
        return None
    inner = layer.get("result")
    told = inner if isinstance(inner, dict) else {}
    errors = told.get("errors")
    if errors:
        raise PermanentError(f"{about}: {_first(errors)}", path=about)
    return told


def _first(errors: object) -> str:
    words = next(iter(errors.values()), "refused") if isinstance(errors, dict) else "refused"
    return "".join(c if c.isprintable() else " " for c in str(words))[:300]
