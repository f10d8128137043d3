"""Bulk delete: many objects by one request where the cluster offers it, else one by one.

The status of a bulk request is 200 whatever happens: its result is in the body.

Uploads do not use the bulk middleware (`extract-archive`): it has no condition for a file, so another
client's write since the last look would be overwritten; and many threads with a request for each file are
nearly as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from syncer.errors import StoreError, TransientError
from syncer.stores.swift.capabilities import ClusterLimits
from syncer.stores.swift.client import Call
from syncer.stores.swift.errors import refusal
from syncer.stores.swift.objects import Objects

_SECONDS = 600.0  # Swift deletes two at a time while we wait


def delete_many(objects: Objects, limits: ClusterLimits, names: Sequence[str]) -> dict[str, StoreError]:
    """Delete objects; the errors of those that could not be deleted. Objects that are gone count as deleted.

    Raises AuthError, and TransientError where it is unknown which objects were deleted.
    """
    failed: dict[str, StoreError] = {}
    if not limits.bulk_delete or len(names) < 2:
        for name in names:
            objects.delete(name)
        return failed
    for start in range(0, len(names), limits.bulk_delete):
        failed |= _bulk_request(objects, names[start : start + limits.bulk_delete])
    return failed


def _bulk_request(objects: Objects, names: Sequence[str]) -> dict[str, StoreError]:
    lines = "\n".join("/" + objects.place.url(name) for name in names)
    call = Call(
        method="POST",
        path="",
        query="bulk-delete",
        headers={"Content-Type": "text/plain", "Accept": "application/json"},
        body=lines.encode("ascii"),
        seconds=_SECONDS,
    )
    document = objects.connection.ask(call).document()
    report: dict[str, Any] = document if isinstance(document, dict) else {}
    failed: dict[str, StoreError] = {}
    errors = report.get("Errors")
    for item in errors if isinstance(errors, list) else ():
        try:
            quoted, text = item
            name, status = unquote(quoted), int(str(text).split()[0])
        except (ValueError, TypeError, IndexError):
            raise TransientError("the response to a bulk delete has an error that cannot be parsed") from None
        below = name.removeprefix("/").removeprefix(objects.place.container + "/")
        failed[below] = refusal("DELETE", status, {}, objects.place.path(below))
    counts = [report.get(key) for key in ("Number Deleted", "Number Not Found")]
    deleted = sum(count for count in counts if isinstance(count, int))
    if deleted + len(failed) < len(names):  # it broke off, or was refused as a whole
        status_text = str(report.get("Response Status") or "no status")[:100]
        raise TransientError(f"a bulk delete ended with {status_text}")
    return failed
