"""SmartFile's REST API as a store: a service with rsync deltas and without conditional writes.

`store` implements the contract; `auth` also serves Syncer's own extension of the API. Nothing here is
imported before a job needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncer.engine.interfaces import Clock, Store
    from syncer.stores.http.client import HttpSession


def connecting(session: HttpSession, path: str, *, clock: Clock, tag: str) -> Store:
    """The store of the folder `path` ("" for all) of the session's user; nothing is sent yet.

    `tag`: a plain word in the names of what this store keeps for itself.
    """
    from syncer.stores.smartfile.store import SmartFileStore

    return SmartFileStore(session, path, clock=clock, tag=tag)
