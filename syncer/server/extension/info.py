"""The calls about the server as a whole: `hello`, `quota`, `sweep`."""

from __future__ import annotations

from dataclasses import replace

from syncer.server.extension.request import (
    MAX_BODY,
    MAX_ITEMS,
    CallRequest,
    CallResponse,
    json_response,
)
from syncer.wire import schema


def hello(call: CallRequest) -> CallResponse:
    """`hello`: the server's tag, the capabilities of its disk, the limits of a call."""
    with call.store() as store:
        capabilities = replace(store.capabilities, local=False, digests=True)
    return json_response(
        {
            "server": call.served.tag,
            "capabilities": schema.capabilities_out(capabilities),
            "limits": {"items": MAX_ITEMS, "body": MAX_BODY},
        }
    )


def quota(call: CallRequest) -> CallResponse:
    """`quota`: the free space of the disk. `used` is null: it would take a scan of the folder."""
    with call.store() as store:
        return json_response({"used": None, "free": store.free_space()})


def sweep(call: CallRequest) -> CallResponse:
    """`sweep`: does nothing. The server removes leftovers itself: only it knows which calls are in flight."""
    call.json()
    return json_response({})
