"""Many objects deleted by one request, where the cluster offers it; else one by one.

The status of a bulk request is 200 whatever happens: what became of it stands in the body.

Files do not go up that way (`extract-archive`): it has no condition for a file, so what somebody else put
there since our look would be overwritten unseen; and many threads with a request a file are nearly as quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from syncer.errors import StoreError, TransientError
from syncer.stores.swift.capabilities import ClusterLimits
from syncer.stores.swift.client import Call
from syncer.stores.swift.errors import refusal
from syncer.stores.swift.objects import Objects

_SECONDS = 600.0  # Swift deletes two at a time while we wait


def delete_many(objects: Objects, limits: ClusterLimits, names: Sequence[str]) -> dict[str, StoreError]:
    """What could not be deleted, and why; objects that are gone already count as deleted.

    Raises AuthError, and TransientError where it is not known what became of them.
    """
    if not limits.bulk_delete or len(names) < 2:
        return _one_by_one(objects, names)
    trouble: dict[str, StoreError] = {}
    for start in range(0, len(names), limits.bulk_delete):
        trouble |= _request(objects, names[start : start + limits.bulk_delete])
    return trouble


def _one_by_one(objects: Objects, names: Sequence[str]) -> dict[str, StoreError]:
    for name in names:
        objects.delete(name)
    return {}


def _request(objects: Objects, names: Sequence[str]) -> dict[str, StoreError]:
    lines = "\n".join("/" + objects.place.url(name) for name in names)
    call = Call(
        method="POST",
        path="",
        query="bulk-delete",
        headers={"Content-Type": "text/plain", "Accept": "application/json"},
        body=lines.encode("ascii"),
        seconds=_SECONDS,
    )
    told = objects.connection.ask(call).document()
    return _judged(objects, told if isinstance(told, dict) else {}, names)


def _judged(objects: Objects, told: Mapping[str, Any], names: Sequence[str]) -> dict[str, StoreError]:
    trouble: dict[str, StoreError] = {}
    errors = told.get("Errors")
    for item in errors if isinstance(errors, list) else ():
        name, status = _line(item)
        below = name.removeprefix("/").removeprefix(objects.place.container + "/")
        trouble[below] = refusal("DELETE", status, {}, objects.place.path(below))
    done = sum(_count(told, key) for key in ("Number Deleted", "Number Not Found"))
    if done + len(trouble) < len(names):  # it broke off, or was refused as a whole
        raise TransientError(f"a bulk delete ended with {_status(told)}")
    return trouble


def _line(item: Any) -> tuple[str, int]:
    try:
        name, status = item
        return unquote(name), int(str(status).split()[0])
    except (ValueError, TypeError, IndexError):
        raise TransientError("a bulk delete with an answer that is none") from None


def _count(told: Mapping[str, Any], key: str) -> int:
    found = told.get(key)
    return found if isinstance(found, int) else 0


def _status(told: Mapping[str, Any]) -> str:
    return str(told.get("Response Status") or "no status")[:100]
