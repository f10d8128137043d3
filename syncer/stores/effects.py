"""Did a write take effect whose response was lost? Pure functions of what stands at its names afterwards.

A request is never repeated blindly: sent twice, a rename or a delete would fail on its own success. Each
function returns the outcome of a request that did take effect, and None if it has to be sent again.
"""

from __future__ import annotations

from dataclasses import replace

from syncer.engine.interfaces import DeleteRequest, MkdirRequest, RenameRequest, SetAttributesRequest
from syncer.engine.model import Done, Entry, Kind, Seen


def deleted(item: DeleteRequest, found: Seen) -> Done | None:
    """Done if nothing stands at the name."""
    return Done() if found is None else None


def created_directory(item: MkdirRequest, found: Seen) -> Done | None:
    """Done if a directory stands at the name."""
    return Done(entry=found) if isinstance(found, Entry) and found.kind is Kind.DIRECTORY else None


def renamed(item: RenameRequest, found: Seen, at_origin: Seen) -> Done | None:
    """Done if the origin is gone and an entry of the same kind and size stands at the path.

    The entry is untrusted: the next run reads its content again.
    """
    if at_origin is not None or not isinstance(found, Entry):
        return None
    if found.kind is not item.expected.kind or found.size != item.expected.size:
        return None
    return Done(entry=replace(found, trusted=False))


def set_attributes(item: SetAttributesRequest, found: Seen) -> Done | None:
    """Done if the entry has the size that was expected and the attributes that were asked for.

    The entry is untrusted: the next run reads its content again.
    """
    if not isinstance(found, Entry) or found.size != item.expected.size:
        return None
    matches = item.mtime_ns in (None, found.mtime_ns) and item.executable in (None, found.executable)
    return Done(entry=replace(found, trusted=False)) if matches else None
